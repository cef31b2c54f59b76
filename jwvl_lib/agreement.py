"""Agreement between reviewers: raw agreement, Cohen's kappa and Gwet's AC1, with bootstrap intervals.

Reads the ledger `review.sqlite`; what it returns becomes `agreement.json`. Kappa alone misleads where nearly everything
is accepted (80 % raw agreement at 90 % acceptance gives kappa -0.11), hence all three.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import review_ledger
from jwvl_lib.review_ledger import is_person

METRICS = ("raw_agreement", "cohen_kappa", "gwet_ac1")
_N_BOOTSTRAP = 2000


def coefficients(tables: np.ndarray) -> dict[str, np.ndarray]:
    """The three metrics of 2 x 2 tables of counts, shape (..., 2, 2), rows one reviewer, columns the other.

    NaN where a metric has no value (nothing shared; for kappa, chance alone agrees always). Cohen (1960); Gwet (2008),
    doi:10.1348/000711006X126600, equation 6 for two raters and two categories.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = tables / tables.sum(axis=(-2, -1), keepdims=True)
        observed = share[..., 0, 0] + share[..., 1, 1]
        first, second = share.sum(axis=-1)[..., 0], share.sum(axis=-2)[..., 0]
        chance = first * second + (1 - first) * (1 - second)
        kappa = np.where(np.isclose(chance, 1), np.nan, (observed - chance) / (1 - chance))
        mean = (first + second) / 2
        chance_ac1 = 2 * mean * (1 - mean)
        return {"raw_agreement": observed, "cohen_kappa": kappa, "gwet_ac1": (observed - chance_ac1) / (1 - chance_ac1)}


def agreement(ledger: Path, annotations: pd.DataFrame, *, seed: int, profile: str) -> dict:
    """Agreement of every two reviewers on what both accepted or rejected (skips and flags are no verdict).

    Returns {profile, n_annotations, reviewers, n, raw_agreement, cohen_kappa, gwet_ac1, pairs}: each metric as
    {value, ci_low, ci_high, reason}, value None with the reason where it cannot be computed. The three at the top are
    those of the pair that matters most: persons before programs, then the one that shares most.
    """
    state = review_ledger.current(ledger, annotations)
    reviewers = [
        {"reviewer": name, "kind": "person" if is_person(name) else "program", "n_decided": len(group)}
        for name, group in state.groupby("reviewer")
    ]
    votes = state[state["verdict"].isin(["accept", "reject"])]
    accepts = votes.assign(accept=votes["verdict"] == "accept").pivot(
        index="annotation_id", columns="reviewer", values="accept"
    )
    rng = np.random.default_rng(seed)
    pairs = [_pair(accepts, a, b, rng) for a, b in combinations(accepts.columns, 2)]
    pairs.sort(key=lambda p: (-sum(map(is_person, p["reviewers"])) if p["n"] else 0, -p["n"], p["reviewers"]))
    reason = "one reviewer" if len(accepts.columns) == 1 else "no reviewer"
    top = pairs[0] if pairs else {"n": 0} | {name: _no_value(f"not computed: {reason}") for name in METRICS}
    head = {"profile": profile, "n_annotations": len(annotations), "reviewers": reviewers, "n": top["n"]}
    return head | {name: top[name] for name in METRICS} | {"pairs": pairs}


def _pair(accepts: pd.DataFrame, a: str, b: str, rng: np.random.Generator) -> dict:
    both = accepts[[a, b]].dropna().astype(bool).to_numpy()
    table = np.array([[np.sum((both[:, 0] == i) & (both[:, 1] == j)) for j in (True, False)] for i in (True, False)])
    return {"reviewers": [a, b], "n": len(both), "table": table.tolist()} | _with_intervals(table, rng)


def _with_intervals(table: np.ndarray, rng: np.random.Generator) -> dict[str, dict]:
    n = int(table.sum())
    if n == 0:
        return {name: _no_value("not computed: nothing decided by both") for name in METRICS}
    resampled = coefficients(rng.multinomial(n, (table / n).ravel(), size=_N_BOOTSTRAP).reshape(-1, 2, 2))
    values = {}
    for name, value in coefficients(table).items():
        if np.isnan(value):
            values[name] = _no_value("not computed: both reviewers gave one and the same verdict throughout")
            continue
        low, high = (float(x) for x in np.nanpercentile(resampled[name], [2.5, 97.5])) if n > 1 else (None, None)
        values[name] = {"value": float(value), "ci_low": low, "ci_high": high, "reason": None}
    return values


def _no_value(reason: str) -> dict:
    return {"value": None, "ci_low": None, "ci_high": None, "reason": reason}
