"""BLEU-4 and ROUGE-1/2/L of an answer against its reference as four public tools define them; reads, writes nothing.

A number is only comparable under its profile: the same pair of English sentences gives a BLEU-4 of 14 to 72 from one
tool to the next. All values are times 100.

- `swift_nlg`: ModelScope Swift, the toolkit of the JW-VL paper (`swift/metrics/nlg.py`): jieba tokens, NLTK's
  `sentence_bleu` with smoothing method 3, the F of the `rouge` 1.0.1 package, mean over the pairs. An answer or a
  reference without words is left out, as its earlier form does; its present form counts the answer as zero, which is
  the `strict` column wherever references are not empty.
- `llamafactory`: LLaMA-Factory (`train/sft/metric.py`): BLEU over *characters*, ROUGE F of `rouge-chinese` 1.0.3 over
  jieba tokens, each pair rounded to 4 digits; an empty side is zero.
- `evalscope`: EvalScope's `general_qa`: "bleu-4" is the precision of 4-grams alone, without smoothing, over jieba
  tokens where the text holds Chinese, else over NLTK's `word_tokenize`; ROUGE F of `rouge-chinese`, English split at
  blanks. Its own main number is the ROUGE-L recall, which is not shown here.
- `sacrebleu`: the corpus BLEU of sacrebleu, tokenizer `zh` or `13a`, with its signature; it has no ROUGE.

The originals are recursive or hold n*m cells, and fail on long answers; these do neither.
"""

import functools
import logging
import math
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Hashable, Sequence

import jieba
import numpy as np
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from punkt.data import english  # NLTK's own English model as a package: no download
from rapidfuzz.distance import LCSseq
from sacrebleu.metrics import BLEU

NLG = ("bleu_4", "rouge_1", "rouge_2", "rouge_l")
PAIR_PROFILES = ("swift_nlg", "llamafactory", "evalscope")  # a score a pair, so a mean over pairs
_EPSILON = 1e-8  # of the `rouge` packages, in the denominator of their F
_SACREBLEU_TOKENIZERS = {"zh": "zh", "en": "13a"}
Words = Sequence[Hashable]

# --------------------------------------------------------------------------------------------------------------------
# words


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


@functools.lru_cache(maxsize=200_000)
def _cut_block(block: str) -> tuple[str, ...]:
    return tuple(_tokenizer().cut(block))


def cut(text: str) -> list[str]:
    """`jieba.cut`, blanks included. jieba cuts each stretch between punctuation by itself, so stretches are cached."""
    return [word for block in jieba.re_han_default.split(text) if block for word in _cut_block(block)]


def tokens(text: str) -> list[str]:
    """jieba tokens without blanks. Newlines stay tokens, as in ms-swift: BLEU counts them, ROUGE does not."""
    return [word for raw in cut(text) if (word := raw.strip(" "))]


@functools.cache
def _sentence_tokenizer() -> PunktSentenceTokenizer:
    """NLTK's English sentence splitter, with its published model."""
    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(parameters)


def _word_tokenize(text: str) -> list[str]:
    """`nltk.word_tokenize`, without its data folder."""
    words = NLTKWordTokenizer()
    return [word for sentence in _sentence_tokenizer().tokenize(text) for word in words.tokenize(sentence)]


def _has_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fa5" for character in text)


# --------------------------------------------------------------------------------------------------------------------
# BLEU


def _matches(reference: Words, hypothesis: Words, n: int) -> tuple[int, int]:
    """Clipped n-gram matches, and how many n-grams the hypothesis has."""
    ours, theirs = (list(zip(*(s[i:] for i in range(n)), strict=False)) for s in (hypothesis, reference))
    said, known = set(ours), set(theirs)
    common = said & known
    if len(said) == len(ours) or len(known) == len(theirs):  # one side repeats nothing: clipping leaves one of each
        return len(common), len(ours)
    counts, limits = (Counter(filter(common.__contains__, grams)) for grams in (ours, theirs))
    return sum(min(counts[gram], limits[gram]) for gram in common), len(ours)


def _bleu_4(reference: Words, hypothesis: Words) -> float:
    """NLTK's sentence_bleu: uniform weights to 4-grams, smoothing method 3 (NIST), brevity penalty."""
    log_precision, smoothing = 0.0, 1
    for n in range(1, 5):
        matched, total = _matches(reference, hypothesis, n)
        if not matched:
            if n == 1:
                return 0.0
            matched, smoothing = 1 / 2**smoothing, smoothing + 1
        log_precision += math.log(matched / max(1, total)) / 4
    return math.exp(log_precision + min(0.0, 1 - len(reference) / len(hypothesis)))


def _precision_4(reference: Words, hypothesis: Words) -> float:
    """NLTK's sentence_bleu with weights (0, 0, 0, 1) and no smoothing: what EvalScope calls bleu-4."""
    if not _matches(reference, hypothesis, 1)[0]:
        return 0.0
    matched, total = _matches(reference, hypothesis, 4)
    precision = matched / total if matched else sys.float_info.min
    return precision * math.exp(min(0.0, 1 - len(reference) / len(hypothesis)))


# --------------------------------------------------------------------------------------------------------------------
# ROUGE


def _f_measure(n_overlap: int, n_hypothesis: int, n_reference: int) -> float:
    precision, recall = (n_overlap / n if n else 0.0 for n in (n_hypothesis, n_reference))
    return 2 * precision * recall / (precision + recall + _EPSILON)


def _rouge_n(reference: Words, hypothesis: Words, n: int) -> float:
    """F over sets of n-grams, as both packages do by default (a repeated n-gram counts once)."""
    ours, theirs = (set(zip(*(s[i:] for i in range(n)), strict=False)) for s in (hypothesis, reference))
    return _f_measure(len(ours & theirs), len(ours), len(theirs))


def _sentences(words: list[str]) -> list[list[str]]:
    """As `rouge` 1.0.1 cuts: at every full stop, even within 12.5; a blank piece is a sentence of one empty word."""
    return [" ".join(piece.split()).split(" ") for piece in " ".join(words).split(".") if piece]


def _lcs_words(reference: Sequence[str], hypothesis: Sequence[str]) -> set[str]:
    """Words of the longest common subsequence that the `rouge` package's backtracking finds.

    There are several such subsequences and the union over sentences depends on which is taken. One big integer a row
    holds the table (Hyyrö's bit-parallel algorithm): bit j of `row` is 0 where the table grows at column j. Where
    the words differ, the way back goes up exactly if it grows there, for then the cell above is larger than the left.
    """
    places: dict[str, int] = {}
    for j, word in enumerate(hypothesis):
        places[word] = places.get(word, 0) | 1 << j
    row = full = (1 << len(hypothesis)) - 1
    rows = []
    for word in reference:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & full
        rows.append(row)
    found, i, j = set(), len(reference), len(hypothesis)
    while i and j:
        if reference[i - 1] == hypothesis[j - 1]:
            i, j = i - 1, j - 1
            found.add(reference[i])
        elif rows[i - 1] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    return found


def _rouge_l_union(reference: list[list[str]], hypothesis: list[list[str]]) -> float:
    """`rouge` 1.0.1, summary level: the union over sentences of the words of their common subsequences."""
    union: set[str] = set()
    theirs, ours = ([(s, frozenset(s)) for s in dict.fromkeys(map(tuple, side))] for side in (reference, hypothesis))
    for r, known in theirs:
        for h, said in ours:
            if not known & said <= union:  # else this pair adds nothing: thousands of sentences stay affordable
                union |= _lcs_words(r, h)
    n_reference, n_hypothesis = (len(set().union(*sentences)) for sentences in (reference, hypothesis))
    return _f_measure(len(union), n_hypothesis, n_reference)


_SENTENCE_ENDS = [
    (re.compile(pattern), r"\1\n\2")
    for pattern in (r"([。！？?])([^”’])", r"(\.{6})([^”’])", r"(…{2})([^”’])", r"([。！？?][”’])([^，。！？?])")
]


def _chinese_words(text: str) -> list[str]:
    """Words as `rouge-chinese` sees them: sentences cut, then split at blanks; a blank line is one empty word."""
    for pattern, broken in _SENTENCE_ENDS:
        text = pattern.sub(broken, text)
    return [word for line in text.rstrip().split("\n") if line for word in " ".join(line.split()).split(" ")]


def _rouge_chinese(reference: str, hypothesis: str) -> tuple[float, float, float]:
    """The F of ROUGE-1, 2 and L; ROUGE-L is one common subsequence over all words. Zero where a side has no word."""
    ours, theirs = _chinese_words(hypothesis), _chinese_words(reference)
    if not ours or not theirs:
        return 0.0, 0.0, 0.0
    longest = LCSseq.similarity(theirs, ours)
    return _rouge_n(theirs, ours, 1), _rouge_n(theirs, ours, 2), _f_measure(longest, len(ours), len(theirs))


# --------------------------------------------------------------------------------------------------------------------
# profiles


@functools.lru_cache(maxsize=50_000)
def _swift_pair(prediction: str, reference: str) -> tuple[float, ...]:
    ours, theirs = tokens(prediction), tokens(reference)
    our_sentences, their_sentences = _sentences(ours), _sentences(theirs)
    if not our_sentences or not their_sentences:
        return (math.nan,) * 4
    our_words, their_words = (sum(s, []) for s in (our_sentences, their_sentences))
    rouge = (*(_rouge_n(their_words, our_words, n) for n in (1, 2)), _rouge_l_union(their_sentences, our_sentences))
    return tuple(100 * score for score in (_bleu_4(theirs, ours), *rouge))


@functools.lru_cache(maxsize=50_000)
def _llamafactory_pair(prediction: str, reference: str) -> tuple[float, ...]:
    ours, theirs = (" ".join(cut(text)) for text in (prediction, reference))
    rouge = _rouge_chinese(theirs, ours) if ours.split() and theirs.split() else (0.0, 0.0, 0.0)
    return tuple(round(100 * score, 4) for score in (_bleu_4(reference, prediction), *rouge))


@functools.lru_cache(maxsize=50_000)
def _evalscope_pair(prediction: str, reference: str) -> tuple[float, ...]:
    texts = prediction, reference
    ours, theirs = (cut(text) if _has_chinese(text) else _word_tokenize(text) for text in texts)
    spaced = (" ".join(cut(text)) if _has_chinese(text) else text for text in texts)
    rouge = _rouge_chinese(*reversed(list(spaced)))
    return tuple(100 * score for score in (_precision_4(theirs, ours), *rouge))


def pairs(predictions: Sequence[str], references: Sequence[str], profile: str = "swift_nlg") -> np.ndarray:
    """(n, 4) array of BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L times 100, a row a pair, under one of `PAIR_PROFILES`.

    NaN where `swift_nlg` cannot score a pair (a side without words); the other profiles give zero there. Raises
    ValueError for another profile, or where the two sequences differ in length.
    """
    score = {"swift_nlg": _swift_pair, "llamafactory": _llamafactory_pair, "evalscope": _evalscope_pair}.get(profile)
    if score is None:
        raise ValueError(f"profile {profile!r} gives no score a pair; one of {', '.join(PAIR_PROFILES)}")
    rows = [score(p, r) for p, r in zip(predictions, references, strict=True)]
    return np.array(rows, dtype=float).reshape(-1, 4)


def blank(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Boolean array: a side has no letter and no digit, so that the pair counts as failed under every profile."""
    both = zip(predictions, references, strict=True)
    return np.array([not all(any(map(str.isalnum, text)) for text in pair) for pair in both], dtype=bool)


def corpus(
    predictions: Sequence[str], references: Sequence[str], profile: str = "swift_nlg", *, strict: bool = False
) -> dict[str, float]:
    """Means of `pairs` with `n` and `n_failed` (pairs with nothing to score).

    `swift_nlg` leaves failed pairs out; with `strict` every failed pair counts as zero, under any profile. Where no
    pair is left the four values are NaN.
    """
    scores = pairs(predictions, references, profile)
    failed = np.isnan(scores[:, 0]) | blank(predictions, references)
    kept = np.where(failed[:, None], 0.0, scores) if strict else scores[~np.isnan(scores[:, 0])]
    means = kept.mean(axis=0) if len(kept) else np.full(4, np.nan)
    return dict(zip(NLG, means.tolist(), strict=True)) | {"n": len(kept), "n_failed": int(failed.sum())}


# --------------------------------------------------------------------------------------------------------------------
# sacrebleu


@functools.cache
def _sacrebleu(language: str) -> BLEU:
    return BLEU(tokenize=_SACREBLEU_TOKENIZERS[language])


def sacrebleu_signature(language: str) -> str:
    """sacrebleu's signature of a language's BLEU, as `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`."""
    metric = _sacrebleu(language)
    metric.corpus_score([""], [[""]])  # the signature is complete after a first use only
    return str(metric.get_signature())


def bleu_statistics(predictions: Sequence[str], references: Sequence[str], language: str) -> np.ndarray:
    """(n, 10) counts a pair: length of answer and reference, matches of 1- to 4-grams, n-grams of the answer.

    They add up: `corpus_bleu` of a sum is the BLEU of those pairs, which makes a bootstrap cheap.
    """
    cut_words = _sacrebleu(language).tokenizer
    rows = []
    for prediction, reference in zip(predictions, references, strict=True):
        ours, theirs = (cut_words(text.rstrip()).split() for text in (prediction, reference))
        matched, total = zip(*(_matches(theirs, ours, n) for n in range(1, 5)), strict=True)
        rows.append((len(ours), len(theirs), *matched, *total))
    return np.array(rows, dtype=float).reshape(-1, 10)


def corpus_bleu(statistics: np.ndarray) -> np.ndarray:
    """sacrebleu's BLEU (smoothing `exp`) of summed `bleu_statistics`, (..., 10) to (...)."""
    ours, theirs, matched, total = np.split(np.asarray(statistics, dtype=float), [1, 2, 6], axis=-1)
    halvings = np.cumsum((matched == 0) & (total > 0), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matched > 0, matched, 0.5**halvings) / total
        brevity = np.minimum(0.0, 1 - theirs / ours)[..., 0]
        score = 100 * np.exp(np.log(precision).mean(axis=-1) + brevity)
    return np.where((matched.sum(axis=-1) > 0) & (total > 0).all(axis=-1), score, 0.0)
