"""Metrics of the benchmark, as pure functions on strings and arrays. Reads and writes nothing.

A number is only comparable under its profile. `swift_nlg` is what ModelScope Swift, the toolkit of the JW-VL paper,
computes as BLEU-4 and ROUGE (`swift/metrics/nlg.py`, the form that skips a pair with an empty side): jieba tokens,
NLTK's `sentence_bleu` with smoothing method 3, the F of the `rouge` 1.0.1 package, the mean over the pairs kept,
times 100. `strict` is the same with every pair that cannot be scored counted as zero. Other tools give 13.7 to 62.2
on the same English strings, so never compare across profiles.

The original is recursive and fails beyond some 500 tokens, and on a text without words ("."); this one does not.
"""

import functools
import logging
import math
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import jieba
import numpy as np
from numpy.typing import ArrayLike
from rapidfuzz.distance import Levenshtein

NLG = ("bleu_4", "rouge_1", "rouge_2", "rouge_l")
_EPSILON = 1e-8  # of the `rouge` package, in the denominator of its F

# --------------------------------------------------------------------------------------------------------------------
# text against text: swift_nlg


@functools.cache
def _tokenizer() -> jieba.Tokenizer:
    """A tokenizer of our own: no user dictionary of another caller, no cache shared in the temporary folder.

    jieba unmarshals whatever file lies at <temporary folder>/jieba.cache, which any local user may have put there.
    """
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory(prefix="jwvl-jieba-") as private:
        tokenizer.tmp_dir = private
        tokenizer.initialize()
    return tokenizer


def tokens(text: str) -> list[str]:
    """jieba tokens without blanks. Newlines stay tokens, as in the original: BLEU counts them, ROUGE does not."""
    return [word for raw in _tokenizer().cut(text) if (word := raw.strip(" "))]


def _bleu_4(reference: list[str], hypothesis: list[str]) -> float:
    """NLTK's sentence_bleu: uniform weights to 4-grams, smoothing method 3 (NIST), brevity penalty."""
    log_precision, smoothing = 0.0, 1
    for n in range(1, 5):
        counts, known = (Counter(zip(*(s[i:] for i in range(n)), strict=False)) for s in (hypothesis, reference))
        matched, total = (counts & known).total(), max(1, counts.total())
        if not matched:
            if n == 1:
                return 0.0
            matched, smoothing = 1 / 2**smoothing, smoothing + 1
        log_precision += math.log(matched / total) / 4
    return math.exp(log_precision + min(0.0, 1 - len(reference) / len(hypothesis)))


def _sentences(words: list[str]) -> list[list[str]]:
    """As `rouge` 1.0.1 cuts: at every full stop, even within 12.5; a blank piece is a sentence of one empty word."""
    return [" ".join(piece.split()).split(" ") for piece in " ".join(words).split(".") if piece]


def _f_measure(n_overlap: int, n_hypothesis: int, n_reference: int) -> float:
    precision, recall = (n_overlap / n if n else 0.0 for n in (n_hypothesis, n_reference))
    return 2 * precision * recall / (precision + recall + _EPSILON)


def _rouge_n(reference: list[str], hypothesis: list[str], n: int) -> float:
    """F over sets of n-grams, as `rouge` does by default (a repeated n-gram counts once)."""
    ours, theirs = (set(zip(*(s[i:] for i in range(n)), strict=False)) for s in (hypothesis, reference))
    return _f_measure(len(ours & theirs), len(ours), len(theirs))


def _lcs_words(reference: list[str], hypothesis: list[str]) -> set[str]:
    """Words of the longest common subsequence that the `rouge` package's backtracking finds.

    There are several such subsequences and the union over sentences depends on which is taken: so the table is filled
    row by row in numpy and one bit a cell is kept (is the cell above larger than the one to the left), n*m/8 bytes.
    """
    code = {word: i for i, word in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    columns = np.array([code[word] for word in hypothesis])
    above, go_up = np.zeros(len(columns) + 1, dtype=np.int32), []
    for word in reference:
        best = np.where(columns == code[word], above[:-1] + 1, above[1:])
        row = np.concatenate(([0], np.maximum.accumulate(best)))
        go_up.append(np.packbits(above[1:] > row[:-1]))
        above = row
    found, i, j = set(), len(reference), len(hypothesis)
    while i and j:
        if reference[i - 1] == hypothesis[j - 1]:
            i, j = i - 1, j - 1
            found.add(reference[i])
        elif go_up[i - 1][(j - 1) >> 3] >> (7 - ((j - 1) & 7)) & 1:
            i -= 1
        else:
            j -= 1
    return found


def _rouge_l(reference: list[list[str]], hypothesis: list[list[str]]) -> float:
    """Summary level: the union over sentences of the words of their common subsequences."""
    union = set().union(*(_lcs_words(r, h) for r in reference for h in hypothesis))
    n_reference, n_hypothesis = (len(set().union(*sentences)) for sentences in (reference, hypothesis))
    return _f_measure(len(union), n_hypothesis, n_reference)


@functools.lru_cache(maxsize=50_000)
def _nlg_pair(prediction: str, reference: str) -> tuple[float, ...]:
    """The four scores times 100, NaN where either side has no word to score."""
    ours, theirs = tokens(prediction), tokens(reference)
    our_sentences, their_sentences = _sentences(ours), _sentences(theirs)
    if not our_sentences or not their_sentences:
        return (math.nan,) * 4
    our_words, their_words = (sum(s, []) for s in (our_sentences, their_sentences))
    scores = (
        _bleu_4(theirs, ours),
        _rouge_n(their_words, our_words, 1),
        _rouge_n(their_words, our_words, 2),
        _rouge_l(their_sentences, our_sentences),
    )
    return tuple(100 * score for score in scores)


def nlg_pairs(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(n, 4) array of BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L times 100, a row a pair; NaN where it cannot be scored."""
    pairs = [_nlg_pair(p, r) for p, r in zip(predictions, references, strict=True)]
    return np.array(pairs, dtype=float).reshape(-1, 4)


def swift_nlg(predictions: Sequence[str], references: Sequence[str], *, strict: bool = False) -> dict[str, float]:
    """Mean BLEU-4 and ROUGE-1/2/L times 100, with `n` and `n_failed`; see the module's head for the definition.

    Pairs with an empty side are left out of the mean and counted in `n_failed`; with `strict` they count as zero.
    Where no pair is left the four values are NaN.
    """
    pairs = nlg_pairs(predictions, references)
    failed = np.isnan(pairs[:, 0])
    kept = np.where(failed[:, None], 0.0, pairs) if strict else pairs[~failed]
    means = kept.mean(axis=0) if len(kept) else np.full(4, np.nan)
    return dict(zip(NLG, means.tolist(), strict=True)) | {"n": len(kept), "n_failed": int(failed.sum())}


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


def overall(values: ArrayLike, n: ArrayLike) -> float:
    """Mean weighted by n, as in the paper's Overall row (52.8 and 53 at about 1000 and 200 give 52.83)."""
    values, n = np.asarray(values, dtype=float), np.asarray(n, dtype=float)
    return float((values * n).sum() / n.sum()) if n.sum() else math.nan


@functools.lru_cache(maxsize=32)
def _weights(n_groups: int, n_resamples: int, seed: int) -> np.ndarray:
    """(n_resamples, n_groups): how often a resample drew each group."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)


def _interval(samples: np.ndarray, level: float) -> tuple[float, float]:
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
    numerator, denominator = (_weights(len(names), n_resamples, seed) @ sums).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return _interval(numerator / denominator, level)


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
    drawn = _weights(len(names), n_resamples, seed)
    return _interval(_f1(*(drawn @ counts for counts in _class_counts(predictions, targets, index))), level)
