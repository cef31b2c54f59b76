"""metrics: exact, character and class scores by hand, intervals that cover."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwvl_lib import metrics


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
