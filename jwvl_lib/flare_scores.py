"""Verification of probability forecasts of yes-or-no events: Brier skill, ROC, TSS, reliability, with intervals.

Arrays in, numbers out; reads and writes nothing. Intervals resample whole units (a region with all its days, a block of
days), since days of one region are no independent cases. Definitions: Wilks, Statistical Methods in the Atmospheric
Sciences, chapter 9.
"""

import numpy as np
from scipy.stats import rankdata

N_RESAMPLES = 400
BIN_EDGES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.55, 1.0)


def brier_skill(p: np.ndarray, event: np.ndarray, reference: np.ndarray, weights: np.ndarray | None = None) -> float:
    """1 - Brier(p) / Brier(reference), both on the same cases; NaN where the reference makes no error."""
    w = np.ones(len(p)) if weights is None else weights
    worst = np.sum(w * (reference - event) ** 2)
    return float(1 - np.sum(w * (p - event) ** 2) / worst) if worst > 0 else float("nan")


def auc(p: np.ndarray, event: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve, ties counted half; NaN where one of the two outcomes is absent.

    `weights` are whole numbers: how often a case was drawn.
    """
    if weights is not None:
        p, event = np.repeat(p, weights), np.repeat(event, weights)
    event = event.astype(bool)
    n_yes, n_no = int(event.sum()), int((~event).sum())
    if not n_yes or not n_no:
        return float("nan")
    return float((rankdata(p)[event].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def roc_points(p: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False alarm rate and hit rate for every threshold, from (0, 0) to (1, 1); ties are one step."""
    order = np.argsort(-p, kind="stable")
    p, event = p[order], event[order].astype(float)
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    false_alarms, hits = np.cumsum(1 - event)[last], np.cumsum(event)[last]
    return np.append(0, false_alarms / max(false_alarms[-1], 1)), np.append(0, hits / max(hits[-1], 1))


def best_tss(p: np.ndarray, event: np.ndarray) -> float:
    """Largest true skill statistic (hit rate - false alarm rate) over all thresholds: optimistic, as in the papers."""
    false_alarms, hits = roc_points(p, event)
    return float(np.max(hits - false_alarms))


def resample(units: np.ndarray, n: int = N_RESAMPLES, seed: int = 0) -> np.ndarray:
    """Counts (n, cases): how often each case is drawn when whole units are drawn with replacement."""
    names, index = np.unique(units, return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)[:, index]


def interval(values: np.ndarray) -> tuple[float, float]:
    """5 % and 95 % quantile of resampled values; those that could not be computed are left out."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return tuple(float(q) for q in np.quantile(known, [0.05, 0.95])) if len(known) else (float("nan"),) * 2


def score(p: np.ndarray, event: np.ndarray, reference: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """`n, n_events, bss, auc, tss` with 90 % intervals `bss_low` … `auc_high` over the `draws` of `resample`."""
    bss = interval([brier_skill(p, event, reference, w) for w in draws])
    area = interval([auc(p, event, w) for w in draws])
    return {
        "n": len(p),
        "n_events": int(event.sum()),
        "bss": brier_skill(p, event, reference),
        "bss_low": bss[0],
        "bss_high": bss[1],
        "auc": auc(p, event),
        "auc_low": area[0],
        "auc_high": area[1],
        "tss": best_tss(p, event),
    }


def reliability(p: np.ndarray, event: np.ndarray, draws: np.ndarray, edges: tuple = BIN_EDGES) -> list[dict]:
    """A record a bin: `n, n_events, forecast` (mean), `observed` (share), `low, high` (its 90 % interval).

    In a bin where all cases came out alike no resampling can tell: there the binomial interval stands (Clopper and
    Pearson), of cases as if independent.
    """
    which = np.clip(np.digitize(p, edges) - 1, 0, len(edges) - 2)
    records = []
    for i in np.unique(which):
        here = which == i
        drawn = draws[:, here].sum(axis=1)
        shares = (draws[:, here] @ event[here].astype(float))[drawn > 0] / drawn[drawn > 0]
        low, high = interval(shares) if 0 < event[here].sum() < here.sum() else _binomial(event[here])
        records.append(
            {
                "n": int(here.sum()),
                "n_events": int(event[here].sum()),
                "forecast": float(p[here].mean()),
                "observed": float(event[here].mean()),
                "low": low,
                "high": high,
            }
        )
    return records


def _binomial(event: np.ndarray) -> tuple[float, float]:
    tail = float(1 - 0.05 ** (1 / len(event)))
    return (1 - tail, 1.0) if event.all() else (0.0, tail)
