"""Claims of where a region lies and which polarity leads it. Reads and writes nothing."""

import re

from jwvl_lib.claim_grammar import EN_NUMBER, ZH_NUMBER, Found, Pattern, number, pattern

_NS = {"above": "N", "below": "S"}
ZH_PLACES = {"东": "E", "西": "W", "南": "S", "北": "N"}

# --------------------------------------------------------------------------------------------------------------------
# places

_DEG = r"\s*(?:°|º|deg(?:ree)?s?|度)?\s*"


def _location(match: re.Match) -> Found | None:
    found = match.groupdict()
    ns, ew = ((ZH_PLACES | _NS).get(found[k], found[k])[0].upper() for k in ("ns", "ew"))
    lat, lon = number(found["lat"].partition(".")[0]), number(found["lon"].partition(".")[0])
    return [("location", f"{ns}{lat:02d}{ew}{lon:02d}")] if lat <= 90 and lon <= 180 else None


def _quadrant(match: re.Match) -> Found:
    ns, ew = next(g for g in match.groups() if g), [g for g in match.groups() if g][1]
    return [("quadrant", ZH_PLACES.get(ns, ns)[0].upper() + ZH_PLACES.get(ew, ew)[0].upper())]


def _east_first(match: re.Match) -> Found:
    return [("quadrant", ZH_PLACES[match[2]] + ZH_PLACES[match[1]])]


_LAT, _LON = r"(?P<lat>\d{1,2}(?:\.\d+)?)", r"(?P<lon>\d{1,3}(?:\.\d+)?)"
_EN_LAT, _EN_LON = (rf"(?P<{g}>{EN_NUMBER}(?:\.\d+)?)" for g in ("lat", "lon"))
_BETWEEN = (
    r"(?:\s+(?:(?:of|from)\s+)?(?:the\s+)?(?:solar\s+)?equator)?(?:\s*(?:,|，|、|and|by|/|;|和|，?\s*and)\s*|\s*)(?:"
    r"(?:at\s+)?(?:a\s+)?longitudes?\s+(?:of\s+)?|日面|经度为?)*"
)

PLACES: list[Pattern] = [
    pattern("",
            rf"(?:(?<![A-Za-z])(?P<ns>[NS])[\s]*{_LAT}{_DEG}(?:[,，/、]|and|by)?\s*(?:longitude\s*:?\s*"
            rf"|经度\s*:?\s*)?(?P<ew>[EW])\s*{_LON})(?!\d){_DEG}", _location),
    pattern("",
            rf"(?<![\d.]){_LAT}{_DEG}(?-i:(?P<ns>[NS]))\s*(?:[,，/;]|and"
            rf"|by)?\s*(?:lon(?:gitude)?\s*[=:]?\s*)?{_LON}{_DEG}(?-i:(?P<ew>[EW]))(?![A-Za-z])",
            _location),
    pattern("en",
            rf"{_EN_LAT}{_DEG}(?:of\s+)?(?P<ns>north"
            rf"|south|above|below)(?:ern)?(?:\s+latitude)?{_BETWEEN}{_EN_LON}{_DEG}(?:of\s+)?(?P<ew>east"
            rf"|west)(?:ern)?\b", _location),
    pattern("en",
            rf"latitudes?\s+(?:of\s+|is\s+)?{_EN_LAT}{_DEG}(?P<ns>N|S|north|south)\b{_BETWEEN}{_EN_LON}{_DEG}"
            rf"(?P<ew>E|W|east|west)\b",
            _location),
    pattern("en",
            rf"{_EN_LON}{_DEG}(?P<ew>east|west)(?:\s+(?:of|from)\s+(?:the\s+)?(?:central\s+)?meridian)?\s*(?:,"
            rf"|and|,\s*and)?\s*{_EN_LAT}{_DEG}"
            r"(?P<ns>north|south)\b", _location),
    pattern("zh",
            rf"以(?P<ns>[南北])\s*(?P<lat>{ZH_NUMBER}){_DEG}[,，、和]?(?:且|距|中央子午线|日面中心|中心|位于"
            rf"|在)*以(?P<ew>[东西])\s*"
            rf"(?P<lon>{ZH_NUMBER}){_DEG}", _location),
    pattern("en",
            rf"longitude\s+(?:of\s+)?(?P<ew>[EW])\s*{_LON}{_DEG}(?:,|and|/"
            rf"|\s)*latitude\s+(?:of\s+)?(?P<ns>[NS])\s*{_LAT}", _location),
    pattern("en",
            rf"longitude\s+(?:of\s+)?{_EN_LON}{_DEG}(?P<ew>east|west|E|W)\b(?:,|and|a|/"
            rf"|\s)*latitude\s+(?:of\s+)?{_EN_LAT}{_DEG}"
            r"(?P<ns>north|south|N|S)\b", _location),
    pattern("zh",
            rf"(?P<ew>[EW东西])[经]?\s*(?P<lon>\d{{1,3}}){_DEG}[,，、和]?\s*(?:日面)?纬度?(?:为|是|在"
            rf"|:)?\s*(?P<ns>[NS南北])"
            rf"\s*(?P<lat>\d{{1,2}}){_DEG}", _location),
    pattern("zh",
            rf"以(?P<ew>[东西])(?:约)?\s*(?P<lon>{ZH_NUMBER}){_DEG}[,，、和]?(?:且|距|赤道|位于|在|以"
            rf"|偏)*(?P<ns>[南北])纬?(?:约)?"
            rf"\s*(?P<lat>{ZH_NUMBER}){_DEG}", _location),
    pattern("zh",
            rf"(?P<ew>[东西])经\s*(?P<lon>{ZH_NUMBER}){_DEG}[,，、和]?\s*(?P<ns>[南北])纬\s*"
            rf"(?P<lat>{ZH_NUMBER}){_DEG}", _location),
    pattern("zh",
            rf"以?(?P<ew>[东西])\s*(?P<lon>{ZH_NUMBER}){_DEG}[,，、和]?(?:日面|太阳|位于|在"
            rf"|距)*赤道以?(?P<ns>[南北])\s*(?P<lat>{ZH_NUMBER}){_DEG}",
            _location),
    pattern("zh",
            rf"(?:以|偏)?(?P<ns>[南北])纬?\s*(?P<lat>{ZH_NUMBER}){_DEG}[,，、和/]?\s*(?:以|偏)?(?P<ew>[东西])经?"
            rf"\s*(?P<lon>{ZH_NUMBER}){_DEG}", _location),
    pattern("en",
            r"\b(north|south)ern\s+(?:hemisphere|half)(?:\s+of\s+the\s+(?:sun|disk|disc))?,?\s+(?:and\s+|just\s+"
            r"|slightly\s+|to\s+"
            r"|in\s+|on\s+|the\s+)*(east|west)(?:ern)?\b(?!\s+limb)", _quadrant),
    pattern("zh", r"([南北])半球的?(?:略|稍)?(?:偏|靠)?的?([东西])(?!经)(?:侧|部|边|面|方)?", _quadrant),
    pattern("", r"(?-i:(?<![A-Za-z])[NS][EW])(?:\s+quadrant)?\s*:\s*(?:none|no\b|无|没有)", []),
    pattern("", r"(?-i:(?<![A-Za-z])([NS])([EW]))(?![A-Za-z\d])", _quadrant),
    pattern("en", r"(?<![A-Za-z])([NS])([EW])\s+(?:quadrant|quarter)", _quadrant),
    pattern("en", r"\b(?:date|time|timestamp|stamp|label|text|legend|logo|watermark|caption|banner|annotation|bar"
            r"|title)\s+(?:\w+\s+){0,2}?(?:in|at|on)\s+the\s+(?:upper|lower|top|bottom)[-\s](?:left|right)(?:-hand)?"
            r"(?:\s+corner)?", []),
    pattern("en", r"\b(?:upper|lower)[-\s](?:left|right)(?:-hand)?(?:\s+corner)?(?=[^.;,\d]{0,12}\b(?:reads?|says?"
            r"|gives|states|stamps?|labels?|text|legend|logo|watermark|dates?|times?)\b)", []),
    pattern("en",
            r"\b(north|south)[-\s]?(east|west)(?:ern)?\b(?!\s+of\s+(?!(?:the\s+)?(?:dis[ck]|sun|solar|cent(?:re"
            r"|er)|central)))|\b(upper|lower|top|bottom)[-\s](left|right)\b", lambda m: _seen(m)),
    pattern("zh", r"[东西][南北](?:象限|方向|部)?\s*:\s*(?:无|没有)", []),
    pattern("zh", r"([东西])([南北])", _east_first),
    pattern("zh", r"[左右][上下]角?(?:的|处的?)?(?:标注的?|显示的?)?(?:日期|时间|时戳|图例|注记|说明|标注|标签|印着"
            r"|写着|注明|标出)", []),
    pattern("zh", r"从[^，。；]{0,6}?(?:[东西][南北]|[左右][上下]|[上下][左右])[^，。；]{0,3}(?:到|至|延伸)", []),
    pattern("zh", r"[左右][上下]角(?!的?[^，。；]{0,10}(?:活动区|黑子|区|群|是|为|\d{4}))", []),
    pattern("zh", r"[左右上下]{2}角?(?:的|有)?(?:字|标|水印|时间|文字|比例|数字|色标|(?=\d{3}(?!\d)))", []),
    pattern("zh", r"([左右])([上下])|([上下])([左右])", lambda m: _seen(m)),
]  # fmt: skip

# north is up and west is right, as all pictures of the corpus are drawn
_SIDES = {
    "upper": "N",
    "top": "N",
    "bottom": "S",
    "上": "N",
    "lower": "S",
    "下": "S",
    "left": "E",
    "左": "E",
    "right": "W",
    "右": "W",
}


def _seen(match: re.Match) -> Found:
    sides = [_SIDES.get(g.lower(), g[0].upper()) for g in match.groups() if g]
    return [("quadrant", "".join(sorted(sides, key=lambda s: s in "EW")))]


# --------------------------------------------------------------------------------------------------------------------
# polarity


def _polarity(match: re.Match) -> Found:
    group = next(i for i, g in enumerate(match.groups(), start=1) if g)
    value = "positive" if match[group].lower() in ("positive", "north", "正", "北", "n") else "negative"
    start, end = match.span(group)
    denied = start > match.start() and re.search(r"\bnot\b|n't\b|不|非", match.string[match.start() : start])
    return [("leading_polarity", value, (start, end) if denied else match.span())]


_LEAD = r"(?:lead(?:ing|ers?)|preceding|westward|western(?:most)?)"
_PART = (
    r"(?:polarit(?:y|ies)|part|portion|(?:sun)?spots?|flux|patch|field|side|half|umbrae?|feature|element"
    r"|component|group|one)"
)
_OF = (
    r"(?:\s+(?:of|in|for)\s+(?:(?:the|this|that|its|NOAA|ARs?|active|largest|biggest|numbered|big|small)\s+)*(?:"
    r"(?:region|group|it)\b\s*)?(?:(?:AR\s*)?#?\d+(?:(?:,|\s+and|\s+or)\s*(?:AR\s*)?\d{4,5})*)?)?"
)
_IS = (
    r"\s*(?:,?\s*which\b)?\s*(?:\b(?:is|was|are|were|has|have|shows?|carries|carry|bears?|being|appears?|seems"
    r"|remains)(?:\s+not\b|n't\b)?|:|=)?\s*(?:to\s+be\s+)?(?:(?:of|a|the|in|clearly|probably|predominantly"
    r"|mainly|likely)\s+)*"
)
_SIGN = r"(positive|negative)"
_FLUX = r"(?:magnetic|polarity|flux|field|(?:sun)?spots?|patch|umbra|side|part|end)"
_ZH_SIGN = r"([正负南北NS])"
_ZH_SPOT = r"(?:的?(?:黑子|部分|磁极|磁?极性|磁场|磁通|区|端|一侧|侧|极))*"
_ZH_IS = (
    r"\s*(?:应该?|大概|可能|明显|并|[都均皆全同也亦则却还仍]|依[然旧]|[一]律|看[着上起去来]*|似乎"
    r"|好?像)*(?:不?是|不?为|非|呈现?|属于?|具有|带有?|表现为|显示为|:)?\s*"
)

# a region may be named between the words and the sign, so the sign is only looked at
POLARITY: list[Pattern] = [
    pattern("en", r"\blead[^.;]{0,60}?\b(positive|negative)\s+and\s+(positive|negative)\b,?\s+respectively",
            lambda m: [("leading_polarity", m[g].lower(), m.span(g)) for g in (1, 2)]),
    pattern("en",
            rf"\b(?:follow(?:er|ing)|trail(?:er|ing))(?:\s+{_PART})*(?={_OF}(?:\s+(?:is|was|are|have|has|of"
            rf"|show)\b)?\s*(?:of\s+)?(?:positive|negative))", []),
    pattern("en",
            rf"\b{_LEAD}(?:\s+{_PART})*{_OF}\s+(?:is\s+not|isn't|was\s+not|wasn't)\s+(positive|negative),?\s+(?:(?:as|though|despite|whatever|contrary)[^.;,]{{0,40}},\s+)?but\s+"
            r"(positive|negative)",
            lambda m: [("leading_polarity", m[g].lower(), m.span(g)) for g in (1, 2)], over=True),
    pattern("en",
            rf"\b{_LEAD}(?:\s+\([a-z]+\))?(?:\s+(?:magnetic|main|large|big|dominant))*(?:\s+{_PART}(?:'s)?)*(?={_OF}"
            rf"{_IS}{_SIGN}\b)", _polarity),
    pattern("en",
            rf"\b{_SIGN}(?:[-\s]{_FLUX})*[-\s]+(?:is\s+)?(?:in\s+the\s+)?(?:lead(?:ing|ers?|s)?"
            rf"|preceding)\b", _polarity),
    pattern("en",
            rf"\b{_SIGN}\s+(?:polarity|flux|field|part|pole|one)(?={_OF}\s+(?:is|lies|forms)\s+(?:on\s+|in\s+)?"
            rf"(?:the\s+)?(?:west\b|western|westward|leading|leader|preceding|front))",
            _polarity),
    pattern("en", rf"\b{_SIGN}(?:[-\s]{_FLUX})*\s+(?:precedes|leads)\b", _polarity),
    pattern("en", rf"\bleads\s+{_SIGN}\b", _polarity),
    pattern("en", rf"\blead(?:s|ing)?\s+with\s+(?:a\s+|its\s+)?(?:\w+\s+)?{_SIGN}\b", _polarity),
    pattern("en", rf"\b(?:led|headed|preceded)\s+by\s+(?:a\s+|the\s+|its\s+)?(?:\w+\s+){{0,2}}?(?:(?:of"
            rf"|with)\s+)?{_SIGN}\b", _polarity),
    pattern("en", rf"\bpolarity\s*\((?:of\s+)?(?:the\s+)?lead\w*\)\s*[:=]?\s*(?:is\s+)?{_SIGN}\b", _polarity),
    pattern("en", rf"\b{_SIGN}\s+(?:polarity|flux|field)\s+(?:is\s+|lies\s+)?(?:in\s+front|ahead"
            rf"|to\s+the\s+west)", _polarity),
    pattern("zh", r"前导[^，。；]{0,8}(?:分别|依次)[为是]([正负])[^，。；正负]{0,4}[和、与及]([正负])",
            lambda m: [("leading_polarity", "positive" if m[g] == "正" else "negative", m.span(g)) for g in (1, 2)]),
    pattern("zh", rf"(?:后随|尾随|跟随){_ZH_SPOT}{_ZH_IS}{_ZH_SIGN}(?:极|磁)?", []),
    pattern("zh", rf"(?:前导|领头|先导|领先){_ZH_SPOT}\s*(?:并?不是|并非|不为)([正负])极?性?[,，]?\s*而?(?:是"
        rf"|为)([正负])",
            lambda m: [("leading_polarity", "positive" if m[g] == "正" else "negative", m.span(g)) for g in (1, 2)]),
    pattern("zh", rf"(?:前导|领头|先导|领先){_ZH_SPOT}{_ZH_IS}{_ZH_SIGN}(?=极|磁|的|[\s,，。;；、:()]|$)", _polarity),
    pattern("zh",
            rf"(?:前导|领头|先导|领先){_ZH_SPOT}(?=(?:(?!相反|不同|相同)[^。；]){{0,14}}?(?:是|为|呈"
            rf"|即)\s*{_ZH_SIGN}(?:极|磁|[\s,，。;；、)]"
            rf"|$))", _polarity),
    pattern("zh",
            r"([正负])(?:磁)?极性?的?(?:磁场|黑子|磁通|部分)?(?:在前|前导|领先|居前|位于前|先导)|由([正负])"
            r"(?:磁)?极性?的?(?:黑子|磁场|部分)?(?:前导|领头|引领|领先)", _polarity),
    pattern("zh", rf"(?<=\d)(?:号|区|活动区)?的?西[侧边部端]的?(?:黑子|磁极|极性|磁场"
            rf"|本影)?(?:的?极性)?{_ZH_IS}{_ZH_SIGN}(?=极|磁|的|[\s,，。;；、:()]|$)", _polarity),
    pattern("zh", r"(?:前导|先导)极性?\(([正负])(?=极|\))", _polarity),
    pattern("zh", r"([正负])前导|前([正负])后[正负]", _polarity),
    pattern("zh", r"以([正负])(?:磁)?极性?(?:黑子|磁场|磁通)?(?:(?:为|作为)(?:前导|先导)|领头|引领)", _polarity),
    pattern("zh", r"(?<=前导)(?:者|一方)(?:是|为)([正负])", _polarity),
    pattern("zh", r"(?:前者|后者)(?:却|则|也)?(?:是|为|呈)([正负])(?=极|磁|的|[\s,，。;；、:()]|$)",
            lambda m: _polarity(m) if "前导" in m.string else None),
    # the second of two: "11968 leads negative, 11967 positive"
    pattern("zh",
            r"(?:则|却|也|亦)(?:为|是|呈)([正负])(?=极|磁|[\s,，。;；、)]|$)",
            lambda m: _polarity(m) if "前导" in m.string else None),
    pattern("en",
            rf"(?<=\d)(?:\s+(?:is|has))?\s+(?:a\s+)?{_SIGN}(?:\s+(?:one|polarity))?(?=[.;,]|$)",
            lambda m: _polarity(m) if "lead" in m.string.lower() else None),
]  # fmt: skip
