"""What a match of a count claims: how many, of what, and whether of the whole disk. Reads and writes nothing."""

import re
from collections.abc import Callable

from jwvl_lib import knowledge
from jwvl_lib.claim_grammar import EN_NUMBER, ZH_NUMBER, Found, counted, interval, number


def count(kind: str) -> Callable[[re.Match], Found]:
    """A count, unless the words between number and noun say that it is only of some ("two other regions")."""
    return lambda m: [] if _PARTIAL.search(m.group()) or (kind == "n_regions" and _of_some(m)) else _counted(kind, m)


def _counted(kind: str, match: re.Match) -> Found:
    """No spots at all are an absence, not a count."""
    claimed = counted(match)
    if isinstance(claimed, int) and claimed > _MOST:
        return []
    return [("spots_visible", "no")] if (kind, claimed) == ("n_spots", 0) else [(kind, claimed)]


_MOST = 999  # no disk has more spots


def _of_some(match: re.Match) -> bool:
    """Whether regions are counted of a part of the disk or of those named before, not of the whole disk.

    "There is one region in the west" counts, unless the text goes on to another part.
    """
    one_of_all = len(_PART.findall(match.string)) == 1 and counted(match) == 1
    rest = _REST.search(match.string[: match.start()]) is not None
    rest = rest or excepted(match) or _ONLY_ONE.match(match.string, match.end()) is not None
    return _apposed(match) or rest or (in_part(match) and not one_of_all)


# "only one region carries a delta"
_ONLY_ONE = re.compile(
    r"(?<=region|.group)\s+(?:carries|has|shows|exhibits|possesses|produced|flared)\b(?!\s+(?:sun)?spots)", re.I
)
_REST = re.compile(r"(?:另外?|其余的?|其[他它]的?|剩下的?|剩余的?|余下的?|还有|前|后)\s*$", re.I | re.A)
_SIDE = r"(?:(?:north|south)(?:east|west)?|east|west)(?:ern)?"
_PART = re.compile(
    r"[东西南北]半球|象限|东[南北]|西[南北]|赤道以[南北]|子午线以[东西]|[东西南北][侧边部面](?!缘)|[左右][侧边上下]"
    r"|[上下]方"
    rf"|\b{_SIDE}\s+(?:hemisphere|half|quadrant|part)\b|\b(?:in|on|near|along|at)\s+the\s+(?:far\s+)?(?:{_SIDE}|left|right|(?:upper|lower)\s+(?:left|right))\b",
    re.I | re.A,
)


def in_part(match: re.Match) -> bool:
    """Whether the words of the clause before a match name a part of the disk: "in the southwest there is one"."""
    return _PART.search(re.split("[，。；,;:、]", match.string[: match.start()])[-1]) is not None


def _apposed(match: re.Match) -> bool:
    """ "12192、12193两个活动区" only sums up the names before it; "只有12192、12193两个" counts."""
    before = match.string[: match.start()]
    return re.search(r"\d\s*(?:这|等)?$", before) is not None and not re.search("[只仅共]", before + match.group())


def if_spots(match: re.Match) -> Found | None:
    """A count whose noun was said before: "the real count for AR 12192 is 67"."""
    return _counted("n_spots", match) if re.search(r"\bspots?\b|黑子", match.string[: match.start()], re.I) else None


_FEATURES_COUNTED = {
    "coronal_hole": "n_coronal_holes",
    "filament": "n_filaments",
    "active_region": "n_regions",
    "sunspot_group": "n_regions",
    "sunspot": "n_spots",
}
NOUNS = {
    knowledge.term(f"feature.{name}", language): kind
    for language in knowledge.LANGUAGES
    for name, kind in _FEATURES_COUNTED.items()
}


def noun_before(match: re.Match) -> Found | None:
    """ "冕洞总面积约84000 MSH，共三个": a count of what was named last."""
    before = match.string[: match.start()]
    nouns = re.findall("|".join(["编号区", *sorted(NOUNS, key=len, reverse=True)]), before, re.I | re.A)
    if re.search(r"\d{4}[^\d。;；]{0,6}$", before) and "个" in match.group() and "黑子" in nouns:
        return _counted("n_spots", match)  # "黑子最多的活动区是AR 11967，有92个"
    return _counted(NOUNS.get(nouns[-1].lower(), "n_regions"), match) if nouns else None


def at_number(values: Callable[[re.Match], Found]) -> Callable[[re.Match], Found]:
    """The same at the place of the number, so that "编号区不是四个" is seen to be denied."""
    return lambda m: [(kind, value, m.span("n")) for kind, value, *_ in values(m)]


def between(match: re.Match) -> Found | None:
    """ "少则五十，多则七十" and "从六十到八十不等" of the noun that was said before."""
    if not (match["m2"] or (match["m"] and match.group().endswith(("不等", "之间")))):
        return None
    nouns = re.findall("黑子(?!群)|" + "|".join(sorted(NOUNS, key=len, reverse=True)), match.string[: match.start()])
    low, high = number(match["n"]), number(match["m2"] or match["m"])
    return [(NOUNS.get(nouns[-1], "n_spots"), interval(low, high))] if nouns else None


def only_one(match: re.Match) -> Found:
    """ "只有11158这一个编号区" counts; "这一个活动区" only points."""
    return [("n_regions", 1)] if re.search(r"[只仅唯][^，。；]{0,12}$", match.string[: match.start()]) else []


def the_rest(match: re.Match) -> Found:
    """ "No other region": as many as are named as exceptions before, else nothing is counted."""
    named = re.search(
        r"(?:\b(?:apart|aside)\s+from|\bother\s+than|\bbesides|\bexcept(?:\s+for)?|除了?)([^.。;；]*)$",
        match.string[: match.start()],
        re.I | re.A,
    )
    numbers = re.findall(r"(?<!\d)\d{4,5}(?!\d)", named[1]) if named else []
    return [("n_regions", len(numbers))] if numbers else []


def excepted(match: re.Match) -> bool:
    """Whether exceptions are named before: "apart from AR 12674, no active regions are visible"."""
    return (
        re.search(
            r"\b(?:apart|aside)\s+from\b|\bexcept\b|\bbesides\b|\bin\s+addition\b", match.string[: match.start()], re.I
        )
        is not None
    )


def visible(match: re.Match) -> Found:
    denied = re.search(r"\bnot\b|n't\b|\bcannot\b|不|未|没", match.group())
    return [("spots_visible", "no" if denied else "yes")]


def none_in_part(match: re.Match) -> Found:
    """No region on the disk; but "none in the north" says nothing of the disk."""
    return (
        the_rest(match)
        if match.string[: match.start()].endswith(("再", "别"))
        else []
        if in_part(match)
        else [("n_regions", 0)]
    )


def listed(kind: str) -> Callable[[re.Match], Found]:
    """ "55, 130 and 53 spots": each number at its own place."""

    def values(match: re.Match) -> Found:
        text = match.groupdict().get("list") or match.group()
        at = match.start("list") if text != match.group() else match.start()
        numbers = re.finditer(EN_NUMBER if text.isascii() else ZH_NUMBER, text, re.I | re.A)
        return [(kind, number(n.group()), (at + n.start(), at + n.end())) for n in numbers]

    return values


def answered(kind: str, none: tuple) -> Callable[[re.Match], Found]:
    """What the answer to a question counts, at the place of the answer: "Any spots? None"."""

    def values(match: re.Match) -> Found:
        ((what, value),) = _counted(kind, match) if match["n"] else [none]
        return [(what, value, match.span("answer"))]

    return values


_PARTIAL = re.compile(
    r"\b(?:other|further|additional|new|newly|remaining|smaller|larger|lesser|northern|southern|eastern|western"
    r"|neighbou?ring|nearby|similar|extra|(?<!or\s)more\s+(?!than)|old|older|previous|former|unnumbered|dozen\s+of)\b"
    r"|其[他它余]|新(?!月)|较小|更小|[南北]半球|另|未编号|相邻|邻近|再",
    re.I | re.A,
)
