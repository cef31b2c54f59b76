"""Claims against facts: supported, contradicted or unsupported. Reads and writes nothing, knows no language."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from jwvl_lib.claim_scope import REGION_KINDS
from jwvl_lib.facts import Fact, find

VERDICTS = ("supported", "contradicted", "unsupported")
WAVELENGTH_TOLERANCE_ANGSTROM = 1.0  # "6563 Å" is H-alpha at 6562.8 Å
FLARE_TIME_TOLERANCE_MIN = 10  # a flare's begin and peak are minutes apart, and texts mean either
COUNT = re.compile(r"(\d+)(?:-(\d+)|(\+))?")


@dataclass(frozen=True)
class Claim:
    """One checkable statement of a text.

    `kind` is a fact kind, `spots_visible` (yes or no) or `flares_seen` (no). `value` is normalised: a count or area is
    an int, "1-2" or "3+"; a time is cut to the precision stated ("2014-02-03T04:12", "T04:12"); a Mount Wilson class is
    spelt "Beta-Gamma"; a flare is "X2.2", "X2.2@T01:56" or its letter. `span` is where it stands in the text;
    `of_largest` says it is about the largest region, whichever that is.
    """

    kind: str
    value: str | int | float
    noaa_ar: int | None = None
    span: tuple[int, int] = (0, 0)
    negated: bool = False
    of_largest: bool = False


def judge(claim: Claim, facts: Sequence[Fact]) -> tuple[str, Fact | None]:
    """Verdict on one claim, and the fact it rests on.

    A claim is contradicted where facts of its kind (about its region) exist and none agrees, and where it describes a
    region without naming it although the facts say the disk has none. A negated claim swaps supported and contradicted,
    but that a region had no such flare stays unsupported while one of no region fits: it may be this one's.
    """
    candidates = _candidates(claim, facts)
    agreeing = [f for value, f in candidates if _agrees(claim, value, f)]
    any_regions = claim.negated and claim.kind == "flare" and claim.noaa_ar is not None
    decisive = [f for f in agreeing if f.noaa_ar or not any_regions]
    if decisive:
        verdict, fact = "supported", decisive[0]
    elif agreeing:
        return "unsupported", None
    elif claim.kind == "noaa_ar" and find(facts, "n_regions") is None:
        return "unsupported", None  # the list of regions is not known to be complete
    elif candidates:
        verdict, fact = "contradicted", candidates[0][1]
    else:
        n_regions = find(facts, "n_regions")
        of_a_region = (
            claim.kind in REGION_KINDS and claim.kind != "flare" and (claim.noaa_ar is None or claim.kind == "noaa_ar")
        )
        spotless = of_a_region and n_regions is not None and n_regions.value == 0
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
        seen = spots_visible(facts) or _spotless(facts)
        return [seen] if seen else []
    region = largest_region(facts) if claim.of_largest else claim.noaa_ar
    if claim.of_largest and region is None:
        return []
    if claim.kind == "flares_seen":
        return _flares_seen(region, facts)
    pairs = [(f.value, f) for f in facts if f.kind == claim.kind]
    if claim.kind == "observatory" or claim.kind == "instrument":
        # GONG is the name of the network and of its instrument
        pairs += [(f.value, f) for f in facts if f.kind in ("observatory", "instrument") and f.value == claim.value]
    if claim.kind in REGION_KINDS and claim.kind not in ("noaa_ar", "flare") and region is not None:
        pairs = [(v, f) for v, f in pairs if f.noaa_ar is not None and _same_region(region, f.noaa_ar)]
    elif claim.kind == "noaa_ar" and claim.of_largest:
        pairs = [(v, f) for v, f in pairs if f.noaa_ar == region or v == region]
    return pairs


def _spotless(facts: Sequence[Fact]) -> tuple[str, Fact] | None:
    """Where no region has spots, no picture shows any, whatever its layer."""
    n_regions = find(facts, "n_regions")
    return ("no", n_regions) if n_regions is not None and n_regions.value == 0 else None


def _flares_seen(region: int | None, facts: Sequence[Fact]) -> list[tuple[str, Fact]]:
    """Whether a region flared ("yes" or "no"), or the disk where none is given; a day with one flare fact has them all.

    Nothing is known of a region where one of the day's other flares has none: it may be that region's.
    """
    flares = [f for f in facts if f.kind == "flare"]
    own = [("yes", f) for f in flares if region is None or (f.noaa_ar and _same_region(region, f.noaa_ar))]
    return own or [("no", f) for f in flares[:1] if all(other.noaa_ar for other in flares)]


def _same_region(claimed: int, true: int) -> bool:
    """SWPC texts print the last four digits: AR 2192 is 12192, but 12192 is never 2192."""
    return claimed == true or (claimed < 10_000 and true % 10_000 == claimed)


def _agrees(claim: Claim, value: object, fact: Fact) -> bool:
    if claim.kind.startswith("n_") or claim.kind.endswith("area_msh"):
        return _within(str(claim.value), int(value))
    if claim.kind == "noaa_ar":
        return _same_region(int(claim.value), int(value))
    if claim.kind == "date_obs":
        return _same_time(str(claim.value), str(value))
    if claim.kind == "wavelength_angstrom":
        return abs(float(claim.value) - float(value)) <= WAVELENGTH_TOLERANCE_ANGSTROM
    if claim.kind == "flare":
        elsewhere = claim.noaa_ar and fact.noaa_ar and not _same_region(claim.noaa_ar, fact.noaa_ar)
        return not elsewhere and _same_flare(str(claim.value), str(value))
    return str(claim.value).casefold() == str(value).casefold()


def _within(claimed: str, true: int) -> bool:
    low, high, more = COUNT.fullmatch(claimed).groups()
    return int(low) <= true and (more is not None or true <= int(high or low))


def _same_time(claimed: str, true: str) -> bool:
    """Equal as far as the claim goes; it may leave out the date ("T04:12") or the year ("--10-24")."""
    start = {"T": 10, "-": 4}.get(claimed[0], 0)
    return true[start:].startswith(claimed[1:] if start == 4 else claimed)


def _same_flare(claimed: str, true: str) -> bool:
    """A letter fits every flare of it, a whole number ("X2") every tenth of it; a stated time must be near the peak."""
    (goes, _, at), (true_goes, _, peak) = claimed.partition("@"), true.partition("@")
    if goes[0] != true_goes[0] or (goes[1:] and not _same_peak_flux(goes[1:], true_goes[1:])):
        return False
    return not at or not peak or _near(at, datetime.fromisoformat(peak))


def _near(stated: str, peak: datetime) -> bool:
    """Whether a stated time of a flare is near its peak, on the day stated or else on any: it may cross midnight."""
    date, _, clock = stated.partition("T")
    if len(clock) < len("01:56"):  # a whole hour
        return _same_time(stated, peak.isoformat())
    try:
        at = time.fromisoformat(clock)
    except ValueError:  # no clock shows 24:30
        return False
    days = (peak.date() + timedelta(days=d) for d in (-1, 0, 1))
    times = (datetime.combine(day, at) for day in days if not date or _same_time(date, day.isoformat()))
    return any(abs(t - peak) <= timedelta(minutes=FLARE_TIME_TOLERANCE_MIN) for t in times)


def _same_peak_flux(claimed: str, true: str) -> bool:
    return float(claimed) == (float(true) if "." in claimed else float(true) // 1)
