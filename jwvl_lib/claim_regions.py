"""Claims about one region: its number, place, area, classes and leading polarity. Reads and writes nothing."""

import re

from jwvl_lib.claim_grammar import COMPARISON, DIGITS, EN_NUMBER, ZH_NUMBER, ZH_WORDS, Found, Pattern, counted, number, pattern

ZH_PLACES = {"东": "E", "西": "W", "南": "S", "北": "N"}
_GREEK = {
    "alpha": "Alpha", "beta": "Beta", "gamma": "Gamma", "delta": "Delta",
    "α": "Alpha", "β": "Beta", "γ": "Gamma", "δ": "Delta",
    "阿尔法": "Alpha", "贝塔": "Beta", "贝它": "Beta", "伽马": "Gamma", "伽玛": "Gamma", "德尔塔": "Delta", "德耳塔": "Delta",
}  # fmt: skip

# valid McIntosh triplets (McIntosh 1990, Solar Phys. 125, 251, table I); bare "Fri" is a day of the week
_MCINTOSH = r"(?-i:A[xX][xX]|[Bb][xX][oOiI]|C[rsahkRSAHK][oiOI]|[DEF][rsahkRSAHK][oicOIC]|H[rsahkRSAHK][xX])"
_MCINTOSH_ANY = r"(?:axx|bx[oi]|c[rsahk][oi]|[def][rsahk][oic]|h[rsahk]x)"

# --------------------------------------------------------------------------------------------------------------------
# numbers

_NO = r"(?:\s*(?:\(?No\.|numbers?|№|编号为?|号)\s*)?[\s#:-]*"
_LIST = r"(?:\s*(?:,\s*and|,|、|/|and|or|&|;|和|与|及|以及|或|至)\s*(?:(?:NOAA|AR|region|号|活动区)\s*)*#?\d{4,5}(?!\d|\.\d|:\d|-\d))*"
_REGION_WORD = r"(?:NOAA[\s/-]*(?:ARs?|active\s+regions?|活动区)?|(?<![A-Za-z])ARs?|(?:active|sunspot|numbered|spotted)\s+(?:regions?|groups?)|regions?|groups?|sunspots?)"
_ZH_REGION_WORD = r"(?:NOAA\s*)?(?:AR|活动区|黑子群|NOAA|编号为?)"
_NO_UNIT = r"(?!\s*(?:Å|Angstrom|(?-i:A|K|G)\b|埃|km|DN|%|nm|万|个|公里|千米|年|亿|,\d|\.\d|MSH|millionths|counts|kelvin|degrees|°|square|UTC?\b))"


def _numbers(match: re.Match) -> Found:
    """Every region number of a list, each at its own place; one that is only remembered is none of this picture."""
    if _REMEMBERED.match(match.string, match.end()) or _FORMER.search(match.string[: match.start()]):
        return []
    at = match.start()
    digits = re.finditer(r"(?<!\d)\d{3,5}(?!\d)", match.group())
    # "three active regions 1, 2, 3": the noun is left to the count
    plural = _PLURAL.match(match.group()) is not None or match.string[at - 1 : at] in tuple("个处群块")
    return [("noaa_ar", int(d.group()), (at + d.start() * (plural or i > 0), at + d.end())) for i, d in enumerate(digits)]


_REMEMBERED = re.compile(
    r"-(?:like|style|type|class)|(?:'s)?\s+(?:(?:had\s+)?(?:reached|did|was|showed|had|produced)\s+)?(?:back\s+)?(?:in|during|of)\s+"
    r"(?:(?:early|late|mid)[-\s]?)?(?:(?:19|20)\d\d|January|February|March|April|June|July|August|September|October|November|December)"
    r"|(?:号|活动区)?(?:当年|当时|那样|那时|在(?:19|20)\d\d年)", re.I,
)  # fmt: skip

_FORMER = re.compile(r"(?:\bformer(?:ly)?|\bpreviously|\bonce|\bold|原(?:为|来的?|编号为?)?|前身(?:为|是)?|曾(?:经)?(?:为|是|编号为?))\s*(?:known\s+as\s+|numbered\s+)?$", re.I)
def _range(match: re.Match) -> Found | None:
    """Regions 11967 to 11969 are three."""
    low, high = int(match["low"]), int(match["high"])
    return [("noaa_ar", n, match.span()) for n in range(low, high + 1)] if 0 < high - low < 10 else None


_PLURAL = re.compile(r"(?:[a-z]+\s+)*(?:regions|groups)\b", re.I)

NUMBERS: list[Pattern] = [
    pattern("", r"(?<![\d.,/+])(?P<low>1\d{4})\s*(?:-|to|through|至|到)\s*(?:AR\s*)?(?P<high>1\d{4})(?!\d)", _range),
    pattern("en", rf"\b(?:{_REGION_WORD}|number){_NO}\d{{4,5}}(?!\d|\.\d|:\d|-\d|\s*(?:Å|Angstrom|nm|spots|is\s+a\s+(?:wave|channel))){_LIST}", _numbers),
    pattern("en", rf"\b(?:NOAA(?:\s+AR)?|AR|(?:active\s+)?region)\s*#?\d{{3}}(?!\d|\.\d|:\d|\s*(?:Å|Angstrom|nm|spots|MSH|millionths))", _numbers),
    pattern("zh", rf"{_ZH_REGION_WORD}{_NO}\d{{4,5}}(?!\d|\.\d|:\d|\s*(?:Å|埃|UT)){_LIST}", _numbers),
    pattern("", rf"(?<![\d.,:/+-])(?:\d{{5}}\s*[、,和与及]\s*)*\d{{4,5}}\s*(?:号|活动区|黑子群|区(?!间))", _numbers),
    pattern("zh", r"(?<![\d.,/+-])(?<!\d:)\d{3}(?=区(?!间)|号(?:活动)?区)", _numbers),
    # four digits at the head of a sentence, or in a list of such
    pattern("en", r"(?:^|(?<=[.;]\s))\d{4}(?:,\s*\d{4,5})*(?:,?\s+(?:and|or)\s+\d{4,5})?(?=\s+(?:is|was|are|were|lies?|has|have|had|sits?|covers?|holds?)\b)", _numbers),
    pattern("zh", r"(?:^|(?<=[，。；、]))\d{4}(?:[、和与及,，]\s*\d{4,5})*(?=(?:都|均)?(?:在|位于|为|是|有|属|则|的(?:面积|黑子|前导|磁)|面积|黑子|前导|磁))", _numbers),
    # five digits of today's numbers, and four with a leading zero, stand alone
    pattern("", rf"(?<![\d.,:/+A-Za-z-])0\d{{3}}(?![\dA-Za-z:/.-]){_NO_UNIT}", _numbers),
    pattern("", rf"(?<!\d:)(?<![\d./+A-Za-z-])1[0-4]\d{{3}}(?![\dA-Za-z:/-]|-\d){_NO_UNIT}{_LIST}", _numbers),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------------
# places

_DEG = r"\s*(?:°|º|deg(?:ree)?s?|度)?\s*"


def _location(match: re.Match) -> Found | None:
    found = match.groupdict()
    ns, ew = (ZH_PLACES.get(found[k], found[k])[0].upper() for k in ("ns", "ew"))
    lat, lon = number(found["lat"].partition(".")[0]), number(found["lon"].partition(".")[0])
    return [("location", f"{ns}{lat:02d}{ew}{lon:02d}")] if lat <= 90 and lon <= 180 else None


def _quadrant(match: re.Match) -> Found:
    ns, ew = next(g for g in match.groups() if g), [g for g in match.groups() if g][1]
    return [("quadrant", ZH_PLACES.get(ns, ns)[0].upper() + ZH_PLACES.get(ew, ew)[0].upper())]


def _east_first(match: re.Match) -> Found:
    return [("quadrant", ZH_PLACES[match[2]] + ZH_PLACES[match[1]])]


_LAT, _LON = r"(?P<lat>\d{1,2}(?:\.\d+)?)", r"(?P<lon>\d{1,3}(?:\.\d+)?)"
_EN_LAT, _EN_LON = (rf"(?P<{g}>{EN_NUMBER}(?:\.\d+)?)" for g in ("lat", "lon"))
_BETWEEN = r"(?:\s+(?:of|from)\s+(?:the\s+)?(?:solar\s+)?equator)?(?:\s*(?:,|，|、|and|by|/|;|和|，?\s*and)\s*|\s*)(?:(?:at\s+)?(?:a\s+)?longitudes?\s+(?:of\s+)?|日面|经度为?)*"

PLACES: list[Pattern] = [
    pattern("", rf"(?:(?<![A-Za-z])(?P<ns>[NS])[\s]*{_LAT}{_DEG}[,，/]?\s*(?P<ew>[EW])\s*{_LON})(?!\d){_DEG}", _location),
    pattern("", rf"(?<![\d.]){_LAT}{_DEG}(?-i:(?P<ns>[NS]))\s*[,，/]?\s*{_LON}{_DEG}(?-i:(?P<ew>[EW]))(?![A-Za-z])", _location),
    pattern("en", rf"{_EN_LAT}{_DEG}(?P<ns>north|south)(?:ern)?(?:\s+latitude)?{_BETWEEN}{_EN_LON}{_DEG}(?P<ew>east|west)\b", _location),
    pattern("en", rf"latitude\s+(?:of\s+|is\s+)?{_EN_LAT}{_DEG}(?P<ns>N|S|north|south)\b{_BETWEEN}{_EN_LON}{_DEG}(?P<ew>E|W|east|west)\b",
            _location),
    pattern("en", rf"{_EN_LON}{_DEG}(?P<ew>east|west)(?:\s+(?:of|from)\s+(?:the\s+)?(?:central\s+)?meridian)?\s*(?:,|and|,\s*and)?\s*{_EN_LAT}{_DEG}"
            r"(?P<ns>north|south)\b", _location),
    pattern("zh", rf"(?P<ew>[东西])经\s*(?P<lon>{ZH_NUMBER}){_DEG}[,，、和]?\s*(?P<ns>[南北])纬\s*(?P<lat>{ZH_NUMBER}){_DEG}", _location),
    pattern("zh", rf"(?:以|偏)?(?P<ns>[南北])纬?\s*(?P<lat>{ZH_NUMBER}){_DEG}[,，、和/]?\s*(?:以|偏)?(?P<ew>[东西])经?\s*(?P<lon>{ZH_NUMBER}){_DEG}", _location),
    pattern("", r"(?-i:(?<![A-Za-z])([NS])([EW]))(?![A-Za-z\d])", _quadrant),
    pattern("en", r"(?<![A-Za-z])([NS])([EW])\s+(?:quadrant|quarter)", _quadrant),
    pattern("en", r"\b(north|south)[-\s]?(east|west)(?:ern)?\b(?!\s+of\s+(?!(?:the\s+)?(?:dis[ck]|sun|solar|cent(?:re|er)|central)))|\b(upper|lower)[-\s](left|right)\b", lambda m: _seen(m)),
    pattern("zh", r"([东西])([南北])", _east_first),
    pattern("zh", r"([左右])([上下])|([上下])([左右])", lambda m: _seen(m)),
]  # fmt: skip

# north is up and west is right, as all pictures of the corpus are drawn
_SIDES = {"upper": "N", "上": "N", "lower": "S", "下": "S", "left": "E", "左": "E", "right": "W", "右": "W"}


def _seen(match: re.Match) -> Found:
    sides = [_SIDES.get(g.lower(), g[0].upper()) for g in match.groups() if g]
    return [("quadrant", "".join(sorted(sides, key=lambda s: s in "EW")))]


# --------------------------------------------------------------------------------------------------------------------
# areas and classes


def _area(match: re.Match) -> Found:
    return [("area_msh", counted(match))]


def _area_before(match: re.Match) -> Found | None:
    """A number that leaves its noun and unit out: "AR 11968 holds 150 millionths, AR 11969 only sixty"."""
    before = re.split(r"[.。](?!\d)", match.string[: match.start()])[-1]
    named = re.findall(r"millionths|MSH|\bareas?\b|面积|spots?\b|黑子(?!群)", before, re.I)
    return _area(match) if named and "spot" not in named[-1].lower() and named[-1] != "黑子" else None


def _areas(match: re.Match) -> Found:
    """A list of areas, each at its own place."""
    at = match.start()
    numbers = re.finditer(EN_NUMBER if match.group().isascii() else ZH_NUMBER, match.group(), re.I)
    return [("area_msh", number(n.group()), (at + n.start(), at + n.end())) for n in numbers]


def _fraction(match: re.Match, per_unit: float) -> Found:
    return [("area_msh", round(float(match["f"]) * per_unit))]


def _hale(match: re.Match) -> Found:
    return [("hale_class", "-".join(_GREEK[p.lower()] for p in re.findall("|".join(_GREEK), match.group(), re.I)))]


_HEMISPHERE = r"(?:\s+of\s+(?:the|a|one)\s+(?:(?:visible|solar|sun's)\s+)*(?:hemisphere|disk|disc))?"
_MILLIONTHS = rf"(?:MSH\b|[μµ]\s?H(?:em)?\b|micro-?hem(?:isphere)?s?\b|millionths?\b{_HEMISPHERE}|ppm\b{_HEMISPHERE})"
_ZH_MILLIONTHS = (
    r"(?:个?MSH|[μµ]Hem|(?:个)?(?:太阳|日面|可见)*半球(?:面积)?的?百万分之一|(?:个)?百万分之一(?:个)?(?:太阳|日面|可见)*半球(?:面积)?"
    r"|(?:个)?百万分之一|(?:个)?微半球)"
)
_HALE_EN = r"(?<![A-Za-z])(?<!plasma\s)(?:alpha|beta|gamma(?=\s*[-/]?\s*delta|\s+(?:class|config|type|group|region|field|magnetic)))(?:\s*[-/]?\s*(?:gamma|delta)){0,2}(?![A-Za-z])"

CLASSES: list[Pattern] = [
    pattern("en", rf"{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER}\s*{_MILLIONTHS}", _areas),
    # what it grew or shrank to is what it is
    pattern("en", rf"\bfrom\s+(?:{EN_NUMBER})(?:\s*{_MILLIONTHS})?\s+to\s+(?P<n>{EN_NUMBER})\s*{_MILLIONTHS}", _area),
    pattern("en", rf"(?:{COMPARISON}\s+)?(?P<n>{EN_NUMBER})(?:\s*(?:-|to)\s*(?P<m>{EN_NUMBER}))?\s*{_MILLIONTHS}", _area),
    pattern("zh", rf"(?:{COMPARISON}\s*)?(?P<n>{ZH_NUMBER})\s*{_ZH_MILLIONTHS}", _area),
    pattern("zh", rf"(?:从|由)\s*(?:{ZH_NUMBER})\s*(?:{_ZH_MILLIONTHS})?(?:[增扩减缩降长大小了]{{1,4}})[到至]了?\s*(?P<n>{ZH_NUMBER})(?:\s*{_ZH_MILLIONTHS})?", _area),
    pattern("en", r"(?<![\d.])(?P<f>0\.\d+)\s+of\s+(?:the\s+|a\s+)?(?:(?:visible|solar|sun's)\s+)*hemisphere", lambda m: _fraction(m, 1e6)),
    pattern("", r"(?<![\d.])(?P<n>\d{1,4})\s*[×x]\s*10(?:\^?-6|⁻⁶)", _area),
    pattern("en", r"(?<![\d.])(?P<f>\d*\.?\d+)\s*(?:%|per\s?cent)\s+of\s+(?:the\s+|a\s+|one\s+)?(?:(?:visible|solar|sun's)\s+)*hemisphere",
            lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?\s*(?:约)?(?P<f>\d*\.?\d+)\s*%", lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?(?:约)?百分之(?P<f>\d*\.?\d+)(?!\d)", lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?(?:约)?千分之(?P<f>\d*\.?\d+)(?!\d)", lambda m: _fraction(m, 1e3)),
    pattern("zh", rf"(?:太阳|日面|可见)*半球(?:面积)?的?百万分之\s*(?P<n>{ZH_NUMBER})", _area),
    pattern("zh", rf"百万分之\s*(?P<n>\d{{2,4}}|[一二两三四五六七八九十百千]{{2,}})\s*(?:个)?(?:太阳|日面|可见)*半球", _area),
    # a bare number after "area" is in the usual unit
    pattern("en", rf"\b(?:area|size)\s*(?:is|was|of|:|=|at|about|around|given\s+as|now|has\s+grown\s+to|\s)*\s*(?:{COMPARISON}\s+)?(?P<n>\d[\d,]*\d|\d)"
            r"(?:\s+units)?(?=\s*(?:[,;)]|\.(?!\d)|$|and\b|with\b))", _area),
    pattern("zh", rf"(?P<n>{ZH_NUMBER})\s*个?面积单位", _area),
    pattern("zh", rf"(?<=面积)(?:依次|分别|各)(?:为|是|有)\s*{ZH_NUMBER}(?:\s*[、,，和与]\s*{ZH_NUMBER})+(?:\s*(?:个单位|{_ZH_MILLIONTHS}))?", _areas),
    pattern("en", rf"\bareas?\s+(?:of|are|is|were)\s+{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER}(?:\s*{_MILLIONTHS})?", _areas),
    pattern("zh", r"\d+(?:\.\d+)?\s*平方(?:度|角秒|公里|千米)", []),
    pattern("zh", rf"(?:面积|大小)(?:大概|在|已经?|仅|只有?|大?约|达到?|为|是|有|增至|增加到|增大到|增长到|减至|减小到|缩小到|高达|近|:|=|\s)*(?:{COMPARISON}\s*)?"
            rf"(?P<n>{ZH_NUMBER})(?:\s*(?:个)?单位)?(?:左右|上下|以上|多)?(?=\s*(?:[,，。;；、)]|\.(?!\d)|$))", _area),
    pattern("en", rf"\b(?:only|just|a\s+mere)\s+(?P<n>{EN_NUMBER})(?=\s*[,;)]|\.(?!\d)|$)", _area_before),
    pattern("zh", rf"(?:仅|只有|才|为)(?:有|为)?(?P<n>{ZH_NUMBER})(?=[，。；]|$)", _area_before),
    pattern("", rf"(?<![A-Za-z])(?!Fri\b(?!\)))({_MCINTOSH})(?![A-Za-z])", lambda m: [("mcintosh_class", m[1].capitalize())]),
    pattern("", rf"(?<![A-Za-z])(?:class|type|McIntosh|classified\s+as)\s+({_MCINTOSH_ANY})(?![A-Za-z])", lambda m: [("mcintosh_class", m[1].capitalize())]),
    pattern("", r"(?:class(?:ified)?(?:\s+as)?|McIntosh|分类为?|分型为?|级为?|类型为?)\s*(Fri)(?![A-Za-z])", [("mcintosh_class", "Fri")]),
    pattern("", _HALE_EN, _hale),
    pattern("", r"(?<![A-Za-zα-ω体])(?:[αβ]|γ(?=\s*[-/]?\s*δ|\s*(?:型|类|构型|位形|class|config|type|group|region)))(?:\s*[-/]?\s*[γδ]){0,2}(?![A-Za-zα-ω])", _hale),
    pattern("", r"\bunipolar\b|单极(?=群|黑子|型|区|的|性|，|。|$)", [("hale_class", "Alpha")]),
    pattern("zh", r"(?:阿尔法|贝塔|贝它|伽[马玛](?=\s*-?\s*德))(?:\s*[-/]?\s*(?:伽[马玛]|德[尔耳]塔)){0,2}", _hale),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------------
# polarity


def _polarity(match: re.Match) -> Found:
    group = next(i for i, g in enumerate(match.groups(), start=1) if g)
    value = "positive" if match[group].lower() in ("positive", "north", "正", "北", "n") else "negative"
    start, end = match.span(group)
    denied = start > match.start() and re.search(r"\bnot\b|n't\b|不|非", match.string[match.start() : start])
    return [("leading_polarity", value, (start, end) if denied else match.span())]


_LEAD = r"(?:lead(?:ing|er)|preceding|westward|western)"
_PART = r"(?:polarit(?:y|ies)|part|portion|(?:sun)?spots?|flux|patch|field|side|half|umbrae?|feature|element|component|group|one)"
_OF = r"(?:\s+(?:of|in|for)\s+(?:(?:the|this|that|its|NOAA|ARs?|active|largest|biggest|numbered|big|small)\s+)*(?:(?:region|group|it)\b\s*)?(?:(?:AR\s*)?#?\d+)?)?"
_IS = r"\s*(?:,?\s*which\b)?\s*(?:\b(?:is|was|are|were|has|have|shows?|carries|carry|bears?|being|appears?|seems|remains)(?:\s+not\b|n't\b)?|:|=)?\s*(?:to\s+be\s+)?(?:(?:of|a|the|in|clearly|probably|predominantly|mainly|likely)\s+)*"
_SIGN = r"(positive|negative)"
_FLUX = r"(?:magnetic|polarity|flux|field|(?:sun)?spots?|patch|umbra|side|part|end)"
_ZH_SIGN = r"([正负南北NS])"
_ZH_SPOT = r"(?:的?(?:黑子|部分|磁极|磁?极性|磁场|磁通|区|端|一侧|侧|极))*"
_ZH_IS = r"\s*(?:应该?|大概|可能|明显|并)*(?:不?是|不?为|非|呈现?|属于?|具有|带有?|表现为|显示为|:)?\s*"

# a region may be named between the words and the sign, so the sign is only looked at
POLARITY: list[Pattern] = [
    pattern("en", rf"\b(?:follow(?:er|ing)|trail(?:er|ing))(?:\s+{_PART})*(?={_OF}(?:\s+(?:is|was|are|have|has|of|show)\b)?\s*(?:of\s+)?(?:positive|negative))", []),
    pattern("en", rf"\b{_LEAD}(?:\s+(?:magnetic|main|large|big|dominant))*(?:\s+{_PART})*(?={_OF}{_IS}{_SIGN}\b)", _polarity),
    pattern("en", rf"\b{_SIGN}(?:[-\s]{_FLUX})*[-\s]+(?:is\s+)?(?:in\s+the\s+)?(?:lead(?:ing|er|s)?|preceding)\b", _polarity),
    pattern("en", rf"\b{_SIGN}\s+(?:polarity|flux|field|part|pole|one)(?={_OF}\s+(?:is|lies|forms)\s+(?:on\s+|in\s+)?(?:the\s+)?(?:west\b|western|westward|leading|leader|preceding|front))",
            _polarity),
    pattern("en", rf"\blead(?:s|ing)?\s+with\s+(?:a\s+|its\s+)?(?:\w+\s+)?{_SIGN}\b", _polarity),
    pattern("en", rf"\b(?:led|headed|preceded)\s+by\s+(?:a\s+|the\s+|its\s+)?(?:\w+\s+)?{_SIGN}\b", _polarity),
    pattern("en", rf"\b{_SIGN}\s+(?:polarity|flux|field)\s+(?:in\s+front|ahead|to\s+the\s+west)", _polarity),
    pattern("zh", rf"(?:后随|尾随|跟随){_ZH_SPOT}{_ZH_IS}{_ZH_SIGN}(?:极|磁)?", []),
    pattern("zh", rf"(?:前导|领头|先导){_ZH_SPOT}\s*(?:并?不是|并非|不为)([正负])极?性?[,，]?\s*而?(?:是|为)([正负])",
            lambda m: [("leading_polarity", "positive" if m[g] == "正" else "negative", m.span(g)) for g in (1, 2)]),
    pattern("zh", rf"(?:前导|领头|先导){_ZH_SPOT}{_ZH_IS}{_ZH_SIGN}(?=极|磁|的|[\s,，。;；、)]|$)", _polarity),
    pattern("zh", rf"(?:前导|领头|先导){_ZH_SPOT}(?=[^。；]{{0,14}}?(?:是|为|呈)\s*{_ZH_SIGN}(?:极|磁|[\s,，。;；、)]|$))", _polarity),
    pattern("zh", r"([正负])(?:磁)?极性?的?(?:磁场|黑子|磁通|部分)?(?:在前|前导|领先|居前|位于前|先导)|由([正负])(?:磁)?极性?的?(?:黑子|磁场|部分)?(?:前导|领头|引领|领先)", _polarity),
    pattern("zh", r"以([正负])(?:磁)?极性?(?:黑子|磁场|磁通)?(?:(?:为|作为)(?:前导|先导)|领头|引领)", _polarity),
    pattern("zh", r"(?<=前导)(?:者|一方)(?:是|为)([正负])", _polarity),
    # the second of two: "11968 leads negative, 11967 positive"
    pattern("zh", r"(?:则|却|也|亦)(?:为|是|呈)([正负])(?=极|磁|[\s,，。;；、)]|$)", lambda m: _polarity(m) if "前导" in m.string else None),
    pattern("en", rf"(?<=\d)(?:\s+(?:is|has))?\s+(?:a\s+)?{_SIGN}(?:\s+(?:one|polarity))?(?=[.;,]|$)", lambda m: _polarity(m) if "lead" in m.string.lower() else None),
]  # fmt: skip
