"""What a sentence denies. Reads and writes nothing; works on plain text and what the patterns found in it."""

import re
from collections.abc import Sequence

from jwvl_lib.claim_scope import REGION_KINDS

_NEGATOR = (
    r"\bwhat\b[^.;]{0,50}?\b(?:does|do|did)\s*(?:not|n't)\s+\w+\s+is\b|\bnor\s+(?:is|was|are|were|does|did"
    r"|has)\s+\w+\b|\bnone\s+of\s+[^,;]{1,30}?\s(?:is|are|was|were|has|have|produced|shows?|showed|exceeded|reached|hosts?)\b|\bshort\s+of\b|\bdoubt(?:ful)?\b|\bunlikely\s+(?:to|that)\b"
    r"|\bno\s+evidence\s+(?:that|of|for)\b[^,;]{0,30}|没有证据(?:表明|显示)[^，。；]{0,12}|不认为[^，。；]{0,10}"
    r"|\b(?:no|not|never|nor|neither|without|hardly|lacks?|lost)\b|\b(?:is|are|was|were|does|did|do|has|have|had"
    r"|could|ca"
    r"|would|wo|need)n'?t\b|\bcannot\b|\brather\s+than\b|\b(?:instead|as\s+opposed)\s+(?:of|to)\b|\bno\s+longer\b"
    r"|\bfails?\s+to\b|\b(?:by\s+no\s+means|far\s+from|anything\s+but)\b"
    r"|而?并?不(?:再|可能|太可能|大可能|太|大|像|算)?(?:是|为|在|属于|属|位于|来自|显示|呈现?|具有|具备|对应|处于|含|由"
    r"|应(?:是|为)?"
    r"|能|会|可能|像|算)|并?非(?!常)|[并也]?(?:没有|没|未曾?|无(?!论|关))|绝非|而非|排除|与其说是?|毫不"
    r"|不像[^，。；]{0,12}那[样么]|[见看找]不[到见出]|[算称谈够]不上|达不到|差一?点(?:儿)?就?(?:是|到|达到)?|不[具含带]有?"
)
# words that may stand between a denial and the instrument, channel, layer or date it denies
_BETWEEN = (
    r"(?:\s|-|'|any|have|has|had|a|an|the|in|on|at|from|by|of|to|as|be|been|being|it|this|that|one|simple|single|simply"
    r"|actually|really|yet|clearly|other|another"
    r"|shows?|shown|showing|come|comes?|stem|originate|taken|acquired|observed|obtained|made|recorded|captured"
    r"|produced?|seen?"
    r"|image|picture|frame|map|data|its|with|further|image\s+of|product|observation|channel|wavelength|line|light"
    r"|filter"
    r"|was|were|is|are|there|depict|represent|correspond|reach|belong|belongs"
    r"|是|为|在|于|属于|属|来自|出自|由|任何|一个|一幅|一张|的|单纯|简单|拍摄|取自|发现|显示|看到|见到|见|用|任|何|幅"
    r"|张|这|那|该"
    r"|标题|图注|图例|文件名|说明|文中|[里上中所写标说]|错|误"
    r"|所谓|有|处于|过|能|使用|采用|利用|曾|反映|对应|采用|通道|波段|波长|数据|观测)*"
)
# what ends the reach of a denial over what is said of regions
_BARRIER = (
    r"(?:but|only|just|merely|because|since|although|though|while|which|who|that|and|so|until|than|if|visible|seen"
    r"|surpris\w+|unusual|far|chang\w+|clear|certain|sure|doubt|until|when|where|however|remains?|now|is|are)\b"
)
_WORDS = rf"(?:[\s'\"(-]+(?!{_BARRIER})[A-Za-z][A-Za-z']*){{0,7}}[\s'\"(-]*"
_ZH_WORDS = r"[^，。；：、,;:\da-zA-Z而但却是只就才]{0,9}"
_DENIED = re.compile(rf"(?:{_NEGATOR}){_BETWEEN}$", re.I | re.A)
_DENIED_OF_REGION = re.compile(rf"(?:{_NEGATOR})(?:{_BETWEEN}|{_WORDS}|{_ZH_WORDS}是?)$", re.I | re.A)
_NOT_DENIED = re.compile(
    r"\b(?:not\s+only|not\s+just|not\s+merely|don't|do\s+not\s+(?:confuse|forget|miss)|cannot\s+rule\s+out"
    r"|can't\s+rule\s+out"
    r"|no\s+doubt|(?:not|n't|never|without|beyond)(?:\s+an?y?)?\s+doubt|no\s+(?:[A-Za-z-]+\s+){0,2}?(?:CMEs?|ejections?|dimmings?)\b|not\s+far|nothing\s+(?:but|more\s+than)|no\s+more\s+than|not\s+(?:more|less|fewer)\s+than"
    r"|lost\s+(?:some|much))\b"
    r"|不仅|不只|不但|不排除|不能排除|无法排除|难以排除|无疑|毫无疑问|不过|不少于|不多于|不超过|不低于",
    re.I | re.A,
)
_CARRIES_ON = re.compile(
    r"[\s/'-]*(?:(?:,\s*(?=or|nor)|or|nor|and|and/or|a|an|the|in|on|aboard|onboard|image|of|s|[、或和及的上])[\s/'-]*)*",
    re.I,
)
# said after what is denied: "X-class flares were not observed", "beta would be wrong"
_DENIED_AFTER = re.compile(
    r"(?:[-\s]*(?:class|solar|flares?|events?|flaring|or\s+(?:above|larger|higher)))*\s*(?:(?:is|are|was|were|has"
    r"|have)\s*(?:not|n't)\s+(?:been\s+)?(?:seen"
    r"|observed|recorded|detected|reported|present|found|there|produced|registered)|(?:did|do|does)\s*(?:not"
    r"|n't)\s+(?:occur|happen|appear|take)|(?:is"
    r"|are|was|were)\s+(?:absent|missing|ruled\s+out)|:\s*(?:none|no|zero)\b)"
    r"|(?:级|太阳|耀斑)*\s*:\s*(?:无|没有|[0零])"
    r"|(?:[级以及的之上]|太阳|大|强|耀斑|爆发)*(?:并|也|均|都)?(?:未|没有)(?:能)?(?:发生|出现|观测到|记录到|被|爆发|见)"
    r"|(?:[级以及的之上]|太阳|大|强|耀斑|爆发)*(?:一次都?|一个都?)?(?:也)?(?:没有|没|未)(?=[，。；]|$)",
    re.I | re.A,
)
_WRONG_AFTER = re.compile(
    r"(?:\s*(?:class|type|region|image|channel|quadrant))?\s*(?:is|was|would\s+be|are|were)\s+(?:simply\s+"
    r"|clearly\s+)?(?:wrong"
    r"|incorrect|a\s+mistake|mistaken|false|ruled\s+out|out\s+of\s+the\s+question|not\s+(?:correct|right|true"
    r"|the\s+case))"
    r"|[型类级的区群]*(?:都|也)(?:没有?|不存在|未见)(?=[，。；]|$)|(?:[型类级的图像]|这一?说法|之说"
    r"|这个?判断)*(?:是)?(?:错误|错的|不对|不正确|有误|不成立|可以?排除)",
    re.I | re.A,
)
# a number that is not on the disk
_NOT_THERE = re.compile(
    r"\b(?:no|without)(?:\s+(?:sign|trace|of|such|active|numbered|region|group|AR|NOAA|with|the|number|thing|as))*\s*$"
    r"|\b(?:(?:do|does|did|can|could)\s*(?:not|n't)|cannot)\s+(?:yet\s+)?(?:see|find|show|contain|include"
    r"|spot)\s+(?:(?:the|NOAA|ARs?|active|region)\s+)*$"
    r"|(?:没有|未见|看不到|不见|找不到|未发现|不存在)(?:活动区|编号为?|AR|NOAA|\s)*$",
    re.I | re.A,
)
_NOT_THERE_AFTER = re.compile(
    r"\s*(?:is|was|has|does|did|do|are|were|had|can)\s*(?:not|n't)\s+(?:yet\s+)?(?:be\s+|been\s+)?(?:on\s+(?:the"
    r"|this)|in\s+(?:the|this)\s+(?:image|frame"
    r"|picture|map|field)|visible|rotated|present|seen|appear|show|exist|listed|there|found|numbered\s+yet)"
    r"|\s+(?:is|was)\s+(?:absent|missing|nowhere|behind|beyond|on\s+the\s+far\s+side)\b|\s+ha[sd]\s+(?:already\s+)?rotated\s+(?:off|out)"
    r"|(?:区|号|号活动区|活动区)?(?:已经?|仍|还)?(?:在(?:日面|太阳)?(?:背面|另一[侧面])|转[出到](?:日面|背面|西?边缘外))"
    r"|(?:区|号|号活动区|活动区)?(?:在图[中上里])?(?:尚未|还没有?|还未|并未|没有|未|不)(?:转|出现|在(?:可见)?日面"
    r"|在图|在画面|可见|列|见)",
    re.I | re.A,
)


_IS_NOT = re.compile(
    r"\b(?:this|that|it|the\s+(?:region|group|number))\s*(?:is|was)\s*(?:not|n't)\s+(?:(?:NOAA|ARs?|region)\s*)*[\"']?$"
    r"|(?:这|它|该[区群]|编号)(?:可|并)?(?:不是|并非)(?:NOAA|AR|活动区|\s)*[\"“「]?$",
    re.I | re.A,
)
_DOES = re.compile(
    r"(?:号|区|活动区|的)*(?:有|存在|出现|具有|产生|爆发|发生|变|是|为)|'s?\s|\s+(?:shows?|has|had"
    r"|produc)",
    re.I | re.A,
)
_UNUSED = re.compile(
    r"\s+(?:did|does)\s*(?:not|n't)\s+(?:take|record|capture|make|obtain|acquire|provide|observe)\b"
    r"|(?:卫星|天文台)?(?:并?没有|并?未)(?:拍摄|拍下|拍到|观测|记录)"
    r"|\s+(?:was|is|were)\s*(?:not|n't)\s+(?:needed|used|involved|the\s+(?:source|instrument))\b",
    re.I | re.A,
)
_ASIDE = re.compile(r",\s*(?:as|like|contrary|however|of\s+course|at\s+least|I)\b[^,;]{0,60},")


def denied(text: str, found: Sequence[tuple], start: int, end: int) -> list[bool]:
    """For each find of a sentence, in order, whether the sentence denies it.

    A denial reaches what follows it directly ("not an AIA image"), over any words what is said of a region
    ("does not belong to the beta class"), and what is joined to that ("SDO/AIA", "X or Y").
    """
    marks, last = [], start
    for (low, high), kind, _ in found:
        before = _ASIDE.sub(" ", text[max(start, low - 110) : low])[-60:]
        if kind == "noaa_ar":
            not_there = _IS_NOT.search(before) and re.match(r"[\"'”」]?\s*(?:[,;.，；。]|$)", text[high:])
            not_there = not_there or _NOT_THERE.search(before) and not _DOES.match(text, high, end)
            listed = (
                bool(marks)
                and marks[-1]
                and re.fullmatch(
                    r"\s*(?:、|,|和|与|或|and|or|nor)\s*(?:AR\s*)"
                    r"?",
                    text[last:low],
                )
            )
            marks.append(bool(not_there or listed) or _NOT_THERE_AFTER.match(text, high, end) is not None)
            last = max(last, high)
            continue
        here = (
            _denies(before, kind)
            or _UNUSED.match(text, high, end) is not None
            or _WRONG_AFTER.match(text, high, end) is not None
        )
        here = here or (kind == "flare" and _DENIED_AFTER.match(text, high, end) is not None)
        joined = bool(marks) and marks[-1] and low >= last and _CARRIES_ON.fullmatch(text, last, low) is not None
        marks.append(here or joined or (bool(marks) and low < last and marks[-1]))
        last = max(last, high)
    return _joined_back(text, found, marks)


def _denies(before: str, kind: str) -> bool:
    regex = _DENIED_OF_REGION if kind in REGION_KINDS and kind not in ("n_spots", "area_msh") else _DENIED
    return regex.search(before) is not None and not _NOT_DENIED.search(before)


def _joined_back(text: str, found: Sequence[tuple], marks: list[bool]) -> list[bool]:
    """ "M- and X-class flares were not seen": what is joined to a denied flare before it is denied too."""
    for i in range(len(found) - 2, -1, -1):
        (_, high), kind, _ = found[i]
        same = kind == "flare" == found[i + 1][1] and marks[i + 1]
        marks[i] |= same and _CARRIES_ON.fullmatch(text, high, found[i + 1][0][0]) is not None
    return marks
