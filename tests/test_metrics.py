"""metrics: the paper's numbers to the digit, no crash where the original has one, intervals that cover."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwvl_lib import metrics

EN = "The image shows a magnetogram. The leading spot of AR 12192 is positive, 12.5 degrees south of the equator."
EN_NEAR = "The picture shows a magnetogram of the Sun. The leading spot of AR 12192 is negative. It lies south."
ZH = "这是一幅由SDO/HMI拍摄的磁图。前导黑子为正极性，位于日面西南。"
ZH_NEAR = "这幅图是SDO/HMI的连续谱像。黑子位于日面西南，前导为正极性。"
BANNER = "SDO/AIA 171\n2014-02-03 00:00 UT"

# every token class that matters to the definition: words of both languages, full stops, numbers with one, blanks
WORDS = st.sampled_from(
    "the a spot sunspot region . , 12.5 X1.5 Fkc 磁图 黑子 前导 正极性 。 ， 171 \n   β ... ．　".split(" ") + ["", " "]
)
TEXTS = st.lists(WORDS, max_size=30).flatmap(lambda words: st.sampled_from(["", " "]).map(lambda gap: gap.join(words)))


def reference_swift_nlg(predictions, references):
    """The definition, spelled with the packages it names. None for a pair those packages cannot score."""
    import jieba
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge import Rouge

    rows = []
    for pair in zip(predictions, references, strict=True):
        ours, theirs = ([w.strip(" ") for w in jieba.cut(text) if w.strip(" ")] for text in pair)
        try:
            rouge = Rouge().get_scores(" ".join(ours), " ".join(theirs))[0]
        except ValueError:  # "Hypothesis is empty."
            rows.append(None)
            continue
        bleu = sentence_bleu([theirs], ours, smoothing_function=SmoothingFunction().method3)
        rows.append([100 * x for x in (bleu, *(rouge[f"rouge-{k}"]["f"] for k in "12l"))])
    return rows


@pytest.fixture(scope="module", autouse=True)
def _private_jieba_cache(tmp_path_factory):
    """The reference goes through jieba's shared tokenizer: keep its cache out of the shared temporary folder."""
    import jieba

    jieba.dt.tmp_dir = str(tmp_path_factory.mktemp("jieba"))
    jieba.initialize()


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [(EN_NEAR, EN), (ZH_NEAR, ZH), (EN, ZH), (BANNER, BANNER), ("SDO/AIA 171", BANNER), ("yes", "no"), (EN * 3, EN)],
)
def test_swift_nlg_equals_the_packages(prediction, reference):
    expected = reference_swift_nlg([prediction], [reference])
    assert metrics.nlg_pairs([prediction], [reference]) == pytest.approx(np.array(expected), abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS)
def test_swift_nlg_equals_the_packages_on_any_text(prediction, reference):
    (expected,) = reference_swift_nlg([prediction], [reference])
    (scores,) = metrics.nlg_pairs([prediction], [reference])
    if expected is None:
        assert np.isnan(scores).all()
    else:
        assert scores == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from("abc."), min_size=1, max_size=60),
    st.lists(st.sampled_from("abc."), min_size=1, max_size=60),
)
def test_rouge_takes_the_same_subsequence_among_equals(ours, theirs):
    """A small alphabet has many longest subsequences; the union over sentences shows which one was taken."""
    pair = [" ".join(ours)], [" ".join(theirs)]
    (expected,) = reference_swift_nlg(*pair)
    if expected is not None:
        assert metrics.nlg_pairs(*pair)[0] == pytest.approx(expected, abs=1e-6)


def test_paper_profile_values_do_not_drift():
    scores = metrics.swift_nlg([EN_NEAR, ZH_NEAR, ""], [EN, ZH, ZH])
    assert (scores["n"], scores["n_failed"]) == (2, 1)
    assert [round(scores[name], 3) for name in metrics.NLG] == [30.36, 70.175, 39.474, 57.018]


def test_an_empty_answer_is_skipped_by_swift_and_zero_when_strict():
    predictions, references = [EN, "", "."], [EN, EN, EN]
    lenient = metrics.swift_nlg(predictions, references)
    strict = metrics.swift_nlg(predictions, references, strict=True)
    assert (lenient["n"], lenient["n_failed"]) == (1, 2)
    assert (strict["n"], strict["n_failed"]) == (3, 2)
    assert lenient["bleu_4"] == pytest.approx(100)
    assert strict["rouge_l"] == pytest.approx(lenient["rouge_l"] / 3)
    assert math.isnan(metrics.swift_nlg([""], [EN])["bleu_4"])


def test_long_text_is_scored_where_the_original_overflows():
    long = " ".join(f"word{i % 97} spot" for i in range(500))
    with pytest.raises(RecursionError):
        reference_swift_nlg([long], [long])
    long = " ".join(f"word{i % 97} spot" for i in range(1500))
    started = time.perf_counter()
    scores = metrics.swift_nlg([long], [long])
    assert time.perf_counter() - started < 10
    assert [scores[name] for name in metrics.NLG] == pytest.approx([100] * 4, abs=1e-4)


def test_tokenizer_leaves_nothing_in_the_shared_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "jieba.cache").write_bytes(b"planted by somebody else")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    metrics._tokenizer.cache_clear()
    metrics._nlg_pair.cache_clear()
    assert metrics.tokens("太阳黑子 X1.5") == ["太阳黑子", "X1.5"]
    assert [p.name for p in tmp_path.iterdir()] == ["jieba.cache"]


def test_a_user_dictionary_of_another_caller_changes_nothing():
    import jieba

    before = metrics.tokens("βγδ型黑子群")
    jieba.add_word("βγδ型黑子群")
    try:
        assert metrics.tokens("βγδ型黑子群") == before
    finally:
        jieba.del_word("βγδ型黑子群")


def test_char_accuracy_by_hand():
    scores = metrics.char_accuracy(["kitten", "", "", "磁图"], ["sitting", "abc", "", "磁图"])
    assert scores == pytest.approx([1 - 3 / 7, 0.0, 1.0, 1.0])


def test_exact_folds_width_and_outer_blanks_only():
    predictions, targets = [" ＳＤＯ/AIA 171\n", "sdo/aia 171", "SDO/AIA  171"], ["SDO/AIA 171"] * 3
    assert metrics.exact(predictions, targets).tolist() == [True, False, False]


def test_floor_of_a_model_that_reads_nothing_is_high_on_a_fixed_banner():
    banners = [f"SDO/AIA 171\n2014-02-{day:02d} 00:00 UT" for day in range(1, 29)]
    assert metrics.floor(banners, metrics.char_accuracy) > 0.9
    assert metrics.floor(banners) == pytest.approx(1 / 28)
    assert metrics.floor(["yes", "no", "yes"]) == pytest.approx(2 / 3)
    assert math.isnan(metrics.floor([]))


def test_macro_f1_over_the_classes_present():
    assert metrics.macro_f1(["a", "b", "b"], ["a", "b", "b"]) == 1.0
    # class a: 1 of 1 found, 1 wrong -> 2/3; b: none found -> 0; the invented class c is no class of its own
    assert metrics.macro_f1(["a", "a", "c"], ["a", "b", "b"]) == pytest.approx((2 / 3 + 0) / 2)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_macro_f1_equals_scikit_learn(pairs):
    from sklearn.metrics import f1_score

    predictions, targets = zip(*pairs, strict=True)
    expected = f1_score(targets, predictions, labels=sorted(set(targets)), average="macro", zero_division=0)
    assert metrics.macro_f1(predictions, targets) == pytest.approx(expected)


def test_overall_is_the_papers_weighting():
    assert metrics.overall([52.8, 53.0], [1000, 200]) == pytest.approx(52.83, abs=0.005)
    assert math.isnan(metrics.overall([], []))


def test_interval_is_seeded_and_wider_when_days_agree_within_themselves():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 50)
    clustered = np.repeat(rng.random(40) < 0.5, 50).astype(float)
    independent = rng.permutation(clustered)
    assert metrics.interval(clustered, groups) == metrics.interval(clustered, groups)
    widths = [np.subtract(*metrics.interval(values, groups)[::-1]) for values in (clustered, independent)]
    assert widths[0] > 4 * widths[1]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        day_effect = np.repeat(rng.normal(size=30), 5)
        low, high = metrics.interval(day_effect + rng.normal(size=150), np.repeat(np.arange(30), 5), seed=trial)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_of_a_rate_and_of_one_day():
    low, high = metrics.interval([1, 0, 2], ["a", "b", "c"], weights=[2, 0, 2])
    assert 0.5 <= low <= high <= 1.0
    assert all(math.isnan(x) for x in metrics.interval([1, 0], ["a", "a"]))


def test_thousand_resamples_of_two_thousand_items_take_less_than_a_second():
    rng = np.random.default_rng(0)
    values, groups = rng.random(2000), rng.integers(0, 300, 2000)
    started = time.perf_counter()
    metrics.interval(values, groups, n_resamples=1000)
    metrics.macro_f1_interval(["ab"[i % 2] for i in range(2000)], ["ab"[i % 3 == 0] for i in range(2000)], groups)
    assert time.perf_counter() - started < 1


def test_paired_difference_is_narrower_than_the_unpaired_one():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(50), 4)
    base = np.repeat(rng.normal(size=50), 4)
    tuned = base + 0.3 + rng.normal(scale=0.05, size=200)
    difference, low, high = metrics.paired_difference(base, tuned, groups)
    assert low < 0.3 < high
    assert high - low < 0.1
    base[:4] = np.nan
    assert metrics.paired_difference(base, tuned, groups)[0] == pytest.approx((tuned - base)[4:].mean())
    assert all(math.isnan(x) for x in metrics.paired_difference([np.nan], [1.0], ["a"]))
