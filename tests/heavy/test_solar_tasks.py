"""The bars of the seven solar tasks on a finished run: held-out simulated days, three specialists, all gaps.

Needs a finished run (`JWVL_TESTED_RUN`, or outputs/tiny); prints the tables (`-s`). About five minutes of one core, the
most of them for the tower set free. Asked of at most 60 images a task, in two orders.
"""

import os
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from jwvl_lib import (
    artifacts,
    asking,
    solar_scores,
    solar_tasks,
    teacher_plan,
    vision_baselines,
    vlm,
)
from jwvl_lib.prompts import load_prompts

RUN = Path(os.environ.get("JWVL_TESTED_RUN") or artifacts.REPO / "outputs" / "tiny")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (RUN / "04_training" / "adapter").is_dir(), reason=f"{RUN}: no finished run; see the docstring"
    ),
]


@pytest.fixture(scope="module")
def outcome():
    """(records, gaps by likelihood) of the whole comparison."""
    folder = RUN / "01_corpus_curation"
    corpus = pd.read_parquet(folder / "corpus.parquet").query("simulated")
    prompts = load_prompts(artifacts.REPO / "params" / "prompts")
    prompts = solar_tasks.task_prompts(teacher_plan.offering(corpus, prompts))
    asked = solar_tasks.items(corpus, prompts, n_shuffles=2, max_images=60)
    learned = solar_tasks.items(corpus, prompts, split="train", n_shuffles=1, max_images=200)
    opened = asking.image_opener(folder, corpus)
    images = {i: opened(i) for i in pd.unique(pd.concat([asked.image_id, learned.image_id]))}
    base = "models/tiny_base"
    model, processor = vlm.load_model(base, adapter_dir=RUN / "04_training" / "adapter"), vlm.load_processor(base)
    answer = partial(vlm.answer, model, processor, max_new_tokens=16)
    said = asking.ask(asked, images.__getitem__, answer, partial(vlm.choose, model, processor), "tuned")
    answered = solar_tasks.answers(solar_tasks.with_item_columns(said, asked))
    labels = vision_baselines.labels_of(learned)
    names = vision_baselines.NAMES
    specialists = vision_baselines.answer_items(names, model, processor, images, labels, asked)
    together = pd.concat([answered, specialists], ignore_index=True)
    records = solar_scores.records(together)
    rivals = list(specialists.model.unique())
    gaps = {name: solar_scores.gaps(together, f"tuned {name}", rivals) for name in ("choice", "greedy")}
    with pd.option_context("display.width", 250, "display.max_columns", 30):
        print("", solar_scores.table(records), solar_scores.table(records, metric="accuracy"), sep="\n")
        print(*(pd.DataFrame(gap) for gap in gaps.values()), sep="\n")
        print(pd.DataFrame(solar_scores.spread_over_shuffles(answered)))
    return records, gaps


@pytest.mark.parametrize(("task", "bar"), [("S1", 0.98), ("S3", 0.85), ("S7", 0.85)])
def test_macro_f1_of_the_tuned_model(outcome, task, bar, record):
    wanted = {"task": task, "metric": "macro_f1", "model": "tuned greedy"}
    made = next(r for r in outcome[0] if wanted.items() <= r.items())
    record(task.lower(), made["value"], bar, made["n"], note="generated answers, simulated days held out")
    assert made["value"] >= bar


def test_mean_gap_to_the_best_specialist(outcome, record):
    record("gap", -outcome[1]["choice"][-1]["gap"], 0.03, len(outcome[1]["choice"]) - 1, note="tasks, by choice")
    assert outcome[1]["choice"][-1]["gap"] >= -0.03


def test_mean_gap_in_the_models_own_words(outcome):
    gaps = [r["gap"] for r in outcome[1]["greedy"] if r["task"] != "mean"]
    assert sum(gaps) / len(gaps) >= -0.03
