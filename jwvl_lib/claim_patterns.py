"""The grammar of claims, English and Chinese, put in order: what is most specific first. Reads and writes nothing.

A stretch of text that one pattern has taken is closed to the later ones: times come before anything else that has
digits, region numbers before their digits can be anything else, channels before counts (171 is never a count), and what
the picture is comes last. The patterns stand by sense in `claim_dates`, `claim_channels`, `claim_numbers`,
`claim_regions`, `claim_places`, `claim_flares` and `claim_counts`.
"""

import functools
import re
from itertools import groupby

from jwvl_lib import knowledge
from jwvl_lib.claim_changes import CHANGES
from jwvl_lib.claim_channels import CHANNELS, LAUNCHES, PICTURE
from jwvl_lib.claim_counts import COUNTS
from jwvl_lib.claim_dates import DATES, MONTHS
from jwvl_lib.claim_features import FEATURES
from jwvl_lib.claim_flares import FLARES
from jwvl_lib.claim_grammar import Pattern
from jwvl_lib.claim_numbers import BARE_NUMBERS, NUMBERS
from jwvl_lib.claim_places import PLACES, POLARITY
from jwvl_lib.claim_regions import CLASSES, GREEK
from jwvl_lib.claim_scope import SENTENCE_END
from jwvl_lib.claim_tally import NOUNS

_LETTERS = knowledge.goes_letters()
_DETECTED = [knowledge.term(f"feature.{name}", "zh") for name in ("filament", "coronal_hole", "plage")]
_Z, _P, _C = ("".join(letters) for letters in knowledge.mcintosh_letters())

__all__ = ["ACTIVITIES", "BARE", "GROUPS", "PATTERNS", "SENTENCE_END", "groups"]


def _gated(patterns: list[Pattern], needs: re.Pattern, marker: str, gate: re.Pattern) -> list[tuple]:
    """Patterns in their order as groups: those with a marker in their regex need what the gate finds, too."""
    runs = groupby(patterns, key=lambda p: marker in p.regex.pattern)
    return [(gate if marked else needs, list(run)) for marked, run in runs]


# each group with what a text must hold for any of its patterns to fit: most sentences need few groups
GROUPS: list[tuple[re.Pattern, list[Pattern]]] = [
    *_gated(DATES, re.compile(r"\d|[年月时点]|\bnoon"), MONTHS[0] + "(?:", re.compile("|".join(MONTHS), re.I)),
    *_gated(
        CHANNELS,
        re.compile(r"\d|[A-Z]{2}|alpha|α|阿尔法|angstrom|埃", re.I),
        "+angstroms?",
        re.compile("angstrom", re.I),
    ),
    (re.compile(r"\d{3}|[一二三四五六七八九〇零]{3}"), NUMBERS),
    (
        re.compile(
            r"[增减比差倍出]|分之|[大小多少]了|[从由自]|\b(?:from|by|than|times|lost|gained|added|shed)\b", re.I
        ),
        CHANGES,
    ),
    (
        re.compile(
            rf"(?-i:B[GD])|millionth|MSH|hem|ppm|area|size|面积|大小|半球|百万|{GREEK}|unipolar|单极"
            rf"|10\^|10⁻|面积|[{_Z}]-?[{_P}]-?[{_C}]|[NS]\d\d[EW]|万分|单位|[增减缩扩]|\d{{4}}\s?[(（]",
            re.I,
        ),
        CLASSES,
    ),
    *_gated(
        PLACES,
        re.compile(r"\d|north|south|upper|lower|(?:top|bottom)[-\s]|(?-i:[NS][EW])|[ns][ew]\s|[东西南北上下]", re.I),
        "(?P<ns>north",
        re.compile("north|south|above|below", re.I),
    ),
    (re.compile(rf"[{_LETTERS}]\s?\d|flar|[{_LETTERS}][-\s]class|耀斑|级|类|爆发", re.I), FLARES),
    (
        re.compile(
            rf"region|group|\bARs?\b|spot|blank|群|无斑|{'|'.join(NOUNS)}|编号|[个三两]区"
            r"|\d\s*[这共等二两三四五六七八九十\d]个",
            re.I,
        ),
        COUNTS,
    ),
    (re.compile(rf"(?i:filament|hole|plage)|纤维|{'|'.join(_DETECTED)}"), FEATURES),
    (re.compile(r"(?<!\d)[1-9]\d{2,3}(?!\d)|[一二三四五六七八九〇零十]{5}"), BARE_NUMBERS),
    (re.compile(r"positive|negative|[正负]|前导|领头|先导", re.I), POLARITY),
    (re.compile(r"launch|orbit|发射|升空|上天", re.I), LAUNCHES),
    (re.compile(""), PICTURE),
]
PATTERNS: list[Pattern] = [pattern for _, patterns in GROUPS for pattern in patterns]


@functools.cache
def groups(languages: frozenset[str]) -> list[tuple[re.Pattern, list[Pattern]]]:
    """The groups without the patterns of other languages."""
    spoken = [(needs, [p for p in patterns if p.language in languages]) for needs, patterns in GROUPS]
    return [group for group in spoken if group[1]]


# answers of one or two words, whose meaning comes from the question
BARE = {
    "n_regions": re.compile(r"(?P<n>\d+)(?:\s*[-–]\s*(?P<m>\d+))?\s*个?\s*(?P<more>or more|或更多|及以上)?"),
    "spots_visible": re.compile(r"(?P<yes>yes|是|有|可见)|(?P<no>no|否|没有|不可见)", re.I),
    "leading_polarity": re.compile(r"(?P<sign>positive|negative|正|负)(?: polarity|极性?)?", re.I),
}
# the answer names a class by its term: said within a sentence the words may mean something else
ACTIVITIES = {term.casefold(): value for value, terms in knowledge.names("activity").items() for term in terms}
