"""How one number follows from the raw lines cited beside it: the arithmetic of `report_numbers`, no report needed.

Reads and writes nothing; a line is a line of NOAA's texts as it stands there.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from jwvl_lib import knowledge

# a place, a flare class, or a plain number
NUMBER = re.compile(
    rf"\b[NS]\d\d[EW]\d\d\d?\b|\b[{knowledge.goes_letters()}]\d+\.\d\b"
    r"|(?<![\d.])\d+(?:[.,:]\d+)*(?:e[+-]?\d+)?(?![\d])",
    re.IGNORECASE,
)
KP = re.compile(r'"(?:estimated_kp|Kp|kp_index)"\s*:\s*"?(\d+(?:\.\d+)?)')  # fields of SWPC's JSON services


def is_grade(grade: str, lines: Sequence[str]) -> bool:
    """Whether "R3" is NOAA's grade of the largest flare which the lines print, or "G2" that of the largest Kp."""
    if grade[0] == "G":
        return grade == knowledge.storm_grade(max((float(kp) for line in lines for kp in KP.findall(line)), default=0))
    flares = [_strength(c) for line in lines for c in re.findall(rf"\b[{knowledge.goes_letters()}]\d+\.\d", line)]
    reached = (name for name, least in knowledge.grades("R") if flares and _strength(str(least)) <= max(flares))
    return next(reached, "") == grade


def _strength(goes_class: str) -> tuple[int, float]:
    return knowledge.goes_letters().index(goes_class[0]), float(goes_class[1:])


def value_of(text: str) -> float | None:
    """The number a text spells ("2,740", "1.9e-7"), or None for a place, a flare class or a clock time."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if value < 1e30 else None


@lru_cache(maxsize=65536)
def quotes(text: str, value: float | None, line: str) -> bool:
    """Whether a raw line prints the number: as it stands, without leading zeros, as a clock time, as a NOAA number."""
    if re.search(rf"(?<!\d)0*{re.escape(text.replace(':', ''))}(?!\d)", line) or re.search(
        rf"(?<!\d){re.escape(text)}(?!\d)", line
    ):
        return True
    if value is None:
        return False
    printed = _printed(line)
    return value in printed or (10000 < value < 20000 and value - 10000 in printed)


@lru_cache(maxsize=8192)
def _printed(line: str) -> frozenset[float]:
    """The numbers a line prints, and the same to one and two decimals."""
    found = {value_of(n) for n in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", line, re.IGNORECASE)} - {None}
    return frozenset(found | {round(p, 1) for p in found} | {round(p, 2) for p in found})


def is_difference(value: float, lines: list[str]) -> bool:
    """Whether two cited lines print numbers that differ by it, or by it times a few days."""
    numbers = [{float(n) for n in re.findall(r"(?<!\d)\d{1,4}(?!\d)", line)} for line in lines]
    return any(
        abs(abs(a - b) / days - value) < 0.06
        for i, first in enumerate(numbers)
        for second in numbers[i + 1 :]
        for a in first
        for b in second
        for days in range(1, 9)
    )


def is_days_to_limb(days: float, lines: list[str]) -> bool:
    """Whether a place that a line prints reaches the west limb after so many days of rotation, 13.2 degrees each."""
    places = (m for line in lines for m in re.finditer(r"\b[NS]\d\d([EW])(\d\d\d?)\b", line))
    return any(abs((90 - int(m[2]) * (1 if m[1] == "W" else -1)) / 13.2 - days) <= 1 for m in places)


def is_date(text: str, context: str) -> bool:
    """Whether the words around a number make it part of a date or a time."""
    months = "January|February|March|April|May|June|July|August|September|October|November|December"
    places = [m.start() for m in re.finditer(rf"(?<!\d){re.escape(text)}(?!\d)", context)]
    near = (context[max(at - 12, 0) : at + 14] for at in places)
    return any(re.search(rf"年|月|日|天| d\b|\d-\d|:\d|UT|since|{months}", words) for words in near)
