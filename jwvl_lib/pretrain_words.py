"""The words of the field, repeated and translated, for the second stage of pretraining the tiny base.

Any large base has read the words "corona" and "日冕" long before it sees a solar picture. Without them the tiny base
has learnt of such tokens only never to say them, and an adapter hardly undoes that. No sentence, question or picture of
the Sun is among them. Reads `data/tokenizer_terms.txt` and the knowledge base; writes nothing.
"""

import functools
from pathlib import Path

import numpy as np

from jwvl_lib import knowledge
from jwvl_lib.general_pictures import pick

TERMS = Path(__file__).parent / "data" / "tokenizer_terms.txt"
# where a list or box is asked for, its marks are words too
MARKS = ('[{"', '"}]', "_", ", ", "; ", "(", ")")
_REPEAT = {"en": ("Repeat: {}", "Say this again: {}"), "zh": ("重复：{}", "再说一遍：{}")}
_TRANSLATE = {"en": ("In English: {}", "What is {} in English?"), "zh": ("用中文说：{}", "{}的中文是什么？")}


@functools.cache
def terms() -> tuple[str, ...]:
    """The lines of the tokenizer's list."""
    return tuple(TERMS.read_text(encoding="utf-8").splitlines())


@functools.cache
def words() -> tuple[str, ...]:
    """The terms that are no whole question or request."""
    return tuple(t for t in terms() if t and not t.endswith(("?", "？", ".", "。")))


@functools.cache
def pairs() -> tuple[dict[str, str], ...]:
    """Name by language of every entry of the knowledge base whose names differ."""
    entries = [e for s in knowledge.load().sections.values() for e in s.entries.values()]
    return tuple(dict(e.names) for e in entries if e.names["en"] != e.names["zh"])


def turns(rng: np.random.Generator, n: int) -> list[tuple[str, str]]:
    """`n` turns (question, answer): one to four terms to repeat, or a name to put into the other language."""
    return [_translated(rng) if rng.random() < 0.5 else _repeated(rng) for _ in range(n)]


def _translated(rng: np.random.Generator) -> tuple[str, str]:
    names, (asked, given) = pick(rng, pairs()), pick(rng, (("en", "zh"), ("zh", "en")))
    return pick(rng, _TRANSLATE[asked]).format(names[given]), names[asked]


def _repeated(rng: np.random.Generator) -> tuple[str, str]:
    parts = [pick(rng, MARKS if rng.random() < 0.1 else words()) for _ in range(rng.integers(1, 5))]
    text = " ".join(parts)
    return pick(rng, _REPEAT[pick(rng, ("en", "zh"))]).format(text), text
