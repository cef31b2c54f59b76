"""fact_scores and cheats: claims counted by kind, languages compared, planted cheats named in a row of the table."""

import json

import numpy as np
import pandas as pd
import pytest

from jwvl_lib import asking, bench, bench_table, cheats, fact_scores
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import load_prompts

ABOUT = {"qa.layer": "layer", "qa.n": "n_regions"}
LAYERS = {"en": ("photosphere", "corona"), "zh": ("光球层", "日冕")}


def known(k):
    layer = ("photosphere", "corona")[k % 2]
    return [Fact("observatory", "SDO"), Fact("instrument", "AIA" if k % 2 else "HMI"), Fact("layer", layer)]


FACTS = {f"image-{k}": known(k) for k in range(24)}


def rows(answers, task, prompt_id, model="tuned", targets=None, choices="[]"):
    """Predictions: `answers[(k, language)]` to image k."""
    made = []
    for (k, language), text in answers.items():
        row = {"annotation_id": f"{prompt_id}-{k}-{language}", "image_id": f"image-{k}", "task": task, "model": model}
        row |= {"prompt_id": prompt_id, "language": language, "split": "test", "group_id": f"day-{k // 2}"}
        row |= {"simulated": True, "question": "?", "target": (targets or answers)[k, language], "prediction": text}
        right = row["prediction"] == row["target"]
        made.append(row | {"choices": choices, "choice": "", "correct": right, "choice_correct": None})
    return pd.DataFrame(made)


def scored(*parts):
    return bench.score(pd.concat(parts, ignore_index=True), FACTS)


def describe(k, language, layer=None):
    layer = LAYERS[language][k % 2 if layer is None else layer]
    return {"en": f"An SDO image of the {layer}.", "zh": f"这是SDO拍摄的{layer}图像。"}[language]


def every(function, n=24):
    return {(k, language): function(k, language) for k in range(n) for language in ("zh", "en")}


def find(records, **wanted):
    found = bench.find(records, model="tuned", **wanted)
    assert found is not None, wanted
    return found


def fact_records(scores):
    tallied = fact_scores.tally(scores, FACTS, ABOUT)
    return fact_scores.records(tallied, fact_scores.consistency(scores, FACTS, ABOUT), n_resamples=50)


def test_precision_recall_and_hallucination_by_kind():
    """The layer is wrong on every fourth image, the instrument is never said."""
    scores = scored(rows(every(lambda k, x: describe(k, x, layer=0 if k % 4 == 1 else None)), "description", "d"))
    records = fact_records(scores)
    layer = {m: find(records, metric=m, profile="claims.layer") for m in ("fact_precision", "fact_recall")}
    assert layer["fact_precision"]["value"] == pytest.approx(0.75)
    assert layer["fact_recall"]["value"] == pytest.approx(0.75)
    assert layer["fact_precision"]["ci_low"] < 0.75 < layer["fact_precision"]["ci_high"]
    assert find(records, metric="hallucination_rate", profile="claims.by_kind", language="all")["value"] == 0.25
    unsaid = find(records, metric="fact_recall", profile="claims.instrument")
    assert (unsaid["value"], unsaid["n"]) == (0, 48)
    precision = find(records, metric="fact_precision", profile="claims.instrument")
    assert (precision["value"], precision["reason"]) == (None, "nothing claimed, nothing to say")
    whole = find(records, metric="fact_recall", profile="claims.by_kind", language="zh")
    assert whole["value"] == pytest.approx((24 + 18) / 72, abs=1e-6)


def test_the_same_facts_in_both_languages_and_a_planted_contradiction():
    said = every(describe)
    said[3, "zh"] = describe(3, "zh", layer=0)
    records = fact_records(scored(rows(said, "description", "d")))
    assert find(records, metric="zh_en_same")["value"] == pytest.approx(23 / 24, abs=1e-6)
    assert find(records, metric="zh_en_contradiction")["value"] == pytest.approx(1 / 24, abs=1e-6)
    assert find(records, metric="zh_en_same")["n"] == 24


def test_silence_in_both_languages_is_no_agreement():
    records = fact_records(scored(rows(every(lambda k, x: "None"), "description", "d")))
    same = find(records, metric="zh_en_same")
    assert (same["value"], same["n_failed"]) == (0, 24)
    recall = find(records, metric="fact_recall", profile="claims.by_kind", language="all")
    assert (recall["value"], recall["n_failed"]) == (0, 48)


def test_that_something_cannot_be_told_is_an_answer_where_it_is_offered():
    """Both languages say so of 12 images: the same. One says so of 12 where the other names a polarity: they differ."""
    told = {"en": "cannot be told", "zh": "无法判断"}
    said = every(lambda k, x: told[x] if k < 12 or x == "zh" else "positive")
    listed = {"en": ["positive", "negative", "cannot be told"], "zh": ["正", "负", "无法判断"]}
    asked = rows(said, "qa", "u")
    scores = scored(asked.assign(choices=[json.dumps(listed[x]) for x in asked.language]))
    about = {"u": "untold:leading_polarity"}
    found = fact_scores.consistency(scores, FACTS, about)
    assert found.same.tolist() == [float(int(name.partition("-")[2]) < 12) for name in found.image_id]
    assert (found.contradicts == 1 - found.same).all()
    assert not found.silent.any()
    unasked = fact_scores.consistency(scores.assign(choices="[]"), FACTS, about)
    assert unasked.same.sum() == 0, "where it is not offered it is silence"


# --------------------------------------------------------------------------------------------------------------------
# cheats


TARGETS = every(lambda k, x: LAYERS[x][k % 2])
TRAINED = pd.DataFrame({"image_id": ["image-900"], "group_id": ["day-900"]})


def checks(answers, targets=TARGETS, trained=TRAINED):
    listed = json.dumps([*LAYERS["en"], *LAYERS["zh"]], ensure_ascii=False)
    scores = scored(rows(answers, "qa", "qa.layer", targets=targets, choices=listed))
    return cheats.records(scores, trained)


def test_an_honest_model_passes_every_check():
    found = checks(TARGETS)
    assert not [r["reading"] for r in found if any(word.isupper() and len(word) > 2 for word in r["reading"].split())]
    assert find(found, metric="accuracy_permuted")["p_value"] <= 0.01


def test_leaked_answers_are_named():
    trained = pd.DataFrame({"image_id": ["image-0"], "group_id": ["day-5"]})
    found = find(checks(TARGETS, trained=trained), metric="leaked_share")
    assert found["value"] == pytest.approx(3 / 24)
    assert found["reading"].startswith("LEAKED: 6 of 48")


def test_permuted_labels_are_named():
    rng = np.random.default_rng(0)
    order = rng.permutation(24)
    dealt = {(k, x): TARGETS[int(order[k]), x] for k, x in TARGETS}
    found = find(checks(TARGETS, targets=dealt), metric="accuracy_permuted")
    assert "NOT EARNED" in found["reading"]
    assert found["p_value"] > 0.01


def test_constant_answers_are_named():
    found = checks({key: LAYERS[key[1]][0] for key in TARGETS})
    assert "CONSTANT" in find(found, metric="commonest_share")["reading"]
    assert "NOT EARNED" in find(found, metric="accuracy_permuted")["reading"]


@pytest.mark.parametrize("nothing", ["None", "", "无"])
def test_always_none_is_named_and_shown_in_the_table(nothing):
    found = checks(dict.fromkeys(TARGETS, nothing))
    unusable = find(found, metric="unusable_share")
    assert (unusable["value"], unusable["n_failed"]) == (1, 48)
    assert "NO ANSWERS" in unusable["reading"]
    table = bench_table.table_md([r | {"run_profile": "tiny"} for r in found])
    assert "Is the score earned?" in table
    assert "NO ANSWERS" in table


def test_all_tasks_together_are_held_against_the_targets():
    right = every(describe)
    layers = {(k, language): LAYERS[language][k % 2] for k in range(24) for language in ("zh", "en")}
    found = fact_records(scored(rows(right, "description", "d"), rows(layers, "qa", "qa.layer")))
    table = fact_scores.targets(found).set_index("what")
    assert table.loc["same facts in Chinese and English", ["value", "n", "held"]].tolist() == [1, 48, True]
    assert table.loc["answers with a hallucination", ["value", "n", "held"]].tolist() == [0, 96, True]
    assert table.loc["banner read exactly", ["n", "held"]].tolist() == [0, False]  # not asked: not held
    wrong = {(k, language): LAYERS[language][1 - k % 2 if k < 2 else k % 2] for k, language in layers}
    tallied = fact_scores.tally(scored(rows(wrong, "qa", "qa.layer", targets=layers)), FACTS, ABOUT)
    missed = fact_scores.misses(tallied).iloc[0]
    assert missed[["task", "kind", "n_claims", "n_hallucinated"]].tolist() == ["qa", "layer", 48, 4]


def test_every_closed_question_has_a_twin_in_the_other_language():
    prompts = load_prompts("params/prompts")
    choices = json.dumps(["corona", "photosphere", "chromosphere"])
    row = {"annotation_id": "a", "image_id": "i", "task": "qa", "prompt_id": "qa.layer", "language": "en"}
    row |= {"split": "test", "group_id": "d", "simulated": True, "question": "Which?", "target": "corona"}
    items = pd.DataFrame([row | {"choices": choices, "path": "i.png"}, row | {"task": "ocr", "choices": "[]"}])
    twin = asking.twins(items, prompts)
    assert len(twin) == 1
    twin = twin.iloc[0]
    assert (twin.language, twin.target, twin.path) == ("zh", "日冕", "i.png")
    offered = json.loads(twin.choices)
    assert (len(offered), offered[0]) == (3, "日冕")
    assert all(word in twin.question for word in offered)
    assert len(asking.twins(pd.concat([items, pd.DataFrame([dict(twin)])]), prompts)) == 0
    back = asking.twins(pd.DataFrame([dict(twin)]), prompts).iloc[0]
    assert (back.target, back.choices) == ("corona", choices)
    channels = ["SolO/EUI 174", "SDO/HMI magnetogram"]  # the first stands on real images only
    row |= {"prompt_id": "qa.measurement", "choices": json.dumps(channels), "target": channels[1]}
    twin = asking.twins(pd.DataFrame([row]), prompts).iloc[0]
    assert (json.loads(twin.choices), twin.target) == (["SolO/EUI 174", "SDO/HMI 磁图"], "SDO/HMI 磁图")
