"""What was known of each region at 0030 UT that may tell whether it will flare: numbers for the flare model.

Reads records of `swpc.parse_srs` and `swpc.parse_events`, writes nothing. Features of day D come from the summaries
issued on D and the `DAYS_BACK` days before and from the events of the days before D: nothing that begins on D is used.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jwvl_lib import flare_evolution, knowledge

DAYS_BACK = 7  # as far as a daily report looks back
WINDOWS_DAYS = (1, 2, 3, 7)
DECAYS_DAYS = (0.25, 0.5, 1, 2, 4)
C1, M1, X1 = 1e-6, 1e-5, 1e-4  # W/m2, peak flux of 1-8 angstrom
PARTS = tuple("".join(letters) for letters in knowledge.mcintosh_letters())
NEAR_DEG = (20, 12)  # longitude and latitude within which another region is a neighbour
ONE_DAY = timedelta(days=1)
_FLUENCE = re.compile(r"\d\.\d+E-\d+")  # J/m2 of 1-8 angstrom, in the particulars of an X-ray flare


@dataclass(frozen=True)
class Flare:
    """One X-ray flare: begin (UTC), peak flux, NOAA number or None where the list names no region; energy, length."""

    begin: datetime
    flux_wm2: float
    noaa_ar: int | None
    fluence_jm2: float = 0.0
    minutes: float = 0.0


@dataclass(frozen=True)
class History:
    """Texts by UTC day: regions with spots, plages, flares, optical flares. A day without events list is no key.

    An optical flare is (begin or None, importance and brilliance as "1N").
    """

    spots: dict[datetime, dict[int, dict]]
    plages: dict[datetime, set[int]]
    flares: dict[datetime, list[Flare]]
    optical: dict[datetime, dict[int, list[tuple[datetime | None, str]]]]


def goes_flux(goes_class: str) -> float:
    """Peak 1-8 angstrom flux in W/m2 of a GOES class: X3.1 is 3.1e-4."""
    return 10.0 ** (knowledge.goes_letters().index(goes_class[0]) - 8) * float(goes_class[1:])


def history(srs: Iterable[dict], events: Iterable[dict], event_days: Iterable[datetime]) -> History:
    """Records of summaries and events, sorted by day; `event_days` are those with a list, quiet ones among them.

    A region or flare printed twice counts once. A summary is filed under the day its positions are valid at 00 UT of.
    """
    spots, plages = defaultdict(dict), defaultdict(set)
    for row in srs:
        day = _midnight(row["valid"])
        if row["section"] == "I":
            spots[day].setdefault(row["noaa_ar"], row)
        elif row["section"] == "IA":
            plages[day].add(row["noaa_ar"])
    flares = {_midnight(day): [] for day in event_days}
    optical = {day: defaultdict(list) for day in flares}
    seen = set()
    for row in events:
        day = _midnight(row["begin"] or row["date"])
        key = (row["begin"], row["peak"], row["goes_class"], row["noaa_ar"])
        if day in flares and row["goes_class"] and row["begin"] and key not in seen:
            seen.add(key)
            flares[day].append(_flare(row))
        elif day in optical and row["type"] == "FLA" and row["noaa_ar"]:
            optical[day][row["noaa_ar"]].append((row["begin"], (row.get("particulars") or "")[:2]))
    return History(dict(spots), dict(plages), flares, optical)


def _flare(row: dict) -> Flare:
    fluence = _FLUENCE.search(row.get("particulars") or "")
    minutes = ((row.get("end") or row["begin"]) - row["begin"]).total_seconds() / 60
    return Flare(
        row["begin"], goes_flux(row["goes_class"]), row["noaa_ar"], float(fluence[0]) if fluence else 0.0, minutes
    )


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def day_features(past: History, day: datetime) -> dict[int, dict[str, float]]:
    """`{noaa_ar: {name: value}}` for the regions with spots and a McIntosh class in the summary issued on `day`.

    `mcintosh_class` stands among the values, as text; all others are finite numbers in a fixed order of names.
    """
    regions = {n: r for n, r in past.spots.get(day, {}).items() if r["mcintosh_class"]}
    before = [f for k in range(1, DAYS_BACK + 1) for f in past.flares.get(day - k * ONE_DAY, ())]
    aged = [((day - f.begin) / ONE_DAY, f) for f in before]
    disk = _disk(past.spots.get(day, {}), aged)
    nowhere = tuple(sum(age <= k and f.flux_wm2 >= C1 and f.noaa_ar is None for age, f in aged) for k in (1, 3))
    values = {}
    for number, row in regions.items():
        own = [(age, f) for age, f in aged if f.noaa_ar == number]
        earlier = {k: past.spots.get(day - k * ONE_DAY, {}).get(number) for k in (1, 2)}
        values[number] = {
            "mcintosh_class": row["mcintosh_class"],
            **_appearance(row),
            **_change(past, day, row),
            **_flares([(age, f.flux_wm2) for age, f in own]),
            **_optical(past, day, number),
            **disk,
            "area_share": (row["area_msh"] or 0) / (_area(past.spots[day].values()) + 10),
            "neighbours": _neighbours(row, regions, aged),
            **flare_evolution.class_evolution(row, earlier),
            **flare_evolution.flare_evolution(own),
        }
        values[number] |= flare_evolution.together(values[number], nowhere)
    return values


def fluxes(past: History, day: datetime, noaa_ar: int | None = None) -> list[float]:
    """Peak fluxes in W/m2 of the flares that began on `day`, of one region or of the whole disk."""
    return [f.flux_wm2 for f in past.flares.get(day, ()) if noaa_ar in (None, f.noaa_ar)]


def _appearance(row: dict) -> dict[str, float]:
    """Size, place and class. Beyond 60 degrees foreshortening hides spots, and tomorrow's place is behind the limb."""
    lon, lat, hale = row["lon_deg"] or 0.0, row["lat_deg"] or 0.0, row["hale_class"] or ""
    letters = zip(PARTS, row["mcintosh_class"], strict=True)
    return {
        "log_area": _log_area(row),
        "log_spots": _log_spots(row),
        "extent_deg": float(row["extent_deg"] or 0),
        "lon_deg": lon,
        "from_meridian_deg": abs(lon),
        "from_equator_deg": abs(lat),
        "near_west_limb": max(0.0, lon - 60) / 30,
        "near_east_limb": max(0.0, -lon - 60) / 30,
        "delta": float("Delta" in hale),
        "gamma": float("Gamma" in hale),
        "beta": float("Beta" in hale),
        "hale_missing": float(not hale),
        **{f"class_{i}{known}": float(known == letter) for i, (part, letter) in enumerate(letters) for known in part},
    }


def _change(past: History, day: datetime, row: dict) -> dict[str, float]:
    """How the region changed over one to three days; spots that emerged in view of the last day count as growth."""
    number = row["noaa_ar"]
    earlier = {k: past.spots.get(day - k * ONE_DAY, {}).get(number) for k in range(1, DAYS_BACK + 1)}
    earlier = {k: r for k, r in earlier.items() if r}
    values = {}
    for k in (1, 2, 3):
        then = earlier.get(k)
        values[f"area_change_{k}d"] = float(
            (row["area_msh"] or 0) - (then["area_msh"] or 0) if then else _emerged(past, day - k * ONE_DAY, row)
        )
        values[f"log_area_change_{k}d"] = _log_area(row) - _log_area(then) if then else 0.0
        values[f"log_spots_change_{k}d"] = _log_spots(row) - _log_spots(then) if then else 0.0
        values[f"extent_change_{k}d"] = float((row["extent_deg"] or 0) - (then["extent_deg"] or 0)) if then else 0.0
    return {
        **values,
        "age_days": float(max(earlier, default=0)),
        "new": float(not earlier),
        "log_area_max": max(_log_area(r) for r in (row, *earlier.values())),
        "delta_days": float(sum("Delta" in (r["hale_class"] or "") for r in earlier.values())),
    }


def _emerged(past: History, then: datetime, row: dict) -> int:
    seen_then = then in past.spots and row["noaa_ar"] not in past.plages.get(then, ())
    return (row["area_msh"] or 0) if seen_then and abs(row["lon_deg"] or 0) < 60 else 0


def _flares(aged: list[tuple[float, float]]) -> dict[str, float]:
    """The region's own flares, (age in days, flux) each: counts and largest within windows, sums that decay."""
    values = {}
    for window in WINDOWS_DAYS:
        recent = [flux for age, flux in aged if age <= window]
        values[f"n_all_{window}d"] = math.log1p(len(recent))
        values[f"n_c_{window}d"] = math.log1p(sum(C1 <= f < M1 for f in recent))
        values[f"n_m_{window}d"] = math.log1p(sum(f >= M1 for f in recent))
        values[f"largest_{window}d"] = math.log10(max([*recent, 2e-7]))
    for tau in DECAYS_DAYS:
        weights = [(math.exp(-age / tau), flux) for age, flux in aged]
        values[f"decayed_count_{tau}d"] = math.log1p(5 * sum(w for w, f in weights if f >= C1))
        values[f"decayed_flux_{tau}d"] = math.log10(sum(w * f for w, f in weights) + 3e-7)
        values[f"decayed_root_{tau}d"] = math.log1p(sum(w * math.sqrt(f / C1) for w, f in weights))
    return {
        **values,
        "n_x_7d": float(sum(f >= X1 for _, f in aged)),
        "since_c_days": min((age for age, f in aged if f >= C1), default=DAYS_BACK + 1.0),
        "since_m_days": min((age for age, f in aged if f >= M1), default=DAYS_BACK + 1.0),
    }


def _optical(past: History, day: datetime, number: int) -> dict[str, float]:
    found = [past.optical.get(day - k * ONE_DAY, {}).get(number, []) for k in (1, 2, 3)]
    aged = [((day - begin) / ONE_DAY, importance) for day_s in found for begin, importance in day_s if begin]
    counts = {"optical_1d": math.log1p(len(found[0])), "optical_3d": math.log1p(sum(map(len, found)))}
    return {**counts, **flare_evolution.optical_evolution(aged)}


def _disk(regions: dict[int, dict], aged: list[tuple[float, Flare]]) -> dict[str, float]:
    """What is the same for every region of the day: how active the whole disk is."""
    values = {"disk_log_area": math.log(_area(regions.values()) + 10), "disk_regions": float(len(regions))}
    for window in (1, 3, 7):
        recent = [f.flux_wm2 for age, f in aged if age <= window]
        values[f"disk_n_b_{window}d"] = math.log1p(sum(f < C1 for f in recent))
        values[f"disk_n_c_{window}d"] = math.log1p(sum(f >= C1 for f in recent))
        values[f"disk_n_m_{window}d"] = math.log1p(sum(f >= M1 for f in recent))
    nowhere = sum(age <= 3 and f.flux_wm2 >= C1 and f.noaa_ar is None for age, f in aged)
    return {**values, "disk_nowhere_3d": math.log1p(nowhere)}


def _neighbours(row: dict, regions: dict[int, dict], aged: list[tuple[float, Flare]]) -> float:
    def near(other: dict) -> bool:
        return all(
            abs((other[k] or 0) - (row[k] or 0)) < limit
            for k, limit in zip(("lon_deg", "lat_deg"), NEAR_DEG, strict=True)
        )

    beside = {n for n, other in regions.items() if n != row["noaa_ar"] and near(other)}
    return math.log1p(sum(f.flux_wm2 / C1 * math.exp(-age) for age, f in aged if f.noaa_ar in beside))


def _area(rows: Iterable[dict]) -> int:
    return sum(r["area_msh"] or 0 for r in rows)


def _log_area(row: dict) -> float:
    return math.log((row["area_msh"] or 0) + 10)


def _log_spots(row: dict) -> float:
    return math.log(row["n_spots"] or 1)
