"""What a sentence asserts of this image or day: no question, forecast, memory or rule of the textbook.

Reads and writes nothing.
"""

import functools
import re
from collections.abc import Sequence

from jwvl_lib import knowledge
from jwvl_lib.claim_scope import REGION_KINDS, clause

_COMMA = re.compile(r"[,，;；:：](?!\d)")
_NOT_ASSERTED = re.compile(
    r"\b(?:energy\s+for|chance|probabilit\w+|forecasts?|(?<!as\s)expect(?:ed|s)?|likelihood|odds|if(?!\s+(?:I\s|you\s+ask|asked"
    r"|pressed))|whether|should|threat"
    r"|potential|risk|more\s+likely(?!\s+(?:(?-i:[A-Z]{2,})|an?\b|the\b|to\s+be))|would\s+have|most\s+(?:of|[A-Z]-class|large|major|big)|known\s+to|imagine|suppose)\b"
    r"|\b(?:means?|denotes?|called|known\s+as|by\s+definition|always|usually|often|generally"
    r"|typically|in\s+general|in\s+cycle\s+\d+|normally|(?<!not\s)needed|required|requires?|depends?|tends?\s+to"
    r"|typical\s+of|in\s+theory)\b"
    r"|(?:不确定|不清楚|无法确定|难以判断|分不清|说不准|不知)[^，。；]{0,4}是|究竟是|到底是|概率|几率|百分之|预计|预报(?!员)|预测|预期|有望|将会|是否|是不是|如果|假如|若是|若(?![单只仅论就按以干])"
    r"|倘若|需要|代表|取决于|称为|叫做"
    r"|叫作|意味着"
    r"|定义|\btutorials?\b|\btextbooks?\b(?!\s+(?:case|example|[A-Z]))|教程|常(?=构成|见|有|出现|呈|由|被|是|能)"
    r"|教科书|课本"
    r"|(?<!\d)(?<!\d[号区])(?<!活动区)无关|常常|往往|通常|一般|总是"
    r"|有人|据说|有.{0,3}说|\bsome\s+(?:say|would|claim|think|call)|\brumou?r|受.{1,6}影响"
    r"|很常见|适合|以为(?!为)|更容?易|大部分|大?多数|假设|设想|并不是说|常[与伴]|表现为(?=[亮暗])|是指|指的是"
    r"|并不等于|不等于|有.{0,12}(?:可能|风险|潜力|能力)(?!性?的?是)",
    re.I | re.A,
)
# from here on only what may come
_MAY = re.compile(
    r"\b(?:may|might|could|can|will|would)(?:\s+(?:well|still|also|yet|soon|easily|even|again))*\s+(?:produce|trigger"
    r"|develop"
    r"|become|argue|reach|unleash|erupt|flare|release|cause|fire|launch|affect|occur|follow|go|be\s+(?:enough"
    r"|accompanied))\w*"
    r"|\bwill\b(?!\s+be\s+seen)|(?<!\bI\s)(?<!\bwe\s)\bwould\b(?!\s+(?:then|thus|therefore)\s+be\b)|\bcapable\s+of\b|\blikely\s+to\b"
    r"|\bmistak\w+\s+(?:it|this)?\s*(?:for|as)\b|误(?:认|以|读|当)(?:为|成|作)是?|将(?=于|在|会|转)"
    r"|[后来]会[放爆产出发]|料到.{0,16}会"
    r"|(?:可能|或许|也许|仍|将|有可能)(?:会|再次?|将|还|仍|有可能|可能|在)*(?:爆发|产生|发生|出现|引发|触发|释放|影响"
    r"|有(?=[^，。；]{0,8}(?:耀斑|爆发|[A-CMX]\d?级)))(?!了|过)",
    re.I | re.A,
)
_CONDITION = re.compile(
    r"\s*(?:were\s+(?:this|it|the|AR|region)|had\s+(?:this|it|the)|if(?!\s+(?:I\s|you\s+ask|asked|pressed))|assuming"
    r"|suppose|预计|预测|预期|预报员|如果|假如|若(?![单只仅论就按以])|倘若|假设)(?![A-Za-z])",
    re.I | re.A,
)
_LONG_AGO_REGION = re.compile(r"\d{4,5}\s+(?:of|in|from)\s+@|@的[^\d，。]{0,6}\d{4,5}")
_NOT_EXCLUDED = re.compile(
    r"(?:不|不能|无法|难以|不可)排除|的可能性?(?:很|较|极|不|仍|也|依然|比较|还)*[大小高低存]|\b(?:cannot|can't"
    r"|not\s+to)\s+(?:be\s+)?(?:exclude"
    r"|rule)d?\b",
    re.I | re.A,
)
_LIKELY = re.compile(
    r"\b(?:are|is|remains?|seems?|looks?|appears?)\s+(?:[a-z]+\s+)?(?:(?:un)?likely|possible|probable|improbable)\b"
    r"|(?:可能性?|几率|机会)[^，。；]{0,3}(?:很|较|极|不|仍)?(?:大|小|高|低|存在)",
    re.I | re.A,
)
_QUESTION = re.compile(r"[?？]\s*$|[吗呢][。？?]?\s*$")
_ASSERTED = re.compile(r"一般的|通常被", re.I | re.A)
# what was, and is not said to be still
_PAST = re.compile(
    r"\b(?:\w+\s+(?:days?|weeks?|months?|years?)\s+(?:ago|earlier|before)\b(?=.*\bwas\b)"
    r"|was\b[^.;,]{0,40}?\w+\s+(?:days?|weeks?|months?)\s+(?:ago|earlier)|(?<!since\s)yesterday"
    r"|last\s+(?:week|month|year|night|rotation)|previously"
    r"|formerly|used\s+to|ha(?:d|ving)\s+(?:still\s+)?been|(?<!\d\s)the\s+day\s+before|had\s+(?:\w+\s+)?(?:fired"
    r"|produced|unleashed|released|erupted|hosted)|was\s+still|had\s+(?:(?:already|just|barely|only|also|even"
    r"|earlier|once|never|not)\s+){0,2}(?:[a-z]+ed|given|grown"
    r"|begun|become|shown|made|sent|let|set|seen|thrown|shot)|a\s+day\s+earlier|three\s+days\s+later"
    r"|remind\w*\s+\w+\s+of)\b"
    r"|(?:昨天|昨日(?!以来|的\d)|前天|前日|[一二两三四五六七八九十\d]天前|上周|上个?月"
    r"|上[一个]*(?:太阳)?自转[周期]?|前一[天日](?!以来)|上一?次|追溯|早先|早上还|[之此]前还|原本"
    r"|本来是?|从前|过去(?!\s*[\d一二两三四几十]+|的?一)|此前|先前|原先|起初|曾经?|想起"
    r"|联想到)",
    re.I | re.A,
)
_THINKING_OF = re.compile(
    r"别(?:写|看|当|误|记)[成作]|误(?:写|记)[成作]|remind\w*\s+\w+\s+of|想起|联想到|当年"
    r"|类似于?|媲美|堪比",
    re.I | re.A,
)
_CONTRAST = re.compile(
    r"\b(?:unlike|compared\s+(?:to|with)|in\s+contrast\s+to"
    r"|(?<!rather\s)(?<!nothing\smore\s)(?<!\bno\smore\s)(?<!other\s)than)\s"
    r"+(?:in\s+|an?\s+|the\s+|for\s+"
    r"|those\s+of\s+)*$|(?:不同于|有别于|相比于?|相较于?|[比较](?:前一[天日]|昨[天日])的?)\s*$",
    re.I | re.A,
)
# what may stand after "than" and still be said: "more than 60 spots"
_COMPARABLE = ("noaa_ar", "n_regions", "n_spots", "area_msh", "n_filaments", "n_coronal_holes")

# --------------------------------------------------------------------------------------------------------------------
# rules of the textbook

PICTURE = re.compile(
    r"\b(?:images?|pictures?|frames?|taken|captured|obtained|acquired|shows?|seen|snapshot|observation|caught|this"
    r"|here|today"
    r"|the\s+wavelength\s+is)\b|图|拍到|记录|拍摄|取得|显示|此|该|这|本(?!质)|今[天日]|观测到|看到",
    re.I | re.A,
)
_PHYSICS = re.compile(
    r"\b(?:plasma|temperatures?|heat\w*|densit\w+|conduct\w*|dominated\s+by|formation\s+height|formed\s+at|emission"
    r"|MK|kelvin"
    r"|sensitive\s+to|contributions?|because|in\s+general)\b"
    r"|等离子体|加热|温度|密度|贡献|形成高度|形成于|敏感|由.{2,12}组成|主要由|MK",
    re.I | re.A,
)
_PICTURE_KINDS = ("instrument", "observatory", "measurement", "wavelength_angstrom", "layer")
_PLURALS = "|".join(word for word in knowledge.words("feature", "en") if re.fullmatch("[a-z]+s", word))
_DEFINED = re.compile(
    rf"^\s*(?:[A-Za-z]+\s+){{0,3}}(?:{_PLURALS}|regions|loops|holes|faculae|structures|instruments|telescopes|magnetograms"
    rf"|filtergrams|dopplergrams)\s+(?:measure|map|record|trace|are|is|form|appear|tend|last|occur|arise|often)\b|就是(?!AR|NOAA|\d)|之间是|等于|是(?:我国|世界|全球)?首"
    r"|是指|指的是"
    r"|有.{1,30}个?(?:通道|波段)|\bhas\s+\w+\s+(?:EUV\s+)?channels|\borbits\b|\blies?\s+(?:just\s+)?(?:above|below|beneath|over)\s+the\s+(?:photo|chromo|corona)|\bare\s+the\s+\w+\s+layers\b|分[成为].{1,12}[级类]|\boutermost\b|最外层|最内层|最底层|\blayer\s+of\s+the\s+(?:Sun's|solar)"
    r"|\bin\s+(?:several|many|seven|ten|multiple|various)\s+(?:(?:EUV|UV|different)\s+)*(?:channels|wavelengths|passbands)",
    re.I | re.A,
)


def asserted(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """The finds of a sentence that it asserts.

    A question asserts nothing; what a forecast or a rule speaks of is not so, but a region that is named there exists.
    """
    if _QUESTION.search(text, start, end):  # one that is answered names what the answer is about
        return [f for f in found if f[1] == "noaa_ar"] if text[end:].strip() else []
    found = [f for f in found if f[1] in _COMPARABLE or not _CONTRAST.search(text[max(start, f[0][0] - 30) : f[0][0]])]
    found = _of_this_image(text, found, start, end)
    found = _of_these_days(text, found, start)
    return [f for f in found if not (_doubted(text, f, start, end) or _of_something_else(text, f, found, start))]


_LIKENED = re.compile(
    r"\b(?:than|like|unlike|rivals?|reminiscent\s+of|reminds?\b.*\bof|to|with|what|recalls?|since|monster|famous)\s+"
    r"(?:(?:the|famous|great|monster|old|NOAA|ARs?|active|region)\s+)*$|(?:比不?上?|像|如|与|和|跟|起|当年的?|堪比"
    r"|超过)(?:\d{4}年(?:[^，。；\d]{0,6})?)?的?"
    r"(?:NOAA|AR|活动区|\s)*$",
    re.I | re.A,
)


def _of_these_days(text: str, found: list[tuple], start: int) -> list[tuple]:
    """Without regions of other years: numbers far apart were never on the disk together; one of them is likened to."""
    numbers = [value % 10_000 for _, kind, value in found if kind == "noaa_ar"]

    def remembered(find: tuple) -> bool:
        far = any(abs(n - find[2] % 10_000) > 150 for n in numbers)
        return far and _LIKENED.search(text[start : find[0][0]]) is not None

    return [f for f in found if f[1] != "noaa_ar" or not remembered(f)]


_ZH_THINGS = "|".join(
    knowledge.term(f"feature.{name}", "zh") for name in ("coronal_loop", "filament", "prominence", "coronal_hole")
)
_NO_REGION = re.compile(
    r"(?:\b(?:loops?|filaments?|prominences?|holes?|arcades?|jets?|streamers?|specks?|defects?|plumes?"
    r"|ribbons?)\b[^.;]{0,40}"
    rf"|(?:{_ZH_THINGS}|喷流|针孔)[^。；，]{{0,12}})$",
    re.I | re.A,
)


def _of_something_else(text: str, find: tuple, found: Sequence[tuple], start: int) -> bool:
    """A quadrant of loops or a filament, in a sentence that names no region."""
    named = any(kind == "noaa_ar" for _, kind, _ in found)
    if find[1] == "quadrant" and _EMPTY.match(text, find[0][1]):
        return True
    if find[1] != "quadrant" or named:
        return False
    return _NO_REGION.search(text[start : find[0][0]]) is not None or _THING_AHEAD.match(text, find[0][1]) is not None


_EMPTY = re.compile(
    r"(?:ern)?(?:\s+(?:quadrant|part|quarter))?\s+(?:is|remains|appears|looks)\s+(?:empty|quiet|free|devoid|blank|bare)\b"
    r"|(?:象限|部|方)?(?:则|却)?(?:空无一物|空空如也|是空的|没有(?:活动区|黑子)|无(?:活动区|黑子))",
    re.I | re.A,
)
_THING_AHEAD = re.compile(
    rf"(?:象限|方向|[侧部方面])?(?:的|有|那|这)*(?:[一二两三四几数]?条|[^，。；\d]{{0,7}}?(?:{_ZH_THINGS}))"
    r"|(?:ern)?(?:\s+(?:quadrant|part|quarter))?,?\s+(?:there\s+(?:is|are)\s+)?(?:an?|the|one|two|several|some)\s+(?:[a-z]+\s+){0,3}?"
    r"(?:filaments?|prominences?|(?:coronal\s+)?(?:holes?|loops?))\b",
    re.I | re.A,
)


def _doubted(text: str, find: tuple, start: int, end: int) -> bool:
    (at, _), kind, _ = find
    low, high = clause(text, at, start, end, _COMMA)
    part = text[low:high]
    past = _past(text, low, at, start, high)
    if kind != "noaa_ar" and _CONDITION.match(text, start, end):
        return True
    if kind == "date_obs" and _LONG_AGO_REGION.search(text[low:at] + "@" + text[find[0][1] : find[0][1] + 12]):
        return len(find[2]) <= len("2014-10")
    if kind == "date_obs" and (_THINKING_OF.search(text[low:at]) or _of_its_past(text, find, start, end)):
        return True
    if kind == "flare" and re.search(
        r"\b(?:may|might|could|can|will|would)\s+(?!be\s+seen|see|put|say|call|rate|estimate|guess)", text[low:at], re.I
    ):
        return True
    if kind == "date_obs" and (_EVENT_OF.search(text[low:at]) or _EVENT_AFTER.match(text, find[0][1])):
        return True
    if _LAST_TIME.search(text[start:at]) and kind in (*REGION_KINDS, "spots_visible", "n_regions"):
        return True
    if kind == "noaa_ar" and _NEXT.search(text[low:at]):
        return True
    if kind == "noaa_ar":
        return _THINKING_OF.search(text[low:at]) is not None and "当年" not in text[at:high]
    if kind == "flare" and (_NOT_EXCLUDED.search(part) or _LIKELY.search(part)):
        return True
    if _ASSERTED.search(part):
        return False
    not_asserted, may_from = _hedges(part)
    if not_asserted or may_from < at - low:
        return True
    if kind == "flare" and re.search(r"\bhad\s+already\b.*\d\d:\d\d", part, re.I):
        return False  # of the same day
    return past and (kind in REGION_KINDS or (kind == "date_obs" and "T" not in find[2]))


# "Yesterday, AR 11158 was beta": a time alone before a comma rules what follows; from the change on it is now
_TIME_ALONE = re.compile(r"(?:^|[,，])[^,，\d]{0,14}[,，]\s*$")
_NOW = re.compile(
    r"\b(?:now|today|currently|since|still)\b|今[天日]|现在?|目前|如今|至今|(?:发展|演变|增|减|升|降|扩|缩|转|改"
    r"|变)[^，。；]{0,4}[到至为成]"
    r"|变[为成]",
    re.I | re.A,
)


def _past(text: str, low: int, at: int, start: int, high: int) -> bool:
    """Whether what stands at `at` in its clause (low, high) was so once, and is not said to be so now."""
    before = _TIME_ALONE.search(text[start:low])
    opening = before is not None and _PAST.search(before.group()) and not re.search(r"\d{4}", before.group())
    if opening and not _NOW.search(text, low, at):
        return True
    said = [m.end() for m in _PAST.finditer(text, low, high)]
    return bool(said) and not (said[-1] <= at and _NOW.search(text, said[-1], at))


# the day of an event without a class, which is no claim
_EVENT_OF = re.compile(r"\b(?:flare|storm|CME|eclipse|superflare)s?\s+(?:of|on|from)\s+(?:the\s+)?$", re.I | re.A)
_EVENT_AFTER = re.compile(r"(?:日|的|那次|那场)*(?:大|强|巨)?(?:耀斑|爆发|磁暴|风暴|日食)")
_LAST_TIME = re.compile(
    r"上一?次(?!观测)|\bsince\s+(?:[A-Z][a-z]+\s+)?(?:19|20)\d\d\b(?=[^,;]*$|,\s*when)|\bthe\s+last\s+time\b"
)
_NEXT = re.compile(
    r"\bnext\b[^,;]{0,40}\bwill\b|\bwill\s+(?:be|become|get)\b[^,;]{0,12}$|下一个[^，。；]{0,16}$", re.I | re.A
)


@functools.lru_cache(maxsize=64)
def _hedges(part: str) -> tuple[bool, int]:
    """Whether a clause asserts nothing at all, and from where on it says only what may be."""
    may = _MAY.search(part)
    return _NOT_ASSERTED.search(part) is not None, may.start() if may else len(part)


_LIFE = re.compile(
    r"\b(?:rotat\w+\s+(?:onto|into|over|off|out)|appeared|emerged|was\s+(?:first\s+)?numbered|crossed|launched"
    r"|will\s+\w+|CMEs?|eclipse|storm|aurora\w*|Kp)\b|转[出入到至过]|浮现"
    r"|首次|发射(?!线)|升空|消失",
    re.I | re.A,
)


def _of_its_past(text: str, find: tuple, start: int, end: int) -> bool:
    """Whether a day is that of something in a region's or a spacecraft's life: "rotated onto the disk on the 11th"."""
    low, high = clause(text, find[0][0], start, end, _COMMA)
    pictured = PICTURE.search(text, low, high) or any(c.isdigit() for c in find[2].partition("T")[2])
    return not pictured and _LIFE.search(text, low, high) is not None


def _of_this_image(text: str, found: list[tuple], start: int, end: int) -> list[tuple]:
    """Without what is remembered ("the X5.7 of July 2000"), what is physics in general, and a time said twice."""
    sentence = text[start:end]
    months = [span for span, kind, value in found if kind == "date_obs" and len(str(value)) == len("2000-07")]
    flares = [span for span, kind, _ in found if kind == "flare"]
    if months and flares:
        gone = {*months, *(f for f in flares for m in months if max(f[0] - m[1], m[0] - f[1]) < 12)}
        found = [f for f in found if f[0] not in gone]
    specific = any(kind in ("noaa_ar", "date_obs", "n_regions", "n_filaments") for _, kind, _ in found)
    concluded = re.search(r"\b(?:hence|probably|guess|layer\s*:|therefore|so\s+this)\b|应该?是", sentence)
    general = _PHYSICS.search(sentence) or _DEFINED.search(sentence)
    general = general and not concluded
    if general and not specific and not PICTURE.search(sentence):
        found = [f for f in found if f[1] not in _PICTURE_KINDS]
    clocks = [str(value).partition("T")[2] for _, kind, value in found if kind == "date_obs" and value[0] != "T"]
    return [f for f in found if not (f[1] == "date_obs" and f[2][0] == "T" and f[2][1:] in clocks)]
