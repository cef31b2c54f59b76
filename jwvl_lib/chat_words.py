"""What a question of the chat asks for, by plain rules: its language, topics, regions, whether it is about a picture.

Reads `data/chat_words.yaml`; writes nothing. The same question in either language gives the same `Asked`; what it asks
for is answered elsewhere.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from jwvl_lib.claim_dates import DATES
from jwvl_lib.claim_grammar import plain
from jwvl_lib.knowledge import goes_letters

WORDS = Path(__file__).parent / "data" / "chat_words.yaml"
HAN = re.compile(r"[\u3400-\u9fff]")
REGION = re.compile(
    r"(?:\b(?:AR|NOAA|regions?)|活动区|黑子群|编号)\s*(?:NOAA|AR)?\s*#?(\d{4,5})(?!\d)|(?<!\d)(\d{4,5})\s*号"
    r"|(?<![\d.:/-])(\d{5})(?![\d.:/-])",
    re.I | re.A,
)
DAY = re.compile(r"\d{4}-\d\d-\d\d|--\d\d-\d\d")
FLARE_LETTER = re.compile(rf"\b([{goes_letters()}])(?:[- ]?class|\d|(?= flare))|([{goes_letters()}])\s*级", re.I | re.A)


@dataclass(frozen=True)
class Asked:
    """A question as the rules read it.

    `topics` are names of the words file; `regions` the numbers named; `days` the days, "2014-10-24", or "--10-24" where
    the year is left out; `flare_letter` the class of flare spoken of, or ""; `picture`, `meaning`: it asks about a
    picture, for a meaning; `it`: it points back to a region.
    """

    text: str
    language: str
    topics: tuple[str, ...]
    regions: tuple[int, ...]
    days: tuple[str, ...]
    flare_letter: str
    picture: bool
    meaning: bool
    it: bool


def language_of(text: str, default: str = "en") -> str:
    """zh where Chinese characters stand in the text, en where only Latin words do, else the default."""
    if HAN.search(text):
        return "zh"
    return "en" if re.search(r"[A-Za-z]{2}", text) else default


def understand(question: str, default_language: str = "en") -> Asked:
    """Topics, regions and pointers of a question; nothing found is an answer too."""
    text, words = plain(question), _words()
    letter = FLARE_LETTER.search(text)
    regions = tuple(dict.fromkeys(int("".join(found)) for found in REGION.findall(text)))
    heard = {name for name, regex in words["topics"].items() if regex.search(text)}
    return Asked(
        text=question,
        language=language_of(question, default_language),
        topics=tuple(t for t in words["topics"] if t in heard and not _only_sounds_like(t, heard, bool(regions))),
        regions=regions,
        days=_days(text),
        flare_letter=(letter[1] or letter[2]).upper() if letter else "",
        **{sign: bool(regex.search(text)) for sign, regex in words["signs"].items()},
    )


def kind_name(kind: str, language: str) -> str:
    """What a kind of fact is called; the kind itself where it has no name."""
    return _words()["kinds"].get(kind, {}).get(language, kind)


def _days(text: str) -> tuple[str, ...]:
    found = [v for pattern in DATES for match in pattern.regex.finditer(text) for v in pattern.values(match) or ()]
    days = dict.fromkeys(day.group() for v in found if (day := DAY.match(v[1])))
    return tuple(d for d in days if not any(d != whole and whole.endswith(d[1:]) for whole in days))


def _only_sounds_like(topic: str, heard: set[str], names_a_region: bool) -> bool:
    return bool(heard & set(_words()["sounds_like"].get(topic, ()))) or (topic == "regions" and names_a_region)


@functools.cache
def _words() -> dict[str, dict]:
    raw = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    compiled = {part: {n: _either(w) for n, w in raw[part].items()} for part in ("topics", "signs")}
    return {**compiled, "sounds_like": raw["sounds_like"], "kinds": raw["kinds"]}


def _either(words: dict[str, list[str]]) -> re.Pattern:
    # ASCII: to \b Chinese is no word, so that codes end where Chinese begins
    return re.compile("|".join(w for language in words.values() for w in language), re.I | re.A)
