"""grounding_scores: boxes matched one to one, in the picture's own pixels; what cannot be read is wrong."""

import json

import pandas as pd
import pytest

from jwvl_lib import bench, bench_table, boxes, grounding_scores

LINE = '[{"bbox_2d": [10, 10, 30, 30], "label": "active region"}]'
NONE = {"en": "No active regions with spots are on the disk.", "zh": "日面上没有带黑子的活动区。"}


def listed(*found):
    return json.dumps([{"bbox_2d": list(b), "label": "active region"} for b in found])


def predictions(pairs, model="tuned", language="en"):
    rows = [
        {"annotation_id": f"a{k}", "image_id": "i", "task": "grounding", "language": language, "group_id": f"day-{k}"}
        | {"simulated": True, "model": model, "target": target, "prediction": text}
        for k, (target, text) in enumerate(pairs)
    ]
    return pd.DataFrame(rows)


def scored(pairs, size=(168, 168), **options):
    return grounding_scores.score(predictions(pairs, **options), {"i": size})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (LINE, [(10, 10, 30, 30)]),
        (NONE["en"], []),
        ("[]", []),
        ("", None),
        ("I cannot see.", None),
        ("Two active regions with spots are on the disk.", None),
        ('[{"bbox_2d": [10, 10, 30], "label": "active region"}]', None),
        ('[{"bbox_2d": [30, 30, 10, 10], "label": "active region"}]', None),
        ('[{"bbox_2d": [10, 10, 30, NaN], "label": "active region"}]', None),
        (LINE[:-4], None),
        ("{}", []),
        ("7", None),
    ],
)
def test_what_counts_as_an_answer(text, read):
    found = grounding_scores.said(text, "en", (168, 168))
    assert found == (read if read is None else [tuple(map(float, b)) for b in read])


def test_an_absence_is_read_in_both_languages():
    assert [grounding_scores.said(NONE[language], language, (168, 168)) for language in NONE] == [[], []]


def test_boxes_are_matched_one_to_one_and_as_many_as_can_be():
    true = [(0, 0, 10, 10), (0, 4, 10, 14)]
    # the first box lies best on the second true one, but only that way round both find a partner
    assert sorted(grounding_scores.matched(true, [(0, 3, 10, 13), (0, 5, 10, 15)])) == [(0, 0), (1, 1)]
    assert len(grounding_scores.matched(true[:1], [(0, 0, 10, 10)] * 3)) == 1
    assert grounding_scores.matched(true, [(5, 0, 15, 10)]) == []


def test_half_a_box_is_the_limit():
    hit, miss = (scored([(LINE, listed((10, 10, 30, right)))]) for right in (20, 19))
    assert (hit.n_hit.sum(), miss.n_hit.sum()) == (1, 0)


def test_boxes_are_compared_in_pixels_of_the_picture():
    """A model that sees 1000x700 as 1008x700 writes its own pixels; both ways the box is the same."""
    size, box = (1000, 700), (500, 300, 520, 310)
    text = listed(boxes.to_model(box, size, "qwen2.5-vl"))
    assert grounding_scores.said(text, "en", size)[0] == pytest.approx(box, abs=0.6)
    thousandths = listed(boxes.to_model(box, size, "norm1000"))
    assert grounding_scores.said(thousandths, "en", size, "norm1000")[0] == pytest.approx(box, abs=0.6)


def test_precision_recall_and_what_cannot_be_read():
    two = listed((10, 10, 30, 30), (50, 50, 60, 60))
    pairs = [(two, two), (two, LINE), (LINE, two), (LINE, "nonsense"), (NONE["en"], NONE["en"]), (NONE["en"], LINE)]
    rows = grounding_scores.records(scored(pairs), n_resamples=50)
    found = {m: bench.find(rows, metric=m, language="all") for m in grounding_scores.METRICS}
    assert (found["box_precision"]["value"], found["box_precision"]["n"]) == (pytest.approx(4 / 7, abs=1e-6), 7)
    assert (found["box_recall"]["value"], found["box_recall"]["n"]) == (pytest.approx(4 / 6, abs=1e-6), 6)
    assert (found["all_right"]["value"], found["all_right"]["n"]) == (pytest.approx(2 / 6, abs=1e-6), 6)
    assert {r["n_failed"] for r in found.values()} == {1}
    assert found["box_recall"]["ci_low"] < 4 / 6 < found["box_recall"]["ci_high"]


def test_a_perfect_model_scores_one_and_gains_on_a_silent_one():
    pairs = [(LINE, LINE), (NONE["en"], NONE["en"])] * 4
    silent = [(target, "") for target, _ in pairs]
    both = pd.concat([predictions(pairs), predictions(silent, "base"), predictions(silent, "constant")])
    rows = grounding_scores.records(grounding_scores.score(both.reset_index(drop=True), {"i": (168, 168)}))
    assert {r["value"] for r in rows if r["model"] == "tuned"} == {1.0}
    assert {r["value"] for r in rows if r["model"] == "base"} == {0.0}
    right = bench.find(rows, metric="all_right", language="all", model="tuned")
    assert (right["difference"], right["floor"]) == (1.0, 0.0)
    table = bench_table.table_md([r | {"run_profile": "tiny"} for r in rows])
    assert "| grounding | box_precision @ iou_0.5 | all |" in table


def test_a_wrong_target_is_an_error_not_a_miss():
    with pytest.raises(ValueError, match="a0: the right answer 'somewhere'"):
        scored([("somewhere", LINE)])
