"""Figures: every bar with its own n and interval, nothing cut off or written over another, nothing left unsaid."""

import os

import numpy as np
import pandas as pd
import pytest
from astropy.stats import binom_conf_interval
from matplotlib.figure import Figure
from PIL import Image

from jwvl_lib import bench_figures, plots, render

PICTURE = Image.new("RGB", (168, 168))
CLAIM = {"kind": "n_regions", "value": "0", "verdict": "supported"}


def record(value, n, **more):
    return {"value": value, "n": n, "ci_low": None, "ci_high": None, "floor": None} | more


def labels(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def test_two_bars_of_different_n_say_both():
    rows = {
        "same": {"base": record(0.5, 56), "tuned": record(0.6, 56)},
        "facts": {"base": record(0.5, 218), "tuned": record(0.9, 1509)},
        "alone": {"base": record(None, 0), "tuned": record(0.9, 7)},
        "none": {"base": None, "tuned": record(None, 3)},
    }
    ax = plots.plot_model_bars(Figure().add_subplot(), rows, "stamp")
    assert labels(ax) == ["same  n=56", "facts\nn=218 base, 1509 tuned", "alone  n=7", "none  n=3"]


def test_a_score_of_nothing_is_told_from_no_score():
    rows = {"none": {"base": record(None, 0), "tuned": record(0.9, 7)}, "zero": {"base": record(0.0, 7)}}
    ax = plots.plot_model_bars(Figure().add_subplot(), rows, "stamp")
    assert [(t.get_text(), round(t.get_position()[1])) for t in ax.texts] == [("0", 1)]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["base", "tuned"]


@pytest.fixture
def scores():
    """Two tasks, one of them asked in one language alone."""
    columns = ["task", "language", "n", "accuracy"]
    rows = [("size", "en", 39, 38 / 39), ("size", "zh", 35, 1.0), ("size", "all", 74, 73 / 74)]
    return pd.DataFrame([*rows, ("colour", "zh", 12, 0.0), ("colour", "all", 12, 0.0)], columns=columns)


def test_accuracy_of_each_language_has_its_own_n_and_an_interval_within_0_and_1(scores):
    ax = plots.plot_general_task(Figure().add_subplot(), scores, "tiny")
    assert labels(ax) == ["colour  n=12 zh", "size  n=39 en, 35 zh"]
    drawn = {tuple(np.round(line[:, 0], 4)): line[0, 1] for c in ax.collections for line in c.get_segments()}
    expected = [binom_conf_interval(k, n, 0.95, interval="wilson") for k, n in ((0, 12), (38, 39), (35, 35))]
    assert sorted(drawn) == sorted(tuple(np.round(e, 4)) for e in expected)
    assert all(0 <= low < high <= 1 for low, high in drawn)
    bars = {round(bar.get_y() + bar.get_height() / 2, 2): bar.get_width() for bar in ax.patches}
    assert set(np.round(list(drawn.values()), 2)) == set(bars)
    assert {round(place): width for place, width in bars.items() if width < 0.5} == {0: 0.0}


@pytest.mark.parametrize(
    ("true", "said", "note"),
    [
        ([[1, 1, 9, 9]], None, ["no boxes in the answer"]),
        ([[1, 1, 9, 9]], [], ["says: no regions"]),
        ([], [], ["says: no regions"]),
        ([], [[1, 1, 9, 9]], []),
    ],
)
def test_an_answer_without_boxes_is_told(true, said, note):
    ax = bench_figures.plot_boxes(Figure().add_subplot(), PICTURE, true, said, set())
    assert [t.get_text() for t in ax.texts] == note
    assert len(ax.patches) == len(true) + len(said or [])


# --------------------------------------------------------------------------------------------------------------------
# nothing cut off, nothing over another


def extents(texts):
    return [t.get_window_extent() for t in texts]


@pytest.mark.parametrize("n_claims", [1, 6, 12])
def test_title_and_last_claim_stand_within_the_picture(tmp_path, n_claims):
    fig = Figure(figsize=(4.5, 5.5), layout="constrained")
    ax = fig.add_subplot()
    plots.plot_judged_answer(
        ax, PICTURE, "SDO/HMI magnetogram, simulated", "No active regions. " * 6, [CLAIM] * n_claims
    )
    plots.save_figure(fig, tmp_path / "a.png")
    for box in extents([ax.title, *ax.texts]):
        assert 0 <= box.y0 < box.y1 <= fig.bbox.y1
        assert 0 <= box.x0


def test_the_stamp_of_the_gallery_stands_above_its_titles(tmp_path):
    words = {"why": "best", "question": "Describe.", "target": "t", "base": "b", "tuned": "t"}
    panel = {
        "image": PICTURE,
        "title": "SDO/AIA 193\n2014-12-23, simulated",
        "base_claims": [],
        "tuned_claims": [CLAIM],
    }
    fig = bench_figures.gallery([panel | words] * 5, "TINY PROFILE, no result, never to be set beside the paper's")
    plots.save_figure(fig, tmp_path / "a.png")
    pictures = [ax for ax in fig.axes if ax.images]
    titles = extents([ax.title for ax in pictures])
    (stamp,) = extents([fig._suptitle])
    assert all(title.y1 <= stamp.y0 for title in titles)
    for above, below in zip(pictures[:-2], titles[2:], strict=True):
        assert below.y1 <= above.get_window_extent().y0


def test_what_a_model_wrote_in_chinese_is_drawn(tmp_path, recwarn):
    """A model may answer an English question in Chinese; matplotlib's own font would draw boxes, and warn."""
    if len(plots.text_fonts()) == 1:
        assert not os.environ.get("CI"), "no Chinese font: .ci/run installs one"
        pytest.skip("no Chinese font on this machine; Debian's fonts-noto-cjk has one")
    words = {"why": "best", "question": "Describe.", "target": "t", "base": "日冕：SDO/AIA 193", "tuned": "西南"}
    panel = {"image": PICTURE, "title": "SDO/AIA 193", "base_claims": [], "tuned_claims": [CLAIM]}
    plots.save_figure(bench_figures.gallery([panel | words], "TINY PROFILE"), tmp_path / "a.png")
    fig = Figure()
    plots.plot_judged_answer(fig.subplots(), PICTURE, "SDO/AIA 193", "日冕", [CLAIM])
    plots.save_figure(fig, tmp_path / "b.png")
    assert not [str(w.message) for w in recwarn if "Glyph" in str(w.message) or "findfont" in str(w.message)]


def test_titles_of_a_contact_sheet_are_not_cut(tmp_path):
    fig = plots.contact_sheet([PICTURE] * 8, ["simulated AIA 171\n2013-03-02T22:28:23 UT"] * 8)
    plots.save_figure(fig, tmp_path / "a.png")
    assert all(box.y1 <= fig.bbox.y1 for box in extents([ax.title for ax in fig.axes]))


# --------------------------------------------------------------------------------------------------------------------
# numbers of regions


def ink(boxes):
    return (np.asarray(render.draw_boxes(PICTURE, boxes)).max(axis=2) > 0).sum()


def region(number, *box):
    return {"noaa_ar": number, "box": list(box)}


@pytest.mark.parametrize(
    "boxes",
    [
        [region(19040, 30, 80, 42, 92), region(19038, 48, 78, 58, 86)],
        [region(19040, 30, 80, 42, 92), region(19038, 30, 66, 42, 78)],
        [region(19041, 30, 80, 42, 92), region(19042, 44, 80, 56, 92), region(19043, 58, 80, 70, 92)],
    ],
)
def test_the_number_of_a_region_runs_into_no_other(boxes):
    """What is drawn together covers as many pixels as what is drawn one by one."""
    assert ink(boxes) == sum(ink([box]) for box in boxes)


@pytest.mark.parametrize("box", [(150, 60, 165, 75), (0, 0, 15, 15), (152, 152, 167, 167), (0, 150, 15, 165)])
def test_the_number_of_a_region_at_the_edge_is_whole(box):
    assert ink([region(11967, *box)]) == ink([region(11967, 70, 70, 85, 85)])
