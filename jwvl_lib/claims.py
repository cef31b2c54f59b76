"""Claim without fact = hallucination: the one module that splits a text into claims and judges each against facts.

Reads and writes nothing. `extract` applies the grammar of `claim_patterns` from the most specific pattern to the least:
a stretch of text that one pattern has taken is closed to the later ones, so the 171 of "AIA 171 active regions" cannot
become a count. `check` compares claims with facts and knows no language.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jwvl_lib.claim_patterns import BARE, NEGATION, PATTERNS, RESUMES, SENTENCE_END, SUBJECT, interval
from jwvl_lib.facts import Fact, find

# kinds that speak about one region
REGION_KINDS = "noaa_ar location area_msh mcintosh_class hale_class n_spots leading_polarity quadrant".split()
VERDICTS = ("supported", "contradicted", "unsupported")
WAVELENGTH_TOLERANCE_ANGSTROM = 1.0  # "6563 Å" is H-alpha at 6562.8 Å
COUNT = re.compile(r"(\d+)(?:-(\d+)|(\+))?")


@dataclass(frozen=True)
class Claim:
    """One checkable statement of a text.

    `kind` is a fact kind, or `spots_visible` (yes or no). `value` is normalised: a count is an int, "1-2" or "3+"; a
    time is cut to the precision stated ("2014-02-03T04:12", "T04:12"); a Mount Wilson class is spelt "Beta-Gamma".
    `span` is where it stands in the text; `of_largest` says it is about the largest region, whichever that is.
    """

    kind: str
    value: str | int | float
    noaa_ar: int | None = None
    span: tuple[int, int] = (0, 0)
    negated: bool = False
    of_largest: bool = False


# --------------------------------------------------------------------------------------------------------------------
# text to claims


def extract(text: str, language: str | None = None, about: str = "") -> list[Claim]:
    """The claims of a text, in reading order.

    `language` ("en", "zh") leaves out the patterns of the other one. `about` is what the question asked for: a fact
    kind or `spots_visible`, with `largest:` before it where the question is about the largest region; with it a bare
    answer ("1-2", "NE", "yes") is a claim, without it such words say nothing.
    """
    scope, _, kind = about.rpartition(":")
    largest = scope == "largest"
    bare = _bare_claim(text, kind, largest)
    if bare is not None:
        return [bare]
    found, taken = [], []
    for pattern in PATTERNS:
        if language and pattern.language not in ("", language):
            continue
        for match in pattern.regex.finditer(text):
            values = None if _overlaps(match.span(), taken) else pattern.values(match)
            if values is not None:
                taken.append(match.span())
                found += [(match.span(), kind_, value) for kind_, value in values]
    return _with_subjects(text, sorted(found, key=lambda item: item[0]), largest)


def _overlaps(span: tuple[int, int], taken: Iterable[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)


def _bare_claim(text: str, kind: str, of_largest: bool) -> Claim | None:
    """The whole text as one claim, where the question gives it its meaning."""
    span = (0, len(text))
    if kind == "banner_text":
        return Claim(kind, text.strip(), span=span)
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


def _with_subjects(text: str, found: Sequence[tuple], about_largest: bool) -> list[Claim]:
    """Tie each claim about a region to the one its sentence speaks of: the last named before it, else the first."""
    claims = []
    previous = (None, about_largest)
    for start, end in _sentences(text):
        inside = [item for item in found if start <= item[0][0] < end]
        marks = sorted(
            [(span[0], (value, False)) for span, kind, value in inside if kind == "noaa_ar"]
            + [(start + m.start(), (None, True)) for m in SUBJECT.finditer(text[start:end])]
        )
        opening = previous if RESUMES.match(text, start, end) or about_largest else (None, False)
        for span, kind, value in inside:
            noaa_ar, of_largest = _subject(span[0], marks, opening) if kind in REGION_KINDS else (None, False)
            if kind == "noaa_ar":
                noaa_ar, of_largest = value, _named_as_largest(span[0], marks)
            negated = NEGATION.search(text[start : span[0]]) is not None
            claims.append(Claim(kind, value, noaa_ar, span, negated, of_largest))
        previous = marks[-1][1] if marks else opening
    return claims


def _sentences(text: str) -> list[tuple[int, int]]:
    cuts = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    return [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if a < b]


def _subject(at: int, marks: list[tuple], opening: tuple) -> tuple[int | None, bool]:
    before = [who for position, who in marks if position <= at]
    if before:
        return before[-1]
    return opening if opening != (None, False) or not marks else marks[0][1]


def _named_as_largest(at: int, marks: list[tuple]) -> bool:
    """Whether "the largest" stands directly before this region number, no other region between."""
    before = [who for position, who in marks if position < at]
    return bool(before) and before[-1] == (None, True)


# --------------------------------------------------------------------------------------------------------------------
# claims against facts


def check(text: str, facts: Sequence[Fact], language: str | None = None, about: str = "") -> list[dict]:
    """Every claim of a text with its verdict, as JSON-ready dicts.

    Keys: kind, value, noaa_ar, text (the words that claim it), verdict (`supported`: a fact says so; `contradicted`: a
    fact says otherwise; `unsupported`: no fact speaks of it) and fact_id ("" where unsupported). See `extract` for
    `language` and `about`.
    """
    return [_judged(claim, text, facts) for claim in extract(text, language, about)]


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


def judge(claim: Claim, facts: Sequence[Fact]) -> tuple[str, Fact | None]:
    """Verdict on one claim, and the fact it rests on.

    A claim is contradicted where facts of its kind (about its region) exist and none agrees, and where it describes a
    region although the facts say the disk has none. A negated claim swaps supported and contradicted.
    """
    if claim.kind == "flare" and str(claim.value).startswith("none"):
        return _judge_no_flare(claim, facts)
    candidates = _candidates(claim, facts)
    agreeing = next((f for value, f in candidates if _agrees(claim, value)), None)
    if agreeing is not None:
        verdict, fact = "supported", agreeing
    elif candidates:
        verdict, fact = "contradicted", candidates[0][1]
    else:
        n_regions = find(facts, "n_regions")
        spotless = claim.kind in REGION_KINDS and n_regions is not None and n_regions.value == 0
        return ("contradicted", n_regions) if spotless and not claim.negated else ("unsupported", None)
    if claim.negated:
        verdict = {"supported": "contradicted", "contradicted": "supported"}[verdict]
    return verdict, fact


def largest_region(facts: Sequence[Fact]) -> int | None:
    """NOAA number of the region with the largest area; None without areas or where two share the largest."""
    areas = sorted(((f.value, f.noaa_ar) for f in facts if f.kind == "area_msh" and f.noaa_ar), reverse=True)
    if not areas or (len(areas) > 1 and areas[0][0] == areas[1][0]):
        return None
    return areas[0][1]


def spots_visible(facts: Sequence[Fact]) -> tuple[str, Fact] | None:
    """Whether an image can show sunspots ("yes" or "no"), and the fact that decides it.

    Spots are dark in photospheric continuum light, so there the number of regions decides; a coronal image shows the
    hot plasma above and no spots. Of magnetograms and chromospheric images nothing is said: None.
    """
    measurement, layer, n_regions = (find(facts, kind) for kind in ("measurement", "layer", "n_regions"))
    if layer is not None and layer.value == "corona":
        return "no", layer
    if measurement is not None and measurement.value == "continuum" and n_regions is not None:
        return ("yes" if n_regions.value else "no"), n_regions
    return None


def _candidates(claim: Claim, facts: Sequence[Fact]) -> list[tuple[object, Fact]]:
    """(value, fact) pairs that can decide a claim."""
    if claim.kind == "spots_visible":
        seen = spots_visible(facts)
        return [seen] if seen else []
    region = largest_region(facts) if claim.of_largest else claim.noaa_ar
    if claim.of_largest and region is None:
        return []
    pairs = [(f.value, f) for f in facts if f.kind == claim.kind]
    if claim.kind == "observatory" or claim.kind == "instrument":
        # GONG is the name of the network and of its instrument
        pairs += [(f.value, f) for f in facts if f.kind in ("observatory", "instrument") and f.value == claim.value]
    if claim.kind in REGION_KINDS and claim.kind != "noaa_ar" and region is not None:
        pairs = [(v, f) for v, f in pairs if f.noaa_ar is not None and _same_region(region, f.noaa_ar)]
    elif claim.kind == "noaa_ar" and claim.of_largest:
        pairs = [(v, f) for v, f in pairs if f.noaa_ar == region or v == region]
    return pairs


def _same_region(claimed: int, true: int) -> bool:
    """SWPC texts print the last four digits: AR 2192 is 12192, but 12192 is never 2192."""
    return claimed == true or (claimed < 10_000 and true % 10_000 == claimed)


def _agrees(claim: Claim, value: object) -> bool:
    if claim.kind in ("n_regions", "n_spots"):
        low, high, more = COUNT.fullmatch(str(claim.value)).groups()
        return int(low) <= int(value) and (more is not None or int(value) <= int(high or low))
    if claim.kind == "noaa_ar":
        return _same_region(int(claim.value), int(value))
    if claim.kind == "date_obs":
        start = 10 if str(claim.value).startswith("T") else 0
        return str(value)[start:].startswith(str(claim.value))
    if claim.kind == "wavelength_angstrom":
        return abs(float(claim.value) - float(value)) <= WAVELENGTH_TOLERANCE_ANGSTROM
    if claim.kind == "flare":
        return str(value).partition("@")[0] == claim.value
    return str(claim.value).casefold() == str(value).casefold()


def _judge_no_flare(claim: Claim, facts: Sequence[Fact]) -> tuple[str, Fact | None]:
    """An absence of flares is contradicted by one; without a list of flares nothing supports it."""
    letter = str(claim.value).removeprefix("none")
    flare = next((f for f in facts if f.kind == "flare" and str(f.value).startswith(letter)), None)
    return ("contradicted", flare) if flare else ("unsupported", None)
