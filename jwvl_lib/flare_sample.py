"""The cases on which flare forecasts are trained and scored: region-days and days of an archive, with what followed.

Takes the records of `rates.read_archive`; reads and writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from jwvl_lib import flare_features, rates
from jwvl_lib.flare_features import C1, M1, X1
from jwvl_lib.flare_model import LEVELS

THRESHOLDS = {"C": C1, "M": M1, "X": X1}
STEPS = {"C": C1, "C3": 3 * C1, "C5": 5 * C1, "M": M1}  # W/m2, where the regressions are fitted


@dataclass(frozen=True)
class Sample:
    """Cases of an archive: a frame a region-day (with features as a list of the same order) and a frame a day."""

    cases: (
        pd.DataFrame
    )  # day, noaa_ar, fold, mcintosh_class, C, C3, C5, M, X (event), n_C … (flares), before_C … (day before)
    features: list[dict]
    days: pd.DataFrame  # day, fold, C, M, X, before_C …


def sample(archive: rates.Archive) -> Sample:
    """All cases of the archive in order of day and region (see `RECIPE`)."""
    past = flare_features.history(archive.srs, archive.events, archive.event_days)
    cases, features, days = [], [], []
    for day in sorted(archive.srs_days & archive.event_days):
        days.append({"day": day, **_outcome(past, day, None)})
        for number, values in sorted(flare_features.day_features(past, day).items()):
            head = {"day": day, "noaa_ar": number, "mcintosh_class": values["mcintosh_class"]}
            cases.append({**head, **_outcome(past, day, number)})
            features.append(values)
    cases, days = pd.DataFrame(cases), pd.DataFrame(days)
    cases["fold"] = cases.groupby("noaa_ar")["day"].transform("min").dt.year
    days["fold"] = days["day"].dt.year
    return Sample(cases, features, days)


def _outcome(past: flare_features.History, day: datetime, number: int | None) -> dict:
    today, before = (flare_features.fluxes(past, when, number) for when in (day, day - flare_features.ONE_DAY))
    counts = {f"n_{k}": sum(f >= limit for f in today) for k, limit in THRESHOLDS.items()}
    return {
        **{k: max(today, default=0.0) >= limit * (1 - 1e-9) for k, limit in STEPS.items()},  # 3 * 1e-6 is no 3e-6
        **{k: counts[f"n_{k}"] > 0 for k in LEVELS},
        **counts,
        **{f"before_{k}": any(f >= limit for f in before) for k, limit in THRESHOLDS.items()},
    }


def by_class(cases: pd.DataFrame, column: str) -> list[tuple[str, int, int]]:
    """(class, sum of the column, number of cases) for each McIntosh class."""
    grouped = cases.groupby("mcintosh_class")[column].agg(["sum", "size"])
    return [(str(k), int(n), int(size)) for k, n, size in grouped.itertuples()]
