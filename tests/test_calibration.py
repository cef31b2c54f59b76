"""calibration, gallery and their figures: surety held against being right, answers picked for what they show."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jwvl_lib import bench, bench_figures, calibration, gallery
from jwvl_lib.facts import Fact

IMAGE = Image.new("RGB", (24, 24))


def weighed(n, right, probability):
    """Closed questions of one model, `right(k)` and `probability(k)` by number."""
    return pd.DataFrame(
        {"model": "tuned", "where": "simulated", "task": "qa", "group_id": f"day-{k % 40}"}
        | {"choice_correct": float(right(k)), "choice_probability": probability(k)}
        for k in range(n)
    )


def test_an_error_of_zero_and_one_by_hand():
    assert calibration.expected_error([1.0, 0.0], [1, 0]) == 0
    assert calibration.expected_error([1.0, 1.0], [0, 0]) == 1
    # one bin: three of four right at .9 sure; another: none of one at .3
    assert calibration.expected_error([0.9] * 4 + [0.35], [1, 1, 1, 0, 0]) == pytest.approx((4 * 0.15 + 0.35) / 5)
    assert np.isnan(calibration.expected_error([], []))


def test_bins_hold_every_answer_once_and_the_last_holds_one():
    bins = calibration.reliability([0.0, 0.05, 0.1, 0.99, 1.0], [0, 1, 0, 1, 1])
    assert [(b["low"], b["n"]) for b in bins] == [(0.0, 2), (0.1, 1), (0.9, 2)]
    assert (bins[-1]["right"], bins[-1]["right_high"]) == (1, 1)
    assert bins[-1]["right_low"] < 0.5


def test_a_calibrated_model_has_a_small_error_an_overconfident_one_is_named():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.2, 1, 4000)
    hits = rng.random(4000) < chance
    fair = calibration.records(weighed(4000, hits.__getitem__, chance.__getitem__), n_resamples=100)[0]
    sure = calibration.records(weighed(4000, hits.__getitem__, lambda k: 0.99), n_resamples=100)[0]
    assert fair["value"] < 0.03
    assert sure["value"] == pytest.approx(0.99 - hits.mean(), abs=1e-6)
    assert sure["ci_low"] < sure["value"] < sure["ci_high"]
    assert sure["reading"] == f"sure 0.990, right {hits.mean():.3f}"
    assert sure["n"] == 4000


def answers():
    """Descriptions and closed questions of base and tuned about twelve images of the corona or the photosphere."""
    rows, facts = [], {}
    for k in range(12):
        layer, wrong = ("corona", "photosphere") if k % 2 else ("photosphere", "corona")
        facts[f"i{k}"] = [Fact("observatory", "SDO"), Fact("layer", layer)]
        text = f"An SDO image of the {layer if k < 9 else wrong}."
        said = {"description": ("", text), "qa": ((layer, wrong) if k == 4 else ("None", layer if k != 7 else wrong))}
        for task, (base, tuned) in said.items():
            row = {"annotation_id": f"{task}{k:02d}", "image_id": f"i{k}", "task": task, "prompt_id": f"{task}.layer"}
            row |= {
                "language": "en",
                "split": "test",
                "group_id": f"d{k}",
                "simulated": True,
                "question": "Which layer?",
            }
            row |= {"target": f"An SDO image of the {layer}." if task == "description" else layer}
            options = [] if task == "description" else ["corona", "photosphere"]
            for model, words in (("base", base), ("tuned", tuned)):
                right = words == layer if options else None
                more = {"choices": json.dumps(options), "choice": words if options else "", "choice_correct": right}
                more |= {"choice_probability": 0.5 + k / 40 if options else np.nan, "correct": right}
                rows.append(row | more | {"model": model, "prediction": words})
    return bench.score(pd.DataFrame(rows), facts), facts


def test_the_gallery_shows_best_worst_and_surprising():
    scores, facts = answers()
    shown = gallery.picked(scores, n=1).set_index("kind")
    ids = shown.annotation_id.to_dict()
    assert shown.why["sure"] == "surprising: surest of all, and wrong: photosphere, p = 0.68"
    assert shown.why["best"] == "best: 2 of 2 claims supported"
    assert ids["best"] == "description00"
    assert ids["worst"] in {"description09", "description10", "description11"}
    assert (ids["sure"], ids["lost"], ids["doubt"]) == ("qa07", "qa04", "qa01")
    assert shown.loc["lost", ["base", "tuned"]].tolist() == ["photosphere", "corona"]
    assert shown.image_id.is_unique
    verdicts = [c["verdict"] for c in gallery.judged(shown.tuned["sure"], facts["i7"], "en", "layer", "qa")]
    assert verdicts == ["contradicted"]


def test_figures_hold_what_they_are_given():
    panel = {"image": IMAGE, "title": "SDO, simulated", "why": "best", "question": "Which?", "target": "corona"}
    claims = [{"verdict": "supported", "kind": "layer", "value": "corona"}] * 10
    panel |= {"base": "", "tuned": "corona", "base_claims": [], "tuned_claims": claims}
    fig = bench_figures.gallery([panel] * 3, "TINY")
    texts = [t.get_text() for ax in fig.axes for t in ax.texts]
    assert texts.count("    ✓ layer: corona") == 3 * bench_figures.MOST_CLAIMS
    assert {"best", "base: (no answer)", "      and 2 more"} <= set(texts)
    ax = Figure().add_subplot()
    bench_figures.plot_boxes(ax, IMAGE, [(1, 1, 5, 5)], [(1, 1, 5, 5), (8, 8, 9, 9)], {0})
    assert len(ax.patches) == 3
    bench_figures.plot_boxes(ax, IMAGE, [], None, set())
    assert ax.texts[0].get_text() == "no boxes in the answer"
    bins = calibration.reliability([0.9, 0.8, 0.3], [1, 0, 0])
    assert len(bench_figures.plot_calibration(Figure().add_subplot(), bins).patches) == 3
