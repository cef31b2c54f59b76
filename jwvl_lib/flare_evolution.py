"""How a region and its flaring evolve, and what its features say together: the second part of the flare model's input.

Reads records of one region and the flares before the day; writes nothing. Everything here comes on top of
`flare_features`, which calls it; a logistic regression sees no products of features unless they stand here.
"""

import math
from collections.abc import Iterable, Mapping

C1 = 1e-6  # W/m2, peak flux of 1-8 angstrom
C5 = 5e-6
# a McIntosh class as three steps of growing complexity: extent, penumbra, interior
RANKS = (
    {"A": 0, "B": 1, "H": 0.5, "C": 2, "D": 3, "E": 4, "F": 5},
    {"x": 0, "r": 1, "s": 2, "a": 3, "h": 4, "k": 5},
    {"x": 0, "o": 1, "i": 2, "c": 3},
)
HALE_WEIGHTS = {"Beta": 1, "Gamma": 1.5, "Delta": 2}
IMPORTANCE = {"S": 0, "1": 1, "2": 3, "3": 6}  # of an optical flare, about its area in square degrees


def ranks(row: Mapping) -> tuple[float, float, float, float]:
    """Extent, penumbra and interior of the McIntosh class and the Mount Wilson class, each as a number that grows."""
    letters = zip(RANKS, row["mcintosh_class"], strict=True)
    hale = row["hale_class"] or ""
    return (*(rank.get(letter, 0) for rank, letter in letters), sum(w for k, w in HALE_WEIGHTS.items() if k in hale))


def class_evolution(row: Mapping, earlier: Mapping[int, Mapping]) -> dict[str, float]:
    """The ranks today and their change over one and two days; `earlier` maps days back to the region's rows."""
    now, values = ranks(row), {}
    names = ("extent", "penumbra", "interior", "hale")
    for back in (1, 2):
        then = earlier.get(back)
        then = ranks(then) if then and then["mcintosh_class"] else now
        values |= {f"{name}_rank_change_{back}d": a - b for name, a, b in zip(names, now, then, strict=True)}
    values |= {f"{name}_rank": value for name, value in zip(names, now, strict=True)}
    values["extent_by_interior"] = now[0] * now[2]
    values["penumbra_by_interior"] = now[1] * now[2]
    values["log_area_by_interior"] = math.log((row["area_msh"] or 0) + 10) * now[2]
    values["log_spot_density"] = math.log((row["n_spots"] or 1) / (row["extent_deg"] or 1))
    return values


def flare_evolution(aged: Iterable[tuple[float, object]]) -> dict[str, float]:
    """Energy and length of the region's own flares, (age in days, `Flare`) each, and whether they become more."""
    aged, values = list(aged), {}
    for tau in (0.5, 2):
        weights = [(math.exp(-age / tau), f) for age, f in aged]
        values[f"decayed_fluence_{tau}d"] = math.log10(sum(w * f.fluence_jm2 for w, f in weights) + 1e-4)
        values[f"decayed_minutes_{tau}d"] = math.log1p(sum(w * f.minutes for w, f in weights))
    for tau in (0.5, 1, 2, 4):
        weights = [(math.exp(-age / tau), f.flux_wm2) for age, f in aged]
        values[f"decayed_fourth_root_{tau}d"] = math.log1p(sum(w * (f / C1) ** 0.25 for w, f in weights))
        values[f"decayed_c5_{tau}d"] = math.log1p(sum(w * (f >= C5) for w, f in weights))
    last, before = (sum(low < age <= low + 1 or age == low == 0 for age, _ in aged) for low in (0, 1))
    values["more_flares"] = math.log((last + 1) / (before + 1))
    late, early = (sum(f.flux_wm2 / C1 for age, f in aged if a < age <= a + 0.5 or age == a == 0) for a in (0, 0.5))
    values["more_flux"] = math.log(late + 1) - math.log(early + 1)
    return values


def optical_evolution(aged: Iterable[tuple[float, str]]) -> dict[str, float]:
    """Importance and brilliance ("1N") of the region's optical flares of the last three days, (age in days, class)."""
    recent = [(math.exp(-age), importance) for age, importance in aged]
    return {
        "optical_importance": math.log1p(sum(w * IMPORTANCE.get(i[:1], 0) for w, i in recent)),
        "optical_bright": math.log1p(sum(w * (i[1:2] == "B") for w, i in recent)),
    }


def together(f: Mapping[str, float], nowhere: tuple[int, int]) -> dict[str, float]:
    """Products of features, the limbs, and flares of C1 or more that no region has (within one and three days)."""
    lon = f["lon_deg"]
    one_day, three_days = (math.log1p(n) for n in nowhere)
    return {
        "visible": math.cos(math.radians(min(abs(lon), 89))),
        "rising": max(0.0, -lon - 75) / 15,
        "setting": max(0.0, lon - 75) / 15,
        "east_by_nowhere_1d": one_day * (lon < -60),
        "east_by_nowhere_3d": three_days * (lon < -60),
        "new_by_nowhere_3d": three_days * f["new"],
        "new_by_log_area": f["new"] * f["log_area"],
        "delta_by_log_area": f["delta"] * f["log_area"],
        "delta_by_growth": f["delta"] * f["log_area_change_1d"],
        "delta_by_root": f["delta"] * f["decayed_root_2d"],
        "flux_by_log_area": f["decayed_flux_1d"] * f["log_area"],
        "root_by_log_area": f["decayed_root_1d"] * f["log_area"],
        "root_by_growth": f["decayed_root_1d"] * f["log_area_change_1d"],
        "root_squared": f["decayed_root_1d"] ** 2,
        "log_area_squared": f["log_area"] ** 2,
        "disk_c_by_log_area": f["disk_n_c_3d"] * f["log_area"],
        "disk_c_by_disk_b": f["disk_n_c_3d"] * f["disk_n_b_3d"],
    }
