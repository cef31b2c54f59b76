"""What a sentence does with the claims found in it: which region they are about, what is denied, what is not asserted.

Reads and writes nothing. Works on plain text (`claim_grammar.plain`) and what the patterns found in it:
`(span, kind, value)`.
"""

import re
from collections.abc import Sequence

# kinds that speak about one region
REGION_KINDS = "noaa_ar location area_msh mcintosh_class hale_class n_spots leading_polarity quadrant flare".split()

SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[。！？；\n]")
# no full stop here: sentences are cut before. "and" parts too: "AR 1 is Fkc and the beta region AR 2 is small"
CLAUSE_END = re.compile(
    r"[,，;；()、]|(?<!\d):(?!\d)|\s-+\s|--|\b(?:and|but|while|whereas|with|although|though)\b|[而但]|以及|同时"
)

# --------------------------------------------------------------------------------------------------------------------
# denial

_NEGATOR = (
    r"\b(?:no|not|never|nor|neither|without|hardly)\b|\b(?:is|are|was|were|does|did|do|has|have|had|could|ca"
    r"|would|need)n'?t\b|\bcannot\b"
    r"|\brather\s+than\b|\b(?:instead|as\s+opposed)\s+(?:of|to)\b|\bno\s+longer\b|\bfails?\s+to\b"
    r"|而?并?不(?:再)?(?:是|为|在|属于|属|位于|来自|显示|呈现?|具有|对应|处于|含|由|应(?:是|为)?|能|会|可能)"
    r"|并?非(?!常)|[并也]?(?:没有|没|未曾?|无(?!论|关))|绝非|而非|排除"
)
# words that may stand between a denial and what it denies
_BETWEEN = (
    r"(?:\s|-|'|any|a|an|the|in|on|at|from|by|of|to|as|be|been|being|it|this|that|one|simple|single|simply"
    r"|actually|really|yet|clearly|other"
    r"|shows?|shown|showing|lie|lies|lying|located|sit|sits|situated|classed|classified|class|type|belongs?"
    r"|comes?|stem|originate|taken|acquired|observed|obtained"
    r"|produced?|producing|recorded|detected|reported|seen|observe|have|had|host|hosted|emit|emitted|fire|fired"
    r"|release|released|unleash|display"
    r"|image|picture|frame|map|data|its|with|further|additional|new|strong|major|significant|large|image\s+of"
    r"|region|group|was|were|there"
    r"|是|为|在|于|属于|属|位于|来自|出自|由|任何|一个|一幅|一张|的|单纯|简单|产生|发生|出现|爆发|记录到|观测到"
    r"|探测到|监测到|报告|达到|达|到|有|处于|过|能"
    r"|拍摄|取自|发现|显示|看到|见到|见|普通|典型|曾|再|新|用|任|何|幅|张|这|那|该|所谓|分类|判定|类型|视为|归为"
    r"|释放|引发|太阳|强|更强)*"
)
DENIED = re.compile(rf"(?:{_NEGATOR}){_BETWEEN}$", re.I)
_NOT_DENIED = re.compile(
    r"\b(?:not\s+only|not\s+just|don't|do\s+not|cannot\s+rule\s+out|can't\s+rule\s+out|no\s+doubt)\b|不仅|不只"
    r"|不但|不排除|无疑|毫无疑问",
    re.I,
)
_CARRIES_ON = re.compile(r"[\s/'-]*(?:(?:or|nor|and|and/or|a|an|the|in|image|of|[、或和及的])[\s/'-]*)*", re.I)
# said after what is denied: "X-class flares were not observed"
DENIED_AFTER = re.compile(
    r"(?:[-\s]*(?:class|solar|flares?|events?|flaring))*\s*(?:(?:is|are|was|were|has|have)\s*(?:not|n't)\b|(?:is"
    r"|are|was|were)\s+(?:absent|missing|ruled\s+out))"
    r"|(?:[级以及的之上]|太阳|大|强|耀斑|爆发)*(?:并|也|均|都)?(?:未|没有)(?:能)?(?:发生|出现|观测到|记录到|被"
    r"|爆发|见)",
    re.I,
)

# --------------------------------------------------------------------------------------------------------------------
# not asserted: a question, a forecast, a rule of the textbook

NOT_ASSERTED = re.compile(
    r"\?|？"
    r"|\b(?:chance|probabilit\w+|forecasts?|(?<!as\s)expect(?:ed|s)?|likelihood|odds|will|would|if|whether"
    r"|should|could\s+(?:produce|trigger|develop|become|argue))\b"
    r"|\b(?:means?|denotes?|represents?|called|known\s+as|by\s+definition|always|usually|often|generally"
    r"|typically|in\s+general|normally|needed|required|requires?|depends?)\b"
    r"|概率|几率|预计|预报|预测|预期|有望|将会|是否|如果|假如|若是|倘若|需要|代表|表示|取决于|称为|叫做|叫作"
    r"|定义|\btutorials?\b|\btextbooks?\b|教程|教科书|课本|无关|常常|往往|通常|一般|总是|有人|据说|受.{1,6}影响"
    r"|吗[。？?]?$|呢[。？?]?$",
    re.I,
)
_CONTRAST = re.compile(
    r"\b(?:unlike|compared\s+(?:to|with)|in\s+contrast\s+to|(?<!rather\s)than)\s+(?:in\s+|an?\s+|the\s+|for\s+"
    r"|those\s+of\s+)*$|(?:不同于|有别于|相比于?|相较于?)\s*$",
    re.I,
)
_ASSERTED = re.compile(r"\bwill\s+be\s+seen\b|一般的|通常被", re.I)

# --------------------------------------------------------------------------------------------------------------------
# who a claim is about

SUBJECT = re.compile(r"\b(?<!second[-\s])(?:largest|biggest)\b|(?<!第二)最大", re.I)
# a region named only to compare with it is not spoken about
_COMPARED = re.compile(
    r"(?:\bthan|\bwhat|\bunlike|\blike|\bdwarfs|\bto|\bwith|比|与|和|如|像)\s*(?:the\s+)?(?:(?:NOAA|AR|region"
    r"|活动区|黑子群|号)\s*)*$",
    re.I,
)
_COMPARING = re.compile(r"\b(?:than|unlike|compared|dwarfs|similar|what)\b|比|相比|类似", re.I)
_ANOTHER = re.compile(
    r"\s*(?:another|a\s+second|other|the\s+(?:second|other|rest|remaining)|two|three|另|其他|其余|第二)", re.I
)
_EVERY = re.compile(r"\b(?:both|all|each)\b|都|均|皆|全部", re.I)
EACH = re.compile(r"\brespectively\b|\bin\s+(?:that|this)\s+order\b|分别|依次", re.I)
_LISTED = re.compile(r"(?:[\s,、/&#]|\band\b|\bor\b|\bAR|\bNOAA|\bregion|和|与|及|以及|号|活动区|区)*", re.I)


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence of a plain text."""
    cuts = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    return [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]


# what may stand after "than" and still be said: "more than 60 spots"
_COMPARABLE = ("noaa_ar", "n_regions", "n_spots", "area_msh")


def asserted(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """The finds of a sentence that it asserts; a region that is named exists, whatever is asked about it."""
    found = [f for f in found if f[1] in _COMPARABLE or not _CONTRAST.search(text[max(start, f[0][0] - 30) : f[0][0]])]
    found = _of_this_image(text, found, start, end)
    if not NOT_ASSERTED.search(text, start, end):
        return found
    question = text[start:end].rstrip().endswith(("?", "？"))
    return [f for f in found if f[1] == "noaa_ar" or not (question or _doubted(text, f[0][0], start, end))]


def _of_this_image(text: str, found: list[tuple], start: int, end: int) -> list[tuple]:
    """Without what is remembered ("the X5.7 of July 2000"), what is physics in general, and a time said twice."""
    sentence = text[start:end]
    months = [span for span, kind, value in found if kind == "date_obs" and len(str(value)) == len("2000-07")]
    flares = [span for span, kind, _ in found if kind == "flare"]
    if months and flares:
        gone = {*months, *(f for f in flares for m in months if max(f[0] - m[1], m[0] - f[1]) < 12)}
        found = [f for f in found if f[0] not in gone]
    if _PHYSICS.search(sentence) and not (_PICTURE.search(sentence) or _CHANNEL.search(sentence)):
        found = [f for f in found if f[1] != "layer"]
    clocks = [str(value).partition("T")[2] for _, kind, value in found if kind == "date_obs" and value[0] != "T"]
    return [f for f in found if not (f[1] == "date_obs" and f[2][0] == "T" and f[2][1:] in clocks)]


def _doubted(text: str, at: int, start: int, end: int) -> bool:
    low, high = clause(text, at, start, end, re.compile(r"[,，;；]"))
    return NOT_ASSERTED.search(text, low, high) is not None and not _ASSERTED.search(text, low, high)


def clause(text: str, at: int, start: int, end: int, cut: re.Pattern = CLAUSE_END) -> tuple[int, int]:
    """The clause of a sentence (start, end) in which a position stands."""
    low, high = start, end
    for m in cut.finditer(text, start, end):
        if m.end() <= at:
            low = m.end()
        elif m.start() >= at:
            high = m.start()
            break
    return low, high


# a number that is not on the disk, or not this one
_NOT_THERE = re.compile(
    r"\b(?:no|without)(?:\s+(?:sign|trace|of|such|active|numbered|region|group|AR|NOAA|with|the|number))*\s*$"
    r"|\b(?:is|was)\s*(?:not|n't)\s+(?:NOAA\s*|AR\s*|(?:active\s+)?region\s*)*$|(?:没有|未见|看不到|不见|不是"
    r"|并非)(?:活动区|编号)?\s*$",
    re.I,
)
_NOT_THERE_AFTER = re.compile(
    r"\s*(?:is|was|has)\s*(?:not|n't)\s+(?:yet\s+)?(?:been\s+)?(?:on\s+the|visible|rotated|present|seen|appeared"
    r"|listed|numbered\s+yet)"
    r"|(?:区|号|号活动区|活动区)?(?:尚未|还没有?|还未|并未|没有|不)(?:转|出现|在(?:可见)?日面|可见|列)",
    re.I,
)


def denied(text: str, found: Sequence[tuple], start: int, end: int) -> list[bool]:
    """For each find of a sentence, in order, whether the sentence denies it.

    A denial reaches what follows it directly ("not an AIA image") and what is joined to that ("SDO/AIA", "X or Y").
    """
    marks, last = [], start
    for (low, high), kind, _ in found:
        before = text[max(start, low - 60) : low]
        if kind == "noaa_ar":
            marks.append(bool(_NOT_THERE.search(before)) or _NOT_THERE_AFTER.match(text, high, end) is not None)
            last = max(last, high)
            continue
        here = DENIED.search(before) is not None and not _NOT_DENIED.search(before)
        here = here or (kind == "flare" and DENIED_AFTER.match(text, high, end) is not None)
        joined = bool(marks) and marks[-1] and low >= last and _CARRIES_ON.fullmatch(text, last, low) is not None
        marks.append(here or joined or (bool(marks) and low < last and marks[-1]))
        last = max(last, high)
    return marks


def subjects(
    text: str, found: Sequence[tuple], start: int, end: int, opening: list[tuple], about_largest: bool
) -> tuple[list[list[tuple]], list[tuple]]:
    """For each find of a sentence (noaa_ar, of_largest) of each region it is about; and the sentence's last subject.

    In its clause the last region named before it, else the first named in the clause, else the last of the clauses
    before, else the first of the sentence, else `opening`: what the sentence before spoke of.
    """
    marks = _marks(text, found, start, end)
    if _ANOTHER.match(text, start, end) and not about_largest:
        opening = [(None, False)]
    numbers = [value for _, kind, value in found if kind == "noaa_ar"]
    spread = len(numbers) > 1 and (len(marks) == 1 or EACH.search(text, start, end) is not None)
    out, seen = [], {}
    for span, kind, value in found:
        if kind == "noaa_ar":
            before = [who for at, who in marks if at < span[0]]
            out.append([(value, bool(before) and before[-1] == [(None, True)])])
        elif kind not in REGION_KINDS:
            out.append([(None, False)])
        elif spread and sum(k == kind for _, k, _ in found) == len(numbers):
            out.append([(numbers[seen.setdefault(kind, 0)], False)])
            seen[kind] += 1
        elif len(named := [(s, v) for s, k, v in found if k == "noaa_ar" and s < span]) > 1 and _EVERY.search(
            text, named[-1][0][1], span[0]
        ):
            out.append([(v, False) for _, v in named])
        else:
            out.append(_subject(text, span[0], marks, start, end, opening))
    return out, (marks[-1][1] if marks else opening)


def _marks(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """(position, [(noaa_ar, of_largest), ...]) of whatever a sentence names as its subject, in order.

    Numbers in a list ("11967 and 11969") are one subject, at the place of the first.
    """
    compares = _COMPARING.search(text, start, end) is not None
    marks, last = [], None
    for (low, high), kind, value in found:
        if kind != "noaa_ar" or (compares and _COMPARED.search(text[start:low])):
            continue
        if last is not None and _LISTED.fullmatch(text, last, low):
            marks[-1][1].append((value, False))
        else:
            marks.append((low, [(value, False)]))
        last = high
    for m in SUBJECT.finditer(text, start, end):
        if not any(at < m.start() for at, _ in marks):  # "AR 12192 is the largest" still speaks of AR 12192
            marks.append((m.start(), [(None, True)]))
    return sorted(marks)


def _subject(text: str, at: int, marks: list[tuple], start: int, end: int, opening: list[tuple]) -> list[tuple]:
    low, high = clause(text, at, start, end)
    inside = [(p, who) for p, who in marks if low <= p < high]
    before = [who for p, who in inside if p <= at]
    if before:
        return before[-1]
    if inside:
        return inside[0][1]
    earlier = [who for p, who in marks if p <= at]
    if earlier:
        return earlier[-1]
    return marks[0][1] if marks else opening


# --------------------------------------------------------------------------------------------------------------------
# the time of a flare

_PICTURE = re.compile(
    r"\b(?:image|picture|frame|taken|captured|obtained|acquired|shows?|snapshot|observation|caught)\b|图像|拍到"
    r"|记录|拍摄|取得|此图|该图|这幅",
    re.I,
)
_EVENT = re.compile(
    r"\b(?:peak\w*|maxim\w+|began|begin\w*|start\w*|onset|ended|erupt\w*|flared|fired|produced|released"
    r"|unleashed|occurred)\b|峰值|极大|爆发|开始|达到|产生|发生",
    re.I,
)


_PHYSICS = re.compile(r"\b(?:plasma|temperatures?|heat\w*|densit\w+|conduct\w*)\b|等离子体|加热|温度|密度", re.I)
_CHANNEL = re.compile(r"\d\s*(?:Å|nm|angstrom|埃|纳米)|\bchannel|通道|波段|看到", re.I)


def flare_times(text: str, found: Sequence[tuple], start: int, end: int) -> list[tuple]:
    """The finds of a sentence, a clock time that belongs to a flare moved into its value: "X2.2@T01:56"."""
    flares = [i for i, f in enumerate(found) if f[1] == "flare"]
    out, gone = list(found), set()
    for i, (span, kind, value) in enumerate(found):
        if not flares or kind != "date_obs" or "T" not in value:
            continue
        part = text[slice(*clause(text, span[0], start, end, re.compile(r"[,，;；]")))]
        named = any(k in ("instrument", "measurement", "wavelength_angstrom") for _, k, _ in found)
        dated = not value.startswith("T")
        pictured = named or _PICTURE.search(text, start, end) is not None
        if not _EVENT.search(part) and (
            _PICTURE.search(part) or pictured or (dated and not _EVENT.search(text, start, end))
        ):
            continue
        nearest = max((k for k in flares if k < i), default=flares[0])
        if "@" not in str(out[nearest][2]):
            where, flare_kind, flare = out[nearest]
            out[nearest] = (where, flare_kind, f"{flare}@{value}")
        gone.add(i)
    return [f for i, f in enumerate(out) if i not in gone]
