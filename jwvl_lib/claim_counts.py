"""Claims of how many and whether at all: regions and spots. Reads and writes nothing."""

import re

from jwvl_lib.claim_grammar import EN_NUMBER, UPPER, ZH_NUMBER, Pattern, pattern
from jwvl_lib.claim_tally import (
    answered,
    at_number,
    between,
    count,
    excepted,
    if_spots,
    listed,
    none_in_part,
    noun_before,
    only_one,
    the_rest,
    visible,
)

# --------------------------------------------------------------------------------------------------------------------
# English: a number, any adjectives, a noun

# what ends a row of adjectives
_NO_ADJECTIVE = (
    r"(?!(?:of|in|on|at|the|to|by|from|for|per|with|as|than|into|over|under|between|around|about|a|an|this|that|these"
    r"|those|its|their|is|are|was|were|be|has|have|had|which|who|where|when|but|or|nor|versus|vs|spots?|sunspots?"
    r"|regions?|groups?|ARs?|degrees?|deg|millionths?|MSH|flares?|days?|hours?|minutes?|times|years?|UT|UTC|percent"
    r"|no|holes?|filaments?|prominences?|plages?|coronal|north|south|east|west|class|new|lies?|sits?|covers?|hosts?|shows?|holds?|carries|areas?|umbrae"
    rf"|{EN_NUMBER})\b)"
)
ADJECTIVES = rf"(?:(?:\s+and|,)?\s+{_NO_ADJECTIVE}[A-Za-z][A-Za-z'/-]*){{0,4}}?"
_REGION = (
    r"(?:(?:sun)?spot[-\s]+(?:groups?|regions?|clusters?)|(?:spot|active)-regions?|groups?(?:\s+of\s+(?:sun)?spots)?"
    r"|regions?(?!\s+of\b)|ARs?)\b(?!\s*#?\d|-)"
)
_REGIONS = rf"{ADJECTIVES}\s+{_REGION}"
_SPOT = (
    r"(?:sun)?spots?\b(?!\s*-?(?:groups?|regions?|clusters?|number|count|area|cycle|class|maximum|minimum"
    r"|pairs?)\b)"
)
_SPOTS = rf"{ADJECTIVES}\s+{_SPOT}"
# "two regions lie in the NE quadrant" counts a part, not the disk
_PART = r"(?:NE|NW|SE|SW|(?:north|south|east|west)(?!\w*\s+limb)|upper|lower|left|right)"
IN_PART = rf"(?!\s+(?:with\s+(?:sun)?spots\s+)?(?:[a-z]+\s+){{0,3}}(?:in|near|on|at|along)\s+the\s+(?:\w+\s+)?{_PART})"
# "no region produced a flare" is not "no region"
DOES = (
    r"(?!\s+(?:has|have|had)?\s*(?:produc|flar|erupt|launch|exceed|reach|chang|gr[eo]w|decay|beyond|larger|other"
    r"|except|apart|besides|lies|lay|sits)\w*)"
)
RANGE = (
    rf"(?:(?:between|from)\s+)?(?P<n>{EN_NUMBER})(?:\s*(?:-|to|or|and|,\s*(?:at\s+most|maybe|perhaps"
    rf"|possibly))\s*(?P<m>{UPPER}))?(?P<more>\s*\+"
    r"|\s+or\s+more|[-\s](?:odd|plus)\b)?(?P<fewer>\s+or\s+fewer|\s+or\s+less)?"
)
NONE = (
    r"(?:\b(?:no|zero|(?:the\s+)?absence\s+of(?:\s+any)?|nobody\s+(?:saw|sees|found|could\s+(?:see"
    r"|find))(?:\s+(?:any|an?))?|without(?:\s+(?:any|a(?:\s+single)?))?|(?:free|devoid|empty|clear|bare)\s+(?:of"
    r"|from)(?:\s+(?:any|all))?"
    r"|lack(?:s|ing)?(?:\s+any)?|not\s+(?:a|one)(?:\s+single)?|no\s+(?:sign|trace|hint)s?\s+of(?:\s+(?:any|an?))?"
    r"|(?:can(?:not|'t)|could\s*n[o']t|(?:is|are|was|were|do|does|did)(?:\s+not|n't))(?:\s+\w+){0,2}?\s+(?:any"
    r"|a\s+single))"
)
NONE += r")"
_SEEN = (
    r"(?:visible|seen|present|discernible|apparent|evident|observed|made\s+out|detected|found|recognisable"
    r"|recognizable|noticeable|distinguishable|identifiable)"
)
_TALLY = r"(?:count|number|total|tally)"
_IS = (
    r"\s*(?:,?\s*which\s+)?(?:\bis|\bwas|\bare|\bof|:|=|\bstands?\s+at|\breaches|\bequals|\bcomes\s+to"
    r"|\bamounts\s+to|\bgiven\s+as"
    r"|\bput\s+at|\b(?:rose|grew|fell|dropped|increased)\s+to|,|\()\s*"
)
_IS += r"(?:(?:an?|only|just|modest|mere|impressive|exactly|about|roughly|around|given|as|at|about|some)\s+)*"

_THAT = r"(?!\s+(?:to\b|that\s+(?!is|can)|which\s+(?!is|can)|with\s+(?!(?:sun)?spots)|capable|showing|producing))"
_ASKED = r"\b(?:how\s+many|any)"
_REPLY = rf"[^?]{{0,40}}\?[\s\"]*(?:[A-Z]:)?[\s\"]*(?P<answer>(?P<n>{EN_NUMBER})(?![\w.,:]*\d)|none\b|no\b)"

EN_COUNTS: list[Pattern] = [
    # stretches and days without spots are not this disk
    pattern("en", rf"\b(?:sunspot|wolf|relative)\s+(?:sunspot\s+)?number\b(?:{_IS})?\s*(?:{EN_NUMBER})?", []),
    pattern("en", r"\bspot(?:less|-free)\s+(?:days?|stretch\w*|runs?|periods?|spells?|weeks?|months?|streaks?)", []),
    pattern("en", r"\b(?:stretch\w*|periods?|runs?|spells?|days|weeks|months)\s+without\s+(?:sun)?spots", []),
    pattern("en", rf"\bof\s+(?:numbered\s+|active\s+)*(?:regions|groups)\s+there\s+(?:is"
        rf"|are)\s+{RANGE}", count("n_regions")),
    # a question and its answer
    pattern("en", rf"{_ASKED}{ADJECTIVES}\s+(?:regions|groups|ARs)\b{_REPLY}", answered("n_regions", ("n_regions", 0))),
    pattern("en", rf"{_ASKED}{ADJECTIVES}\s+{_SPOT}{_REPLY}", answered("n_spots", ("spots_visible", "no"))),
    pattern("en", rf"{NONE}{ADJECTIVES}\s+(?:new|other|further|additional){_REGIONS}", the_rest),
    pattern("en", rf"{NONE}{_REGIONS}(?:\s+numbers?)?(?!\s+(?:numbered\s+"
        rf"|AR\s*)?\d){IN_PART}{DOES}(?:\s+with\s+(?:sun)?spots)?",
            lambda m: the_rest(m) if re.search(r"\b(?:other|new"
            r"|further)\b", m.group()) or excepted(m) else none_in_part(m)),
    pattern("en", rf"\b(?:north|south|east|west)ern\s+(?:hemisphere|half)\s+(?:[a-z]+\s+){{0,3}}?{NONE}{_SPOTS}", []),
    pattern("en",
            rf"{NONE}{_SPOTS}{IN_PART}{DOES}|\bspot(?:less|-free)\b|\bneither\s+(?:sun)?spots\b(?!\s+group)"
            r"|\b(?:sun|sun's\s+face|solar\s+face|disk|disc|photosphere)\s+(?:is|was|looks?|appears?|remains?)\s+"
            r"(?:(?!near|virtual)\w+ly\s+)?blank\b|\bblank\s+(?:sun|disk|disc)\b",
            [("spots_visible", "no")]),
    pattern("en", rf"\bnor(?:\s+any)?{_REGIONS}", [("n_regions", 0)]),
    pattern("en", rf"\bnor(?:\s+any)?{_SPOTS}", [("spots_visible", "no")]),
    pattern("en", r"\b(?:active\s+)?(?:regions|groups)\s*[:?]\s*(?:none|nil|no)\b", [("n_regions", 0)]),
    pattern("en", r"\b(?:sun)?spots\s*[:?]\s*(?:none|nil|no)\b", [("spots_visible", "no")]),
    pattern("en", r"\b(?:sun)?spots?\s+(?:is|are|were|was)\s+(?:entirely\s+|completely\s+)?(?:absent|missing|lacking"
            r"|nowhere)", [("spots_visible", "no")]),
    pattern("en", r"\b(?:active\s+)?regions\s+(?:is|are|were|was)\s+(?:entirely\s+|completely\s+)?(?:absent|missing"
            r"|lacking|nowhere)", [("n_regions", 0)]),
    pattern("en", rf"\b(?:spot\s+counts|counts|numbers\s+of\s+(?:sun)?spots)\b[^.;]{{0,60}}?\b(?:are|were|of|at)\s+"
        rf"(?P<list>{EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+and\s+{EN_NUMBER})(?:,?\s+respectively|\.|$)",
            listed("n_spots"), over=True),
    pattern("en", rf"\b(?:spot[-\s]+(?:counts?|numbers?|total)|numbers?\s+of\s+(?:sun)?spots)\b[^.;]{{0,40}}?\bfrom\s+"
            rf"{EN_NUMBER}\s+to\s+"
            rf"(?P<n>{EN_NUMBER})", count("n_spots"), over=True),
    pattern("en", rf"(?<!between\s){EN_NUMBER}(?:\s*,\s*{EN_NUMBER})*,?\s+(?:and|vs\.?"
        rf"|versus)\s+{EN_NUMBER}{_SPOTS}", listed("n_spots")),
    pattern("en", rf"\b(?:of|all|our|these|those)\s+(?:the\s+|our\s+)?(?P<n>{EN_NUMBER})"
        rf"{_REGIONS}", count("n_regions"), over=True),
    pattern("en", rf"{RANGE}{_REGIONS}{IN_PART}", count("n_regions"), over=True),
    pattern("en", rf"\b(?P<n>{EN_NUMBER})\s+(?:of\s+(?:them|which|these|those)\s+)?(?:are\s+|is\s+|were\s+|being\s+)?"
            r"numbered\b(?!\s+\w+)", count("n_regions")),
    pattern("en", rf"\b(?:the|its|an?)\s+(?:only|sole|single|lone"
            rf"|solitary){_REGIONS}{IN_PART}{_THAT}", [("n_regions", 1)]),
    pattern("en", rf"\b(?:only|just)\s+(?:a|the)\s+single{_REGIONS}{IN_PART}", [("n_regions", 1)]),
    pattern("en",
            rf"\b{_TALLY}\s+of{ADJECTIVES}\s+(?:regions|groups|ARs|(?:sun)?spot\s+groups)\b[^,.;:=\d]{{0,30}}?{_IS}"
            rf"(?P<n>{EN_NUMBER})(?!\d|\s+(?:sun)?spots)", count("n_regions")),
    pattern("en", rf"\b(?:region|group|AR)s?[-\s]+{_TALLY}\b[^,.;:=\d]{{0,30}}?{_IS}(?P<n>{EN_NUMBER})(?!\d)",
            count("n_regions")),
    pattern("en", rf"\b(?:regions|groups|ARs)(?:\s+(?:on|in)\s+\w+(?:\s+dis[ck])?|\s+(?:numbered|visible|present"
        rf"|today))*\s*[:=]"
            rf"\s*{RANGE}(?![\w/:])", count("n_regions")),
    pattern("en", rf"\b(?:regions|groups|ARs)\s+(?:number|total)\s+{RANGE}(?!\d)", count("n_regions")),
    pattern("en", rf"\b(?:sun)?spots\s*[:=~≈]\s*{RANGE}(?!\w|\.\d)", count("n_spots")),
    pattern("en", rf"\b(?:sun)?spots\s+(?:number|total|numbered)\s+{RANGE}(?!\w|\.\d)", count("n_spots")),
    pattern("en", rf"(?P<n>{EN_NUMBER})\s+(?:out\s+)?of\s+(?:the|all"
            rf"|its)\s+{EN_NUMBER}{ADJECTIVES}\s+{_SPOT}", count("n_spots")),
    pattern("en", rf"{RANGE}{ADJECTIVES}\s+{_SPOT}", count("n_spots"), over=True),
    pattern("en", rf"\b(?:an?|its|the)\s+(?:only|lone|solitary|single|isolated){ADJECTIVES}\s+{_SPOT}",
            [("n_spots", 1)], over=True),
    pattern("en", rf"\bthere\s+(?:is|are)\s+(?:only\s+|just\s+)?(?P<n>{EN_NUMBER})(?=\s*(?:[.,;]|$))", noun_before),
    pattern("en", rf"\bnumber\s+of{ADJECTIVES}\s+(?:coronal\s+holes"
        rf"|filaments)\b[^.;\d]{{0,24}}?{_IS}(?P<n>{EN_NUMBER})", noun_before),
    pattern("en", rf"\b(?:I|we|one)\s+(?:can\s+|could\s+)?(?:count|see|find|identify|make\s+out"
            rf"|make)s?\s+(?:(?:at\s+(?:least|most)"
            rf"|no\s+fewer\s+than|more\s+than|about|some|roughly|exactly|only|just|perhaps|maybe|around)\s+)?{RANGE}"
            rf"(?:\s+of\s+them)?(?=\s*(?:[.,;]|$|and\b))", noun_before),
    pattern("en", rf"(?P<n>{EN_NUMBER})\s+of\s+them(?=\s*:\s*(?:AR|NOAA|\d{{4}}))", count("n_regions")),
    pattern("en", rf"{RANGE}\s+of\s+(?:them|these|those)\b(?!\s+(?:is|are|was|were|lies?|has|have|trans"
        rf"|nearly|large))", if_spots),
    pattern("en", rf"(?P<n>{EN_NUMBER})\s+(?:were|was|are)\s+(?:reported|counted|recorded|noted|listed|drawn"
        rf"|seen)\b", if_spots),
    pattern("en", rf"\b(?:sun)?spots,?\s+(?:numbering\s+)?(?P<n>{EN_NUMBER})\s+(?:in\s+number|strong|altogether"
            rf"|in\s+total)\b",
            count("n_spots")),
    pattern("en", rf"\b(?:sun)?spots\s*\((?P<n>{EN_NUMBER})\)", count("n_spots")),
    pattern("en", rf"(?P<n>{EN_NUMBER})\s+in\s+all\b", noun_before),
    pattern("en", rf"(?P<n>{EN_NUMBER})-spot(?:ted)?\b", count("n_spots")),
    pattern("en", rf"\b(?:count|tally)(?=(?:\s+(?:for|in|of)\s+[^,.;:]{{1,20}}?)?{_IS}(?P<n>{EN_NUMBER})(?!\d)"
        rf")", if_spots),
    pattern("en", rf"\b(?:(?:sun)?spot[-\s]+(?:counts?|total|tally)|{_TALLY}\s+of{ADJECTIVES}\s+(?:sun)?spots)(?="
            rf"(?:\s+(?:of|in|for|at|there|here|within)\b[^,.;:=]{{0,30}}?"
            rf"|\s*)?{_IS}(?P<n>{EN_NUMBER})(?!\d))", count("n_spots")),
    pattern("en", rf"\b(?:several|some|many|a\s+few|numerous|multiple){ADJECTIVES}\s+{_SPOT}\s+(?:dot|mark|pepper"
            rf"|litter|appear|speckle)\b",
            [("spots_visible", "yes")]),
    pattern("en", rf"\b(?:sun)?spots?(?:\s+with\s+[a-z\s,]{{1,40}}?)?\s+(?:is|are|was|were|can|could|cannot"
            rf"|can't)(?:\s+(?:be|not|clearly|easily"
        rf"|readily"
            rf"|plainly|hardly))*\s+{_SEEN}\b", visible),
    pattern("en", r"\b(?:there\s+are|shows?|displays?|reveals?|features?|can\s+(?:see|make\s+out)|sees?|notices?"
        r"|contains?"
            r"|spots?|dotted\s+with|marked\s+by|peppered\s+with)\s+(?:clearly\s+)?(?:several|some|many|a\s+(?:few"
            r"|number\s+of"
            r"|handful\s+of)|numerous|clear|obvious|multiple|dark|visible|large|small|prominent)"
            rf"{ADJECTIVES}\s+{_SPOT}", [("spots_visible", "yes")]),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------------------
# Chinese: a number, a measure word, anything short, a noun

ANY = (
    r"[^，。；：、,;:()（）\d之一二两三四五六七八九十在有为是和与无没未"
    r"]"
)  # a word that neither counts nor ends a phrase
_KIND = (
    r"(?:活动区|黑子群|黑子区|太阳黑子群|编号的?区|(?<=个)区(?![域间])|(?<![那这该]个)(?<=个)(?:AR(?!\s*\d)"
    r"|群(?=[，。]|$))|编号黑子(?!数))"
)
_MEASURE = r"(?:个|处|块|片|组|群|颗|粒|枚|座)"
ZH_N = rf"(?P<n>{ZH_NUMBER}|[俩仨])(?:\s*(?:[-~]|到|至|或)\s*(?P<m>{UPPER}))?\s*(?P<over>[多余来])?"
_MORE = r"(?:(?P<more>或更多|及以上|以上|或以上)的?)?"
NO = (
    r"(?:没有|不存在|未见|未出现|看不到|看不见|看不出|无法看到|无法看出|无法辨认|找不到|未能看到|未能见到"
    r"|不见|未找到|找不出|没能?(?:找到|看到|见到|发现)|见不到|未发现|未观测到|未检测到|缺乏|没|无)(?:任何|一个"
    r"|一颗|一群|一处|一丝|一点|到|有|出|看到|看见|见到|观测到"
    r"|发现|检测到|找到|半个)*"
)
END = r"(?=\s*(?:[，。,:;；、()）!！吧呢]|\.(?!\d)|$|左右|上下|以上|之多))"
COUNTED = (
    r"(?:在|介于|共|总共|一共|总计|共计|合计|有|为|是|达|到|仅|只|:|约|大约|计|多达|高达|达到|等于|包含|包括|的|不足"
    r"|我[说看猜数]|数[出得到]|也许|可能|大概|应该|似乎|估计|或许|多半|不到|不少于|至少|至多|最多|超过|恰|近|将近|几乎|恰好|恰为|分为"
    r"|起来)"
)

_ZH_REPLY = (
    rf"[^？?。]{{0,10}}[？?][\s\"」]*(?:答:|[A-Z]:)?[\s\"「]*(?P<answer>{ZH_N}[个颗]?(?=[，。,]|$)"
    rf"|一[个颗]也?没有|没有|无)"
)

ZH_COUNTS: list[Pattern] = [
    pattern("zh", r"无黑子(?:的)?(?:天数?|日数?|期)", []),
    pattern("zh", rf"第\s*{ZH_NUMBER}\s*{_MEASURE}|(?:国际|沃尔夫|苏黎世|平滑"
            rf"|月均)(?:太阳)?黑子(?:相对)?数{ANY}{{0,3}}?[为是]?\s*{ZH_NUMBER}"
            rf"|黑子相对数{ANY}{{0,3}}?[为是]?\s*{ZH_NUMBER}", []),
    # the group that strikes the eye is one of however many
    pattern("zh", rf"(?<![只仅就])[有被]一(?:个|群|片|块|处)[^，。；只仅]{{0,8}}?(?:[大显]|突出|复杂|明亮"
            rf"|醒目)[^，。；]{{0,6}}?{_KIND}", []),
    pattern("zh", rf"(?:少则|从|在){ZH_N}[个颗条]?[，,]?(?:多则(?P<m2>{ZH_NUMBER})[个颗条]?)?(?:不等|之间)?", between),
    pattern("zh", rf"(?:另|同|某|每|这|那|是|为|作为|之)一{_MEASURE}{ANY}{{0,8}}?(?:活动区|黑子群|区)", only_one),
    pattern("zh", r"(?<=\d{4})\s*(?:这|共|等)?(?P<n>[二两三四五六七八九十]|\d)[个群](?:活动区|编号)?(?=[，。,.;；]"
        r"|$)", count("n_regions")),
    pattern("zh", rf"(?:(?:有?几个|多少个?){_KIND}|{_KIND}(?:呢|吗|有?几个|有?多少个?)){_ZH_REPLY}",
            answered("n_regions", ("n_regions", 0))),
    pattern("zh", rf"(?:(?:有?几[个颗]|多少[个颗]?)黑子(?!群)|黑子(?!群)数?(?:呢|吗|是?多少|有?几[个颗])){_ZH_REPLY}",
            answered("n_spots", ("spots_visible", "no"))),
    pattern("zh", rf"{NO}{ANY}{{0,6}}?{_KIND}(?:是|属|具有|含|达到|能|会|像|位于|在|处于|落在|分布在|爆发|产生)", []),
    pattern("zh", rf"(?:无|没有)黑子的{ANY}{{0,3}}?{_KIND}", []),
    pattern("zh", rf"{NO}{ANY}{{0,6}}?{_KIND}",
            lambda m: the_rest(m) if re.search("新|其[他它余]|别的|更多", m.group()) else none_in_part(m)),
    pattern("zh", rf"(?:一{_MEASURE}|任何|连一{_MEASURE}){ANY}{{0,4}}?{_KIND}(?:也|都|均)(?:没有?|未|看不到|不见|无"
        rf"|不存在)", [("n_regions", 0)]),
    pattern("zh", r"(?:[今当这][天日]|该日)[^，。；]{0,4}无黑子日|又是一?个?无黑子日", [("spots_visible", "no")]),
    pattern("zh", r"黑子一打|一打(?:\([^)]*\))?小?黑子", [("n_spots", 12)]),
    pattern("zh", rf"{_KIND}(?:数目?|情况)?\s*:\s*(?:无|没有)", [("n_regions", 0)]),
    pattern("zh", r"黑子(?:数目?|情况)?\s*:\s*(?:无|没有)", [("spots_visible", "no")]),
    pattern("zh", rf"{_KIND}(?:均|都)?(?:不存在|全无|一个也没有)", [("n_regions", 0)]),
    pattern("zh", rf"{NO}(?:明显的?)?(?:[后尾]随|前导|卫星|附属|反极性|伴)的?黑子", []),
    pattern("zh",
            rf"{NO}{ANY}{{0,5}}?黑子(?!群|数|区)|黑子(?:均|都|也)?(?:不可见|看不见|看不到|全无|不存在|消失)"
            rf"|[无没]有?(?:黑子|斑点)(?!天|日|期)|无斑",
            [("spots_visible", "no")]),
    pattern("zh",
            rf"(?:一{_MEASURE}|任何|连一{_MEASURE})?(?:可见的?)?(?:太阳|小)?黑[子点](?:也|都|均)(?:没有?|未|看不到"
            rf"|找不到|找不着|不见"
            rf"|看不见|无)",
            [("spots_visible", "no")]),
    pattern("zh",
            r"(?:可以?(?:清[楚晰]地?)?看[到见]|可(?:清[楚晰])?见到?|能(?:清[楚晰]地?)?看[到见]|看得[到见]|分布着"
            r"|出现了?|存在|显示出?)"
            r"(?:有|明显|清晰|若干|一些|几|多|数|许多|不少|大|小|个|颗|的|深色|暗|可见)*(?:太阳)?黑子(?!群|区|数)"
            r"|有(?:明显|清晰|若干|一些|几|多|数|许多|不少|大|小|个|颗|的|可见)+(?:太阳)?黑子(?!群|区|数)"
            r"|(?:散布|点缀|遍布|分布)[着有]?(?:一些|几[个颗]|若干|许多|众多|不少|数[个颗]|[大小])+的?黑子(?!群|区|数)"
            r"|(?:^|[，。]|图[中上]|日面上?)(?:有|存在)(?:太阳)?黑子(?=[，。]|$)"
            r"|(?<!无)黑子(?:清[晰楚]|明显|依稀|隐约|十分|非常)*可[见辨]", [("spots_visible", "yes")]),
    pattern("zh", r"(?<![\d号第])(?P<n>[两三四五六])区(?![域间号])", count("n_regions")),
    pattern("zh", rf"(?<=[，。]){ZH_N}群(?=[，。])", count("n_regions")),
    pattern("zh", rf"(?<=[，,])(?:只?有|仅有?|就|只剩|达到?|多达|高达|共有|约为?){ZH_N}(?:个|颗){END}", noun_before),
    pattern("zh", rf"(?<=[，,])[^，。；\d]{{0,5}}?(?:检测?出|检测到|识别出|辨认出|认出|数出|标出|圈出|找到"
            rf"|看到)(?:至少|大?约|大概)?{ZH_N}(?:个|条|处|块|片){END}",
            noun_before),
    pattern("zh", rf"共(?:有|计)?(?P<n>{ZH_NUMBER})个(?=\s*[:(]\s*(?:AR|NOAA|\d{{4}}))", count("n_regions")),
    pattern("zh", rf"(?<=[，,])(?:总|一)?共(?:有|计)?{ZH_N}(?:个|条|处){END}", noun_before),
    pattern("zh", rf"{ZH_N}(?:{_MEASURE}\s*{_MORE}(?:个)?\s*{ANY}{{0,9}}?|(?:带黑子的?|编号|活动|太阳|主要|NOAA"
        rf"|大)*){_KIND}", count("n_regions")),
    pattern("zh", rf"{ZH_N}[群组]\s*{_MORE}{ANY}{{0,6}}?黑子", count("n_regions")),
    pattern("zh", rf"{ZH_N}个?群(?=之?中|里|当中)", count("n_regions")),
    pattern("zh", rf"(?:唯一|仅有|只有)(?:的)?(?:一个)?{_KIND}", [("n_regions", 1)]),
    pattern("zh", rf"(?:活动区|黑子群|编号的?区)(?:的)?(?:数目?量?|个数|总数"
        rf"|编号)?{ANY}{{0,6}}?{COUNTED}*\s*{ZH_N}(?:个|处|群|块)?(?!\d"
        rf"|[号区个颗]|[个颗]?黑子){END}",
            lambda m: at_number(count("n_regions"))(m) if len(m["n"]) < 4 else None),
    pattern("zh", rf"(?<=黑子)(?:的)?(?:数目?量?|个数)?(?:依次|分别|各)(?:为|是|有)?\s*{ZH_NUMBER}[个颗]?(?:\s*"
            rf"[、,，和与]\s*{ZH_NUMBER}[个颗]?)+", listed("n_spots")),
    pattern("zh", rf"{ZH_NUMBER}[个颗]?(?:\s*[、和与]\s*{ZH_NUMBER}[个颗]?)+(?:可见|大小)?(?:太阳)?黑子(?!群"
        rf"|区)", listed("n_spots")),
    pattern("zh", rf"{ZH_NUMBER}[个颗](?:太阳)?黑子[之当]?中[,，]?有?(?P<n>{ZH_NUMBER})[个颗"
            rf"]", at_number(count("n_spots"))),
    pattern("zh", rf"黑子(?:数目?|个数)?\({ZH_N}[个颗]?(?=[)，,])", count("n_spots")),
    pattern("zh", rf"{ZH_N}{_MEASURE}\s*{_MORE}{ANY}{{0,7}}?黑子(?!群|区)", count("n_spots")),
    pattern("zh", rf"黑子(?!群|区|相对数){ANY}{{0,6}}?{COUNTED}*\s*{ZH_N}(?:个|颗"
        rf"|枚)?(?![号年月\d:：群组区埃])", count("n_spots")),
    pattern("zh", r"(?:孤立的?|单独的?|唯一的?)?(?:单个|单颗|孤立|一个孤立的?|孤零零的?一?[个颗]?)的?(?:小"
        r"|大)?黑子(?!群)", [("n_spots", 1)]),
]  # fmt: skip

COUNTS: list[Pattern] = EN_COUNTS + ZH_COUNTS
