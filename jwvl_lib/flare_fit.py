"""Fitting the flare model: ridge regressions at four fluxes, joined and calibrated on cases they have not seen.

Arrays and frames in, the parts of `data/flare_model.json` out; reads and writes nothing. Only log-odds of held-out
cases tell how far a regression is over-sure, so everything that follows the regressions is fitted on such.
"""

import numpy as np
import pandas as pd

from jwvl_lib import flare_model, flare_scores
from jwvl_lib.flare_baselines import CLASS_DAYS
from jwvl_lib.flare_model import LEVELS
from jwvl_lib.flare_sample import STEPS, Sample, by_class

# Inverse ridge strength. Of 0.0005-0.03 cross-validation within the training years takes this one for each of the eight
# years (M regression on `flare_features` alone). On all features the inner choice wavers between 0.003, 0.01 and 0.03.
PENALTY_C = 0.01
JOINED_C = 1.0  # ridge strength of what joins the steps: five numbers from thousands of cases, it hardly matters
BEND_C = 100.0


# --------------------------------------------------------------------------------------------------------------------
# the regressions


def fit_steps(s: Sample, train: np.ndarray, n_members: int = 0, seed: int = 0) -> dict:
    """Class frequencies, scaling and the weights of every step, from the cases of the mask `train`.

    `weights[step]` is (1 + n_members, 1 + features): the regression itself, then its refits on resampled regions (for
    intervals).
    """
    cases = s.cases[train]
    names = [k for k in s.features[0] if k != "mcintosh_class"]
    part = {"features": names, "class_log_odds": {k: _class_log_odds(cases, k) for k in ("C", "M")}}
    matrix = flare_model.design(part, [f for f, keep in zip(s.features, train, strict=True) if keep])
    matrix[:, -2:] = np.column_stack([_own_left_out(cases, level) for level in ("C", "M")])
    part |= {"mean": matrix.mean(axis=0).tolist(), "scale": np.maximum(matrix.std(axis=0), 1e-6).tolist()}
    z = flare_model.standardised(part, matrix)
    draws = [np.ones(len(z)), *flare_scores.resample(cases["noaa_ar"].to_numpy(), n_members, seed)]
    events = {k: cases[k].to_numpy() for k in STEPS}
    return {**part, "weights": {k: [logistic(z, y, PENALTY_C, w) for w in draws] for k, y in events.items()}}


def step_logits(part: dict, s: Sample, mask: np.ndarray) -> np.ndarray:
    """Log-odds (step, case) of the regressions themselves for the cases of a mask."""
    features = [f for f, keep in zip(s.features, mask, strict=True) if keep]
    z = flare_model.standardised(part, flare_model.design(part, features))
    weights = np.array([part["weights"][k][0] for k in STEPS])
    return weights[:, :1] + weights[:, 1:] @ z.T


def logistic(z: np.ndarray, event: np.ndarray, penalty_c: float, weights: np.ndarray | None = None) -> list[float]:
    """Intercept and coefficients of a ridge logistic regression; the intercept is not penalised."""
    from sklearn.linear_model import LogisticRegression  # here, since only training needs it

    if event.all() or not event.any():
        raise ValueError("an archive without a single flare of this level, or with one every day: give more years")
    weights = np.ones(len(z)) if weights is None else weights
    used = weights > 0
    fitted = LogisticRegression(C=penalty_c, solver="newton-cholesky", tol=1e-6)
    fitted.fit(z[used], event[used], weights[used])
    return [float(fitted.intercept_[0]), *fitted.coef_[0].tolist()]


def _class_log_odds(cases: pd.DataFrame, level: str) -> dict[str, float]:
    table = {k: _log_odds(n, size, cases[level].mean()) for k, n, size in by_class(cases, level)}
    return {**table, "other": _log_odds(0, 0, cases[level].mean())}


def _own_left_out(cases: pd.DataFrame, level: str) -> np.ndarray:
    """Each case's class frequency without its own region, so that no case sees its own outcome in training."""
    own = cases.groupby(["mcintosh_class", "noaa_ar"])[level].transform
    whole = cases.groupby("mcintosh_class")[level].transform
    return _log_odds(
        whole("sum").to_numpy(float) - own("sum").to_numpy(float),
        whole("size").to_numpy(float) - own("size").to_numpy(float),
        cases[level].mean(),
    )


def _log_odds(n_events: float, n: float, climatology: float) -> float:
    p = (n_events + CLASS_DAYS * climatology) / (n + CLASS_DAYS)
    return np.log(p / (1 - p)) if isinstance(p, np.ndarray) else float(np.log(p / (1 - p)))


# --------------------------------------------------------------------------------------------------------------------
# what is fitted on held-out log-odds


def join(s: Sample, held_out: np.ndarray, n_members: int = 0, seed: int = 1) -> dict:
    """`{joined, bend, x_from_m, disk}` from held-out log-odds (step, case); cases that are not finite are left out.

    `joined[level]` weighs the steps, the intercept first; `bend` straightens C at the median (knot, intercept, slope,
    slope added above); `x_from_m` is intercept and slope, then those of `n_members` resamples of regions; `disk[level]`
    intercept, slope and what a disk without rated regions adds.
    """
    known = np.isfinite(held_out).all(axis=0)
    steps, cases = held_out[:, known].T, s.cases[known]
    joined = {k: logistic(steps, cases[k].to_numpy(), JOINED_C) for k in ("C", "M")}
    c, m = (_apply(joined[k], steps) for k in ("C", "M"))
    knot = float(np.median(c))
    parts = {"joined": joined, "bend": {"C": [knot, *logistic(_bent(c, knot), cases["C"].to_numpy(), BEND_C)]}}
    x = cases["X"].to_numpy()
    pairs = [logistic(m[:, None], x, 1e4)]
    for draw in flare_scores.resample(cases["noaa_ar"].to_numpy(), n_members, seed):
        again = np.repeat(np.arange(len(x)), draw)
        pairs.append(logistic(m[again, None], x[again], 1e4) if x[again].any() else pairs[0])
    parts["x_from_m"] = pairs
    usable = ~s.days["fold"].isin(s.cases["fold"][~known].unique()).to_numpy()  # spotless days of a year left out
    return {**parts, "disk": _disk(s, chances_logits(parts, held_out), usable)}


def chances_logits(parts: dict, steps: np.ndarray) -> np.ndarray:
    """Log-odds (level, case) of C, M and X from those of the steps; NaN where a step is."""
    both = {k: _apply(parts["joined"][k], steps.T) for k in ("C", "M")}
    return flare_model.in_order(both["C"], both["M"], parts["bend"], parts["x_from_m"][0])


def _apply(weights: list[float], z: np.ndarray) -> np.ndarray:
    return weights[0] + z @ np.array(weights[1:])


def _bent(logits: np.ndarray, knot: float) -> np.ndarray:
    return np.column_stack([logits, np.maximum(logits - knot, 0)])


def _disk(s: Sample, logits: np.ndarray, usable: np.ndarray) -> dict[str, list[float]]:
    joint, spotless = joint_logits(s, logits)
    there = np.isfinite(joint).all(axis=0) & usable
    z = [np.column_stack([row[there], spotless[there]]) for row in joint]
    return {k: logistic(z[i], s.days[k].to_numpy()[there], 1e4) for i, k in enumerate(LEVELS)}


def joint_logits(s: Sample, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (level, day) of any region's flare, NaN where a region is not rated; which days have no rated region."""
    rows = s.cases.groupby("day").indices
    joint, spotless = np.full((len(logits), len(s.days)), np.nan), np.zeros(len(s.days), bool)
    for i, day in enumerate(s.days["day"]):
        own = logits[:, rows.get(day, np.array([], int))]
        joint[:, i] = flare_model.joint_logit(flare_model.sigmoid(own)) if np.isfinite(own).all() else np.nan
        spotless[i] = own.shape[1] == 0
    return joint, spotless


def disk_chances(parts: dict, s: Sample, logits: np.ndarray) -> np.ndarray:
    """Chances (level, day) of the disk from the log-odds (level, case) of its regions."""
    joint, spotless = joint_logits(s, logits)
    return flare_model.sigmoid(flare_model.calibrated_disk(parts["disk"], joint, spotless))


def collapsed(part: dict, joined: dict) -> dict[str, list[list[float]]]:
    """The weights of the steps, joined: one regression a level, since a sum of log-odds is one too."""
    steps = np.array([part["weights"][k] for k in STEPS])  # (step, 1 + members, 1 + features)
    weights = {}
    for level, (intercept, *share) in joined.items():
        both = np.tensordot(np.array(share), steps, axes=1)
        both[:, 0] += intercept
        weights[level] = both.tolist()
    return weights
