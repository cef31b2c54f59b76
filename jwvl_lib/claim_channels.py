"""Claims of what a picture is: instrument, observatory, channel, wavelength, layer. Reads the instrument table and the
knowledge base."""

import re
from collections.abc import Iterable

from jwvl_lib import knowledge
from jwvl_lib.claim_grammar import EN_WORDS, ZH_WORDS, Found, Pattern, number, pattern
from jwvl_lib.instruments import Instrument, load_instruments

# names built of parts, which no list of words holds whole
_BUILT_NAMES = {
    "observatory": {
        r"全球(?:太阳)?(?:振荡|日震)(?:观测|监测)?(?:台)?网(?:络)?": "GONG",
        r"太阳动力学(?:天文台|观测台|观测卫星|观测站|卫星)": "SDO",
        r"太阳和?与?日球层(?:天文台|探测器|观测台)": "SOHO",
        r"Big\s+Bear(?:\s+Solar\s+Observatory)?": "BBSO",
        r"GOES[\s-]?16": "GOES-16",
        r"GOES[\s-]?18": "GOES-18",
    },
    "instrument": {
        r"日震(?:和|与|及)?磁(?:场)?成?像仪": "HMI",
        r"大气成像(?:组件|仪|望远镜|设备|阵列)": "AIA",
        r"(?:Hα|H阿尔法)成像光谱仪": "HIS",
        r"H-?alpha\s+Imaging\s+Spectrograph": "HIS",
    },
}
MEASUREMENT_WORDS = {
    r"(?:magnetograms?|magnetic(?:[-\s]field)?\s+(?:maps?|images?)|磁场?(?:强度)?(?:分布)?(?:图|像(?!仪))|磁像图"
    r"|磁力图|(?<!"
    r"[A-Za-z])mag(?:\s+(?:image|map)|(?=\s*(?:[,.;)]|$))))": "magnetogram",
    r"(?:continuum|white[-\s]light|intensitygrams?|连续(?:光)?谱|白光|连续辐射|连续谱强度)": "continuum",
    r"(?:Dopplergrams?|Doppler\s+(?:maps?|images?|velocity\s+maps?)|多普勒(?:速度)?图)": "Dopplergram",
}
# digits that name a channel even without a unit, where the words say "channel"
_CHANNEL_NUMBERS = sorted({r.measurement for r in load_instruments() if r.measurement.isdigit()}, key=int)
_CHANNEL_WORD = r"(?:channel|pass-?band|band|filter|line|wavelength|EUV|波段|通道|波长|滤光片|谱线)"


_SMALL = set("aia hmi eit mdi sdo soho bbso".split())
_LAUNCH = (
    r"(?-i:[A-Z]{3,})(?=(?:\s+(?:was|had\s+been|is|has\s+been|were))?(?:\s+(?:not|only|yet|even))*\s+(?:been\s+)?"
    r"(?:launched|in\s+orbit)|\s*(?:卫星)?[^，。；是为]{0,12}(?:发射|升空|上天))|(?<=\blaunch\sof\s)(?-i:[A-Z]{3,})"
)


def _one_of(names: set[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=lambda n: (-len(n), n)))


def _channel(row: Instrument) -> Found:
    values = [("observatory", row.observatory), ("instrument", row.instrument), ("measurement", row.measurement)]
    return [(kind, value) for kind, value in values if value]


def _named(kind: str, names: set[str]) -> Pattern:
    """Names are codes, written in capitals "
    "("Swap" and "chase" are words); a few can be nothing else in small letters."""
    known = {name.casefold(): name for name in names}
    small = _one_of({name.lower() for name in names} & _SMALL)
    either = rf"(?<![A-Za-z])(?:(?-i:{_one_of(names)}){'|' + small if small else ''})(?![A-Za-z\d])"
    return pattern("", either, lambda m: [(kind, known[m.group().casefold()])])


def _measured(instrument: str, digits: str) -> tuple:
    """171 is a channel of AIA; 6173 is no channel of HMI, but its wavelength."""
    channels = {r.measurement for r in load_instruments() if r.instrument == instrument}
    return ("measurement", digits) if digits in channels else ("wavelength_angstrom", float(digits))


def _worded(kind: str, language: str) -> Pattern:
    """Every word the knowledge base has for the values of a kind; "Solar Orbiter" may break at a line's end."""
    words = {re.sub(r"[\s-]+", " ", word.casefold()): value for word, value in knowledge.words(kind, language).items()}
    built = {re.compile(r, re.I): v for r, v in _BUILT_NAMES.get(kind, {}).items() if language == "zh" or r.isascii()}
    regex = "|".join([*(r.pattern for r in built), *(re.escape(w).replace("\\ ", r"[\s-]+") for w in _longest(words))])

    def value(match: re.Match) -> Found:
        code = re.match(r"\s*\(?([A-Z]{2,7})(?![A-Za-z])", match.string[match.end() :])
        if kind == "instrument" and code and code[1] in _INSTRUMENTS:
            return []  # "极紫外成像仪EUI": the code says which one
        named = next((v for r, v in built.items() if r.fullmatch(match.group())), None)
        return [(kind, named or words[re.sub(r"[\s-]+", " ", match.group().casefold())])]

    latin = rf"(?<![A-Za-z])(?:{regex})(?![A-Za-z])"
    return pattern("zh", regex, value) if language == "zh" else pattern("", latin, value)


def _longest(words: Iterable[str]) -> list[str]:
    return sorted(words, key=lambda word: (-len(word), word))


def _angstrom(text: str, factor: float = 1.0) -> Found:
    value = number(text) if re.fullmatch(ZH_WORDS, text) else float(text.replace(",", ""))
    return [("wavelength_angstrom", round(value * factor, 3))]


_CHANNELS = {row.name: _channel(row) for row in load_instruments()}
_OBSERVATORIES = ({row.observatory for row in load_instruments()} | set(knowledge.values("observatory"))) - {""}
_INSTRUMENTS = ({row.instrument for row in load_instruments()} | set(knowledge.values("instrument")) | {"HIS"}) - {""}
_INSTRUMENTS -= {"TRACE", "RHESSI"}  # as GONG, but a text that names them means the spacecraft
_WAVE = r"(?<![\d.,])(\d{1,3}(?:,\d{3})|\d{2,5}(?:\.\d+)?)"
_UNIT = r"(?:[Åå](?!ngst)|A\u030a|Angstroms?\b|Angstroem\b|[Åå]ngstr[öo]ms?\b|埃|(?-i:A)(?![A-Za-z]))"

_COUNTED = (
    r"(?:spots?|sunspots?|(?:\w+\s+)?regions?|groups?|pixels|of\s+the|MSH|millionths|degrees|°|个|号|颗|区|群|张|幅"
    r"|天|倍|度|年|月)"
)
_SAID_WAVELENGTH = re.compile(r"\bwavelengths?\b|\bangstroms?\b|波长|波段|埃|通道|\bchannels?\b|\bpassband\b", re.I)
_QUANTITY = re.compile(r"面积|黑子|\bareas?\b|\bspots?\b|MSH", re.I)
_WITH_UNIT = re.compile(rf"\d[\s-]*{_UNIT}", re.I)
_CORRECTED = re.compile(r"(?:\b(?:not|nor|neither|or|rather\s+than)\s+(?:the\s+)?|不是|并非|而非|[、或和与]\s*)$", re.I)


def _as_said(match: re.Match) -> Found | None:
    """A channel's bare digits where the sentence says that they are a wavelength, or corrects them by one."""
    text, at = match.string, match.start()
    near = text[max(0, at - 40) : at + 90]
    if _QUANTITY.search(text[max(0, at - 16) : at]):
        return None
    said = _SAID_WAVELENGTH.search(near) or (_CORRECTED.search(text[:at]) and _WITH_UNIT.search(text))
    return _angstrom(match[1]) if said else None


CHANNELS: list[Pattern] = [
    pattern("", rf"(?-i:(?<![A-Za-z])({_one_of(set(_CHANNELS))}))(?![\w.])", lambda m: _CHANNELS[m[1]]),
    pattern("",
            rf"(?-i:\b({_one_of(_INSTRUMENTS)}))(?:'s)?[\s/-]*(\d{{2,5}})(?!\d|[.-]\d|:\d\d(?!\d)|\s*(?:nm|纳米))"
            rf"[\s-]*{_UNIT}?",
            lambda m: [("instrument", m[1]), _measured(m[1], m[2])]),
    pattern("", rf"(?:带宽|半[高全]?宽|线宽|\bFWHM|\b(?:band)?width|\bresolution|分辨率)(?:[约为是仅:=]|of|is|about"
            rf"|\s)*[\d.一二三四五六七八九十分之半/]+\s*(?:{_UNIT}|nm|纳米)",
            []),
    pattern("", rf"{_WAVE}[\s-]*{_UNIT}", lambda m: _angstrom(m[1])),
    pattern("",
            rf"{_WAVE}(?=(?:\s*(?:,|/|and|or|&|、|和|与|及|或)+\s*\d{{2,5}}(?:\.\d+)?){{1,6}}[\s-]*{_UNIT})",
            lambda m: _angstrom(m[1])),
    pattern("en", rf"\b(?=[zotfsenadh])({EN_WORDS})[\s-]+angstroms?\b", lambda m: [("wavelength_angstro"
            "m", float(number(m[1])))]),
    pattern("zh", rf"(?<!分之)({ZH_WORDS})\s*埃", lambda m: _angstrom(m[1])),
    pattern("",
            r"(?<![\d.,])(\d{1,4}(?:\.\d+)?)[\s-]*(?:nm\b|nanomet(?:er|re)s?\b|纳米)", lambda m: _angstrom(m[1], 10)),
    pattern("",
            r"(?<![\d.,])(\d?\.\d+)[\s-]*(?:μm|microns?\b|micromet(?:er|re)s?\b|微米)", lambda m: _angstrom(m[1], 1e4)),
    pattern("",
            rf"(?:λ|WAVELNTH|wavelength\s+(?:of\s+|is\s+)?|波长为?)\s*=?\s*{_WAVE}(?!\d|\s*nm|\s*纳米)",
            lambda m: _angstrom(m[1])),
    pattern("", rf"(?<![\d.,])({'|'.join(_CHANNEL_NUMBERS)})(?!\d)[\s-]*(?:is\s+(?:a|the)\s+)?{_CHANNEL_WORD}",
            lambda m: _angstrom(m[1])),
    pattern("", rf"\b(?:He|Fe|C|Si)\s*[IVX]+\s+({'|'.join(_CHANNEL_NUMBERS)})(?!\d|\.\d)", lambda m: _angstrom(m[1])),
    pattern("",
            rf"(?:channel|pass-?band|filter|波段|通道)\s*:?\s*({'|'.join(_CHANNEL_NUMBERS)})(?!\d|\.\d)",
            lambda m: _angstrom(m[1])),
    pattern("en",
            rf"\b(?:in|at|but)\s+(?:the\s+)?({'|'.join(_CHANNEL_NUMBERS)})(?=\s*(?:[,;)]|\.(?!\d)|$|images?\b"
            rf"|frames?\b|pictures?\b))", lambda m: _angstrom(m[1])),
    pattern("", rf"(?<![\d.,:])({'|'.join(_CHANNEL_NUMBERS)}|6173|6563|6768)(?!\d|:\d|\.\d|,\d{{3}}"
        rf"|\s*{_COUNTED})", _as_said),
    pattern("", rf"{_WAVE}\s*(?:\bis\b|是|为)[^，。；;,.\d]{{0,24}}(?:wavelength|\bangstrom|波长"
        rf"|埃)", lambda m: _angstrom(m[1])),
    pattern("",
            r"(?<![A-Za-z])(?:H|hydrogen)[-\s_]?(?:alpha|α|阿尔法)(?![A-Za-z])|氢[-\s的]?(?:alpha|α|阿尔法)",
            [("measurement", "H-alpha")]),
    pattern("", r"\b(?:Lyman|Ly)[-\s]?(?:alpha|α)|莱曼[-\s]?(?:α|阿尔法)", []),
]  # fmt: skip

_PRODUCTS = "|".join(MEASUREMENT_WORDS)
_LAYERS = {la: "|".join(map(re.escape, _longest(knowledge.words("layer", la)))) for la in knowledge.LANGUAGES}

LAUNCHES: list[Pattern] = [pattern("", _LAUNCH, [])]  # "before SDO was launched"

PICTURE: list[Pattern] = [
    # names of phenomena and scales, and pictures in general
    pattern("",
            r"(?-i:\bEIT\s*(?:waves?|波)|\bGOES(?:\s+(?:soft\s+)?(?:X-ray\s+)?)?(?:class\w*|flux|level|scale|级))", []),
    # a picture that is wished for
    pattern("en", rf"\b(?:without|lacking|lack\s+of)\s+(?:(?:an?|the|any|simultaneous)\s+)*(?:{_PRODUCTS})"
            rf"|\bno\s+(?:\w+\s+)?(?:{_PRODUCTS})\s+(?:is|are|was|were)\s+(?:available|given|at\s+hand)"
            rf"|\b(?:cannot|can't|not\s+be|impossible|hard\s+to)\b[^.;,]{{0,50}}\b(?:from|in|on|with)\s+(?:an?|any)\s+(?:\w+\s+)?(?:{_PRODUCTS})",
            []),
    pattern("zh", rf"(?:没有|缺少|缺乏|无)(?:同时的?|对应的?|相应的?)?(?:{_PRODUCTS})"
            rf"|[仅单光]凭(?:一?[张幅])?(?:{_PRODUCTS})|需要?(?:{_PRODUCTS})才", []),
    pattern("en", r"\b(?:photospheric|chromospheric|coronal)\s+(?:magnetograms|fields?|lines?|temperatures?"
        r"|plasma)", []),
    pattern("",
            r"\b(?:magnetograms|Dopplergrams)\b(?!\s+(?:taken|from|of\s+this))|磁图的(?:噪声|精度|灵敏度|分辨率"
            r"|零点|质量)", []),
    pattern("en", rf"\b(?:between|from)\s+(?:the\s+)?(?:{_LAYERS['en']})\s+(?:and"
            rf"|to)\s+(?:the\s+)?(?:{_LAYERS['en']})", []),
    pattern("zh", rf"(?:{_LAYERS['zh']})(?:和|与|到|至|及)(?:{_LAYERS['zh']})之?间", []),
    pattern("en", r"\bcoronal\s+(?:holes?|mass|loops?|rain|dimmings?|arcades?|streamers?|cavit)", []),
    pattern("zh", rf"(?:{'|'.join(_longest(knowledge.words('layer', 'zh')))}|冕)(?:与?日?冕?)(?:成像仪|探测器"
        rf"|望远镜|观测卫星|仪)", []),
    pattern("zh", r"日冕物质|日冕雨|冕洞|日冕环|日冕洞|冕环|日冕暗化", []),
    *(_worded("layer", language) for language in knowledge.LANGUAGES),
    *(_worded(kind, language) for kind in ("instrument", "observatory") for language in knowledge.LANGUAGES),
    *(pattern("", regex, [("measurement", value)]) for regex, value in MEASUREMENT_WORDS.items()),
    _named("instrument", _INSTRUMENTS),
    _named("observatory", _OBSERVATORIES),
]  # fmt: skip
