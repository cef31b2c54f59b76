"""backoff and sureness: a model that is sure when right gains, permuted sureness does not, too little is said to be."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

from jwvl_lib import backoff, bench_figures, bench_table, claims, sureness, tiny_base
from jwvl_lib.facts import Fact
from jwvl_lib.greedy import Spoken

ABOUT = {"qa.layer": "layer", "describe": ""}
TREES_FROM = [
    ("en", "An SDO/AIA 171 image of the corona.", "corona"),
    ("en", "An SDO/AIA 171 image of the photosphere.", "photosphere"),
    ("en", "This image shows the photosphere.", "photosphere"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(tiny_base.FOLDER)


def planted(n=400, split="val", seed=0, sure_when_right=True, model="tuned", share_wrong=0.3):
    """Closed answers in both languages, a row each: sure above .5 where right, below where wrong."""
    rng = np.random.default_rng(seed)
    wrong = np.repeat(rng.random(n // 2) < share_wrong, 2)
    sure = np.where(wrong, rng.uniform(0, 0.5, n), rng.uniform(0.5, 1, n))
    if not sure_when_right:
        sure = rng.permutation(sure)
    rows = []
    for k in range(n):
        image, language = f"{split}-{k // 2}", ("zh", "en")[k % 2]
        word = {"zh": ("日冕", "光球层"), "en": ("corona", "photosphere")}[language][int(wrong[k])]
        row = {"annotation_id": f"{split}-{k}", "image_id": image, "prompt_id": "qa.layer", "model": model}
        row |= {"split": split, "task": "qa", "language": language, "group_id": f"{split}-day-{k // 8}"}
        row |= {"choices": "[]", "sentence": 0}
        row |= {"text": word, "n_claims": 1, "n_hallucinated": int(wrong[k]), "wrong": bool(wrong[k]), "leans": False}
        rows.append(row | dict.fromkeys(sureness.MEASURES, sure[k]))
    return pd.DataFrame(rows, columns=sureness.COLUMNS)


def facts_of(said):
    return {image: [Fact("layer", "corona")] for image in said.image_id}


def measured(said, alpha=0.02):
    rules = backoff.thresholds(said, alpha)
    return rules, backoff.records(said, rules, facts_of(said), ABOUT, n_resamples=50)


def value(records, metric, task="overall", profile="backoff", model="tuned"):
    wanted = {"metric": metric, "task": task, "profile": profile, "model": model}
    return next(r for r in records if wanted.items() <= r.items())


class TestThePlantedModel:
    def test_that_is_sure_when_right_keeps_most_and_errs_within_alpha(self):
        said = pd.concat([planted(), planted(split="test", seed=1)], ignore_index=True)
        rules, records = measured(said)
        assert rules["tuned", "overall"].holds
        assert value(records, "answer_coverage")["value"] == pytest.approx((~said.wrong[400:]).mean(), abs=0.04)
        rate = value(records, "hallucination_rate")
        assert rate["value"] <= 0.04  # one draw: the promise is about the mean, see below
        assert rate["raw"] > 0.2
        assert rate["raw_n"] == 400
        assert rate["n"] < 400
        assert rate["ci_low"] <= rate["value"] <= rate["ci_high"]
        assert value(records, "accuracy")["value"] >= 0.96
        assert value(records, "accuracy")["raw"] < 0.8
        assert value(records, "zh_en_same")["n"] < value(records, "zh_en_same")["raw_n"] == 200

    def test_whose_sureness_is_permuted_gains_nothing(self):
        said = [planted(sure_when_right=False), planted(split="test", seed=1, sure_when_right=False)]
        rules, records = measured(pd.concat(said, ignore_index=True))
        assert not rules["tuned", "overall"].holds
        assert value(records, "answer_coverage")["value"] == 0
        assert value(records, "hallucination_rate")["value"] is None
        assert value(records, "hallucination_rate")["reason"] == "nothing is kept"
        curve = backoff.risk_coverage(said[1])
        half = curve[(curve.coverage > 0.3) & (curve.coverage < 0.9)]
        assert half.risk.to_numpy() == pytest.approx(np.full(len(half), said[1].wrong.mean()), abs=0.1)

    def test_separation_is_one_and_without_sense_a_half(self):
        assert sureness.separation(planted()).claims.tolist() == [1.0, 1.0]
        assert sureness.separation(planted(sure_when_right=False)).claims.iloc[0] == pytest.approx(0.5, abs=0.08)


class TestTheThreshold:
    def test_a_small_calibration_says_so_and_how_much_it_needs(self):
        rule = backoff.calibrate(planted(n=40, share_wrong=0))
        assert not rule.holds
        assert rule.value == math.inf
        assert "too few" in rule.reading
        assert "49 kept answers are needed" in rule.reading
        assert backoff.calibrate(planted(n=50, share_wrong=0)).holds  # 1 / 51 <= .02

    def test_nothing_to_calibrate_on(self):
        rule = backoff.calibrate(planted().head(0))
        assert not rule.holds
        assert rule.reading.startswith("nothing to calibrate on: at least 49")

    def test_a_model_that_is_sure_of_nothing(self):
        rule = backoff.calibrate(planted(n=40).assign(claims=0.0))
        assert (rule.holds, rule.n, rule.n_answers) == (False, 0, 40)
        assert "sure of none; at least 49 without an error" in rule.reading

    def test_answers_that_say_nothing_make_no_room_for_errors(self):
        silent = planted(n=100, share_wrong=0).assign(claims=0.0)
        speaks = planted(n=50, share_wrong=0, seed=1).assign(claims=0.5, wrong=np.arange(50) < 2)
        speaks["annotation_id"] = "said " + speaks.annotation_id.astype(str)
        rule = backoff.calibrate(pd.concat([silent, speaks], ignore_index=True))
        assert not rule.holds  # (2 + 1) / (50 + 1), not (2 + 1) / (150 + 1)
        assert (rule.n, rule.n_wrong) == (50, 2)
        assert not backoff.calibrate(silent).holds

    def test_errors_among_the_surest_are_not_mended_by_more_answers(self):
        assert "more answers like these would not help" in backoff.calibrate(planted(sure_when_right=False)).reading

    def test_it_is_the_least_that_holds(self):
        said = planted(n=100, share_wrong=0).assign(claims=np.linspace(0.01, 1, 100))
        said["wrong"] = np.arange(100) < 10
        rule = backoff.calibrate(said)
        assert (rule.n, rule.n_wrong) == (90, 0)
        assert rule.value == said.claims[10]
        assert rule.risk == pytest.approx(1 / 91)

    def test_days_without_an_error_are_named_where_they_are_too_few(self):
        assert "49 days without an error" in backoff.calibrate(planted(n=200)).reading

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2])
    def test_an_absurd_risk_is_refused(self, alpha):
        with pytest.raises(ValueError, match="give a number between 0 and 1"):
            backoff.calibrate(planted(), alpha)

    def test_test_days_do_not_move_it(self):
        one = backoff.thresholds(pd.concat([planted(), planted(split="test", seed=1)]))
        other = backoff.thresholds(pd.concat([planted(), planted(split="test", seed=2, share_wrong=0.9)]))
        assert one == other


def test_the_promise_holds_on_average():
    """Over many draws, of all answers at most alpha are kept and wrong; among the kept it is alpha, give or take."""
    of_all, of_kept = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        said = planted(n=800, seed=seed).assign(wrong=rng.random(800) < 0.2)
        said["claims"] = np.clip(np.where(said.wrong, 0.45, 0.62) + 0.15 * rng.standard_normal(800), 0, 1)
        rule, theirs = backoff.calibrate(said.iloc[:400], 0.05), said.iloc[400:]
        now = theirs[theirs.claims >= rule.value]
        of_all.append(now.wrong.sum() / len(theirs))
        of_kept.append(now.wrong.sum() / max(1, len(now)))
    assert 0 < np.mean(of_all) <= 0.05
    assert np.mean(of_kept) == pytest.approx(0.05, abs=0.02)


def test_no_answers_at_all_give_no_records_and_no_crash():
    rules, records = measured(planted().head(0))
    assert {r["metric"] for r in records} == {"threshold"}
    assert all(r["value"] is None and r["reason"] for r in records)
    assert backoff.summary(records).empty


def test_where_nobody_knows_how_sure_the_table_says_so():
    records = [r | {"run_profile": "tiny"} for r in backoff.not_run()]
    assert "not run: the endpoint does not say how sure it was (n=0)" in bench_table.table_md(records)


def test_the_table_has_its_own_section_raw_beside_kept():
    said = pd.concat([planted(), planted(split="test", seed=1)], ignore_index=True)
    _, records = measured(said)
    table = bench_table.table_md([r | {"run_profile": "tiny"} for r in records])
    section = table[table.index("## With back-off") :]
    assert "These rows replace nothing" in section
    assert "hallucination_rate @ backoff" in section
    assert "tuned: raw 0." in section
    assert "calibrated on 400 answers" in section
    shown = backoff.summary(records).set_index(["task", "measure"]).loc[("overall", "hallucination_rate")]
    assert "(n=400)" in shown["tuned raw"]
    assert "(n=400)" not in shown["tuned kept"]


def test_the_figure_rings_the_threshold_or_says_that_there_is_none():
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    curve = backoff.risk_coverage(planted())
    ring = bench_figures.plot_risk(axes[0], {"test": curve}, 0.02, 0.5)
    silent = bench_figures.plot_risk(axes[1], {"test": curve}, 0.02, math.inf)
    assert "kept" in [t.get_text() for t in ring.get_legend().get_texts()]
    assert "silent throughout" in silent.get_title()


# --------------------------------------------------------------------------------------------------------------------
# how sure


def trees(tokenizer):
    rows = []
    for language, text, layer in TREES_FROM:
        claim = {"kind": "layer", "value": layer, "text": layer}
        rows.append({"task": "description", "language": language, "answer": text, "claims": f"[{_json(claim)}]"})
    return sureness.wordings(pd.DataFrame(rows), tokenizer)


def _json(claim):
    return "{" + ", ".join(f'"{k}": "{v}"' for k, v in claim.items()) + "}"


def spoken(tokenizer, text, rivals=None, own=None):
    """Every token certain, but those of `own` (token text: probability); `rivals`: of a token, (text, probability)."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    words = [tokenizer.decode([i]) for i in ids]
    weights = [math.log((own or {}).get(w.strip(), 1.0)) for w in words]
    others = [(rivals or {}).get(w.strip(), (text[0], 0.0)) for w in words]
    rival_ids = [[tokenizer(o, add_special_tokens=False).input_ids[0]] for o, _ in others]
    return Spoken(ids, np.array(weights), np.array(rival_ids), np.log([[max(p, 1e-9)] for _, p in others]))


def sentences(tokenizer, text, how, task="description", correct=None, facts=("photosphere",), prompt="describe"):
    row = {"annotation_id": "a", "image_id": "i", "prompt_id": prompt, "model": "tuned", "split": "val", "task": task}
    row |= {"language": "en", "group_id": "d", "prediction": text, "spoken": how, "correct": correct}
    known = {"i": [Fact("layer", f) for f in facts] + [Fact("instrument", "AIA"), Fact("observatory", "SDO")]}
    return sureness.sentences(pd.DataFrame([row]), known, ABOUT, tokenizer, trees(tokenizer))


def test_a_rare_wording_is_no_doubt_and_a_rival_value_is(tokenizer):
    text = "This image shows the corona."
    first = tokenizer.decode([tokenizer("corona", add_special_tokens=False).input_ids[0]])
    other = tokenizer.decode([tokenizer(" photosphere", add_special_tokens=False).input_ids[0]])
    rare = spoken(tokenizer, text, own={"This": 0.1})
    row = sentences(tokenizer, text, rare).iloc[0]
    assert row.claims == pytest.approx(1.0)
    assert row.least == pytest.approx(0.1)
    assert row.wrong
    doubtful = spoken(tokenizer, text, own={first: 0.3}, rivals={first: (other, 0.2)})
    assert sentences(tokenizer, text, doubtful).claims.iloc[0] == pytest.approx(0.6)


NONE = {"en": "The disk has no active regions with spots.", "zh": "日面上没有带黑子的活动区。"}
MANY = {"en": "The disk has 3 or more active regions with spots.", "zh": "日面上有3个或更多带黑子的活动区。"}


def count_trees(tokenizer, *texts):
    """Wordings of texts, given with their language, by what `claims` finds in them."""
    rows = []
    for language, text in texts:
        found = [{"kind": c["kind"], "value": c["value"], "text": c["text"]} for c in claims.check(text, [], language)]
        rows.append({"task": "description", "language": language, "answer": text, "claims": json.dumps(found)})
    return sureness.wordings(pd.DataFrame(rows), tokenizer)


def sure_of(tokenizer, language, text, known, own, rivals):
    """How sure of the claims of a text whose every token is certain, but `own` ({place: p}) and `rivals` of a place."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    weights = np.log([own.get(i, 1.0) for i in range(len(ids))])
    most = max([len(r) for r in rivals.values()], default=1)
    heard = np.array([(list(rivals.get(i, {}).items()) + [(-1, 1e-12)] * most)[:most] for i in range(len(ids))])
    how = Spoken(ids, weights, heard[..., 0].astype(int), np.log(heard[..., 1]))
    row = {"annotation_id": "a", "image_id": "i", "prompt_id": "describe", "model": "tuned", "split": "val"}
    row |= {"task": "description", "language": language, "group_id": "d", "prediction": text, "spoken": how}
    said = sureness.sentences(pd.DataFrame([row | {"correct": None}]), {}, ABOUT, tokenizer, known)
    assert said.n_claims.tolist() == [1]
    return said.claims.iloc[0]


def parting(tokenizer, *texts):
    """(first place where the tokens of texts differ, what stands there in each)."""
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    place = next(i for i, same in enumerate(zip(*ids, strict=False)) if len(set(same)) > 1)
    return place, [i[place] for i in ids]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("said_none", [True, False])
def test_wordings_that_part_before_the_claim_begins_are_rivals(tokenizer, language, said_none):
    """ "no" against " 3" parts at a blank, 没有 against 有3个 at 有: neither is a character of the other's claim."""
    text, other = (NONE, MANY)[:: 1 if said_none else -1]
    place, (_, rival) = parting(tokenizer, text[language], other[language])
    known = count_trees(tokenizer, (language, text[language]), (language, other[language]))
    one = sure_of(tokenizer, language, text[language], known, {place: 0.3}, {place: {rival: 0.6}})
    assert one == pytest.approx(0.3 / 0.9, abs=1e-6)


def test_a_rival_that_leads_to_the_same_value_is_no_doubt_and_an_open_one_goes_on_as_what_was_said(tokenizer):
    texts = [NONE["en"], *(f"{n} active regions with spots are on the disk." for n in ("No", "3 or more"))]
    known = count_trees(tokenizer, *(("en", t) for t in [*texts, MANY["en"]]))
    first, (_, same, other) = parting(tokenizer, *texts)
    place, (_, rival) = parting(tokenizer, NONE["en"], MANY["en"])
    own, rivals = {first: 0.5, place: 0.6}, {first: {same: 0.2, other: 0.3}, place: {rival: 0.4}}
    assert first == 0
    assert sure_of(tokenizer, "en", NONE["en"], known, own, rivals) == pytest.approx(0.2 + 0.5 * 0.6, abs=1e-6)


def test_for_want_of_rivals_nothing_is_certain(tokenizer):
    place, (_, rival) = parting(tokenizer, NONE["en"], MANY["en"])
    alone = count_trees(tokenizer, ("en", NONE["en"]))  # training never claims another number
    assert sure_of(tokenizer, "en", NONE["en"], alone, {place: 0.4}, {}) == pytest.approx(0.4)
    both = count_trees(tokenizer, ("en", NONE["en"]), ("en", MANY["en"]))  # its rival is not among the likeliest
    unheard = sure_of(tokenizer, "en", NONE["en"], both, {place: 0.4}, {place: {tokenizer.eos_token_id: 0.1}})
    assert unheard == pytest.approx(0.4 / (0.4 + 0.1))


def test_a_new_value_is_weighed_where_it_begins_and_its_lead_in_is_no_doubt(tokenizer):
    text, other = "This image shows the chromosphere.", TREES_FROM[2][1]
    place, (_, rival) = parting(tokenizer, text, other)
    known = trees(tokenizer)
    one = sure_of(tokenizer, "en", text, known, {0: 0.1, place: 0.5}, {place: {rival: 0.3}})
    assert one == pytest.approx(0.5 / 0.8)


def test_an_answer_in_one_word_is_one_sentence_and_wrong_unless_right(tokenizer):
    how = spoken(tokenizer, "corona")
    for correct in (True, False):
        row = sentences(tokenizer, "corona", how, "qa", correct, facts=("corona",), prompt="qa.layer").iloc[0]
        assert bool(row.wrong) is not correct
        assert row.n_hallucinated == 0
        assert row.claims == pytest.approx(1.0)


def test_who_says_nothing_is_sure_of_nothing(tokenizer):
    row = sentences(tokenizer, "", Spoken([]), "qa", False).iloc[0]
    assert (row["claims"], row["least"], row["product"]) == (0, 0, 0)
    assert row.wrong
    assert sentences(tokenizer, "", Spoken([])).empty  # a description without a sentence


def test_babble_that_claims_nothing_is_never_kept(tokenizer):
    text = "A red circle."
    row = sentences(tokenizer, text, spoken(tokenizer, text)).iloc[0]
    assert row["claims"] == 0
    assert row["least"] == pytest.approx(1.0)


def test_a_sentence_that_leans_on_the_one_before_is_never_surer(tokenizer):
    text = "The largest region is in the SW quadrant. It is led by the negative polarity."
    how = spoken(tokenizer, text, own={"largest": 0.4, "SW": 0.4, "S": 0.4})
    both = sentences(tokenizer, text, how)
    assert both.leans.tolist() == [False, True]
    assert both.claims[1] <= both.claims[0]
    assert both.least[1] <= both.least[0] < 1


def test_tokens_that_are_not_those_of_the_text_count_for_every_sentence(tokenizer):
    text = "An image of the corona. The layer is the corona."
    how = Spoken([1, 2], np.log([0.2, 0.9]), np.array([[1], [2]]), np.log([[0.2], [0.9]]))
    assert sentences(tokenizer, text, how).least.tolist() == pytest.approx([0.2, 0.2])
