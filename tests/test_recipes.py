"""Recipes side by side, on small made measurements: what is linked, paired, refused, and what becomes of a finding."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from jwvl_lib import recipes, recipes_measures, recipes_table, run
from jwvl_lib.artifacts import REPO, MissingArtifactError, read_manifest, write_json
from jwvl_lib.parameters import ParameterError, check_names, stage_parameters

N, DAYS = 120, 30


def answers(right: dict[str, np.ndarray]) -> pd.DataFrame:
    """Predictions of the general task and of closed questions; `right` gives each model's answers, True where right."""
    parts = []
    for model, correct in right.items():
        for task, split, prompt in (("general", "general", "general.count"), ("qa", "test", "qa.measurement")):
            rows = pd.DataFrame({"annotation_id": [f"{task}{k:03d}" for k in range(N)], "task": task, "split": split})
            rows = rows.assign(prompt_id=prompt, group_id=[f"day{k % DAYS}" for k in range(N)], simulated=True)
            rows = rows.assign(model=model, target="yes", prediction=np.where(correct, "yes", "no"), correct=correct)
            parts.append(rows.assign(choice_correct=correct.astype(float)))
    return pd.concat(parts, ignore_index=True)


def record(task, metric, profile, model, value, **more):
    group = "general" if task == "general" else "simulated"
    told = {"task": task, "metric": metric, "profile": profile, "language": "all", "group": group, "model": model}
    told |= {"value": value, "n": N, "n_failed": 0, "ci_low": value - 0.05, "ci_high": value + 0.05}
    return told | {"difference": None, "difference_low": None, "difference_high": None} | more


def measured_run(folder, right, *, cosine=0.9, code="c", corpus="k"):
    """A variant's finished 04 and 05 as their notebooks leave them, small."""
    base = np.arange(N) % 10 < 7
    predictions = answers({"base": base, "tuned": right})
    lost = float(right.mean() - base.mean())
    spread = {"difference": lost, "difference_low": lost - 0.04, "difference_high": lost + 0.04}
    records = [record("general", "accuracy", "greedy", "base", float(base.mean()))]
    records.append(record("general", "accuracy", "greedy", "tuned", float(right.mean()), **spread))
    records += [
        record("description", "cosine", "minilm", m, v, language="en") for m, v in (("base", 0.7), ("tuned", cosine))
    ]
    score = {
        "section": "solar",
        "group": "simulated",
        "language": "all",
        "metric": "macro_f1",
        "ci_low": 0.5,
        "ci_high": 1.0,
    }
    scores = [
        score | {"task": t, "model": m, "value": 0.9, "n": 20}
        for t in ("S1", "S7")
        for m in ("tuned greedy", "tuned choice", "probe mean")
    ]
    gap = {"vlm": "tuned choice", "gap": -0.2, "gap_low": -0.3, "gap_high": -0.1, "n": 10}
    gaps = [gap | {"task": task} for task in recipes_measures.TAUGHT]
    gaps += [gap | {"task": "S5", "gap": 0.9, "gap_high": 1.0}, gap | {"task": "mean"}]
    inputs = [{"stage": s, "sha256": corpus} for s in recipes.UPSTREAM]
    own = {"parameters": {"run_id": "x", "n_epochs": 4, "max_images": 120}}
    for stage in (recipes.TRAINING, recipes.BENCHMARK):
        (folder / stage).mkdir(parents=True)
        write_json(folder / stage / "manifest.json", {"code_sha256": code, "profile": "tiny", "inputs": inputs} | own)
    plan = {"n_trainable": 1000, "n_steps": 10, "n_samples_seen": 100, "replay_share_seen": 0.35, "n_images": 5}
    write_json(folder / recipes.TRAINING / "preflight.json", plan)
    write_json(folder / recipes.BENCHMARK / "metrics.json", records)
    write_json(folder / recipes.BENCHMARK / "solar_tasks.json", {"scores": scores, "gaps": gaps})
    predictions.to_parquet(folder / recipes.BENCHMARK / "predictions.parquet")
    return folder


@pytest.fixture
def two(tmp_path):
    """`kept` answers as well as its base, `lost` worse by 30 of 100 items."""
    kept, lost = (np.arange(N) % 10 < most for most in (7, 4))
    return {"kept": measured_run(tmp_path / "kept", kept), "lost": measured_run(tmp_path / "lost", lost, cosine=0.72)}


SAYS = {name: {"says": name, "parameters": {}} for name in ("kept", "lost", "absent")}


def finding(measure, higher, lower):
    return {"paper": "p", "says": "s", "measure": measure, "higher": higher, "lower": lower}


def test_shipped_recipes_can_be_run():
    found = recipes.read_recipes(REPO / "params" / "recipes.yaml")
    for variant in found.variants.values():
        check_names(variant["parameters"], run.all_stages())
        for stage in run.all_stages():
            stage_parameters(stage, variant["parameters"])
    assert found.variants[found.reference]["parameters"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "none"}, "reference 'none'"),
        ({"variants": {"a": {"says": "", "parameters": {"lora_rnk": 1}}}}, "lora_r"),
        ({"variants": {"a": {"says": "", "parameters": {"lora_r": "four"}}}}, "it must be int"),
        ({"findings": [finding("general", "a", "b")]}, "finding about 'b'"),
        ({"findings": [finding("beauty", "a", "base")]}, "measure 'beauty'"),
        ({"recipe": 1}, "not a file of recipes"),
    ],
)
def test_unusable_recipes_are_one_line(tmp_path, change, message):
    whole = {"reference": "a", "variants": {"a": {"says": "", "parameters": {}}}, "findings": []}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(whole | change))
    with pytest.raises(ParameterError, match=message) as error:
        recipes.read_recipes(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


def test_a_finding_is_confirmed_refuted_or_cannot_be_told(two):
    findings = [
        finding("general", "kept", "lost"),
        finding("general", "lost", "kept"),
        finding("general", "kept", "base"),
        finding("general", "base", "lost"),
        finding("cosine", "kept", "base"),
        finding("cosine", "lost", "base"),
        finding("specialists", "specialists", "kept"),
        finding("general", "absent", "kept"),
    ]
    told = recipes_table.tell(two, SAYS, findings, "kept")
    assert [f["verdict"] for f in told["findings"]] == [
        "confirmed",
        "refuted",
        "cannot be told",
        "confirmed",
        "confirmed",
        "cannot be told",
        "confirmed",
        "not measured",
    ]
    assert told["findings"][0]["difference"]["value"] == pytest.approx(0.3)
    assert told["findings"][0]["difference"]["n"] == N
    assert told["findings"][6]["difference"] == {"value": 0.2, "n": 40, "low": 0.1, "high": 0.3}, "taught tasks only"
    assert told["not_run"] == ["absent"]
    assert told["variants"]["kept"]["parameters"] == {"n_epochs": 4}, "what the notebooks' defaults are not"
    json.dumps(told, allow_nan=False)


def test_differences_are_paired_over_the_same_items(two):
    told = recipes_table.tell(two, SAYS, [], "kept")["minus_reference"]["lost"]
    assert told["general"]["value"] == told["channel"]["value"] == pytest.approx(-0.3)
    assert told["general"]["low"] <= -0.3 <= told["general"]["high"] < 0
    assert told["banner"] == {"value": None, "n": 0, "low": None, "high": None}


def test_other_items_are_refused(two, tmp_path):
    path = two["lost"] / recipes.BENCHMARK / "predictions.parquet"
    pd.read_parquet(path).iloc[1:].query("annotation_id != 'general007'").to_parquet(path)
    with pytest.raises(ValueError, match="not the same"):
        recipes_table.tell(two, SAYS, [finding("general", "kept", "lost")], "kept")


@pytest.mark.parametrize(("other", "named"), [({"code": "d"}, "code of 04_training"), ({"corpus": "d"}, "03_review")])
def test_variants_of_other_code_or_corpus_are_not_set_side_by_side(two, tmp_path, other, named):
    odd = measured_run(tmp_path / "odd", np.ones(N, dtype=bool), **other)
    with pytest.raises(ValueError, match=named):
        recipes_table.tell(two | {"odd": odd}, SAYS, [], "kept")


def test_table_names_profile_budget_and_what_did_not_run(two):
    text = recipes_table.table_md(recipes_table.tell(two, SAYS, [finding("general", "kept", "lost")], "kept"))
    assert "TINY PROFILE, no result" in text
    assert "- `absent`: not run" in text
    assert "| epochs |  |  |  | 4 | 4 |" in text
    assert "| samples seen |  |  |  | 100 | 100 |" in text
    assert "| S7 macro-F1, by choice | 20 |" in text
    assert (
        "| **general task, tuned less base** | 120 |  |  | +0.000 [-0.040, +0.040] | -0.300 [-0.340, -0.260] |" in text
    )
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 3  # three tables, none with a row out of line


@pytest.fixture
def base_run(tmp_path):
    """A run with 01 and 03 finished, and a training."""
    for stage in (*recipes.UPSTREAM, recipes.TRAINING):
        (tmp_path / "tiny" / stage).mkdir(parents=True)
        own = stage_parameters(stage, {"run_id": "tiny"})
        write_json(tmp_path / "tiny" / stage / "manifest.json", {"outputs": [], "inputs": [], "parameters": own})
    return tmp_path / "tiny"


def test_a_training_that_stands_is_linked_and_another_is_due(base_run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(recipes, "stale_reason", lambda _, stage, values: asked.append(values) or None)
    assert not recipes.prepare(base_run, tmp_path / "s" / "workshop", {"run_id": "workshop", "lora_r": 16})
    assert asked[0]["run_id"] == "tiny"
    assert (tmp_path / "s" / "workshop" / recipes.TRAINING).resolve() == base_run / recipes.TRAINING
    monkeypatch.setattr(recipes, "stale_reason", lambda *_: "parameters changed: lora_r")
    assert recipes.prepare(base_run, tmp_path / "s" / "workshop", {"run_id": "workshop", "lora_r": 8})
    assert not (tmp_path / "s" / "workshop" / recipes.TRAINING).exists(), "a training would overwrite that of the run"
    assert read_manifest(base_run / recipes.TRAINING)


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(MissingArtifactError, match="01_corpus_curation"):
        recipes.prepare(tmp_path / "tiny", tmp_path / "s" / "workshop", {})


def test_one_failure_stops_no_other_variant(base_run, tmp_path, monkeypatch):
    ran = []

    def chain(stages, values):
        ran.append((values["run_id"], values.get("method"), values["learning_rate"], stages))
        return [{"stage": stages[0], "state": "failed" if values["run_id"] == "qlora" else "done", "why": "torn"}]

    monkeypatch.setattr(run, "run_chain", chain)
    found = recipes.read_recipes(REPO / "params" / "recipes.yaml")
    values = {"run_id": "tiny", "learning_rate": 1e-3}
    failures = recipes.sweep(base_run, tmp_path / "s", found, values, ["workshop", "qlora", "full"])
    assert failures == ["qlora, 04_training: torn"]
    assert [r[:3] for r in ran] == [("workshop", None, 1e-3), ("qlora", "qlora", 1e-3), ("full", "full", 3e-4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "dora"], "--only 'dora'"), (["--table"], "no variant has been measured"), ([], "has not finished")],
)
def test_command_line_says_what_is_missing_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("JWVL_OUTPUTS", str(tmp_path))
    assert recipes.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_committed_table_is_that_of_its_json():
    """`docs/recipes.md` is generated, never written: its numbers are those of `docs/recipes.json`."""
    told = json.loads((REPO / "docs" / "recipes.json").read_text())
    assert (REPO / "docs" / "recipes.md").read_text() == recipes_table.table_md(told)
    assert {f["verdict"] for f in told["findings"]} <= {"confirmed", "refuted", "cannot be told", "not measured"}
    assert all(verdict_of(f) == f["verdict"] for f in told["findings"])


def verdict_of(found):
    return recipes_measures.verdict(found["difference"])
