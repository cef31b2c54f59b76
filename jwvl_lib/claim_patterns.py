"""The grammar of claims: patterns for English and Chinese, most specific first. Reads and writes nothing.

A pattern turns one match into (kind, value) pairs: an empty list closes the stretch to later patterns without claiming
anything ("coronal hole" says nothing about the layer), None leaves it open to them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from jwvl_lib.instruments import Instrument, load_instruments

Value = str | int | float


@dataclass(frozen=True)
class Pattern:
    """`language` is "" for what stands in texts of both languages (names, codes, ISO times)."""

    language: str
    regex: re.Pattern
    values: Callable[[re.Match], list[tuple[str, Value]] | None]


# named in the paper, not (yet) in the instrument table
MORE_OBSERVATORIES = "ASO-S CHASE HSOS GOES-16 GOES-18 DKIST".split()
MORE_INSTRUMENTS = "FMG HXI SUTRI SUVI SMFT SMAT SFMM".split()
EN_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
ZH_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九十")} | {"两": 2}
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
ZH_QUADRANTS = {"东北": "NE", "西北": "NW", "东南": "SE", "西南": "SW"}
LAYER_WORDS = {
    "photospher": "photosphere", "chromospher": "chromosphere", "transition": "transition region", "coron": "corona",
    "光球": "photosphere", "色球": "chromosphere", "过渡区": "transition region", "日冕": "corona",
}  # fmt: skip
MEASUREMENT_WORDS = {
    "magnetogram": "magnetogram", "磁图": "magnetogram", "磁场图": "magnetogram",
    "continuum": "continuum", "white-light": "continuum", "连续谱": "continuum", "白光": "continuum",
}  # fmt: skip

# valid McIntosh triplets (McIntosh 1990, Solar Phys. 125, 251, table I); bare "Fri" is a day of the week
_MCINTOSH = r"A[xX][xX]|[Bb][xX][oOiI]|C[rsahkRSAHK][oiOI]|[DEF][rsahkRSAHK][oicOIC]|H[rsahkRSAHK][xX]"
_EN_NUM = r"\d{1,2}|" + "|".join(EN_NUMBERS)
_ZH_NUM = r"\d{1,2}|[零一二两三四五六七八九十]{1,2}"
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?"
_UT = r"(?:\s*(?:UTC?|Z)\b)?"
_ADJECTIVES = r"(?:\s+(?:numbered|active|sunspot|distinct|separate|visible|main|bright|large|small|NOAA))*"
_REGIONS = _ADJECTIVES + r"\s+(?:regions?|sunspot\s+groups?|groups?)\b"
# "two regions lie in the NE quadrant" counts a part, not the disk
_IN_PART = (
    r"(?!\s+(?:with\s+spots\s+)?(?:[a-z]+\s+){0,2}(?:in|near|on)\s+the\s+(?:NE|NW|SE|SW|north|south|east|west|limb))"
)
_ZH_REGIONS = r"(?:有?编号的?|带黑子的?|有黑子的?|活动的?|主要的?|可见的?|NOAA)*\s*(?:活动区|黑子群|太阳活动区)"


def _number(text: str) -> int:
    if text.isdigit():
        return int(text)
    if text.lower() in EN_NUMBERS:
        return EN_NUMBERS.index(text.lower())
    tens, _, ones = text.rpartition("十") if "十" in text else ("", "", text)
    if "十" not in text:
        return ZH_DIGITS[ones]
    return (ZH_DIGITS[tens] if tens else 1) * 10 + (ZH_DIGITS[ones] if ones else 0)


def interval(low: int, high: int | None) -> int | str:
    """A count as it is claimed: 3, "1-2" or, without an upper end, "3+"."""
    if high is None:
        return f"{low}+"
    return low if low == high else f"{low}-{high}"


def _time(year: str, month: int, day: str, *clock: str | None) -> list[tuple[str, Value]] | None:
    if not (1 <= month <= 12 and 1 <= int(day) <= 31):
        return None
    return [("date_obs", f"{year}-{month:02d}-{int(day):02d}{_clock(*clock)}")]


def _clock(hour: str | None = None, minute: str | None = None, second: str | None = None) -> str:
    if hour is None:
        return ""
    return f"T{int(hour):02d}:{minute}" + (f":{second}" if second else "")


def _month(name: str) -> int:
    return MONTHS.index(name[:3].lower()) + 1


def _location(match: re.Match) -> list[tuple[str, Value]]:
    ns, lat, ew, lon = match.groups()
    return [("location", f"{ns}{int(lat):02d}{ew}{int(lon):02d}")]


def _hale(match: re.Match) -> list[tuple[str, Value]]:
    text = match.group()
    parts = re.findall(r"alpha|beta|gamma|delta|[αβγδ]", text, re.I)
    names = {"α": "Alpha", "β": "Beta", "γ": "Gamma", "δ": "Delta"}
    return [("hale_class", "-".join(names.get(p, p.capitalize()) for p in parts))]


def _count(kind: str) -> Callable[[re.Match], list[tuple[str, Value]]]:
    def values(match: re.Match) -> list[tuple[str, Value]]:
        low, high = _number(match["n"]), match["m"]
        if match["more"]:
            return [(kind, interval(low, None))]
        return [(kind, interval(low, _number(high) if high else low))]

    return values


def _words(kind: str, names: dict[str, str], length: int | None = None) -> Callable[[re.Match], list]:
    return lambda m: [(kind, names[m[1].lower()[:length] if length else m[1].lower()])]


def _layer(match: re.Match) -> list[tuple[str, Value]]:
    return [("layer", next(v for k, v in LAYER_WORDS.items() if match.group().lower().startswith(k)))]


def _polarity(match: re.Match) -> list[tuple[str, Value]]:
    sign = next(g for g in match.groups() if g)
    return [("leading_polarity", "positive" if sign.lower() in ("positive", "正") else "negative")]


def _quadrant(match: re.Match) -> list[tuple[str, Value]]:
    ns, ew = match.groups()
    return [("quadrant", ns[0].upper() + ew[0].upper())]


def _one_of(names: set[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=lambda n: (-len(n), n)))


def _channel(row: Instrument) -> list[tuple[str, Value]]:
    values = [("observatory", row.observatory), ("instrument", row.instrument), ("measurement", row.measurement)]
    return [(kind, value) for kind, value in values if value]


def _p(language: str, regex: str, values: Callable | list, flags: int = 0) -> Pattern:
    return Pattern(language, re.compile(regex, flags), values if callable(values) else lambda m: values)


_I = re.I
_CHANNELS = {row.name: _channel(row) for row in load_instruments()}
_OBSERVATORY = _one_of({row.observatory for row in load_instruments()} - {""} | set(MORE_OBSERVATORIES))
_INSTRUMENT = _one_of({row.instrument for row in load_instruments()} - {""} | set(MORE_INSTRUMENTS))
_DISPLAY = rf"\b({_INSTRUMENT})[\s/-]*(\d{{2,5}})(?!\d|[.:-]\d)\s*(?:Å|Angstroms?\b|埃)?"

PATTERNS = [
    # times before anything else that has digits
    _p("", rf"\b(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}})(?:[T,]?\s*(?:at\s+)?{_CLOCK})?{_UT}",
       lambda m: _time(m[1], int(m[2]), *m.groups()[2:])),
    _p("en", rf"\b(\d{{1,2}})\s+{_MONTH}\s+(\d{{4}})(?:,?\s*(?:at\s+)?{_CLOCK})?{_UT}",
       lambda m: _time(m[3], _month(m[2]), m[1], *m.groups()[3:]), _I),
    _p("en", rf"\b{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})(?:,?\s*(?:at\s+)?{_CLOCK})?{_UT}",
       lambda m: _time(m[3], _month(m[1]), m[2], *m.groups()[3:]), _I),
    _p("zh", r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日(?:\s*(\d{1,2})\s*[:：时点]\s*(\d{2})分?)?"
       r"(?:\s*(?:世界时|UTC?))?",
       lambda m: _time(m[1], int(m[2]), *m.groups()[2:])),
    _p("", rf"(?<![\d:]){_CLOCK}\s*(?:UTC?\b|Z\b|世界时)", lambda m: [("date_obs", _clock(*m.groups()))]),
    # numbered regions, before their digits can be anything else
    _p("en", r"\b(?:NOAA\s*)?(?:ARs?|active\s+regions?|regions?|NOAA)\s*#?\s*(\d{4,5})\b",
       lambda m: [("noaa_ar", int(m[1]))], _I),
    _p("zh", r"(?:NOAA\s*)?(?:AR|活动区|黑子群|NOAA)\s*#?\s*(\d{4,5})(?!\d)", lambda m: [("noaa_ar", int(m[1]))]),
    _p("", r"(?<![\d.])(1[0-9]{4})\s*(?:号活动区|号)", lambda m: [("noaa_ar", int(m[1]))]),
    _p("", r"\b([NS])(\d{1,2})\s*([EW])(\d{1,3})\b", _location),
    # wavelengths and channels, so that 171 is never a count
    _p("", rf"(?<![A-Za-z])({_one_of(set(_CHANNELS))})(?![\w.])", lambda m: _CHANNELS[m[1]]),
    _p("", _DISPLAY, lambda m: [("instrument", m[1]), ("measurement", m[2])]),
    _p("", r"\b(\d{2,5}(?:\.\d+)?)\s*(?:Å|Angstroms?\b|埃)", lambda m: [("wavelength_angstrom", float(m[1]))], _I),
    _p("", r"\b(\d{1,4}(?:\.\d+)?)\s*(?:nm\b|纳米)", lambda m: [("wavelength_angstrom", round(float(m[1]) * 10, 3))]),
    _p("", r"\bH(?:-|\s)?(?:alpha|α)(?!\w)", [("measurement", "H-alpha")], _I),
    _p("", r"\b(?:Lyman|Ly)[-\s]?(?:alpha|α)", [], _I),
    # areas and classes
    _p("en", r"(?<![\d.])(\d{1,4})\s*(?:MSH|[μµ]Hem|micro-?hemispheres?|millionths)\b"
       r"(?:\s+of\s+(?:the|a)\s+(?:solar\s+|visible\s+)*hemisphere)?",
       lambda m: [("area_msh", int(m[1]))], _I),
    _p("zh", r"(?<![\d.])(\d{1,4})\s*(?:个)?\s*"
       r"(?:MSH|(?:太阳|可见)*半球(?:面积)?的?百万分之一|百万分之一(?:太阳|可见)*半球)",
       lambda m: [("area_msh", int(m[1]))], _I),
    _p("zh", r"(?:太阳|可见)*半球(?:面积)?的?百万分之\s*(\d{1,4})", lambda m: [("area_msh", int(m[1]))]),
    _p("", rf"(?<![A-Za-z])(?!Fri\b(?!\)))({_MCINTOSH})(?![A-Za-z])",
       lambda m: [("mcintosh_class", m[1].capitalize())]),
    _p("", r"(?:class(?:ified)?(?:\s+as)?|McIntosh|分类为?|分型为?|级为?)\s*(Fri)(?![A-Za-z])",
       [("mcintosh_class", "Fri")]),
    _p("", r"(?<![A-Za-z])(?:alpha|beta|gamma)(?:-(?:gamma|delta)){0,2}(?![A-Za-z])", _hale, _I),
    _p("", r"(?<![A-Za-zα-ω])[αβγ](?:-?[γδ]){0,2}(?![A-Za-zα-ω])", _hale),
    # flares
    _p("en", r"\b(?:no|without(?:\s+any)?)\s+(?:(?:significant|major|notable|([ABCMX])-class)\s+)?flares?\b",
       lambda m: [("flare", "none" + (m[1] or ""))], _I),
    _p("zh", r"(?:没有|无|未见|未发生)(?:任何|显著|([ABCMX])级)?(?:的)?耀斑",
       lambda m: [("flare", "none" + (m[1] or ""))]),
    _p("", r"(?<![A-Za-z\d])([CMX])(\d{1,2}\.\d)(?![\d.])", lambda m: [("flare", m[1] + m[2])]),
    _p("", r"(?<![A-Za-z\d])([ABCMX])(\d{1,2}(?:\.\d)?)(?![\d.])(?=(?:[-\s]class)?\s*(?:solar\s+)?(?:flare|级?耀斑))",
       lambda m: [("flare", m[1] + m[2])]),
    # counts and explicit absences
    _p("en", rf"\b(?:no|without(?:\s+any)?|free\s+of)(?:\s+other)?{_REGIONS}{_IN_PART}(?:\s+with\s+(?:sun)?spots)?",
       lambda m: [] if "other" in m.group() else [("n_regions", 0)], _I),
    _p("en", r"\b(?:no|without(?:\s+any)?|free\s+of)(?:\s+visible)?\s+(?:sun)?spots\b",
       [("spots_visible", "no")], _I),
    _p("en", rf"\b(?P<n>{_EN_NUM})(?:\s*-\s*|\s+(?:or|to)\s+)(?P<m>{_EN_NUM})(?P<more>)?{_REGIONS}{_IN_PART}",
       _count("n_regions"), _I),
    _p("en", rf"\b(?P<n>{_EN_NUM})(?P<m>)?\s+(?P<more>or\s+more){_REGIONS}{_IN_PART}", _count("n_regions"), _I),
    _p("en", rf"\b(?P<more>at\s+least\s+)?(?P<n>{_EN_NUM})(?P<m>)?{_REGIONS}{_IN_PART}",
       _count("n_regions"), _I),
    _p("en", rf"(?<![\d.-])\b(?P<n>{_EN_NUM}|\d{{3}})(?P<m>)?(?P<more>)?"
       r"\s+(?:visible\s+|individual\s+)?(?:sun)?spots\b",
       _count("n_spots"), _I),
    _p("en", r"\bsunspots?\s+(?:is|are)\s+(?P<no>not\s+)?visible",
       lambda m: [("spots_visible", "no" if m["no"] else "yes")], _I),
    _p("zh", rf"(?:没有|无|不存在|未见|未出现|看不到)(?:任何)?{_ZH_REGIONS}", [("n_regions", 0)]),
    _p("zh", r"(?:没有|无|未见|看不到)(?:任何)?(?:可见的?)?(?:太阳)?黑子(?!群)", [("spots_visible", "no")]),
    _p("zh", r"(?:可以?看到|可见|能看到)(?:太阳)?黑子(?!群)", [("spots_visible", "yes")]),
    _p("zh", rf"(?P<more>至少)?(?P<n>{_ZH_NUM})(?:\s*(?:-|到|至|或)\s*(?P<m>{_ZH_NUM}))?\s*个\s*{_ZH_REGIONS}",
       _count("n_regions")),
    _p("zh", rf"(?P<n>{_ZH_NUM})(?P<m>)?\s*个?\s*(?P<more>或更多|及以上|以上)(?:的|个)*\s*{_ZH_REGIONS}",
       _count("n_regions")),
    _p("zh", r"(?<![\d.])(?P<n>\d{1,3}|[一二两三四五六七八九十]{1,2})(?P<m>)?(?P<more>)?\s*个\s*(?:太阳)?黑子(?!群)",
       _count("n_spots")),
    # polarity and place
    _p("en", r"\blead(?:ing|er)\s+(?:magnetic\s+)?(?:polarity|part|spot)"
       r"(?:\s+(?:of|in)\s+(?:the\s+|this\s+)?(?:\w+\s+){0,3}?\w+)?\s*(?:is|was|has|:)?\s*(?:of\s+)?(positive|negative)"
       r"|\b(positive|negative)[-\s](?:polarity\s+)?lead(?:s|ing|er)\b"
       r"|\bled\s+by\s+(?:a\s+|the\s+)?(positive|negative)", _polarity, _I),
    _p("zh", r"前导(?:黑子|部分|磁?极性)?(?:的?磁?极性)?\s*(?:是|为|呈|：|:)?\s*(正|负)|(正|负)极性?(?:在前|前导|领先)",
       _polarity),
    _p("", r"\b([NS])([EW])\b", _quadrant),
    _p("en", r"\b(north|south)[-\s]?(east|west)(?:ern)?\b", _quadrant, _I),
    _p("zh", r"(东北|西北|东南|西南)", _words("quadrant", ZH_QUADRANTS)),
    # what the picture is
    _p("en", r"\bcoronal\s+(?:holes?|mass|loops?|rain|dimming)", [], _I),
    _p("zh", r"日冕物质|日冕雨|冕洞|日冕环|日冕洞", []),
    _p("en", r"\bphotospher(?:e|ic)\b|\bchromospher(?:e|ic)\b|\btransition\s+region\b|\bcoron(?:a|al)\b", _layer, _I),
    _p("zh", r"光球|色球|过渡区|日冕", _layer),
    _p("en", r"\b(magnetogram|continuum|white-light)s?\b", _words("measurement", MEASUREMENT_WORDS), _I),
    _p("zh", r"(磁图|磁场图|连续谱|白光)", _words("measurement", MEASUREMENT_WORDS)),
    _p("", rf"(?<![A-Za-z])({_INSTRUMENT})(?![A-Za-z])", lambda m: [("instrument", m[1])]),
    _p("", rf"(?<![A-Za-z])({_OBSERVATORY})(?![A-Za-z\d])", lambda m: [("observatory", m[1])]),
]  # fmt: skip

# who a claim is about: a numbered region, or the largest one
SUBJECT = re.compile(r"\b(?:largest|biggest)\b|最大", re.I)
RESUMES = re.compile(r"\s*(?:its|it|this\s+region|这个活动区|该活动区|其|它)", re.I)
SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[。！？；\n]")
NEGATION = re.compile(
    r"(?:\bnot(?:\s+(?:a|an|the|in|on|from|by))*|n't(?:\s+(?:a|an|the|in|on))*|不是|并非|不在|不为|不属于)\s*$", re.I
)

# answers of one or two words, whose meaning comes from the question
BARE = {
    "n_regions": re.compile(r"(?P<n>\d+)(?:\s*[-–]\s*(?P<m>\d+))?\s*个?\s*(?P<more>or more|或更多|及以上)?"),
    "spots_visible": re.compile(r"(?P<yes>yes|是|有|可见)|(?P<no>no|否|没有|不可见)", re.I),
    "leading_polarity": re.compile(r"(?P<sign>positive|negative|正|负)(?: polarity|极性?)?", re.I),
}
