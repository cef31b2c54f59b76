"""Claims of how many and whether at all: flares, regions, spots. Reads and writes nothing."""

import re
from collections.abc import Callable

from jwvl_lib.claim_grammar import EN_NUMBER, ZH_NUMBER, Found, Pattern, counted, number, pattern


def _count(kind: str) -> Callable[[re.Match], Found]:
    return lambda match: [(kind, counted(match))]


def _none_in_part(match: re.Match) -> Found:
    """No region on the disk; but "none in the north" says nothing of the disk."""
    before = re.split("[，。；]", match.string[: match.start()])[-1]
    return [] if re.search("[南北东西]半球|象限|附近|边缘|东[南北]|西[南北]", before) else [("n_regions", 0)]


def _spots_before(match: re.Match) -> Found | None:
    """A number that leaves its noun out: "AR 12195 has 6 spots, AR 12193 just one"."""
    before = re.split(r"[.。](?!\d)", match.string[: match.start()])[-1]
    return [("n_spots", counted(match))] if re.search(r"spots?\b(?!\s+group)|黑子(?!群)", before, re.I) else None


def _spots_listed(match: re.Match) -> Found:
    """ "黑子数依次为55、130、53": each number at its own place."""
    at = match.start()
    numbers = re.finditer(ZH_NUMBER, match.group())
    return [("n_spots", number(n.group()), (at + n.start(), at + n.end())) for n in numbers]


# --------------------------------------------------------------------------------------------------------------------
# flares

_GOES = r"(?<![A-Za-z\d])(?-i:([ABCMX]))"
_EVENT = (
    r"(?:solar\s+|X-ray\s+|long-duration\s+|impulsive\s+)*(?:flares?|flaring|events?|bursts?|eruptions?"
    r"|activity)\b"
)
_ZH_EVENT = r"(?:特?大|小|中等|强|太阳|X射线|软X射线)*(?:耀斑|爆发|事件)"

FLARES: list[Pattern] = [
    # what M-class flares are in general, and one of another year
    pattern("en",
            rf"{_GOES}[\d.]*(?:[-\s]class)?(?:\s+(?:flare|event))?\s+(?:of|in|from)\s+(?:[A-Z][a-z]+\.?\s+)?"
            rf"(?:19|20)\d\d\b", []),
    pattern("zh", rf"(?:19|20)\d\d年(?:\d{{1,2}}月)?(?:的|那次的?){_GOES}[\d.]*级?", []),
    pattern("en",
            rf"{_GOES}[-\s]class\s+flares?\s+(?:are|is|have|release|last)s?\b(?!\s+(?:been|not|n't|seen|recorded"
            rf"|observed|absent|reported|present))|\bthan\s+(?:an?\s+)?{_GOES}[-\s]class\s+flares?", []),
    pattern("zh", rf"{_GOES}级(?:耀斑)?的(?:峰值|流量|能量|强度|\S{{0,6}}倍)", []),
    pattern("", rf"{_GOES}\s?(\d{{1,2}}\.\d)(?!\d|\.\d)", lambda m: [("flare", m[1] + m[2])]),
    pattern("", rf"{_GOES}(\d{{1,2}})(?![\d.])(?=(?:[-\s]*(?:class|level))?\s*(?:{_EVENT}|级?的?{_ZH_EVENT}))",
            lambda m: [("flare", m[1] + m[2])]),
    pattern("", rf"{_GOES}(?:[-\s]*(?:class|level))\s*(?:{_EVENT})", lambda m: [("flare", m[1])]),
    pattern("", r"(?<![A-Za-z\d])(?-i:([MX]))(\d{1,2})(?![\d.A-Za-z]\w|\.\d)(?!\d)",
            lambda m: [("flare", m[1] + m[2])] if re.search("flare|耀斑", m.string, re.I) else None),
    pattern("en", rf"{_GOES}[-\s]flares?\b", lambda m: [("flare", m[1])]),
    pattern("", rf"{_GOES}\s?(?:级|类)(?:及?以上|或更强)?(?:的)?{_ZH_EVENT}", lambda m: [("flare", m[1])]),
    # no flare at all, of whatever class
    pattern("en",
            r"\b(?:no|without(?:\s+any)?|zero)\s+(?:(?:significant|major|notable|strong|solar|X-ray)\s+)*"
            r"(?:flares?|flaring)\b(?!\s+(?:stations?|kernel|ribbon|above|stronger|greater|larger|of|from|in\s+"
            r"(?:AR|region)))",
            [("flares_seen", "no")]),
    pattern("zh",
            r"(?:没有|无|未见|未曾?发生|未出现|未爆发|没发生|没有发生|没有出现|未记录到|未观测到|未探测到)"
            r"(?:任何|显著|明显|强|大)*的?(?:太阳|X射线)*耀斑",
            [("flares_seen", "no")]),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------------
# regions and spots

_ADJECTIVES = (
    r"(?:\s+(?:NOAA[-\s]?)?(?:numbered|active|sunspot|distinct|separate|visible|main|bright|large|small"
    r"|different|individual"
    r"|NOAA|solar|such|magnetic|spotted|designated|catalogued|identified|spot-bearing)(?:,)?)*"
)
_REGIONS = _ADJECTIVES + r"\s+(?:regions?|(?:sun)?spot\s+groups?|groups?|ARs?)\b(?!\s+of\b)"
_SOME = r"(?:a\s+total\s+of\s+|exactly\s+|only\s+|just\s+|some\s+|about\s+|roughly\s+|around\s+)?"
# "two regions lie in the NE quadrant" counts a part, not the disk
_PART = r"(?:NE|NW|SE|SW|north|south|east|west|limb|upper|lower|left|right)"
_IN_PART = rf"(?!\s+(?:with\s+(?:sun)?spots\s+)?(?:[a-z]+\s+){{0,3}}(?:in|near|on|at|along)\s+the\s+(?:\w+\s+)?{_PART})"
_RANGE = (
    rf"(?P<n>{EN_NUMBER})(?:\s*(?:-|to|or|and)\s*(?P<m>{EN_NUMBER}))?(?P<more>\s*\+|\s+or\s+more)?(?P<fewer>"
    rf"\s+or\s+fewer|\s+or\s+less)?"
)
_ZH_KIND = (
    r"(?:带?有?编(?:了|过)?号的?|已编号的?|带黑子的?|有黑子的?|含黑子的?|活动的?|主要的?|可见的?|明显的?|不同的?"
    r"|太阳|NOAA|独立的?)*\s*(?:活动区|黑子群|(?<=编号)区)"
)
_ZH_COUNT = (
    rf"(?P<n>{ZH_NUMBER})(?:\s*(?:-|到|至|或)"
    rf"\s*(?P<m>{ZH_NUMBER}))?\s*"
)
_ZH_MORE = r"(?:(?P<more>或更多|及以上|以上|或以上)的?)?"
_MEASURE = r"(?:个|处|块|片|组|群|颗|粒)"
_NONE = (
    r"(?:没有|无|不存在|未见|未出现|看不到|看不见|看不出|无法看到|无法看出|无法辨认|找不到|未能看到|未能见到"
    r"|不见|未发现|未观测到|缺乏|没)(?:任何|一个|到|有)*"
)

COUNTS: list[Pattern] = [
    pattern("en",
            rf"\b(?:no|without(?:\s+any)?|free\s+of|devoid\s+of|zero)(?:\s+other)?{_REGIONS}(?!\s+(?:numbered\s+"
            rf"|AR\s*)?\d){_IN_PART}(?:\s+with\s+(?:sun)?spots)?",
            lambda m: [] if "other" in m.group() else [("n_regions", 0)]),
    pattern("en",
            r"\b(?:no|without(?:\s+any)?|free\s+of|devoid\s+of|lacks?(?:\s+any)?)(?:\s+(?:visible|discernible))?"
            r"\s+(?:sun)?spots?\b(?!\s*groups?)" + _IN_PART + r"|\bspot(?:less|-free)\b"
            r"|\bnot\s+a\s+single\s+(?:sun)?spot\b(?!\s+group)|\b(?:sun|disk|disc)\s+(?:is|was|looks?|appears?)"
            r"\s+(?:completely\s+|entirely\s+)?blank\b|\bblank\s+(?:sun|disk|disc)\b",
            [("spots_visible", "no")]),
    pattern("en",
            rf"(?:\bnot|n't)\s+(?:see\s+|show\s+|have\s+|contain\s+|find\s+|detect\s+|make\s+out\s+)?(?:any|a"
            rf"\s+single)(?:\s+visible)?\s+(?:sun)?spots?\b(?!\s+group){_IN_PART}"
            r"|\bcannot\s+(?:see|find|make\s+out)\s+any\s+(?:sun)?spots?\b(?!\s+group)", [("spots_visible", "no")]),
    pattern("en",
            rf"(?:\bnot|n't)\s+(?:see\s+|show\s+|have\s+|contain\s+|find\s+|detect\s+|host\s+)?(?:any|a"
            rf"\s+single){_REGIONS}{_IN_PART}"
            rf"|\bcannot\s+(?:see|find|make\s+out)\s+any{_REGIONS}{_IN_PART}", [("n_regions", 0)]),
    pattern("en", rf"\b{_SOME}(?:between\s+)?{_RANGE}{_REGIONS}{_IN_PART}", _count("n_regions")),
    pattern("en",
            rf"\b(?P<n>{EN_NUMBER})\s+of\s+(?:them|which|these)\s+(?:are\s+|is\s+)?numbered", _count("n_regions")),
    pattern("en", rf"\bthe\s+(?:only|sole|single|lone){_REGIONS}", [("n_regions", 1)]),
    pattern("en",
            rf"\b(?:has|had|have|with|shows?|contains|holds|just|only|counts|and|as\s+many\s+as|(?<=\d{{5}})|"
            rf"(?<=\d{{4}}))\s+(?:only\s+|just\s+|about\s+|a\s+mere\s+)?"
            rf"(?P<n>{EN_NUMBER})(?=\s+of\s+them|\s*[;,)]|\.(?!\d)|$|\s+(?:and|but|while)\b)", _spots_before),
    pattern("en", r"\bneither\s+(?:sun)?spots\b(?!\s+group)", [("spots_visible", "no")]),
    pattern("en",
            rf"\b(?:a\s+single|only\s+one|a\s+lone|just\s+one|a\s+solitary){_REGIONS}{_IN_PART}", [("n_regions", 1)]),
    pattern("en",
            rf"\b(?:number|count)\s+of{_ADJECTIVES}\s+(?:regions|groups|ARs)(?:\s+on\s+the\s+dis[ck])?\s*(?:is"
            rf"|was|:|=|stands\s+at|equals)\s*(?P<n>{EN_NUMBER})",
            _count("n_regions")),
    pattern("en", rf"\b(?:sun)?spots\s*:\s*(?:between\s+)?{_RANGE}(?![\w.])", _count("n_spots")),
    pattern("en",
            rf"(?:between\s+)?(?P<n>{EN_NUMBER})(?:\s*(?:-|to|or|and)\s*(?P<m>{EN_NUMBER}))?"
            rf"(?:\s+(?:visible|individual|separate|distinct|small|counted|dark))*\s+(?:sun)?spots\b(?!"
            rf"\s+groups?)",
            _count("n_spots")),
    pattern("en",
            r"\b(?:a\s+single|only\s+one|just\s+one|one|1)\s+(?:visible\s+|individual\s+)?(?:sun)?spot\b(?!"
            r"\s+groups?)", [("n_spots", 1)]),
    pattern("en",
            rf"\b(?:spot\s+count|number\s+of\s+(?:sun)?spots)(?=(?:\s+(?:of|in|for)\s+[^,.;:]{{1,25}}?)?\s*(?:"
            rf"\bis|\bwas|\bof|:|=|stands\s+at|reaches)\s*(?P<n>{EN_NUMBER}))", _count("n_spots")),
    pattern("en",
            r"\b(?:a\s+(?:lone|solitary|single|small)|its\s+only)\s+(?:sun)?spot\b(?!\s+group)", [("n_spots", 1)]),
    pattern("en", r"\b(?:sun)?spots?\s+(?:is|are|can\s+be|cannot\s+be|can't\s+be)\s+(?P<no>not\s+)?(?:visible|seen)",
            lambda m: [("spots_visible", "no" if "not" in m.group() or "can't" in m.group() else "yes")]),
    pattern("zh", rf"第\s*{ZH_NUMBER}\s*{_MEASURE}", []),
    pattern("zh",
            r"(?<=\d{4})\s*(?:这|共|等)?(?P<n>[二两三四五六七八九十]|\d)个(?=[，。,.;；]|$)", _count("n_regions")),
    pattern("zh", rf"{_NONE}\s*{_ZH_KIND}(?:位于|在|处于|落在|分布在)", []),
    pattern("zh", rf"{_NONE}\s*{_ZH_KIND}", _none_in_part),
    pattern("zh",
            rf"{_NONE}(?:可见的?|明显的?)*(?:太阳)?黑子(?!群|数)|黑子(?:均|都)?(?:不可见|看不见|看不到)|无黑子",
            [("spots_visible", "no")]),
    pattern("zh",
            r"(?:一个|任何|连一个)?(?:可见的?)?(?:太阳)?黑子(?:也|都|均)(?:没有|看不到|不见|看不见|无)",
            [("spots_visible", "no")]),
    pattern("zh", rf"(?:一个|任何|连一个){_ZH_KIND}(?:也|都|均)(?:没有|看不到|不见|无)", [("n_regions", 0)]),
    pattern("zh",
            r"(?:可以?看到|可见到?|能看到|看得到|看得见)(?:明显的?)?(?:太阳)?黑子(?!群)|(?<!无)黑子(?:清晰)?可见",
            [("spots_visible", "yes")]),
    pattern("zh", rf"{_ZH_COUNT}{_MEASURE}?\s*{_ZH_MORE}(?:个)?\s*{_ZH_KIND}", _count("n_regions")),
    pattern("zh", rf"{_ZH_COUNT}群\s*{_ZH_MORE}(?:太阳)?黑子", _count("n_regions")),
    pattern("zh", rf"(?:唯一|仅有)(?:的)?(?:一个)?{_ZH_KIND}", [("n_regions", 1)]),
    pattern("zh",
            rf"(?:活动区|黑子群)(?:的)?(?:数目?量?|个数|总数)?\s*(?:共|总共|一共|有|为|是|达|:|共有|计)"
            rf"\s*{_ZH_COUNT}(?:个|处|群|块)?(?=\s*(?:[，。,.;；、)]|$))", _count("n_regions")),
    pattern("zh",
            rf"(?<=黑子)(?:的)?(?:数目?量?|个数)?(?:依次|分别|各)(?:为|是|有)\s*{ZH_NUMBER}[个颗]?(?:\s*"
            rf"[、,，和与]\s*{ZH_NUMBER}[个颗]?)+", _spots_listed),
    pattern("zh", rf"(?P<n>{ZH_NUMBER})\s*[个颗](?=\s*(?:[，。,;；、)]|\.(?!\d)|$))", _spots_before),
    pattern("zh",
            rf"{_ZH_COUNT}{_MEASURE}\s*{_ZH_MORE}(?:可见的?|大小不一的?|大小|独立的?|大|小|左右的?)*\s*"
            rf"(?:太阳)?黑子(?!群)", _count("n_spots")),
    pattern("zh",
            rf"黑子(?:的)?(?:数目?量?|个数|总数)?\s*(?:共|总共|有|为|是|达|:|共有|约|计)*\s*{_ZH_COUNT}(?:个"
            rf"|颗)?(?![号年\d])", _count("n_spots")),
]  # fmt: skip
