"""Chances of C, M and X flares within 24 h by this project's own model, for each region and for the whole disk.

Reads `data/flare_model.json`, which `flare_training` derives; writes nothing. The model is a logistic regression on
what the summaries and event lists of the last days say (`flare_features`); the file carries its recipe, verification
and refits on resampled regions, whose spread gives the intervals. Assistive, not an operational forecast.

Of seven days of event lists the last one matters most: with it alone the Brier skill for M of this model's first
version fell from 0.255 to 0.243 (leave one year out, n = 10600) and the chances were a fifth too low in sum; with three
lists nothing was lost.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np

from jwvl_lib import flare_features

MODEL_FILE = Path(__file__).parent / "data" / "flare_model.json"
LEVELS = ("C", "M", "X")
CLIP = 4.0  # standard deviations beyond which a feature says no more
SPOTLESS = 1e-3  # chance put in for a disk without rated regions, before calibration


@dataclass(frozen=True)
class Chances:
    """Chances by region and of the disk: `{level: {value, low, high}}`, and how many of the past days had events."""

    regions: dict[int, dict[str, dict[str, float]]]
    disk: dict[str, dict[str, float]]
    n_event_days: int


@cache
def load(path: Path = MODEL_FILE) -> dict:
    """The shipped model with its recipe and verification; numbers as nested lists, as they stand in the file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def probabilities(
    srs: Iterable[dict],
    events: Iterable[dict],
    event_days: Iterable[datetime],
    day: datetime,
    model: dict | None = None,
) -> Chances | None:
    """Chance of at least one flare of C, M, X or stronger that begins on `day` (00-24 UT), as known at 0030 UT.

    `srs`, `events`: records of `swpc.parse_srs`, `swpc.parse_events` of `day` and the `flare_features.DAYS_BACK` days
    before (more does no harm: nothing that begins on `day` is used); `event_days`: the dates (midnight) that have an
    events list. `low` and `high` bound 90 % of the refits on resampled regions. None where the list of the day before
    is missing: the flare history carries the model, and `rates.probability` is the honest answer without it.
    """
    past = flare_features.history(srs, events, event_days)
    known = [k for k in range(1, flare_features.DAYS_BACK + 1) if day - k * flare_features.ONE_DAY in past.flares]
    if 1 not in known:
        return None
    model = load() if model is None else model
    features = flare_features.day_features(past, day)
    logits = region_logits(model, list(features.values()))  # (level, 1 + members, region)
    regions = {n: _levels(sigmoid(logits[:, :, i])) for i, n in enumerate(features)}
    return Chances(regions, _levels(sigmoid(disk_logits(model, logits))), len(known))


def region_logits(model: dict, features: list[dict[str, float]]) -> np.ndarray:
    """Log-odds (level, 1 + members, region): the model itself first, then its refits on resampled regions."""
    z = standardised(model, design(model, features))
    logits = {}
    for level in ("C", "M"):
        weights = np.array(model["weights"][level])  # (1 + members, 1 + features)
        logits[level] = weights[:, :1] + weights[:, 1:] @ z.T
    return in_order(logits["C"], logits["M"], model["bend"], model["x_from_m"])


def in_order(c: np.ndarray, m: np.ndarray, bend: dict, x_from_m: list) -> np.ndarray:
    """Log-odds (level, ...): C straightened, X from M by intercept and slope (a pair a member), none above a weaker."""
    knot, intercept, slope, above = bend["C"]
    c = intercept + slope * c + above * np.maximum(c - knot, 0)
    pairs = np.array(x_from_m)
    x = pairs[..., :1] + pairs[..., 1:] * m if pairs.ndim == 2 else pairs[0] + pairs[1] * m
    return np.stack([np.maximum(c, m), m, np.minimum(x, m)])


def disk_logits(model: dict, logits: np.ndarray) -> np.ndarray:
    """Log-odds (level, 1 + members) that any region flares, corrected for flares the regions of the morning lack."""
    return calibrated_disk(model["disk"], joint_logit(sigmoid(logits)), logits.shape[-1] == 0)


def calibrated_disk(disk: dict, joint: np.ndarray, spotless: np.ndarray | bool) -> np.ndarray:
    """Log-odds (level, ...) of the disk from the joint ones of its regions and whether there is no rated region."""
    intercept, slope, without = np.array([disk[level] for level in LEVELS]).T[:, :, None]
    return np.minimum.accumulate(intercept + slope * joint + without * np.asarray(spotless), axis=0)


def joint_logit(p: np.ndarray) -> np.ndarray:
    """Log-odds that at least one of independent regions (last axis) flares, never below that of `SPOTLESS`."""
    q = np.clip(1 - np.prod(1 - p, axis=-1), SPOTLESS, 1 - 1e-6)
    return np.log(q / (1 - q))


def design(model: dict, features: list[dict[str, float]]) -> np.ndarray:
    """Matrix (region, feature) in the model's order; McIntosh classes become the log-odds of their past frequency."""
    table = model["class_log_odds"]
    rows = [
        [f[name] for name in model["features"]]
        + [table[level].get(f["mcintosh_class"], table[level]["other"]) for level in ("C", "M")]
        for f in features
    ]
    return np.array(rows, float).reshape(len(rows), len(model["features"]) + 2)


def standardised(model: dict, matrix: np.ndarray) -> np.ndarray:
    """Features in standard deviations of the training sample, cut at `CLIP`."""
    return np.clip((matrix - np.array(model["mean"])) / np.array(model["scale"]), -CLIP, CLIP)


def _levels(p: np.ndarray) -> dict[str, dict[str, float]]:
    """`{level: {value, low, high}}` of chances (level, 1 + members), rounded as `rates.probability` rounds."""
    low, high = np.quantile(p[:, 1:], [0.05, 0.95], axis=1)
    bounds = np.stack([p[:, 0], np.minimum(low, p[:, 0]), np.maximum(high, p[:, 0])], axis=1)
    return {
        level: dict(zip(("value", "low", "high"), (round(float(v), 4) for v in row), strict=True))
        for level, row in zip(LEVELS, bounds, strict=True)
    }


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Chances of log-odds."""
    return 1 / (1 + np.exp(-logits))
