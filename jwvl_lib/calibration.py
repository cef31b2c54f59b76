"""Is a model as often right as it is sure? Closed questions, from the likelihood of each of their choices.

Reads predictions in memory (`choice_probability`, see `vlm.choose_weighed`); writes nothing. The expected calibration
error is that of Guo et al. 2017 (arXiv:1706.04599): ten bins of equal width, |right - sure| weighted by their n. It is
never negative, so a few questions give an error even to a model that is perfectly calibrated: read it with its n.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import beta

from jwvl_lib import metrics

N_BINS = 10
MODELS = ("base", "tuned")


def _bin(probability: np.ndarray, n_bins: int) -> np.ndarray:
    return np.clip((probability * n_bins).astype(int), 0, n_bins - 1)


def reliability(probability: Sequence[float], right: Sequence[bool], n_bins: int = N_BINS) -> list[dict]:
    """A dict a bin that holds any: `low`, `high` (its edges), n, `sure` (mean probability), `right` (share of right
    answers) with the 95 % interval of the share (Jeffreys), `right_low` and `right_high`."""
    probability, right = np.asarray(probability, dtype=float), np.asarray(right, dtype=float)
    index = _bin(probability, n_bins)
    bins = []
    for k in np.unique(index):
        inside = index == k
        n, hits = int(inside.sum()), right[inside].sum()
        low, high = beta.ppf([0.025, 0.975], hits + 0.5, n - hits + 0.5)
        row = {"low": k / n_bins, "high": (k + 1) / n_bins, "n": n, "sure": probability[inside].mean()}
        row |= {"right": hits / n, "right_low": low if hits else 0.0, "right_high": high if hits < n else 1.0}
        bins.append({name: float(v) if name != "n" else v for name, v in row.items()})
    return bins


def expected_error(probability: Sequence[float], right: Sequence[bool], n_bins: int = N_BINS) -> float:
    """Expected calibration error, 0 (as often right as sure) to 1; NaN without answers."""
    return float(_error(_counts(probability, right, n_bins).sum(axis=0)[None])[0]) if len(right) else math.nan


def _counts(probability: Sequence[float], right: Sequence[bool], n_bins: int) -> np.ndarray:
    """(answers, 2 * bins): right - sure and 1, each at the answer's bin; the error of a resample follows from sums."""
    probability, right = np.asarray(probability, dtype=float), np.asarray(right, dtype=float)
    counts = np.zeros((len(right), 2 * n_bins))
    rows, index = np.arange(len(right)), _bin(probability, n_bins)
    counts[rows, index] = right - probability
    counts[rows, n_bins + index] = 1
    return counts


def _error(sums: np.ndarray) -> np.ndarray:
    half = sums.shape[1] // 2
    return np.abs(sums[:, :half]).sum(axis=1) / sums[:, half:].sum(axis=1)


def closed(scores: pd.DataFrame, model: str, where: str = "simulated") -> pd.DataFrame:
    """The closed questions of a model that were weighed, with `choice_probability` and `choice_correct`."""
    part = scores[(scores.model == model) & (scores["where"] == where) & (scores.task == "qa")]
    return part[part.choice_probability.notna() & part.choice_correct.notna()]


def records(scores: pd.DataFrame, **options: float) -> list[dict]:
    """Records of `metrics.json` (section `checks`, metric `calibration_error`), simulated and real apart.

    `reading` says how sure the model is on average and how often right; intervals resample days.
    """
    rows = []
    for where in ("simulated", "real"):
        for model in MODELS:
            part = closed(scores, model, where)
            if part.empty:
                continue
            right = part.choice_correct.astype(float)
            counts = _counts(part.choice_probability, right, N_BINS)
            low, high = metrics.statistic_interval(_error, counts, part.group_id.to_numpy(), **options)
            numbers = {"value": expected_error(part.choice_probability, right), "ci_low": low, "ci_high": high}
            row = {k: round(float(v), 6) if math.isfinite(v) else None for k, v in numbers.items()}
            row |= {"task": "qa", "metric": "calibration_error", "profile": "choice", "language": "all"}
            row |= {"group": where, "model": model, "section": "checks", "n": len(part), "n_failed": 0}
            row |= dict.fromkeys(("floor", "chance", "difference", "difference_low", "difference_high"))
            reading = f"sure {part.choice_probability.mean():.3f}, right {right.mean():.3f}"
            rows.append(row | {"reading": reading})
    return rows
