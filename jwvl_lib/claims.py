"""Claim without fact = hallucination: the one module that splits a text into claims and judges each against facts.

Reads and writes nothing. `extract` makes a text plain, applies the grammar of `claim_patterns` from the most specific
pattern to the least, and lets `claim_scope` say whom a sentence speaks of, what it denies and what it does not assert.
`check` holds the claims against facts (`claim_verdicts`) and knows no language.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from jwvl_lib import claim_scope
from jwvl_lib.claim_assertion import asserted
from jwvl_lib.claim_denial import denied
from jwvl_lib.claim_ellipsis import completed, likewise
from jwvl_lib.claim_grammar import interval, plain
from jwvl_lib.claim_patterns import ACTIVITIES, BARE, groups
from jwvl_lib.claim_times import flare_times, joined
from jwvl_lib.claim_verdicts import VERDICTS, Claim, judge, largest_region, spots_visible
from jwvl_lib.facts import Fact

__all__ = ["VERDICTS", "Claim", "check", "extract", "extracted", "judge", "largest_region", "spots_visible"]

_HAN = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH = re.compile(r"[a-z]{3}")


def extract(text: str, language: str | None = None, about: str = "") -> list[Claim]:
    """The claims of a text, in reading order.

    `language` ("en", "zh") leaves out the patterns of the other one. `about` is what the question asked for: a fact
    kind or `spots_visible`, with `largest:` before it where the question is about the largest region; with it a bare
    answer ("1-2", "NE", "yes") is a claim, without it such words say nothing.
    """
    return list(extracted(text, language, about))


@lru_cache(maxsize=2**15)
def extracted(text: str, language: str | None = None, about: str = "") -> tuple[Claim, ...]:
    """`extract`, remembered: teachers and models say the same of many images, and several measures ask of one text."""
    scope, _, kind = about.rpartition(":")
    about_largest = scope == "largest"
    bare = _bare_claim(text, kind, about_largest)
    if bare is not None:
        return (bare,)
    plain_text = plain(text)
    return tuple(_scoped(plain_text, _finds(plain_text, language), about_largest))


def check(text: str, facts: Sequence[Fact], language: str | None = None, about: str = "") -> list[dict]:
    """Every claim of a text with its verdict, as JSON-ready dicts.

    Keys: kind, value, noaa_ar, text (the words that claim it), verdict (`supported`: a fact says so; `contradicted`: a
    fact says otherwise; `unsupported`: no fact speaks of it) and fact_id ("" where unsupported). See `extract` for
    `language` and `about`.
    """
    return [_judged(claim, text, facts) for claim in extracted(text, language, about)]


def _judged(claim: Claim, text: str, facts: Sequence[Fact]) -> dict:
    verdict, fact = judge(claim, facts)
    return {
        "kind": claim.kind,
        "value": claim.value,
        "noaa_ar": claim.noaa_ar,
        "text": text[slice(*claim.span)],
        "verdict": verdict,
        "fact_id": fact.fact_id if fact else "",
    }


def _spoken(text: str, language: str | None) -> set[str]:
    """The languages whose patterns can fit: those of the text, narrowed to the one that is asked for."""
    regexes = {"zh": _HAN, "en": _ENGLISH}
    found = {name for name, regex in regexes.items() if regex.search(text)} if _HAN.search(text) else {"en"}
    return {""} | (found & {language} if language else found)


def _finds(text: str, language: str | None) -> list[tuple]:
    """What the patterns find in a plain text, in reading order: (span, kind, value)."""
    spoken = frozenset(_spoken(text, language))
    taken = bytearray(len(text))
    found = []
    for pattern in chain.from_iterable(patterns for needs, patterns in groups(spoken) if needs.search(text)):
        at, search = 0, pattern.regex.search
        while match := search(text, at):
            start, end = match.span()
            at = end + (start == end)
            closed = taken[start] or taken[end - 1] if pattern.over else 1 in taken[start:end]
            if closed:
                at = _after_taken(taken, start, end)  # "from 70 to 67 spots": the 70 is taken, the 67 is not
            values = None if closed or start == end else pattern.values(match)
            if values is not None:
                placed = [(v[2] if len(v) > 2 else (start, end), v[0], v[1]) for v in values]
                named = any(kind == "noaa_ar" for _, kind, _ in placed)  # the noun of a number is left to a count
                for low, high in [span for span, _, _ in placed] if named else [(start, end)]:
                    taken[low:high] = b"\1" * (high - low)
                found += placed
    return sorted(found, key=lambda find: find[0])


def _after_taken(taken: bytearray, start: int, end: int) -> int:
    """The first free place after the first taken stretch of a match; its end if there is none."""
    free = taken.find(0, taken.find(1, start, end), end)
    return end if free < 0 else free


def _scoped(text: str, found: Sequence[tuple], about_largest: bool) -> list[Claim]:
    """Sentence by sentence: what is asserted, of which region, and what is denied."""
    claims = []
    regions = list(dict.fromkeys(value for _, kind, value in found if kind == "noaa_ar"))
    if len(regions) == 1 and len(_LABELS.findall(text)) >= 3:  # "Area: 2180; Class: Fkc; Region: 10486" is one row
        return _row(text, found, regions[0])
    speaks_of, last = [(None, about_largest)], []
    for start, end in claim_scope.sentences(text):
        inside = completed(text, found, start, end)
        inside = joined(text, asserted(text, inside, start, end))
        inside = flare_times(text, inside, start, end)
        opening = speaks_of if claims or about_largest else [(None, False)]
        who, speaks_of = claim_scope.subjects(text, inside, start, end, opening, about_largest, regions)
        negated = denied(text, inside, start, end)
        claims = _named_late(claims, last, _identified(text, inside, start, last))
        last = inside
        for (span, kind, value), whose, no in zip(inside, who, negated, strict=True):
            whose = whose + [(n, False) for n in likewise(text, inside, span, end)] if kind in _SHARED else whose
            claims += [Claim(kind, value, noaa_ar, span, no, largest and kind != "flare") for noaa_ar, largest in whose]
        ruled_out = _ruled_out(text, inside, claims, start)
        claims = [c for c in claims if not any(c == replace(r, noaa_ar=None, negated=False) for r in ruled_out)]
        claims += ruled_out
    said = {(c.kind, c.value, c.noaa_ar) for c in claims if not c.negated}
    # "no HMI magnetogram but one of GONG" is a magnetogram
    return [c for c in claims if not (c.negated and (c.kind, c.value, c.noaa_ar) in said)]


# "A group sits in the southwest. It is NOAA 13664."
_IDENTIFIED = re.compile(
    r"\s*(?:[^,，。\d]{0,24}[,，]\s*)?(?:(?:它|这|该(?:活动区|黑子群|[区群])|其)(?:[就正]|的)?(?:NOAA)?(?:编号)?(?:是|为|即|对应)(?:编号为?|著名的"
    r"|NOAA|AR|活动区|\s)*|(?:it|this|the\s+(?:region|group))(?:'s)?\s+(?:(?:is|was|must|be|has|been|bears|carries|corresponds"
    r"|probably|likely|to|as|numbered|designated|labell?ed|catalogued|known|listed|the|famous|NOAA|number|ARs?|active|region)\s+)*)$",
    re.I | re.A,
)


def _identified(text: str, found: Sequence[tuple], start: int, before: Sequence[tuple]) -> int | None:
    """The region of the sentence before, where this one only now names it; `before` are the finds of that sentence."""
    named = [f for f in found if f[1] == "noaa_ar"]
    if not named or not before or any(f[1] == "noaa_ar" for f in before):
        return None
    return named[0][2] if _IDENTIFIED.fullmatch(text, start, named[0][0][0]) else None


def _named_late(claims: list[Claim], last: Sequence[tuple], region: int | None) -> list[Claim]:
    """What the sentence before said of a region without a name, given to the region that this sentence names."""
    spans = {span for span, kind, _ in last if kind in claim_scope.REGION_KINDS and kind != "flare"}
    if region is None:
        return claims
    nameless = [c.span in spans and c.noaa_ar is None and not c.of_largest for c in claims]
    return [replace(c, noaa_ar=region) if no else c for c, no in zip(claims, nameless, strict=True)]


_SHARED = ("hale_class", "mcintosh_class", "leading_polarity", "quadrant")
_LABELS = re.compile(r"[A-Za-z\u4e00-\u9fff]\s*[:=]\s?(?=\S)")


def _row(text: str, found: Sequence[tuple], region: int) -> list[Claim]:
    """The claims of a row of labelled values about one region."""
    found = joined(text, found)
    of_region = [region if kind in (*claim_scope.REGION_KINDS, "flares_seen") else None for _, kind, _ in found]
    return [Claim(kind, value, n, span) for (span, kind, value), n in zip(found, of_region, strict=True)]


def _ruled_out(text: str, found: Sequence[tuple], claims: Sequence[Claim], start: int) -> list[Claim]:
    """ "The C1.7 came from 11161, not from 11158" denies the flare of 11158."""
    flares = [c for c in claims if c.kind == "flare" and c.span[0] >= start and not c.negated]
    regions = claim_scope.ruled_out_at(text, found, start).values()
    return [replace(c, noaa_ar=n, negated=True) for c in flares for n in regions if n != c.noaa_ar]


def _bare_claim(text: str, kind: str, of_largest: bool) -> Claim | None:
    """The whole text as one claim, where the question gives it its meaning."""
    span = (0, len(text))
    if kind == "banner_text":
        return Claim(kind, text.strip(), span=span)
    if kind == "activity" and (value := ACTIVITIES.get(text.strip().rstrip(".。").casefold())):
        return Claim(kind, value, span=span)
    match = BARE[kind].fullmatch(text.strip().rstrip(".。")) if kind in BARE else None
    if match is None:
        return None
    found = match.groupdict()
    if kind == "n_regions":
        low = int(found["n"])
        value = interval(low, None if found["more"] else int(found["m"] or low))
    elif kind == "spots_visible":
        value = "yes" if found["yes"] else "no"
    else:
        value = "positive" if found["sign"].lower() in ("positive", "正") else "negative"
    return Claim(kind, value, span=span, of_largest=of_largest)
