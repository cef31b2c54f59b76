"""Whom a sentence speaks of: its sentences, its clauses, and the region each find is about.

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
    r"[,，;；()、]|(?<!\d):(?!\d)|\s-+\s|--|\b(?:and|but|while|whereas|with|although|though|versus|vs)\b|[而但]|以及"
    r"|同时"
)

# "the largest region"; "the largest flare" and "is the largest" are no subject
_PREDICATE = re.compile(
    r"\b(?:is|was|are|were|be|as|it|of|among)\s+(?:by\s+far\s+|clearly\s+|easily\s+|probably\s+)?(?:the|its|our)\s+$"
    r"|是[^，。；]{0,6}$",
    re.I | re.A,
)
SUBJECT = re.compile(
    r"\b(?<!second[-\s])"
    r"(?:largest|biggest)\b(?!\s+(?:\w+\s+)?(?:flares?|events?|eruptions?|since|loops?|filaments?|changes?|cycle))"
    r"|(?<!第二)最大的?(?!为|一次|是[A-Z]\d|耀斑|级|的?爆发|的?事件|的?暗条|的?冕)",
    re.I | re.A,
)
# a region named only to compare with it is not spoken about
_COMPARED = re.compile(
    r"(?:\bthan(?:\s+(?:that|those)\s+of)?|\bwhat|\bunlike|\blike|\bdwarfs|"
    r"\b(?:in\s+addition\s+to|besides|apart\s+from|aside\s+from|except(?:\s+for)?)|\b(?:outgr(?:e?w|own|ows)|overt(?:ook|aken|akes)|surpass(?:ed|es)|exceed(?:ed|s)|outnumber(?:ed|s)|outshin\w+"
    r"|eclips(?:ed|es)|rivals|matches|dwarfed)|盖过|超越|赶上|胜过|多过|少于|多于|"
    r"\bto|\bwith|\bbeyond|比|与|和|如"
    r"|[仅略]?次于|不及"
    r"|大于|小于|超过|高于|低于|优于"
    r"|等同|相当于|像)\s*(?:the\s+)?"
    r"(?:(?:NOAA|AR|region|neighbou?r|活动区|黑子群|号)\s*)*$",
    re.I | re.A,
)
_COMPARING = re.compile(
    r"\b(?:addition|besides|apart|aside|except|than|unlike|contrast|relative|compared|dwarf\w+|similar|what|beyond|next|outgr\w+|overt\w+|surpass\w+|exceed\w+|outnumber\w+"
    r"|outshin\w+|eclips\w+|rivals|matches)\b|除|[盖胜多]过|超越|赶上|[少多]于|比|类似|次于|不及|不如|大于|小于|超过|高于|低于"
    r"|优于|等同|相当于",
    re.I | re.A,
)
# "not a sixth of 11967", "a quarter of the size of 9393"
_TIMES_IT = re.compile(
    r"(?:号|区|活动区)?的[^，。；为是有占达约]{0,6}(?:倍|分之|一半)|(?:号|区|活动区)?(?:一致"
    r"|不同|相反)"
)
_HALF_OF = re.compile(
    r"\b(?:times|half|quarter|third|fraction)\s+(?:of\s+)?(?:(?:the\s+)?(?:size|area)\s+of|that\s+of|as\s+\w+\s+as"
    r"|of)?\s*"
    r"(?:AR\s*)?$", re.I | re.A,
)  # fmt: skip
_ANOTHER = re.compile(
    r"\s*(?:another|a\s+second|other|the\s+(?:second|other|rest|remaining)|(?:two|three)\s+(?:\w+\s+)?(?:regions"
    r"|groups)|no\s+[A-Z]-class"
    r"|另|其他|其余|第二)",
    re.I | re.A,
)
_EVERY = re.compile(r"\b(?:both|all|each)\b|都|均|皆|全部|全是", re.I | re.A)
EACH = re.compile(r"\brespectively\b|\bin\s+(?:that|this)\s+order\b|分别|依次", re.I | re.A)
_AGAINST = re.compile(r"\d\s*(?:millionths|MSH|spots)?\s+(?:against|versus|vs\.?)\s+\d", re.I | re.A)
_LISTED = re.compile(
    r"(?:[\s,、/&#]|\band\b|\bor\b|\bAR|\bNOAA|\bregion|\bits|\bneighbou?r|和|与|及|以及|号|活动区"
    r"|区)*",
    re.I | re.A,
)
_ONE_OF_TWO = re.compile(r"\bthe\s+(?P<first>former)\b|\bthe\s+latter\b|(?P<first_>前者)|后者", re.I | re.A)
# "not from 11158": the region of another claim is only ruled out
_RULED_OUT = re.compile(
    r"(?:\bnot|n't|\brather\s+than|\binstead\s+of)\s+(?:(?:been|associated|related|linked|connected|attributed|come"
    r"|originate|occur|belong|to|from|in|of|by|with|at|the|NOAA|ARs?|active|region)\s*)*$"
    r"|(?:不是|并非|而非|不在|并?不|没有?)(?:来自|出自|属于|在|由|源自|活动区|编号|AR|NOAA|\s)*$",
    re.I | re.A,
)
_UNRELATED = re.compile(
    r"(?:NOAA|AR|活动区|\s)*\d+(?:号|区|活动区)*(?:毫?无关|没有?关系)|[A-Z\s]*\d+\s+ha[ds]\s+nothing\s+to\s+do"
)
# "Ekc (10484)", "a Dso group in the NE, AR 12195,": the region comes after, set off
_SET_OFF = re.compile(
    r"(?:(?!\b(?:and|while|but|whereas)\b|[和而])[^,，;；。()（）、]){0,30}[(（](?:[^()（）;；]{0,16}[,，])?\s*(?:(?:NOAA|ARs?|active|region|编号|活动区|即)\s*)*$"
    r"|(?:\s+(?:sunspot\s+|spot\s+)?(?:group|region|spot|one))?(?:\s+(?:in|on|near)\s+the\s+[\w\s-]{1,24})?"
    r",\s*(?:(?:NOAA|ARs?|active|region|namely)\s*)*$",
    re.I | re.A,
)


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence of a plain text."""
    cuts = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    return [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]


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


def ruled_out_at(text: str, found: Sequence[tuple], start: int) -> dict[int, int]:
    """The regions a sentence names only to say that it is not they ("from 11161, not from 11158"), by their places."""
    regions = ((low, v) for (low, _), kind, v in found if kind == "noaa_ar")
    return {
        low: v
        for low, v in regions
        if _RULED_OUT.search(text[max(start, low - 40) : low]) or _UNRELATED.match(text, low)
    }


def subjects(
    text: str,
    found: Sequence[tuple],
    start: int,
    end: int,
    opening: list[tuple],
    about_largest: bool,
    pair: Sequence[int] = (),
) -> tuple[list[list[tuple]], list[tuple]]:
    """For each find of a sentence (noaa_ar, of_largest) of each region it is about; and the sentence's last subject.

    In its clause the last region named before it, else the first named in the clause, else the last of the clauses
    before, else the first of the sentence, else `opening`: what the sentence before spoke of. `pair`: the two regions
    of the text, if it names two, for "the former" and "the latter".
    """
    marks = _marks(text, found, start, end, pair)
    if _ANOTHER.match(text, start, end) and not about_largest:
        opening = [(None, False)]
    numbers = [value for _, kind, value in found if kind == "noaa_ar"]
    if not numbers and not marks and len(opening) > 1:  # "...; their classes are Bxo and Axx"
        numbers, marks = [n for n, _ in opening], [(start, opening)]
    spread = len(numbers) > 1 and (len(marks) == 1 or EACH.search(text, start, end) is not None)
    spread = spread or (len(numbers) == 2 and _AGAINST.search(text, start, end) is not None)
    out, seen = [], {}
    for span, kind, value in found:
        if kind == "noaa_ar":
            before = [who for at, who in marks if at < span[0]]
            out.append([(value, bool(before) and before[-1] == [(None, True)])])
        elif kind == "flares_seen":
            out.append(_flareless(text, span, marks, start, end, opening))
        elif kind not in REGION_KINDS:
            out.append([(None, False)])
        elif spread and sum(k == kind for _, k, _ in found) == len(numbers):
            out.append([(numbers[seen.setdefault(kind, 0)], False)])
            seen[kind] += 1
        elif ordered := _in_order(span, kind, found, marks):
            out.append(ordered)
        elif every := _every(text, span, found, marks):
            out.append(every)
        else:
            out.append(_subject(text, span, found, marks, start, end, opening))
    return out, (marks[-1][1] if marks else opening)


def _marks(text: str, found: Sequence[tuple], start: int, end: int, pair: Sequence[int]) -> list[tuple]:
    """(position, [(noaa_ar, of_largest), ...]) of whatever a sentence names as its subject, in order.

    Numbers in a list ("11967 and 11969") are one subject, at the place of the first; "the former" is the first of them.
    """
    compares = _COMPARING.search(text, start, end) is not None
    out_of = ruled_out_at(text, found, start)
    marks, last = [], None
    for (low, high), kind, value in found:
        if kind != "noaa_ar" or low in out_of or (compares and _COMPARED.search(text[start:low])):
            continue
        if re.match(r"[号区活动]*[之以]?外", text[high:end]) and re.search(r"除了?[A-Z活动区\s]*$", text[start:low]):
            continue
        if _TIMES_IT.match(text, high, end) or _HALF_OF.search(text[start:low]):
            continue
        if last is not None and _LISTED.fullmatch(text, last, low):
            marks[-1][1].append((value, False))
        else:
            marks.append((low, [(value, False)]))
        last = high
    for m in SUBJECT.finditer(text, start, end):
        predicate = _PREDICATE.search(text, start, m.start()) is not None
        if not predicate and not any(
            at < m.start() for at, _ in marks
        ):  # "AR 12192 is the largest" still speaks of AR 12192
            marks.append((m.start(), [(None, True)]))
    for m in _ONE_OF_TWO.finditer(text, start, end) if len(pair) == 2 else ():
        marks.append((m.start(), [(pair[0 if m["first"] or m["first_"] else 1], False)]))
    return sorted(marks, key=lambda mark: mark[0])


def _subject(
    text: str,
    span: tuple[int, int],
    found: Sequence[tuple],
    marks: list[tuple],
    start: int,
    end: int,
    opening: list[tuple],
) -> list[tuple]:
    if told := _bracketed(text, span, found):
        return [(told, False)]
    low, high = clause(text, span[0], start, end)
    inside = [(p, who) for p, who in marks if low <= p < high]
    before = [who for p, who in inside if p <= span[0]]
    ahead = next((f for f in found if f[1] == "noaa_ar" and f[0][0] >= span[1]), None)
    listed = ahead and any(len(who) > 1 and who[0][0] == ahead[2] for _, who in marks) and not before
    if ahead and not listed and _ATTRIBUTE.fullmatch(text, span[1], ahead[0][0]):
        return [(ahead[2], False)]
    if before and not _in_brackets(text, span[1], found):
        return before[-1]
    if (
        ahead
        and _SET_OFF.fullmatch(text, span[1], ahead[0][0])
        and text[ahead[0][1] : ahead[0][1] + 1] in (*",，)）.。", "")
    ):
        return [(ahead[2], False)]
    if ahead and not before and _CLEFT.fullmatch(text, _end_of_list(text, span, found), ahead[0][0]):
        return next((who for _, who in marks if (ahead[2], False) in who), [(ahead[2], False)])
    if _OTHERS.match(text, low, high):
        return [(None, False)]
    if inside:
        return inside[0][1]
    earlier = [who for p, who in marks if p <= span[0]]
    if earlier:
        return earlier[-1]
    if (span, "flare") in [f[:2] for f in found] and _NONE_AT_ALL.search(
        text[low : span[0]]
    ):  # "no M flares were recorded, and 11157 stayed quiet"
        return [(None, False)]
    if marks and marks[0][1] == [(None, True)]:  # "the largest" says nothing of what was said before it
        return opening
    back = opening != [(None, False)] and _PRONOUN.match(text, start, end)
    return marks[0][1] if marks and not back else opening


_ATTRIBUTE = re.compile(
    r"(?:象限|方向?|侧|部|边)?的(?:NOAA|AR|活动区|\s)*|(?:ern)?\s+(?:(?:NOAA|ARs?|active"
    r"|region)\s*)*",
    re.I | re.A,
)
# "positive leaders have 11967 and 11969", "正极性领头的是11967和11969"
_CLEFT = re.compile(
    r"(?:[型级类群]|极性?|领头|前导|在前|象限|结构|构型|磁场|的?黑子){0,3}的?(?:那?个?(?:活动区|(?:黑子)?群|区))?"
    r"(?:(?:就|只|仅|都|则|也)*(?:是|有|为|属)|:\s*)(?:编号|NOAA|AR|活动区|\s)*",
    re.I | re.A,
)


# "no flares outside 12192", "除X2.2外别无耀斑", "the others had no flares": no fact says whose flares those would be
_EXCEPTED = re.compile(
    r"\b(?:except(?:ing|ed|ion)?|aside|apart\s+from|besides|outside|other\s+than)\b|(?<![排消清解])除(?!非)|[之以]外",
    re.I | re.A,
)
_THE_OTHERS = re.compile(r"\b(?:others?|elsewhere|rest|remaining)\b|其[他它余]|另外", re.I | re.A)
_OF_THE_DISK = re.compile(r"\b(?:disk|disc|sun|anywhere|earth-facing)\b|日面|太阳[上表]", re.I | re.A)
_OF_IT = re.compile(
    r"\b(?:its?|they|(?:the|this|that|both)\s+(?:active\s+)?(?:region|group|spot)s?)\b|它|(?<!尤)其"
    r"|[该此这两]个?(?:活动区|黑子群|[区群])|两者",
    re.I | re.A,
)
_CAME_FROM = re.compile(
    r"[^,;，；]*(?:\b(?:in|from|by|at|of|on|for|within|near)\s+|[在自由于是]\s*)(?:(?:the|NOAA|ARs?|active|regions?"
    r"|numbers?|编号|活动区)\s*)*",
    re.I | re.A,
)


def _flareless(
    text: str, span: tuple[int, int], marks: list[tuple], start: int, end: int, opening: list[tuple]
) -> list[tuple]:
    """Who had no flares: the region named before, the one they did not come from, or the disk; nobody if some did."""
    low, high = clause(text, span[0], start, end)
    if _EXCEPTED.search(text, start, end) or _THE_OTHERS.search(text, low, high):
        return []
    behind = [who for at, who in marks if at >= span[1] and _CAME_FROM.fullmatch(text, span[1], at)]
    before = [(at, who) for at, who in marks if at < span[0]]
    if behind:
        return behind[0]
    if _OF_THE_DISK.search(text, low, high) and not (before and before[-1][0] >= low):
        return [(None, False)]
    if before:
        return before[-1][1]
    return opening if _OF_IT.search(text, start, end) else [(None, False)]


def _end_of_list(text: str, span: tuple[int, int], found: Sequence[tuple]) -> int:
    """Where the list ends that a find opens: "X2.2、M4.0都是13664的"."""
    kind, end = next(f[1] for f in found if f[0] == span), span[1]
    for (low, high), other, _ in found:
        if other == kind and low >= end and re.fullmatch(r"级?\s*(?:、|,|和|与|and)\s*", text[end:low]):
            end = high
    return end


_NONE_AT_ALL = re.compile(
    r"^\s*(?:there\s+(?:was|were)\s+)?no\s+(?:[A-Z]-\s*(?:,|and|or)\s*)?$"
    r"|^[^，。；\d]{0,14}(?:没有|无|未[^，。；\d]{0,4})$",
    re.I | re.A,
)
_OTHERS = re.compile(
    r"\s*(?:其他|其它|其余|剩下|另外?有|另外还有|另外?[一两二三\d]|the\s+other|elsewhere\b"
    r"|others?\b)",
    re.I | re.A,
)
_PRONOUN = re.compile(r"\s*(?:其(?![他它余中])|它|该[区群]|这个|its?\b|the\s+(?:region|group)\b|this\b)", re.I | re.A)


def _in_order(span: tuple[int, int], kind: str, found: Sequence[tuple], marks: list[tuple]) -> list[tuple]:
    """One of several regions named together, where as many values of a kind follow: "11161 and 11157 have 11 and 3"."""
    at, who = next(((p, w) for p, w in reversed(marks) if p <= span[0]), (0, []))
    until = min((p for p, _ in marks if p > span[0]), default=span[1] + 1000)
    values = [s for s, k, _ in found if k == kind and at < s[0] < until]
    return [who[values.index(span)]] if 1 < len(who) == len(values) else []


def _every(text: str, span: tuple[int, int], found: Sequence[tuple], marks: list[tuple]) -> list[tuple]:
    """The regions named so far, where "both" or "all" stands between them and what is said."""
    named = [(s[1], v) for s, k, v in found if k == "noaa_ar" and s < span]
    back = any(named and named[-1][0] < at < span[0] for at, _ in marks)  # "the former" names one of them again
    if len(named) < 2 or back or not _EVERY.search(text, named[-1][0], span[0]):
        return []
    return [(v, False) for _, v in named]


def _bracketed(text: str, span: tuple[int, int], found: Sequence[tuple]) -> int | None:
    """The region right before the bracket in which a find stands: "fewer than AR 12195 (Dso, 10)"."""
    opened = text.rfind("(", 0, span[0])
    if opened < 0 or ")" in text[opened : span[0]]:
        return None
    ends = {high: value for (_, high), kind, value in found if kind == "noaa_ar" and high <= opened}
    return next((ends[high] for high in ends if re.fullmatch(r"(?:号|区|活动区)*\s*", text[high:opened])), None)


def _in_brackets(text: str, at: int, found: Sequence[tuple]) -> bool:
    """Whether a region in brackets follows: "Ekc (10484)" is of that one, whoever was named before."""
    match = re.compile(r"(?:级|型|耀斑)*\s*[(（][^()（）]{0,24}[)）]").match(text, at)
    inside = [f for f in found if f[1] == "noaa_ar" and match and match.start() <= f[0][0] < match.end()]
    return len(inside) == 1
