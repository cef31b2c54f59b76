"""solar_tasks, solar_scores and the checks on them: truth from facts, options shuffled, honest scores, cheats named."""

import json

import numpy as np
import pandas as pd
import pytest

from jwvl_lib import artifacts, asking, cheats, facts, metrics, solar_scores, solar_tasks, teacher_plan
from jwvl_lib.activity_frames import CLASSES
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import load_prompts

HALE = ("Alpha", "Beta", "Beta-Gamma", "Beta-Gamma-Delta")
MCINTOSH = ("Axx", "Cso", "Dai", "Ekc", "Fki", "Hsx")
VIEWS = (("HMI", "magnetogram", "photosphere"), ("HMI", "continuum", "photosphere"), ("AIA", "171", "corona"))
N_DAYS = 14


def _image(day, instrument, measurement, layer):
    n, image_id = day % 5, f"day{day:02d}-{measurement}"
    found = [Fact("observatory", "SDO"), Fact("instrument", instrument), Fact("measurement", measurement)]
    found += [Fact("layer", layer), Fact("n_regions", n)]
    for number in range(19000, 19000 + n):
        k = day // 2 + number - 19000
        found += [Fact("noaa_ar", number, number), Fact("area_msh", 500 - 10 * (number - 19000), number)]
        found += [Fact("hale_class", HALE[k % 4], number), Fact("mcintosh_class", MCINTOSH[k % 6], number)]
        if measurement == "magnetogram":
            found.append(Fact("leading_polarity", ("positive", "negative")[k % 2], number))
    row = {"image_id": image_id, "path": f"{image_id}.png", "split": "test" if day % 2 else "train"}
    row |= {"group_id": f"2014-01-{day + 1:02d}", "sha256": image_id, "simulated": True}
    return row | {"facts": facts.to_json(found)}


def _frame(k):
    image_id = f"activity-test-{k}"
    found = [Fact("instrument", "AIA"), Fact("measurement", "171"), Fact("activity", CLASSES[k % 5])]
    row = {"image_id": image_id, "path": f"{image_id}.png", "split": "test", "group_id": f"2015-01-{k + 1:02d}"}
    return row | {"sha256": image_id, "simulated": True, "facts": facts.to_json(found)}


@pytest.fixture(scope="module")
def world():
    frames = [_frame(k) for k in range(15)]
    corpus = pd.DataFrame([_image(day, *view) for day in range(N_DAYS) for view in VIEWS] + frames)
    prompts = teacher_plan.offering(corpus, load_prompts(artifacts.REPO / "params" / "prompts"))
    prompts = solar_tasks.task_prompts(prompts)
    return corpus, prompts, solar_tasks.items(corpus, prompts, n_shuffles=3)


def predicted(asked, answer, model="tuned"):
    """Answers of a scripted model: `answer` takes an item and gives a text."""
    said = [answer(row) for row in asked.itertuples()]
    shown = asking.marked(asked.assign(model=model, prediction=said, choice=said))
    return solar_tasks.with_item_columns(shown, asked)


def scored(asked, answer):
    return solar_scores.records(solar_tasks.answers(predicted(asked, answer)), n_bootstrap=50)


def value(records, task, metric="macro_f1", model="tuned greedy"):
    return next(r for r in records if (r["task"], r["metric"], r["model"]) == (task, metric, model))


def perfect(row):
    return row.target


def test_every_task_is_asked_and_its_answer_stands_once_among_the_options(world):
    _, prompts, asked = world
    assert sorted(prompts) == sorted(asked.solar_task.unique()) == [f"S{k}" for k in range(1, 8)]
    for row in asked.itertuples():
        choices, codes = json.loads(row.choices), json.loads(row.codes)
        assert choices.count(row.target) == 1
        assert codes[choices.index(row.target)] == row.code
        assert all(choice in row.question for choice in choices)


def test_truth_is_that_of_the_largest_region(world):
    _, _, asked = world
    s4 = asked[(asked.solar_task == "S4") & (asked.image_id == "day07-magnetogram")]
    assert set(s4.code) == {HALE[3]}
    assert not (asked.image_id == "day05-magnetogram")[asked.solar_task.isin(["S4", "S7"])].any()  # no region that day
    assert set(asked.image_id[asked.solar_task == "S5"].str.split("-").str[1]) == {"continuum"}


def test_an_order_is_one_of_the_same_options_and_the_same_on_every_call(world):
    corpus, prompts, asked = world
    s5 = asked[asked.solar_task == "S5"]
    listed = s5.choices.map(json.loads)
    assert (listed.map(sorted).map(tuple).groupby([s5.image_id, s5.language]).nunique() == 1).all()
    assert listed.map(tuple).groupby([s5.image_id, s5.language]).nunique().max() > 1
    again = solar_tasks.items(corpus, prompts, n_shuffles=3)
    assert again.equals(asked)


@pytest.mark.parametrize("n_shuffles", [2, 3, 30])
def test_no_order_comes_twice_and_two_options_have_two(world, n_shuffles):
    corpus, prompts, _ = world
    asked = solar_tasks.items(corpus, prompts, n_shuffles=n_shuffles, max_images=4, tasks=("S4", "S7"))
    for (task, *_), rows in asked.groupby(["solar_task", "image_id", "language"]):
        assert rows.choices.nunique() == len(rows) == min(n_shuffles, {"S4": 24, "S7": 2}[task])
        assert list(rows["shuffle"]) == list(range(len(rows)))


def test_a_perfect_predictor_scores_exactly_one(world):
    _, _, asked = world
    found = scored(asked, perfect)
    of_model = [r for r in found if r["model"] == "tuned greedy"]
    assert {r["task"] for r in of_model} == set(solar_tasks.scored_tasks())
    assert {r["value"] for r in of_model} == {1.0}
    assert {(r["ci_low"], r["ci_high"], r["n_failed"]) for r in of_model} == {(1.0, 1.0, 0)}


def test_unreadable_answers_are_wrong_and_never_left_out(world):
    _, _, asked = world
    found = scored(asked, lambda row: row.target if row.shuffle else f"I think it is {row.target}")
    for task in solar_tasks.scored_tasks():
        n, n_orders = value(found, task)["n"], 2 if task == "S7" else 3  # two options have no third order
        assert value(found, task)["n_failed"] == n / n_orders
        assert value(found, task, "accuracy")["value"] == pytest.approx(1 - 1 / n_orders, abs=1e-5)
        assert value(found, task, "parse_coverage")["value"] == pytest.approx(1 - 1 / n_orders, abs=1e-5)


def test_measures_are_those_of_their_definitions(world):
    _, _, asked = world
    rng = np.random.default_rng(1)
    answered = solar_tasks.answers(predicted(asked, lambda row: rng.choice(json.loads(row.choices))))
    rows = answered[(answered.solar_task == "S4") & (answered.model == "tuned greedy")]
    found = solar_scores.records(rows, n_bootstrap=200)
    assert value(found, "S4")["value"] == pytest.approx(metrics.macro_f1(rows.answer, rows.code), abs=1e-6)
    recalls = [(part.answer == part.code).mean() for _, part in rows.groupby("code")]
    assert value(found, "S4", "balanced_accuracy")["value"] == pytest.approx(np.mean(recalls), abs=1e-6)
    low, high = metrics.macro_f1_interval(rows.answer, rows.code, rows.group_id, n_resamples=200)
    assert (value(found, "S4")["ci_low"], value(found, "S4")["ci_high"]) == pytest.approx((low, high), abs=1e-6)


def test_chance_guesses_among_the_options(world):
    _, _, asked = world
    found = scored(asked, perfect)
    assert value(found, "S7", "accuracy", "chance")["value"] == pytest.approx(1 / 2, abs=0.02)
    assert value(found, "S6", "accuracy", "chance")["value"] == pytest.approx(1 / 5, abs=0.02)


def test_presence_and_letters_follow_from_the_answer(world):
    _, _, asked = world
    found = scored(
        asked, lambda row: json.loads(row.choices)[json.loads(row.codes).index("0")] if row.solar_task == "S3" else ""
    )
    assert value(found, "S3.presence", "balanced_accuracy")["value"] == 0.5
    assert value(found, "S5.Z", "parse_coverage")["value"] == 0


def test_answers_of_the_ordinary_benchmark_serve(world):
    corpus, prompts, asked = world
    ordinary = predicted(asked[asked.shuffle == 0], perfect).drop(columns=["solar_task", "shuffle", "codes", "code"])
    taken = solar_tasks.of_benchmark(ordinary, prompts, corpus)
    assert sorted(taken.solar_task.unique()) == [f"S{k}" for k in range(1, 8)]
    kept = asked[asked.shuffle == 0]
    both = taken.merge(kept, on="annotation_id", suffixes=("", "_asked"))
    assert len(both) == len(kept) == len(taken)
    assert (both.code == both.code_asked).all()
    assert (both.codes == both.codes_asked).all()


def test_the_order_of_the_options_is_reported(world):
    _, _, asked = world
    first = solar_tasks.answers(predicted(asked, lambda row: json.loads(row.choices)[0]))
    flips = {r["task"]: r["flip_rate"] for r in solar_scores.spread_over_shuffles(first)}
    assert min(flips.values()) > 0.5
    assert flips["S7"] == 1, "the first of two options is another one in the other order"
    steady = solar_scores.spread_over_shuffles(solar_tasks.answers(predicted(asked, perfect)))
    assert {(r["flip_rate"], r["std"]) for r in steady} == {(0.0, 0.0)}
    once = solar_scores.spread_over_shuffles(solar_tasks.answers(predicted(asked[asked.shuffle == 0], perfect)))
    assert {(r["flip_rate"], r["reason"]) for r in once} == {(None, "asked in one order")}


def test_where_nothing_was_chosen_no_choice_is_wrong(world):
    """As at an endpoint, which gives text only: no likelihood, no choice."""
    _, _, asked = world
    chosen = predicted(asked, perfect)
    said = predicted(asked, perfect, model="base").assign(choice="", choice_correct=pd.NA)
    both = solar_tasks.answers(pd.concat([chosen, said]))
    assert list(both.model.unique()) == ["tuned greedy", "base greedy", "tuned choice"]
    assert set(solar_tasks.answers(said).model) == {"base greedy"}
    assert solar_scores.gaps(solar_tasks.answers(said), "base choice", ["majority"]) == []
    assert solar_tasks.answers(chosen.head(0)).empty


def test_the_gap_is_paired_and_counts_every_task(world):
    _, _, asked = world
    answered = solar_tasks.answers(predicted(asked, perfect))
    blind = answered[answered.model == "tuned greedy"].assign(
        answer=lambda a: a.codes.map(lambda c: sorted(json.loads(c))[0])
    )
    both = pd.concat([answered, blind.assign(model="blind")])
    found = solar_scores.gaps(both, "tuned greedy", ["blind"], n_bootstrap=50)
    assert [r["task"] for r in found] == [f"S{k}" for k in range(1, 8)] + ["mean"]
    assert found[-1]["gap"] == pytest.approx(np.mean([r["gap"] for r in found[:-1]]), abs=1e-6)
    assert all(r["gap_low"] <= r["gap"] <= r["gap_high"] for r in found)
    same = solar_scores.gaps(pd.concat([answered, answered.assign(model="twin")]), "tuned greedy", ["twin"])
    assert {(r["gap"], r["gap_low"], r["gap_high"]) for r in same} == {(0.0, 0.0, 0.0)}
    with pytest.raises(ValueError, match="different items"):
        solar_scores.gaps(pd.concat([answered, blind.iloc[1:].assign(model="blind")]), "tuned greedy", ["blind"])


# --------------------------------------------------------------------------------------------------------------------
# planted cheats


def judged(predictions):
    """What `bench.score` gives, as far as the checks look."""
    parsed = [float(p in json.loads(c)) for p, c in zip(predictions.prediction, predictions.choices, strict=True)]
    rows = predictions.assign(task=predictions.solar_task, where="simulated", parsed=parsed, blank=False)
    return rows.assign(correct=rows.correct.astype(float))


def readings(asked, answer, trained=None):
    predictions = predicted(asked[asked.solar_task.isin(["S1", "S2", "S7"]) & (asked.shuffle < 2)], answer)
    rows = judged(predictions)
    trained = pd.DataFrame({"image_id": ["none"], "group_id": ["none"]}) if trained is None else trained
    found = cheats.records(rows, trained, tasks=solar_tasks.scored_tasks())
    return {(r["task"], r["metric"]): r["reading"] for r in found}


def loud(found):
    return {
        key
        for key, reading in found.items()
        if any(w.isupper() and len(w) > 3 for w in reading.replace(":", "").replace(";", "").split())
    }


def test_an_honest_model_passes_every_check(world):
    assert loud(readings(world[2], perfect)) == set()


@pytest.mark.parametrize(
    ("answer", "metric", "word"),
    [
        (lambda row: "None", "unusable_share", "NO ANSWERS"),
        (lambda row: json.loads(row.choices)[0], "favoured_place_share", "PLACE"),
        (lambda row: {"zh": "正", "en": "positive"}[row.language], "commonest_share", "CONSTANT"),
    ],
)
def test_planted_answers_are_named(world, answer, metric, word):
    assert word in readings(world[2], answer)["S7", metric]


def test_permuted_labels_are_named(world):
    _, _, asked = world
    order = np.random.default_rng(0).permutation(len(asked))
    dealt = dict(zip(asked.annotation_id, asked.target.to_numpy()[order], strict=True))
    found = readings(asked, lambda row: dealt[row.annotation_id])
    assert "NOT EARNED" in found["S1", "accuracy_permuted"]


def p_values(asked, guess, n_seeds=20):
    """p of `accuracy_permuted` by seed; `guess` takes an item and a random generator."""
    found = []
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        rows = judged(predicted(asked, lambda row, rng=rng: guess(row, rng)))
        shown = cheats.records(rows, rows.head(0), seed=seed, tasks=solar_tasks.scored_tasks())
        found.append(next(r["p_value"] for r in shown if r["metric"] == "accuracy_permuted"))
    return np.array(found)


@pytest.mark.parametrize("task", ["S1", "S2", "S5", "S7"])
def test_a_guesser_that_sees_no_picture_does_not_pass_and_a_right_one_does(world, task):
    """S1 and S5 draw their options for each image: only there is the answer to another image often none of them."""
    asked = world[2][world[2].solar_task == task]
    blind = p_values(asked, lambda row, rng: str(rng.choice(json.loads(row.choices))))
    assert (blind <= cheats.ALPHA).sum() <= 1, "by chance one seed in a hundred"
    assert (p_values(asked, lambda row, rng: row.target, 3) <= cheats.ALPHA).all()
    often = p_values(asked, lambda row, rng: row.target if rng.random() < 0.7 else json.loads(row.choices)[0], 5)
    assert (often <= cheats.ALPHA).all(), "mostly right is earned"


def test_leaked_images_and_answers_in_the_question_are_named(world):
    corpus, _, asked = world
    trained = corpus[corpus.image_id == "day07-magnetogram"]
    assert "LEAKED" in readings(asked, perfect, trained)["S7", "leaked_share"]
    told = asked.assign(question=asked.target + "? " + asked.question)
    assert "TOLD" in readings(told, perfect)["S2", "told_share"]
    assert "TOLD" not in readings(asked, perfect)["S2", "told_share"]


def test_planted_cheats_stand_beside_the_honest_and_are_named(world):
    corpus, _, asked = world
    rows = judged(predicted(asked[asked.solar_task == "S1"], perfect))
    shown = cheats.planted(rows, corpus[corpus.split == "train"])
    words = dict(zip(cheats.PLANTS, ("LEAKED", "NOT EARNED", "CONSTANT", "PLACE", "NO ANSWERS"), strict=True))
    for row in shown.itertuples():
        named = [word for word in words.values() if word in row.reading]
        assert named == ([] if row.cheat == "none" else [words[row.cheat]]), row
    assert sorted(shown.cheat[shown.cheat != "none"]) == sorted(cheats.PLANTS)


def test_no_cheat_is_planted_where_nothing_was_asked(world):
    rows = judged(predicted(world[2][world[2].solar_task == "S1"], perfect)).head(0)
    assert list(cheats.planted(rows, rows)) == ["cheat", "check", "reading"]
    assert cheats.planted(rows, rows).empty


def test_the_table_prints_every_task_with_its_references(world):
    _, _, asked = world
    text = solar_scores.table_md(scored(asked, perfect), "TINY")
    assert all(f"| {task} |" in text for task in solar_tasks.scored_tasks())
    assert all(part in text for part in ("chance", "1.000 [1.00, 1.00]", "TINY"))


def test_a_baseline_chosen_on_other_days_is_the_one_compared(world):
    """Chosen by its value here, the luckiest of many blind ones would count as the best specialist."""
    _, _, asked = world
    answered = solar_tasks.answers(predicted(asked, perfect)).query("model == 'tuned greedy'")
    rng = np.random.default_rng(0)
    blind = [
        answered.assign(model=f"b{k}", answer=answered.codes.map(lambda c: rng.choice(json.loads(c)))) for k in range(9)
    ]
    rivals, together = [f"b{k}" for k in range(9)], pd.concat([answered, *blind])
    lucky = solar_scores.gaps(together, "tuned greedy", rivals, n_bootstrap=20)
    chosen = dict.fromkeys(solar_scores.best_of(together, rivals), "b0")
    fair = solar_scores.gaps(together, "tuned greedy", rivals, chosen=chosen, n_bootstrap=20)
    assert {r["best_baseline"] for r in fair[:-1]} == {"b0"}
    assert [r["best_baseline"] for r in lucky[:-1]] == list(solar_scores.best_of(together, rivals).values())
    assert fair[-1]["gap"] > lucky[-1]["gap"]


def test_askings_of_the_same_options_agree_on_the_surest_class(world):
    """Each vote weighs its probability; truth takes no part, and options of their own are voted on alone."""
    _, _, asked = world
    one = asked[(asked.solar_task == "S7") & (asked.image_id == asked[asked.solar_task == "S7"].image_id.iloc[0])]
    wrong = next(c for c in json.loads(one.codes.iloc[0]) if c != one.code.iloc[0])
    said = predicted(one, lambda row: json.loads(row.choices)[json.loads(row.codes).index(wrong)])
    right = said.index == said.index[0]
    said.loc[right, "choice"] = said.loc[right, "target"]
    for sureness, expected in ((0.99, one.code.iloc[0]), (0.1, wrong)):
        weighed = said.assign(choice_probability=np.where(right, sureness, 0.2))
        found = solar_tasks.agreed(weighed)
        assert set(found.model) == {"tuned agreed"}
        assert set(found.answer) == {expected}
        assert len(found) == len(one) == 4
    assert set(solar_tasks.agreed(said).answer) == {wrong}, "of unknown probability each counts as one: three to one"
    assert solar_tasks.agreed(said.assign(choice="")).empty
