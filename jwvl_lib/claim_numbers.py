"""Claims of region numbers: lists, ranges, short forms, bare digits where nothing else fits. Does no I/O."""

import functools
import re

from jwvl_lib import knowledge
from jwvl_lib.claim_grammar import Found, Pattern, number, pattern

_NO = (
    r"(?:\s*(?:\(?No\.|numbers?|№|编号为?|号)\s*|,?\s*(?:numbered|designated|designation|labell?ed|called|namely"
    r"|known\s+as)"
    r"\s+(?:as\s+)?|,\s+(?=\d{4,5},))?[\s#:-]*"
)
_LIST = (
    r"(?:\s*(?:,\s*and|,|、|/|and|or|&|;|和|与|及|以及|或|至)\s*(?:(?:NOAA|AR|region|号|活动区)\s*)*#?\d{4,5}(?!"
    r"\d|\.\d|:\d|-\d))*"
)
_REGION_WORD = (
    r"(?:RGN|NOAA[\s/-]*(?:ARs?|active\s+regions?|活动区)?|(?<![A-Za-z])ARs?|(?:active|sunspot|numbered|spotted)\s+"
    r"(?:regions?|groups?)|regions?|groups?|sunspots?)"
)
_ZH_REGION_WORD = r"(?:NOAA\s*)?(?:AR|活动区|黑子群|NOAA|编号为?)"
_NO_UNIT = (
    r"(?!\s*(?:Å|Angstrom|(?-i:A|K|G)\b|埃|km|DN|%|nm|万|个|公里|千米|年|亿|,\d|\.\d|MSH|millionths|counts"
    r"|kelvin|pixels?|px|像素|by\s+\d|degrees|°|square|UTC?\b))"
)


def _numbers(match: re.Match) -> Found:
    """Every region number of a list, each at its own place; one that is only remembered is none of this picture."""
    before = match.string[: match.start()] + ("编号为" if match.group().startswith("编号") else "")
    if _REMEMBERED.match(match.string, match.end()) or _FORMER.search(before):
        return []
    at = match.start()
    digits = re.finditer(r"(?<!\d)\d{3,5}(?!\d)", match.group())
    # "three active regions 1, 2, 3": the noun is left to the count
    plural = "," in match.group().partition(next(re.finditer(r"\d", match.group())).group())[0]
    plural = plural or _PLURAL.match(match.group()) is not None or match.string[at - 1 : at] in tuple("个处群块")
    return [
        ("noaa_ar", int(d.group()), (at + d.start() * (plural or i > 0), at + d.end())) for i, d in enumerate(digits)
    ]


_REMEMBERED = re.compile(
    r"-(?:like|style|type|class)|(?:'s)?\s+(?:(?:had\s+)?(?:reached|did|was|showed|had|produced)\s+)?(?:back"
    r"\s+)?(?:in|during|of)\s+"
    r"(?:(?:early|late|mid)[-\s]?)?(?:(?:19|20)\d\d|January|February|March|April|June|July|August|September"
    r"|October|November|December)"
    r"|(?:号|活动区)?(?:的(?:回归|前身|延续|再现)|当年|当时|那样|那时|在(?:19|20)\d\d年)", re.I | re.A,
)  # fmt: skip

_FORMER = re.compile(
    r"(?:(?:19|20)\d\d年(?:[\d一二三四五六七八九十]{1,3}月份?)?的|\bformer(?:ly)?|\bpreviously|\bonce|\bold|自转周(?:之?前)?的|(?:上一个?"
    r"|上个|上(?=[周月])"
    r"|同(?=[年月])|那(?=[次年时])|去年|前(?=[一天年])|当(?=[年时]))[^，。；\d]{0,6}的|原(?:为|来的?|编号为?)?"
    r"|(?:曾|早先|以前|先前|此前|原先|当时|上一?周"
    r"|那时)(?:编号)?(?:为|是)|前身(?:为"
    r"|是)?|曾(?:经)?(?:为|是"
    r"|编号为?))\s*(?:known\s+as\s+|numbered\s+)?$",
    re.I | re.A,
)


def _range(match: re.Match) -> Found | None:
    """Regions 11967 to 11969 are three."""
    low, high = int(match["low"]), int(match["high"])
    return [("noaa_ar", n, match.span()) for n in range(low, high + 1)] if 0 < high - low < 10 else None


def _like_cued(match: re.Match) -> Found | None:
    """Three digits alone, where another number of the kind is called a region: "NOAA 486 has more spots than 484"."""
    cued = re.search(r"\b(?:NOAA|ARs?|regions?)\s*#?([1-9])\d\d(?!\d)", match.string, re.I | re.A)
    return _numbers(match) if cued and cued[1] == match.group()[0] else None


def _spelt(match: re.Match) -> Found | None:
    """ "十一九六七" and "一一九六七" are 11967."""
    digits = match.group().replace("十", "一", 1) if match.group()[0] == "十" else match.group()
    digits = digits[0] + digits[1:] if "十" not in digits else ""
    return [("noaa_ar", number(digits))] if digits else None


_Z, _P, _C = (
    f"[{''.join(letters)}{''.join(letters).lower()}{''.join(letters).upper()}]"
    for letters in knowledge.mcintosh_letters()
)
_PLACED = rf"(?:(?-i:{_Z}{_P}{_C})(?![A-Za-z])|(?-i:[NS])\d\d(?-i:[EW]))"  # what comes next to a number in a table
_SEP = r"(?:\s*[|/]\s*|\s+)"  # between the columns of a table
_STRONG = re.compile(
    r"(?<![\d./+A-Za-z-])1(?P<a>[0-4]\d{3}|\d{4})(?!\d|[.:]\d)|(?:\b(?:RGN|NOAA|ARs?|[Rr]egions?|[Gg]roups?)|活动区"
    r"|编号为?|黑子群)\s*#?(?P<b>\d{4})"
    r"(?!\d|\.\d)|(?<![\d.:/])0(?P<c>\d{3})(?![\d年])|(?<!\d)(?<!面积)(?<!area )(?P<d>\d{4})(?=号|区(?!间)"
    rf"|[,，:/\s(]{{1,3}}{_PLACED})"
)
_LONE = re.compile(r"(?<![\d.,/+~-])(?<!\d:)(?!1[6-9]\d\d|20\d\d)[1-9]\d{3}(?!\d|[.:]\d|年)")
_NEIGHBOURS = 60  # numbers given within two or three weeks of one another


def _near(match: re.Match) -> Found | None:
    """Four digits close to a number that is surely a region's, or two such numbers that support each other."""
    here, known, before = int(match.group()), _known(match.string), match.string[: match.start()]
    of_region = _COMPARED_WITH.search(before) or _SPOKEN_OF.match(match.string, match.end())
    if _AREA_BEFORE.search(before) and not of_region:
        return None
    return [("noaa_ar", here)] if any(abs(n - here) <= _NEIGHBOURS for n in known) else None


@functools.lru_cache(maxsize=64)
def _known(text: str) -> tuple[int, ...]:
    """The numbers, without ten thousands, that are surely of regions: so written, or two that support each other."""
    strong = {int(next(g for g in m.groups() if g)) % 10_000 for m in _STRONG.finditer(text)}
    lone = {int(m.group()) for m in _LONE.finditer(text)}
    return tuple(strong or (n for n in lone if any(0 < abs(n - other) <= _NEIGHBOURS for other in lone)))


def _far(match: re.Match) -> bool:
    """Whether the text names regions of another year, so that bare digits here are something else."""
    known = _known(match.string)
    return bool(known) and all(abs(n - int(match.group())) > 150 for n in known)


# regions after all: "2978的面积比2976大", "的面积是9401的六倍", "2440 millionths and 9401 covers 400"
_COMPARED_WITH = re.compile(r"(?:比|\bthan)\s*$", re.I | re.A)
_SPOKEN_OF = re.compile(r"[号区]?的|\s+(?:covers|covered|has|had|is|was)\b|'s\b", re.I | re.A)
_AREA_BEFORE = re.compile(r"(?:面积|MSH|\bareas?\b|\bmillionths\b)[^.:;。；]{0,24}$", re.I | re.A)


def _if_no_area(match: re.Match) -> Found | None:
    """A bare number, unless areas are spoken of: "to 2740 millionths from 2410"."""
    return None if _AREA_BEFORE.search(match.string[: match.start()]) or _far(match) else _numbers(match)


_PLURAL = re.compile(r"(?:[a-z]+\s+)*(?:regions|groups)\b", re.I | re.A)

_HEADED = {"area_msh": re.compile(r"面积|\barea", re.I), "n_spots": re.compile(r"黑子|\bspots?\b", re.I)}


def _table_row(match: re.Match) -> Found | None:
    """A row as SWPC prints it: number, place, area, class, spots; a lone number is what the head of the table names."""
    row = {k: v for k, v in match.groupdict().items() if v}
    out = [("noaa_ar", int(row["ar"]), match.span("ar"))]
    if "place" in row:
        out.append(("location", row["place"].upper(), match.span("place")))
    head = [kind for kind, noun in _HEADED.items() if noun.search(match.string[: match.start()])]
    lone = head[0] if len(head) == 1 else None
    numbers = {"area": "area_msh", "n": "n_spots"} if "area" in row and "n" in row else {"area": lone, "n": lone}
    if "area" in row and "n" not in row and int(row["area"]) > 150:
        numbers["area"] = "area_msh"
    out += [(kind, int(row[k]), match.span(k)) for k, kind in numbers.items() if k in row and kind]
    return out + [("mcintosh_class", row["zpc"].capitalize(), match.span("zpc"))] if "zpc" in row else out


NUMBERS: list[Pattern] = [
    # the times of a list of events
    pattern("en", r"\b(?:Begin|Start|Max|Peak|End)(?:ning|imum)?:?\s*\d{4}(?!\d)", []),
    pattern("", rf"(?<![\d.])(?P<ar>\d{{4,5}}){_SEP}(?:(?P<place>[NS]\d\d[EW]\d\d){_SEP}(?:\d{{1,3}}\s+(?=\d))?)?"
            rf"(?:(?P<area>\d{{1,4}}){_SEP})?(?P<zpc>(?-i:{_Z}{_P}{_C}))(?:\s+\d\d(?=\s+\d))?{_SEP}(?P<n>\d{{1,4}})(?![\d:.])"
            r"(?!\s*(?:MSH|mill|spots|个|颗|UT|°))", _table_row),
    pattern("", r"(?<![\d.])(?P<ar>\d{4,5})\s*[/|,，]\s*(?P<place>[NS]\d\d[EW]\d\d)\s*[/"
        r"|,，]\s*(?P<area>\d{1,4})(?=\s*(?:[;；。]|$))",
            _table_row),
    pattern("", r"(?<![\d.,/+])(?P<low>1\d{4})\s*(?:-|to|through|至|到)\s*(?:AR\s*)?(?P<high>1\d{4})(?!\d)", _range),
    pattern("en",
            rf"\b(?:{_REGION_WORD}|number){_NO}\d{{4,5}}(?!\d|\.\d|-\d|\s*(?:Å|Angstrom|nm|spots"
            rf"|millionths|MSH|UT|is\s+a\s+"
            rf"(?:wave|channel))){_LIST}", _numbers),
    pattern("en",
            r"\b(?:NOAA(?:\s+ARs?)?|ARs?|(?:active\s+)?regions?)\s*#?\d{3}(?!\d|\.\d|:\d\d(?!\d)|\s*(?:Å|Angstrom|nm"
            r"|spots"
            r"|MSH|millionths))(?:(?:,\s*(?:and\s+)?|\s+and\s+|/)\d{3}(?![\d.]))*", _numbers),
    pattern("zh", rf"{_ZH_REGION_WORD}{_NO}\d{{4,5}}(?!\d|\.\d|\s*(?:Å|埃|UT)){_LIST}", _numbers),
    pattern("", r"(?<![\d.,:/+-])(?:\d{5}\s*[、,和与及]\s*)*\d{4,5}\s*(?:号|活动区|黑子群|区(?!间))", _numbers),
    pattern("zh", r"(?<![\d.,/+-])(?<!\d:)\d{3}(?:[、和与及]\d{3})*(?=区(?!间)|号(?:活动)?区)"
        r"|(?<=[群区]，)\d{3,4}(?=，)", _numbers),
    pattern("zh", r"[一二三四五六七八九〇零]{3,4}(?=号?区(?![域间]))", _spelt),
    # four digits at the head of a sentence, or in a list of such
    pattern("en",
            r"(?:^|(?<=[.;]\s))\d{4}(?:,\s*\d{4,5})*(?:,?\s+(?:and|or)\s+\d{4,5})?(?=\s+(?:is|was|are|were|lies?"
            r"|has|have|had|sits?|covers?|holds?)\b)", _numbers),
    pattern("zh",
            r"(?:^|(?<=[，。；、]))\d{4}(?:[、和与及,，]\s*\d{4,5})*(?=(?:都|均)?(?:在|位于|为|是|有|属|则|的"
            r"(?:面积|黑子|前导|磁)|面积|黑子|前导|磁))", _numbers),
    # five digits of today's numbers, and four with a leading zero, stand alone
    pattern("", rf"(?<![\d.,:/+A-Za-z-])0\d{{3}}(?![\dA-Za-z/.-]|:\d\d(?!\d|\s*[个颗])){_NO_UNIT}", _numbers),
    pattern("", rf"(?<![\d./+A-Za-z])(?<!(?<!-)-)1[0-4]\d{{3}}(?![\dA-Za-z]|/(?!1\d{{4}})"
        rf"|-\d){_NO_UNIT}{_LIST}", _numbers),
    pattern("", rf"(?<![\d.,/+A-Za-z×~±-])(?<!\d:)[1-9]\d{{3}}(?![\d/×x%°年]|\.\d|:\d\d(?!\d)|-\d){_NO_UNIT}", _near),
    pattern("", rf"(?<![\d./+A-Za-z-])[1-9]\d{{3}}(?=[,，:/\s(]{{1,3}}{_PLACED})", _if_no_area),
    pattern("zh", rf"(?:^|(?<=[。；]))[1-9]\d{{3}}(?=\s*:\s*(?:[αβ]|\d+[个颗]|面积|黑子|[南北]纬|[NS]\d|位于|前导|磁"
            rf"|McIntosh|{_PLACED}))", _numbers),
    pattern("zh", r"(?<![\d年于在自.,:/-])1[6-9]\d\d(?=(?:还|仍|正|则|也|已)?[在是有]|还在|仍|群)", _numbers),
    pattern("en", r"(?<=\bis\s)1[6-9]\d\d(?=,|\s+and\b)", lambda m: _numbers(m) if re.search(r"groups"
        r"|regions", m.string) else None),
]  # fmt: skip

# a number in a sentence about regions, which nothing else has taken: four digits that are no year, no wavelength
_NO_CUE = (
    r"(?<![\d.,:/+A-Za-z(×~±-])(?<!\d\s)(?<!rotation\s)(?<!自转周)(?<!自转)(?<!HARP\s)(?<!CR\s)(?<!CR)(?<!\bin\s(?=19"
    r"|20))(?<!\bsince\s)(?<!\bof\s(?=19|20))"
)
_FOUR = (
    r"(?!1[6-9]\d\d|20\d\d|4096|3072|1600|1700|4500|6173|656[23]|6768|5896|5250|630[12]|5324)[1-9]\d{3}(?![\d:/×x%°]"
    r"|\.\d|-\d)"
)
BARE_NUMBERS: list[Pattern] = [
    pattern("en",
            rf"{_NO_CUE}{_FOUR}(?='s\b|\s*(?:[,;:)(]|\.(?!\d)|$)|\s+(?!(?:to|of|by|square|units|or)\b)[a-z])"
            rf"{_NO_UNIT}", _if_no_area),
    pattern("zh", rf"{_NO_CUE}(?<![到至达约]){_FOUR}(?!\s*(?:个|颗|年|分|秒|度|万|亿|倍|次|人|公里|千米|高斯|时|点"
        rf"|米)){_NO_UNIT}", _if_no_area),
    pattern("en", rf"{_NO_CUE}[1-9]\d\d(?![\d.:]|\s*(?:Å|nm|MSH|millionths|spots))", _like_cued),
    pattern("zh", r"[一二三四五六七八九〇零十]{5}(?![一二三四五六七八九十百千年埃])", _spelt),
]  # fmt: skip
