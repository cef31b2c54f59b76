"""asking and bench: the right question to the right image, honest counts, cheats caught, a table that cannot boast."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import artifacts, asking, bench, bench_table, facts
from jwvl_lib.general_task import GeneralItem

VIEWS = ("SDO/AIA 171", "SDO/HMI magnetogram", "GONG H-alpha")
RECORD_FIELDS = set("task metric profile language group model value n n_failed ci_low ci_high".split())


def _annotation(image, task, prompt_id, language, question, answer, choices=()):
    key = f"{image}/{prompt_id}/{language}"
    row = {"annotation_id": key, "image_id": image, "task": task, "prompt_id": prompt_id, "language": language}
    return row | {"question": question, "answer": answer, "choices": json.dumps(list(choices), ensure_ascii=False)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Twelve days of three views, four of them test, and two real images; the colour of an image is its number."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "images").mkdir()
    images, annotations = [], []
    for number in range(38):
        day, view, real = number // 3, VIEWS[number % 3], number >= 36
        image, date = f"image-{number:02d}", f"2014-02-{day + 1:02d}"
        banner = f"{view}\n{date} 00:00 UT"
        Image.new("RGB", (28, 28), (number, 0, 0)).save(folder / "images" / f"{image}.png")
        row = {"image_id": image, "path": f"images/{image}.png", "split": "test" if real or day % 3 == 0 else "train"}
        row |= {"group_id": date, "simulated": not real, "banner_text": banner}
        images.append(row | {"facts": facts.to_json([facts.Fact("measurement", view.split()[-1])])})
        for language in ("zh", "en"):
            listed = " / ".join(VIEWS)
            ask = {"en": f"Which? Choose from: {listed}.", "zh": f"哪一个？从中选择：{listed}。"}[language]
            annotations.append(_annotation(image, "qa", "qa.measurement", language, ask, view, VIEWS))
            ask = {"en": "Spots? Choose from: yes / no.", "zh": "有黑子吗？从中选择：是 / 否。"}[language]
            options = {"en": ("yes", "no"), "zh": ("是", "否")}[language]
            annotations.append(_annotation(image, "qa", "qa.spots_visible", language, ask, options[day % 2], options))
            ask = {"en": "Read the text.", "zh": "读出文字。"}[language]
            annotations.append(_annotation(image, "ocr", "ocr.banner", language, ask, banner))
            ask = {"en": "Describe.", "zh": "描述。"}[language]
            text = {"en": f"A {view} image taken on {date}.", "zh": f"这是{date}的{view}图像。"}[language]
            annotations.append(_annotation(image, "description", "description.plain", language, ask, text))
    return folder, pd.DataFrame(images), pd.DataFrame(annotations)


@pytest.fixture(scope="module")
def general():
    items = []
    for number in range(100, 140):
        image, choices = Image.new("RGB", (28, 28), (number, 0, 0)), ("red", "blue")
        items.append(
            GeneralItem(image, "colour", "en", "Colour? Choose from: red / blue.", choices[number % 2], choices)
        )
        items.append(GeneralItem(image, "ocr", "zh", "读出文字。", f"text {number}", ()))
    return asking.general_items(items)


def _colour(image_id):
    number = int(image_id.split("-")[1])
    return 100 + number // 2 if image_id.startswith("general") else number


def oracle(items, wrong=lambda row: False):
    """answer and choose of a model that knows the truth of every (image, question), and errs where `wrong`."""
    rows = [r for r in items.itertuples()]
    truth = {(_colour(r.image_id), r.question): "" if wrong(r) else r.target for r in rows}

    def answer(images, questions, index):
        return [truth[images[i].getpixel((0, 0))[0], q] for q, i in zip(questions, index, strict=True)]

    def choose(images, questions, index, choices):
        said = zip(answer(images, questions, index), choices, strict=True)
        return [text if text in options else options[-1] for text, options in said]

    return answer, choose


@pytest.fixture(scope="module", autouse=True)
def _checked_by_measurement():
    """A claim checker small enough to know: one claim a text, that the measurement's name stands in it."""

    def check(text, known, language):
        words = [str(f.value) for f in known]
        return [{"verdict": "supported" if any(w in text for w in words) else "contradicted"}] if text else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.claims, "check", check)
        yield


@pytest.fixture(scope="module")
def items(world):
    folder, corpus, annotations = world
    return asking.select_items(corpus, annotations)


def _ask(world, items, general, model, wrong=lambda row: False, **options):
    folder = world[0]
    frame, pictures = general
    of_corpus = asking.ask(items, asking.image_opener(folder, items), *oracle(items, wrong), model, **options)
    return pd.concat([of_corpus, asking.ask(frame, pictures.__getitem__, *oracle(frame, wrong), model)])


def _scores(world, items, general, base_wrong, tuned_wrong):
    parts = [_ask(world, items, general, "base", base_wrong), _ask(world, items, general, "tuned", tuned_wrong)]
    parts += [asking.constant_predictions(items), asking.constant_predictions(general[0])]
    known = {r.image_id: facts.from_json(r.facts) for r in world[1].itertuples()}
    return bench.score(pd.concat(parts, ignore_index=True), known)


@pytest.fixture(scope="module")
def records(world, items, general):
    """Base right on every fourth item, tuned always."""
    scores = _scores(world, items, general, lambda r: hash_of(r.annotation_id) % 4 > 0, lambda r: False)
    return bench.metrics_records(scores, run_profile="tiny", n_bootstrap=100)


def hash_of(text):
    return sum(map(ord, text))


# --------------------------------------------------------------------------------------------------------------------
# asking


def test_only_held_out_days_are_asked(world, items):
    corpus = world[1].set_index("image_id")
    assert set(corpus.loc[items.image_id].split) == {"test"}
    assert items.image_id.nunique() == 14
    assert set(items.simulated) == {True, False}
    assert not set(items.group_id) & set(corpus.group_id[corpus.split == "train"])


def test_cap_is_a_seeded_draw_of_simulated_and_of_real(world):
    folder, corpus, annotations = world
    few = asking.select_items(corpus, annotations, max_images=5, seed=3)
    assert few.groupby("simulated").image_id.nunique().to_dict() == {False: 2, True: 5}
    assert few.equals(asking.select_items(corpus, annotations, max_images=5, seed=3))
    assert set(few.image_id) != set(asking.select_items(corpus, annotations, max_images=5, seed=4).image_id)


def test_tasks_are_chosen_by_name(world):
    folder, corpus, annotations = world
    assert set(asking.select_items(corpus, annotations, tasks=["ocr", "general"]).task) == {"ocr"}
    with pytest.raises(ValueError, match="occr.*choose among qa, ocr"):
        asking.select_items(corpus, annotations, tasks=["occr"])
    with pytest.raises(ValueError, match="no annotated image of split 'val'"):
        asking.select_items(corpus, annotations, split="val")


@pytest.mark.parametrize("images_per_call", [1, 4, 64])
def test_every_question_meets_its_own_image(world, items, general, images_per_call):
    predictions = _ask(world, items, general, "tuned", images_per_call=images_per_call)
    assert list(predictions) == asking.PREDICTION_COLUMNS
    assert (predictions.prediction == predictions.target).all()
    assert (predictions.choice == predictions.target)[predictions.choices != "[]"].all()
    assert (predictions.choice == "")[predictions.choices == "[]"].all()


def test_base_and_tuned_are_asked_the_same_text_once_per_image(world, items):
    heard = {"base": [], "tuned": []}
    opened = []
    inner = asking.image_opener(world[0], items)
    for model, said in heard.items():
        answer, choose = oracle(items)
        asking.ask(
            items,
            lambda i: (opened.append(i), inner(i))[1],
            lambda images, questions, index, said=said, answer=answer: (
                said.extend(questions),
                answer(images, questions, index),
            )[1],
            choose,
            model,
        )
    assert heard["base"] == heard["tuned"] == list(items.question)
    assert sorted(opened) == sorted(2 * list(items.image_id.unique()))


def test_correct_needs_the_answer_itself_and_is_null_where_open():
    frame = pd.DataFrame(
        {"task": ["qa", "qa", "qa", "ocr", "description"], "target": ["no", "no", "no", "AIA 171", "A disk."]}
    )
    frame["prediction"] = ["ｎｏ ", "not sure", "", "AIA 171", "A disk."]
    frame["choices"] = ['["yes", "no"]'] * 3 + ["[]"] * 2
    frame["choice"] = ["no", "yes", "no", "", ""]
    done = asking.marked(frame.reindex(columns=asking.PREDICTION_COLUMNS[:-1]))
    assert done.correct.tolist()[:4] == [True, False, False, True]
    assert done.correct.isna().tolist() == [False] * 4 + [True]
    assert done.choice_correct.tolist()[:3] == [True, False, True]
    assert done.choice_correct.isna().tolist() == [False] * 3 + [True] * 2


def test_constant_is_the_commonest_answer_of_its_kind_and_ties_go_to_the_first_name(items):
    constant = asking.constant_predictions(items)
    measurement = constant[(constant.prompt_id == "qa.measurement") & constant.simulated]
    assert set(measurement.prediction) == {"GONG H-alpha"}
    assert measurement.correct.mean() == pytest.approx(1 / 3)


# --------------------------------------------------------------------------------------------------------------------
# bench


def test_records_have_the_public_fields_and_are_json(records, tmp_path):
    assert all(RECORD_FIELDS <= set(r) for r in records)
    assert {r["model"] for r in records} == {"base", "tuned"}
    assert {r["group"] for r in records} == {"simulated", "real", "general"}
    assert {r["run_profile"] for r in records} == {"tiny"}
    assert all(r.get("reason") for r in records if r["value"] is None)
    artifacts.write_json(tmp_path / "metrics.json", records)
    keys = [tuple(r[k] for k in ("task", "metric", "profile", "language", "group", "model")) for r in records]
    assert len(keys) == len(set(keys))


def test_perfect_answers_score_one_and_half_right_ones_their_share(records, items):
    tuned = {"group": "simulated", "language": "all", "model": "tuned"}
    for task, metric, profile in (
        ("qa", "accuracy", "greedy"),
        ("qa", "accuracy", "choice"),
        ("qa.measurement", "macro_f1", "greedy"),
        ("ocr", "exact_match", "nfkc"),
        ("ocr", "char_accuracy", "levenshtein"),
        ("description", "fact_precision", "claims"),
    ):
        assert bench.find(records, **tuned, task=task, metric=metric, profile=profile)["value"] == 1.0
    assert bench.find(records, **tuned, task="description", metric="hallucination_rate")["value"] == 0.0
    assert bench.find(records, **tuned, task="description", metric="bleu_4")["value"] == pytest.approx(100, abs=1e-3)
    qa = items[items.simulated & (items.task == "qa")]
    base = bench.find(records, **{**tuned, "model": "base"}, task="qa", metric="accuracy", profile="greedy")
    right = np.mean([hash_of(i) % 4 == 0 for i in qa.annotation_id])
    assert base["value"] == pytest.approx(right, abs=1e-6)
    assert base["n_failed"] == round(len(qa) * (1 - right))
    assert base["ci_low"] <= base["value"] <= base["ci_high"]


def test_overall_is_the_mean_weighted_by_n(records):
    wanted = {"profile": "greedy", "language": "all", "group": "simulated", "model": "base"}
    qa = bench.find(records, **wanted, task="qa", metric="accuracy")
    ocr = bench.find(records, **{**wanted, "profile": "nfkc"}, task="ocr", metric="exact_match")
    both = bench.find(records, **wanted, task="overall", metric="accuracy")
    assert both["value"] == pytest.approx(
        np.average([qa["value"], ocr["value"]], weights=[qa["n"], ocr["n"]]), abs=1e-6
    )
    assert both["chance"] is None


def test_difference_is_paired_and_stands_on_the_tuned_record(records):
    wanted = {"task": "qa", "metric": "accuracy", "profile": "greedy", "language": "all", "group": "simulated"}
    base, tuned = (bench.find(records, **wanted, model=m) for m in ("base", "tuned"))
    assert tuned["difference"] == pytest.approx(tuned["value"] - base["value"], abs=1e-6)
    assert tuned["difference_low"] <= tuned["difference"] <= tuned["difference_high"]
    assert base["difference"] is None


def test_empty_descriptions_are_left_out_by_swift_and_zero_when_strict(world, items, general):
    scores = _scores(world, items, general, lambda r: True, lambda r: hash_of(r.image_id) % 2)
    records = bench.metrics_records(scores, run_profile="tiny", n_bootstrap=50)
    wanted = {"task": "description", "metric": "rouge_l", "group": "simulated", "language": "all"}
    lenient, strict = (bench.find(records, **wanted, profile=p, model="tuned") for p in ("swift_nlg", "strict"))
    assert lenient["value"] == pytest.approx(100, abs=1e-3)
    assert strict["n"] == lenient["n"] + lenient["n_failed"]
    assert strict["value"] == pytest.approx(100 * lenient["n"] / strict["n"], abs=1e-3)
    silent = bench.find(records, **wanted, profile="swift_nlg", model="base")
    assert (silent["value"], silent["n"], silent["reason"]) == (None, 0, "nothing to score")


def test_a_cheat_that_sees_nothing_scores_exactly_its_floor(world, items, general):
    """Planted: the 'tuned' model is the constant one. Every record must show it adds nothing to the floor."""
    constant = [asking.constant_predictions(items), asking.constant_predictions(general[0])]
    planted = [part.assign(model=model) for part in constant for model in ("base", "tuned")]
    known = {r.image_id: facts.from_json(r.facts) for r in world[1].itertuples()}
    scores = bench.score(pd.concat([*constant, *planted], ignore_index=True), known)
    records = [r for r in bench.metrics_records(scores, run_profile="tiny", n_bootstrap=50) if r["value"] is not None]
    assert len(records) > 100
    assert [r for r in records if r["value"] != r["floor"]] == []
    found = bench.find(records, task="qa.measurement", metric="accuracy", group="simulated", language="all")
    assert found["floor"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["chance"] == pytest.approx(1 / 3, abs=1e-6)
    ocr = bench.find(records, task="ocr", metric="char_accuracy", group="simulated", language="all")
    assert ocr["floor"] > 0.6, "reading nothing looks good by character: the reason why exact match stands beside it"
    assert not any(held for name, held in bench.bars(records).items() if not name.startswith("general"))


def test_judge_rows_are_named_and_not_made_up(records):
    judge = [r for r in records if r["metric"] == "judge_score"]
    assert {(r["task"], r["group"]) for r in judge} == {
        (t, g) for t in ("interpretation_qa", "ocr", "overall") for g in ("simulated", "real")
    }
    assert all(r["value"] is None and r["reason"] == "not run: no judge endpoint" for r in judge)


def test_table_is_stamped_and_no_number_stands_without_its_n(records):
    table = bench_table.table_md(records)
    assert "TINY PROFILE, no result, never to be set beside the paper's" in table.splitlines()[2]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")]
    cells = [cell for row in rows if row[0] != "task" for cell in row[5:] if cell]
    assert len(cells) > 60
    assert [c for c in cells if "(n=" not in c] == []
    assert "not run: no judge endpoint (n=0)" in table
    assert "bleu_4 @ swift_nlg" in table
    assert "profile qwen7b" in bench_table.table_md([r | {"run_profile": "qwen7b"} for r in records])


def test_bars_hold_for_what_deserves_them_only(records, world, items, general):
    assert bench.bars(records) == dict.fromkeys(bench.bars(records), True)
    assert len(bench.bars(records)) >= 6
    assert not any(bench.bars([]).values())
    forgot = _scores(
        world, items, general, lambda r: False, lambda r: r.task == "general" and hash_of(r.target) % 8 == 0
    )
    held = bench.bars(bench.metrics_records(forgot, run_profile="tiny", n_bootstrap=50))
    assert not held["general_tuned_minus_base >= -0.05"]
    assert not held["qa_tuned_minus_base_greedy >= 0.30"]
    assert held["ocr_exact_zh >= 0.90"]


def test_what_an_endpoint_and_a_task_without_rows_leave_in_a_column_is_scored(world, items):
    """Text only, so every choice is NA; columns are `object` after a concat with a frame that has no rows."""
    answer, _ = oracle(items)
    said = asking.ask(items, asking.image_opener(world[0], items), answer, None, "tuned")
    loose = said.assign(**{name: said[name].astype(object) for name in ("correct", "choice_correct", "simulated")})
    assert loose.choice_correct.isna().all()
    scores = bench.score(loose, {})
    assert scores.choice_correct.isna().all()
    assert scores.correct.dropna().eq(1).all()
    assert (~scores.simulated).sum() == (scores["where"] == "real").sum() > 0
    records = bench.metrics_records(scores, run_profile="tiny", n_bootstrap=20)
    assert bench.find(records, task="qa", metric="accuracy", profile="choice")["reason"] == "nothing to score"


def test_a_difference_stands_with_the_n_of_its_pairs(world, items, general):
    """swift_nlg leaves out what says nothing: there the base has fewer items than the tuned model."""
    scores = _scores(world, items, general, lambda r: hash_of(r.image_id) % 2, lambda r: False)
    records = [r | {"run_profile": "tiny"} for r in bench.metrics_records(scores, run_profile="tiny", n_bootstrap=20)]
    wanted = {"task": "description", "metric": "bleu_4", "profile": "swift_nlg", "language": "all"}
    base, tuned = (bench.find(records, **wanted, group="simulated", model=m) for m in ("base", "tuned"))
    assert 0 < base["n"] < tuned["n"]
    assert tuned["difference_n"] == base["n"]
    line = next(x for x in bench_table.table_md(records).splitlines() if x.startswith("| description | bleu_4 @ swift"))
    assert line.endswith(f"(n={base['n']}) |")
    assert f"(n={tuned['n']})" in line
    assert all(r["difference_n"] <= r["n"] for r in records if r.get("difference") is not None)


def test_one_model_alone_and_one_task_alone_are_reported(world, items, general):
    tuned = asking.ask(items[items.task == "ocr"], asking.image_opener(world[0], items), *oracle(items), "tuned")
    records = bench.metrics_records(bench.score(tuned, {}), run_profile="tiny", n_bootstrap=50)
    assert {r["model"] for r in records if r["value"] is not None} == {"tuned"}
    assert "not asked" in bench_table.table_md(records)
    assert all(r["floor"] is None for r in records)
    assert not math.isnan(records[0]["value"])
