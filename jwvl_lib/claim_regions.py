"""Claims about one region: its area and classes. Reads and writes nothing."""

import re

from jwvl_lib import knowledge
from jwvl_lib.claim_grammar import (
    DIGITS,
    EN_NUMBER,
    UPPER,
    ZH_NUMBER,
    Found,
    Pattern,
    counted,
    number,
    pattern,
)

_GREEK = {
    word: value
    for language in knowledge.LANGUAGES
    for word, value in knowledge.words("hale_class", language).items()
    if "-" not in value
}
GREEK = "|".join(sorted(_GREEK, key=len, reverse=True))


def _mcintosh() -> str:
    """The letters that may stand together, group by group; the later ones also as capitals, B as a small letter."""
    shapes = []
    for z, group in knowledge.section("mcintosh_z").items():
        p, c = (str(group.rules[place]) for place in ("penumbra", "distribution"))
        shapes.append(f"[{z}{'b' if z == 'B' else ''}][{p}{p.upper()}][{c}{c.upper()}]")
    return "|".join(shapes)


_MCINTOSH = rf"(?-i:{_mcintosh()})"  # as it is spelt
_MCINTOSH_ANY = rf"(?:{_mcintosh()})"  # in any case
_Z, _P, _C = ("".join(letters) for letters in knowledge.mcintosh_letters())


def _area(match: re.Match) -> Found:
    """An area; larger than any spot group's it is that of the coronal holes a text speaks of."""
    area = counted(match)
    huge = isinstance(area, int) and area > _LARGEST and re.search(r"冕洞|coronal\s+holes?", match.string, re.I)
    return [("coronal_hole_area_msh" if huge else "area_msh", area)]


_LARGEST = 9999  # millionths; the largest group on record, of April 1947, had 6132


def _areas(match: re.Match) -> Found:
    """A list of areas, each at its own place."""
    text = match.groupdict().get("list") or match.group()
    at = match.start("list") if text != match.group() else match.start()
    numbers = re.finditer(EN_NUMBER if text.isascii() else ZH_NUMBER, text, re.I)
    return [("area_msh", number(n.group()), (at + n.start(), at + n.end())) for n in numbers]


def _fraction(match: re.Match, per_unit: float) -> Found:
    holes = re.search(r"冕洞[^。；\d]{0,16}$", match.string[: match.start()])
    return [("coronal_hole_area_msh" if holes else "area_msh", round(float(match["f"]) * per_unit))]


def _zh_fraction(match: re.Match) -> Found:
    return [("area_msh", number(match["n"]) * {"千": 1000, "万": 100, "十万": 10}[match["per"]])]


def _if_listed(match: re.Match) -> Found | None:
    """A bare number in a row of codes ("Dso, β, 100, N07E36") is the area, if no other number is."""
    text = match.string
    coded = re.search(rf"{_MCINTOSH}|[NS]\d\d[EW]\d\d", text) and not re.search(
        r"面积|MSH|\barea|millionth"
        r"|半球",
        text,
        re.I,
    )
    row = len(re.findall("[；;(]", text[: match.start()]))
    same = (m for m in match.re.finditer(text) if len(re.findall("[；;(]", text[: m.start()])) == row)
    others = [int(m["n"]) for m in same if m.start() != match.start()]
    spots = others and int(match["n"]) < max(others)
    return ([("n_spots", int(match["n"]))] if spots else _area(match)) if coded else None


def _spots_in_row(match: re.Match) -> Found | None:
    coded = re.search(_MCINTOSH, match.string) and not re.search("黑子", match.string)
    return [("n_spots", number(match["n"]))] if coded else None


def _in_codes(match: re.Match) -> Found | None:
    """The 600 of "1158 βγδ/Ekc 600"."""
    return None if re.search("flare|耀斑|黑子|spots", match.string, re.I) else _area(match)


def _in_row(match: re.Match) -> Found | None:
    """ "面积依次为11967（1580）、11968（190）": what was named before the row."""
    nouns = re.findall(r"面积|\bareas?\b|黑子|\bspots?\b", match.string[: match.start()], re.I)
    if not nouns or re.search("flare|耀斑", match.string, re.I):
        return None
    return [("area_msh" if nouns[-1].lower().startswith(("面积", "area")) else "n_spots", int(match["n"]))]


def _ten_thousandths(match: re.Match) -> Found | None:
    """ "万分之0.3" alone, where the hemisphere was named before."""
    return _fraction(match, 1e2) if "半球" in match.string[: match.start()] else None


def _total(match: re.Match) -> Found:
    """The area of all regions together, or of all coronal holes."""
    holes = re.search(r"coronal\s+holes?|冕洞", match.string[: match.start()], re.I)
    return [("coronal_hole_area_msh" if holes else "sunspot_area_msh", number(match["n"]))]


def _hole_area(match: re.Match) -> Found:
    return [("coronal_hole_area_msh", number(match["n"]))]


_WITHOUT = re.compile(
    r"(?:\b(?:no|without(?:\s+any?)?|lacks?(?:\s+(?:any?|a))?|lost\s+its|(?:has|have|is|does|did)(?:\s*n't"
    r"|\s+not)[a-z\s]{0,12})\s*"
    r"|(?:没有?|无|不[具含带]有?|未[见现形][^，。]{0,3}|看不[到出]))(?:任何|明显的?)?$", re.I,
)  # fmt: skip


def _lone_delta(match: re.Match) -> Found | None:
    """ "No delta" denies the class; "a delta spot" is only a part of one."""
    return [("hale_class", "Delta")] if _WITHOUT.search(match.string[: match.start()]) else None


_INITIALS = {value[0]: value for value in knowledge.values("hale_class") if "-" not in value}


def _initials(match: re.Match) -> Found:
    """ "BGD" of a table of summaries."""
    return [("hale_class", "-".join(_INITIALS[c] for c in match.group().upper()))]


def _hale(match: re.Match) -> Found:
    return [("hale_class", "-".join(_GREEK[p.lower()] for p in re.findall(GREEK, match.group(), re.I)))]


_HEMISPHERE = r"(?:\s+of\s+(?:the|a|one)\s+(?:(?:visible|solar|sun's)\s+)*(?:hemisphere|disk|disc))?"
_MILLIONTHS = rf"(?:MSH\b|[μµ]\s?H(?:em)?\b|micro-?hem(?:isphere)?s?\b|millionths?\b{_HEMISPHERE}|ppm\b{_HEMISPHERE})"
_ZH_MILLIONTHS = (
    r"(?:个?MSH|[μµ]Hem|(?:个)?(?:太阳|日面|可见)*半球(?:面积)?的?百万分之一|(?:个)?百万分之一(?:个)?(?:太阳"
    r"|日面|可见)*半球(?:面积)?"
    r"|(?:个)?百万分之一|(?:个)?微半球)"
)
_HALE_EN = (
    r"(?<![A-Za-z])(?<!plasma\s)(?:alpha|beta|gamma(?=\s*[-/]?\s*delta|\s+(?:class|config|type|group|region"
    r"|field|magnetic)))(?:\s*[-/]?\s*(?:gamma|delta)){0,2}(?![A-Za-z])"
)

CLASSES: list[Pattern] = [
    # the classes there are
    pattern("", r"(?:alpha|α)[\s,、/]+(?:beta|β)[\s,、/]+(?:(?:and|or|和|或)\s*)?(?:gamma|γ)(?:[\s,、/]+(?:(?:and|or|和"
        r"|或)\s*)?(?:delta|δ))?"
            r"(?![a-z])", []),
    pattern("en", rf"\b(?:total|combined|overall)\s+(?:sunspot\s+|spot\s+)?area\b[^,.;\d]{{0,40}}?(?P<n>{EN_NUMBER})"
        rf"(?!\s+(?:\w+\s+)?(?:groups?|regions?|ARs|(?:sun)?spots?)\b)(?:\s*{_MILLIONTHS})?", _total),
    pattern("zh", rf"(?<!半球)总面积[^，。；\d]{{0,6}}(?P<n>{ZH_NUMBER})(?:\s*{_ZH_MILLIONTHS})?(?!\s*%)", _total),
    pattern("zh", rf"(?<!洞)面积(?:加起来|合计|之和|加在一起|总计"
        rf"|总和)[^，。；\d]{{0,4}}(?P<n>{ZH_NUMBER})(?:\s*{_ZH_MILLIONTHS})?", _total),
    pattern("zh", rf"冕洞(?:的)?总?面积[^，。；\d]{{0,6}}(?P<n>{ZH_NUMBER})\s*{_ZH_MILLIONTHS}", _hole_area),
    pattern("en", rf"\bcoronal\s+holes?\b[^,.;\d]{{0,30}}(?P<n>{EN_NUMBER})\s*{_MILLIONTHS}", _hole_area),
    # what it came from it is no more
    pattern("", rf"(?:\b(?:from|out\s+of)\s+(?:an?\s+)?"
        rf"|[从由](?:[^，。；\d]{{0,6}}的)?(?:一个)?\s*){_MCINTOSH}(?=\s*(?:to"
        rf"|into)\b|型?小?群?\s*(?:逐?渐|迅?速)?(?:变|演|发展|升|降|到"
        rf"|至|转|增|长"
        rf"|成))", []),
    pattern("", rf"(?:\bfrom\s+(?:an?\s+)?|[从由]\s*)(?:(?:{GREEK})[-/\s]?)+(?:class|type|型)?(?=\s*(?:to|into)\b"
            r"|\s*(?:变|演|发展|升|降|到|至|转|增|长|成))", []),
    pattern("", rf"(?P<n>{DIGITS})\s*(?:±|\+/-|\+-)\s*{DIGITS}\s*(?:{_MILLIONTHS}|{_ZH_MILLIONTHS})", _area),
    pattern("en", rf"(?<!between\s){EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER}\s*{_MILLIONTHS}", _areas),
    pattern("en", rf"{EN_NUMBER}\s+(?:against|versus|vs\.?)\s+{EN_NUMBER}\s*{_MILLIONTHS}", _areas),
    # what it grew or shrank to is what it is
    pattern("en", rf"\bfrom\s+(?:{EN_NUMBER})(?:\s*{_MILLIONTHS})?\s+to\s+(?P<n>{EN_NUMBER})\s*{_MILLIONTHS}", _area),
    pattern("en",
            rf"(?P<n>{EN_NUMBER})(?:\s*(?:-|to|and)\s*(?P<m>{UPPER}))?\s*{_MILLIONTHS}(?!\s+(?:more|less|larger"
            rf"|smaller|bigger|fewer))", _area),
    pattern("zh", rf"{ZH_NUMBER}(?:\s*[、,，]\s*{ZH_NUMBER})*\s*[、和与]\s*{ZH_NUMBER}\s*{_ZH_MILLIONTHS}", _areas),
    pattern("zh", rf"(?P<n>{ZH_NUMBER})(?:\s*(?:[-~]|到|至)\s*(?P<m>{UPPER}))?\s*(?P<over>[多余来])?"
        rf"{_ZH_MILLIONTHS}", _area),
    pattern("zh",
            rf"(?:从|由)(?:[^，。；\d]{{0,6}}的)?\s*(?:{ZH_NUMBER})\s*(?:{_ZH_MILLIONTHS})?(?:[增加扩减少缩降长大小了"
            rf"]{{1,4}})[到至]了?(?"
            rf":[^，。；\d]{{0,4}}的)?\s*"
            rf"(?P<n>{ZH_NUMBER})(?:\s*{_ZH_MILLIONTHS})?", _area),
    pattern("en",
            r"(?<![\d.])(?P<f>0\.\d+)\s+of\s+(?:the\s+|a\s+)?(?:(?:visible|solar|sun's)\s+)*hemisphere",
            lambda m: _fraction(m, 1e6)),
    pattern("", r"(?<![\d.])(?P<n>\d{1,4})\s*[×x]\s*10(?:\^?-6|⁻⁶)", _area),
    pattern("en",
            r"(?<![\d.])(?P<f>\d*\.?\d+)\s*(?:%|per\s?cent)\s+of\s+(?:the\s+|a\s+|one\s+)?(?:(?:visible|solar"
            r"|sun's)\s+)*hemisphere",
            lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?\s*(?:约)?(?P<f>\d*\.?\d+)\s*%", lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?(?:约)?百分之(?P<f>\d*\.?\d+)(?!\d)", lambda m: _fraction(m, 1e4)),
    pattern("zh", r"半球(?:总?面积)?的?(?:约)?千分之(?P<f>\d*\.?\d+)(?!\d)", lambda m: _fraction(m, 1e3)),
    pattern("zh", r"半球(?:总?面积)?的?(?:约)?万分之(?P<f>\d*\.?\d+)(?!\d)", lambda m: _fraction(m, 1e2)),
    pattern("zh", rf"半球(?:总?面积)?的?(?:约)?(?P<per>千|十?万)分之(?P<n>{ZH_NUMBER})(?![.\d])", _zh_fraction),
    pattern("zh", rf"(?:太阳|日面|可见)*半球(?:面积)?的?百万分之\s*(?P<n>{ZH_NUMBER})", _area),
    pattern("zh",
            r"百万分之\s*(?P<n>\d{2,4}|[一二两三四五六七八九十百千]{2,})\s*(?:个)?(?:太阳|日面|可见)*半球", _area),
    # a bare number after "area" is in the usual unit
    pattern("en",
            r"\b(?:area|size)\s*(?:is|was|of|:|=|\(|at|about|around|given\s+as|now|has\s+grown\s+to|\s)*\s*"
            r"(?P<n>\d[\d,]*\d|\d)"
            r"(?:\s+units)?(?=\s*(?:[,;)|/]|\.(?!\d)|$|and\b|with\b|-\s))", _area),
    pattern("zh", rf"(?P<n>{ZH_NUMBER})\s*个?面积单位", _area),
    pattern("zh",
            rf"(?<=面积)(?:依次|分别|各)(?:为|是|有)?\s*{ZH_NUMBER}(?:\s*[、,，和与]\s*{ZH_NUMBER})+(?:\s*"
            rf"(?:个单位|{_ZH_MILLIONTHS}))?", _areas),
    pattern("en", rf"\bareas\b[^.;]{{0,60}}?\b(?:are|were|of"
        rf"|at)\s+(?P<list>{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER})"
            rf"(?:\s*{_MILLIONTHS})?,?\s+respectively", _areas, over=True),
    pattern("en",
            rf"\bareas?\s+(?:of|are|is|were)\s+{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER}(?:"
            rf"\s*{_MILLIONTHS})?", _areas),
    pattern("zh", r"\d+(?:\.\d+)?\s*平方(?:度|角秒|公里|千米)", []),
    pattern("zh",
            rf"(?:面积|大小)(?:大概|在|已经?|仅|只有?|大?约|达到?|为|是|有|增至|增加到|增大到|增长到|减至|减小到"
            rf"|缩小到|高达|近|:|=|\s)*"
            rf"(?P<n>{ZH_NUMBER})(?:\s*(?:个)?单位)?(?:左右|上下|以上|多)?(?=\s*(?:[,，。;；、)]|\.(?!\d)|$))", _area),
    pattern("zh", rf"[猛骤剧]?[增扩减缩][加大小少]?[到至]了?(?P<n>{ZH_NUMBER})(?![\d.个颗条级]|\s*[个颗条级])",
            lambda m: [(kind, value, m.span("n")) for kind, value in _area(m)]),
    pattern("zh", rf"面积(?!第)(?![^，。；\d]{{0,6}}(?:[增减扩缩][加少大小长]了?)约?\d)[^第，。；：、,;:\d一二两三四五"
            rf"六七八九十]{{0,8}}(?P<n>{ZH_NUMBER})(?:\s*(?:[-~]|到"
        rf"|至)\s*(?P<m>{UPPER}))?(?![\d.颗倍%°:年月天零一二两三四五六七八九十百千]|个(?!单位)|\s*(?:平方|角秒"
        rf"|分之|成|百万|万|亿|多?倍))", _area),
    pattern("", r"(?:(?<=[,/]\s)|(?<=，))(?P<n>\d{2,4})(?=\s*[,，/。;；]|$)", _if_listed),
    pattern("zh", rf"(?<=[，,、])(?P<n>{ZH_NUMBER})[个颗](?=[，。,]|$)", _spots_in_row),
    pattern("", rf"(?-i:(?<=[{_Z}][{_P}][{_C}]\s))(?P<n>\d{{1,3}}0)(?=\s*(?:[,;，；。]|$))", _in_codes),
    pattern("", r"(?:(?<=\d{4}[(（])|(?<=\d{4}\s[(（]))(?P<n>\d{1,4})(?=[)）])", _in_row),
    pattern("", rf"(?P<n>{DIGITS})(?=\s*\(\s*(?:(?:NOAA|AR)\s*)*\d{{4,5}}\))", _in_row),
    pattern("zh", r"万分之(?P<f>\d*\.?\d+)(?![.\d])", _ten_thousandths),
    pattern("",
            rf"(?<![A-Za-z])(?!Fri\b(?!\)))({_MCINTOSH})(?![A-Za-z])",
            lambda m: [("mcintosh_class", m[1].capitalize())]),
    pattern("",
            rf"(?<![A-Za-z])(?:class|type|McIntosh|classified\s+as)\s+({_MCINTOSH_ANY})(?![A-Za-z])",
            lambda m: [("mcintosh_class", m[1].capitalize())]),
    pattern("",
            r"(?:class(?:ified)?(?:\s+as)?|McIntosh|分类为?|分型为?|级为?|类型为?)\s*(Fri)(?![A-Za-z])",
            [("mcintosh_class", "Fri")]),
    pattern("", rf"(?<![A-Za-z])(?-i:([{_Z}])-([{_P}])-([{_C}]))(?![A-Za-z]"
        rf")", lambda m: [("mcintosh_class", m[1] + m[2] + m[3])]),
    pattern("", r"(?<![A-Za-zα-ωβγ/-])(?:δ[型群](?!黑子)|delta[-\s](?:class|type|group"
        r"|region)\b)", [("hale_class", "Delta")]),
    pattern("", _HALE_EN, _hale),
    pattern("",
            r"(?<![A-Za-zα-ω体])(?:[αβ]|γ(?=\s*[-/]?\s*δ|\s*(?:型|类|构型|位形|class|config|type|group|region)))"
            r"(?:\s*[-/]?\s*[γδ]){0,2}(?![A-Za-zα-ω])", _hale),
    pattern("", rf"(?-i:(?<=[{_Z}][{_P}][{_C}]/)(?:B|A|BG|BD|BGD))(?![A-Za-z])", _initials),
    pattern("", r"(?<![A-Za-z])(?:BGD|(?-i:B[GD]))(?![A-Za-z])",
            _initials),
    pattern("", r"(?<![A-Za-zα-ωβγ/-])(?<!alpha[\s-])(?<!beta[\s-])(?<!gamma[\s-])(?<![βγ][\s-])(?:delta"
        r"|δ)(?![A-Za-zα-ω-])", _lone_delta),
    pattern("", r"\bunipolar\b|单极(?=群|黑子|型|区|的|性|，|。|$)", [("hale_class", "Alpha")]),
    pattern("zh", r"(?:阿尔法|贝塔|贝它|伽[马玛](?=\s*-?\s*德))(?:\s*[-/]?\s*(?:伽[马玛]|德[尔耳]塔)){0,2}", _hale),
]  # fmt: skip
