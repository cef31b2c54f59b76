"""Places, two images, conversations, what cannot be told: recomputable, judged, alike in both languages."""

import json

import pytest
import test_teacher
from test_teacher import PROMPTS, corpus  # noqa: F401  (a fixture)

from jwvl_lib import grounded, grounded_more, teacher
from jwvl_lib.facts import Fact
from jwvl_lib.teacher_plan import plan, views_of

BOXES = {
    19001: [100.2, 40.1, 120.0, 52.0], 19002: [60, 90, 72, 99], 19003: [70, 100, 80, 110], 19004: [20, 80, 40, 95],
    19005: [90, 50, 99, 60], 19006: [60, 90, 70, 99],
}  # fmt: skip


@pytest.fixture
def annotations(corpus, tmp_path):  # noqa: F811
    numbers = {day: [region[0] for region in regions] for day, regions in test_teacher.DAYS.items()}
    corpus["boxes"] = [
        json.dumps([{"noaa_ar": n, "box": BOXES[n]} for n in numbers.get(image_id[:10], [])])
        for image_id in corpus.image_id
    ]
    return teacher.annotate(corpus, PROMPTS, ledger=tmp_path / "m.sqlite", extras_per_day=6, qa_per_image=20)


def images(row, views):
    return [views[i] for i in (row["image_id"], *json.loads(row["more_images"]))]


def test_every_kind_is_there_recomputable_and_supported(corpus, annotations):  # noqa: F811
    views = views_of(corpus)
    assert set(annotations.task) == set("description qa ocr grounding multi_image multi_turn".split())
    for row in annotations.to_dict("records"):
        assert grounded_more.recompute(row, PROMPTS, images(row, views)), row
        assert {c["verdict"] for c in json.loads(row["claims"])} <= {"supported"}, row


def test_a_tampered_answer_is_neither_recomputable_nor_supported(corpus, annotations):  # noqa: F811
    views, n = views_of(corpus), 0
    for row in annotations[annotations.task.isin(["grounding", "multi_image", "multi_turn"])].to_dict("records"):
        listed = json.loads(row["choices"])
        wrong = next((c for c in listed if c != row["answer"]), '[{"bbox_2d": [1, 1, 9, 9], "label": "active region"}]')
        assert not grounded_more.recompute({**row, "answer": wrong}, PROMPTS, images(row, views))
        about = PROMPTS[row["prompt_id"]].about
        if row["task"] != "multi_turn":
            judged = grounded_more.judge({"about": about, "turns": []}, wrong, images(row, views))
            assert [c["verdict"] for c in judged] == ["contradicted"]
            n += 1
    assert n > 20


def test_both_languages_rest_on_the_same_facts(annotations):
    pairs = annotations[annotations.task == "multi_image"].groupby(["image_id", "more_images", "prompt_id"])
    assert len(pairs) > 3
    for _, pair in pairs:
        assert set(pair.language) == {"zh", "en"}
        assert len({tuple(c["fact_id"] for c in json.loads(text)) for text in pair.claims}) == 1


def test_a_box_is_judged_by_its_overlap():
    view = grounded_more.View("i", (Fact("n_regions", 1), Fact("noaa_ar", 1, 1)), ((1, (10, 10, 30, 30)),))
    near, far = (grounded_more.boxes_text([(1, box)]) for box in ((12, 10, 30, 32), (25, 25, 45, 45)))
    verdicts = [
        grounded_more.judge({"about": "box:largest", "turns": []}, a, [view])[0]["verdict"] for a in (near, far)
    ]
    assert verdicts == ["supported", "contradicted"]
    absence = grounded_more.judge({"about": "box:largest", "turns": []}, "No active regions are on the disk.", [view])
    assert [c["verdict"] for c in absence] == ["contradicted"]


def test_what_the_picture_does_not_show_cannot_be_told():
    region = [Fact("area_msh", 90, 1), Fact("leading_polarity", "positive", 1), Fact("mcintosh_class", "Dai", 1)]
    on = {m: [Fact("measurement", m), *region] for m in ("magnetogram", "171")}
    told = {m: grounded.truth(PROMPTS["qa.polarity_if_shown"], f) for m, f in on.items()}
    assert told == {"magnetogram": "positive", "171": "untold"}
    assert grounded.truth(PROMPTS["qa.mcintosh_if_shown"], on["magnetogram"]) == "untold"
    assert grounded.truth(PROMPTS["qa.mcintosh_if_shown"], on["171"][:2]) is None
    view = [grounded_more.View("i", tuple(on["magnetogram"]))]
    item = {"about": "untold:leading_polarity", "turns": []}
    assert grounded_more.judge(item, "cannot be told", view)[0]["verdict"] == "contradicted"
    assert grounded_more.judge(item, "positive", view)[0]["verdict"] == "supported"


def test_a_pair_never_straddles_two_splits(corpus):  # noqa: F811
    split = corpus.image_id.str[:10].map({"2014-02-03": "train", "2014-02-04": "test", "2014-02-05": "train"})
    corpus = corpus.assign(split=split.fillna("train"))  # noqa: F811
    of = dict(zip(corpus.image_id, corpus.split, strict=True))
    pairs = [q for q in plan(corpus, PROMPTS, extras_per_day=8) if len(q.views) == 2]
    assert len(pairs) > 10
    assert all(len({of[v.image_id] for v in q.views}) == 1 for q in pairs)
