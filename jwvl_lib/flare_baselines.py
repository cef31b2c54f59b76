"""What the flare model must beat on the same cases (climatology, persistence, McIntosh frequencies), and all scores.

Every method is counted on the training cases only. Arrays and frames in, arrays and records out.
"""

import numpy as np
import pandas as pd

from jwvl_lib import flare_scores
from jwvl_lib.flare_model import LEVELS
from jwvl_lib.flare_sample import Sample, by_class

METHODS = ("model", "mcintosh_smoothed", "mcintosh_poisson", "persistence")
CLASS_DAYS = 20  # a class's frequency is pulled towards climatology as if by so many days


def fill_in(
    s: Sample,
    train: np.ndarray,
    train_day: np.ndarray,
    test: np.ndarray,
    test_day: np.ndarray,
    regions: dict[str, np.ndarray],
    disk: dict[str, np.ndarray],
) -> None:
    """Fill in what the simple methods, counted on the training cases only, say of the test cases."""
    cases, known, days = s.cases[test], s.cases[train], s.days[test_day]
    for i, level in enumerate(LEVELS):
        climatology = known[level].mean()
        smoothed = {k: (n + CLASS_DAYS * climatology) / (size + CLASS_DAYS) for k, n, size in by_class(known, level)}
        mean_rate = known[f"n_{level}"].mean()
        rate = {k: n / size for k, n, size in by_class(known, f"n_{level}")}
        regions["climatology"][i, test] = climatology
        regions["mcintosh_smoothed"][i, test] = cases["mcintosh_class"].map(smoothed).fillna(climatology)
        regions["mcintosh_poisson"][i, test] = 1 - np.exp(-cases["mcintosh_class"].map(rate).fillna(mean_rate))
        regions["persistence"][i, test] = _persisting(known, cases, level)
        disk["climatology"][i, test_day] = s.days.loc[train_day, level].mean()
        disk["persistence"][i, test_day] = _persisting(s.days[train_day], days, level)
        for name in ("mcintosh_smoothed", "mcintosh_poisson"):
            none = pd.Series(1 - regions[name][i], index=s.cases["day"]).groupby(level=0).prod()
            disk[name][i, test_day] = 1 - days["day"].map(none).fillna(1.0)


def _persisting(known: pd.DataFrame, cases: pd.DataFrame, level: str) -> pd.Series:
    """Frequency after a day with such a flare, and after one without."""
    after = known.groupby(f"before_{level}")[level].mean()
    return cases[f"before_{level}"].map(after).fillna(known[level].mean())


def verify(s: Sample, regions: dict[str, np.ndarray], disk: dict[str, np.ndarray], name: str) -> dict:
    """`{scores, reliability, roc}` of all methods on the same cases of a sample called `name`."""
    out = {"scores": [], "reliability": [], "roc": []}
    blocks = (s.days["day"] - pd.Timestamp("1990-01-01")).dt.days.to_numpy() // 27
    for scope, frame, chances, units in (
        ("region", s.cases, regions, s.cases["noaa_ar"].to_numpy()),
        ("disk", s.days, disk, blocks),
    ):
        draws = flare_scores.resample(units)
        for i, level in enumerate(LEVELS):
            event, head = frame[level].to_numpy(), {"sample": name, "scope": scope, "level": level}
            if not event.any():
                continue
            reference = chances["climatology"][i]
            for method in METHODS:
                found = flare_scores.score(chances[method][i], event, reference, draws)
                out["scores"].append({**head, "method": method, **found})
                x, y = flare_scores.roc_points(chances[method][i], event)
                keep = np.unique(np.linspace(0, len(x) - 1, 60).astype(int))
                out["roc"].append({**head, "method": method, "x": x[keep].tolist(), "y": y[keep].tolist()})
            bins = flare_scores.reliability(chances["model"][i], event, draws)
            out["reliability"].append({**head, "bins": bins})
    return out
