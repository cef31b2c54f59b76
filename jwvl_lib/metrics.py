"""Metrics of the benchmark that are no BLEU and no ROUGE, and the intervals of all. Reads and writes nothing.

Pure functions on strings and arrays. BLEU and ROUGE under their profiles stand in `jwvl_lib.nlg`.
"""

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from rapidfuzz.distance import Levenshtein

# --------------------------------------------------------------------------------------------------------------------
# text against text: exact and by character


def normalize(text: str) -> str:
    """NFKC (full-width to half-width, among others) and no blanks around."""
    return unicodedata.normalize("NFKC", text).strip()


def exact(predictions: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Boolean array: equal after `normalize`."""
    pairs = zip(predictions, targets, strict=True)
    return np.array([normalize(p) == normalize(t) for p, t in pairs], dtype=bool)


def char_accuracy(predictions: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """1 - Levenshtein / max(length), a pair at a time, in 0..1 (paper, section 4.3); raw text, nothing folded.

    A model that reads nothing reaches .7 on a fixed banner: print `floor` beside it.
    """
    return np.array([Levenshtein.normalized_similarity(p, t) for p, t in zip(predictions, targets, strict=True)])


def floor(targets: Sequence[str], score: Callable[[Sequence[str], Sequence[str]], np.ndarray] = exact) -> float:
    """What a model scores that sees nothing and always gives the most common target (ties: the first in order)."""
    if not len(targets):
        return math.nan
    counts = Counter(targets)
    constant = min(counts, key=lambda text: (-counts[text], text))
    return float(np.mean(score([constant] * len(targets), list(targets))))


def macro_f1(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """Unweighted mean F1 over the classes present among the targets; a prediction outside them is a miss."""
    return float(_f1(*_class_counts(predictions, targets, np.zeros(len(targets), dtype=int)))[0])


def _class_counts(
    predictions: Sequence[str], targets: Sequence[str], group_index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, predicted and true counts, each (n_groups, n_classes)."""
    ours, theirs = ([normalize(text) for text in side] for side in (predictions, targets))
    index = {c: i for i, c in enumerate(sorted(set(theirs)))}
    hit, predicted, true = np.zeros((3, group_index.max(initial=0) + 1, len(index)))
    for p, t, g in zip(ours, theirs, group_index, strict=True):
        true[g, index[t]] += 1
        if p in index:
            predicted[g, index[p]] += 1
            hit[g, index[p]] += p == t
    return hit, predicted, true


def _f1(hit: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Macro-F1 of each row over its classes with a true member; NaN for a row without any."""
    present = true > 0
    scores = np.where(present, 2 * hit / np.maximum(predicted + true, 1), 0.0)
    with np.errstate(invalid="ignore"):
        return scores.sum(axis=1) / present.sum(axis=1)


# --------------------------------------------------------------------------------------------------------------------
# means and their intervals


@functools.lru_cache(maxsize=32)
def resample_counts(n_groups: int, n_resamples: int, seed: int) -> np.ndarray:
    """(n_resamples, n_groups): how often a resample drew each group."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)


def percentile_interval(samples: np.ndarray, level: float) -> tuple[float, float]:
    """The central interval of resampled values, those that could not be computed left out; NaN where none could."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return math.nan, math.nan
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(
    values: ArrayLike,
    groups: Sequence[str],
    *,
    weights: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean, whole groups (days) resampled: items of a day are not independent.

    With `weights` it is the interval of sum(values) / sum(weights), for rates such as supported claims per claim.
    (NaN, NaN) with fewer than two groups, where nothing can be said about the spread.
    """
    values = np.asarray(values, dtype=float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    sums = np.stack([np.bincount(index, column, len(names)) for column in (values, weights)], axis=1)
    numerator, denominator = (resample_counts(len(names), n_resamples, seed) @ sums).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return percentile_interval(numerator / denominator, level)


def statistic_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    counts: np.ndarray,
    groups: Sequence[str],
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """`interval` of a statistic of summed counts, such as a corpus BLEU: (n, k) counts, whole groups resampled.

    `statistic` takes (n_resamples, k) sums and gives one value a row.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    sums = np.stack([np.bincount(index, column, len(names)) for column in np.asarray(counts, dtype=float).T], axis=1)
    return percentile_interval(statistic(resample_counts(len(names), n_resamples, seed) @ sums), level)


def paired_difference(
    base: ArrayLike, tuned: ArrayLike, groups: Sequence[str], **options: float
) -> tuple[float, float, float]:
    """Mean of tuned - base over the same items, and its `interval`; pairs with a NaN on either side are left out."""
    difference = np.asarray(tuned, dtype=float) - np.asarray(base, dtype=float)
    kept = np.isfinite(difference)
    if not kept.any():
        return math.nan, math.nan, math.nan
    return float(difference[kept].mean()), *interval(difference[kept], np.asarray(groups)[kept], **options)


def macro_f1_interval(
    predictions: Sequence[str],
    targets: Sequence[str],
    groups: Sequence[str],
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """`interval` of `macro_f1`, over the classes present in each resample."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    drawn = resample_counts(len(names), n_resamples, seed)
    return percentile_interval(_f1(*(drawn @ counts for counts in _class_counts(predictions, targets, index))), level)
