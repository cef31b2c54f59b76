"""Samples, plan, preflight and training of an adapter, on a randomly initialised model of the tiny base's form."""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from transformers import TrainerCallback, TrainingArguments

from jwvl_lib import (
    chat_tokens,
    general_task,
    preflight,
    samples,
    shared_image,
    tiny_base,
    train,
    train_log,
    tuning,
    vlm,
)

DECODER = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
TURNS = [("Which instrument?", "SDO/HMI"), ("读出图中的文字。", "SDO/AIA 171\n2014-02-03 06:00 UT"), ("Spots?", "yes")]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(tiny_base.FOLDER)


def lora_model(processor, target_modules=DECODER):
    model = tiny_base.build_model(processor.tokenizer).eval()
    return get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=target_modules, task_type="CAUSAL_LM"))


def made_samples(model, processor, n, n_turns=3):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (56, 56, 3), dtype=np.uint8)) for _ in range(n)]
    return samples.prepare_samples(model, processor, images, [TURNS[:n_turns]] * n, [f"i{k}" for k in range(n)])


def arguments(folder, **changed):
    settings = dict(
        output_dir=str(folder),
        max_steps=8,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=2,
        learning_rate=1e-2,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        label_names=["labels"],
        train_sampling_strategy="sequential",
    )
    return TrainingArguments(**settings | changed)


def run(processor, folder, **changed):
    model = lora_model(processor)
    data, replay = made_samples(model, processor, 4), made_samples(model, processor, 3, n_turns=1)
    rows = samples.plan_rows(data, 16, 3, seed=0, replay=replay, replay_share=0.25)
    train_set = samples.RowDataset(processor, rows, data, replay)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data)
    settings = arguments(folder, **changed)
    before = preflight.preflight(model, train_set, settings)
    return before, train.fit(model, train_set, val_set, settings, folder / "adapter", folder / "train_log.jsonl")


@pytest.fixture(scope="module")
def finished(processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    return folder, *run(processor, folder)


def test_training_lowers_the_loss_and_logs_every_event(finished):
    folder, _, result = finished
    lines = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    assert len(lines) == len(result.log)
    names = ["step", "epoch", "samples_seen", "loss", "eval_loss", "task_accuracy", "n_asked", "lr", "seconds"]
    assert list(lines[0]) == names
    evaluated = result.log.dropna(subset="eval_loss")
    assert evaluated["step"].tolist() == [3, 6, 8]  # as asked for, and at the end
    assert evaluated["eval_loss"].iloc[-1] < 0.8 * evaluated["eval_loss"].iloc[0]
    assert result.log["samples_seen"].iloc[-1] == 16 * 4  # 16 rows of 3 branches and 1 replay sample


def test_only_the_adapter_was_trained_and_it_changes_the_answers(finished, processor):
    folder, before, result = finished
    trained = {row["module"]: row for row in result.trainable if row["trainable"]}
    assert list(trained) == ["adapter"]
    assert trained["adapter"]["n_trainable"] == before["n_trainable"]
    frozen = [row for row in result.trainable if not row["trainable"]]
    assert {row["module"] for row in frozen} >= {"vision tower", "vision merger", "decoder", "token embedding"}
    assert all(row["frozen_sha256_before"] == row["frozen_sha256_after"] for row in frozen)
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert sum(w.numel() for w in weights.values()) == before["n_trainable"]
    assert not any("visual" in name for name in weights)
    assert sorted(p.name for p in (folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert any(w.abs().sum() > 0 for name, w in weights.items() if "lora_B" in name)


def test_one_seed_gives_one_adapter(finished, processor, tmp_path):
    folder, _, _ = finished
    run(processor, tmp_path)
    first, second = (load_file(f / "adapter" / "adapter_model.safetensors") for f in (folder, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_accumulated_steps_equal_one_large_step(processor, tmp_path):
    _, whole = run(processor, tmp_path / "a", max_steps=2, per_device_train_batch_size=4, logging_steps=1)
    halves = dict(max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2, logging_steps=1)
    _, parts = run(processor, tmp_path / "b", **halves)
    assert parts.log["loss"].dropna().tolist() == pytest.approx(whole.log["loss"].dropna().tolist(), rel=1e-4)
    assert parts.log["samples_seen"].max() == whole.log["samples_seen"].max()


def test_preflight_counts_and_leaves_the_model_alone(processor, tmp_path):
    model = lora_model(processor)
    data = made_samples(model, processor, 3)
    dataset = samples.RowDataset(processor, samples.plan_rows(data, 6, 3, seed=0), data)
    state, random_state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    counts = preflight.preflight(model, dataset, arguments(tmp_path))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None for p in model.parameters())
    sequence, _ = dataset[0][0]
    assert counts["tokens_per_sequence_median"] == len(sequence.input_ids)
    assert counts["tokens_seen_if_separate"] == 6 * sequence.n_tokens_separate
    assert 0 < counts["tokens_saved_share"] < 1
    assert (counts["n_images"], counts["n_samples"], counts["n_samples_seen"], counts["n_steps"]) == (3, 9, 18, 3)
    assert counts["n_trainable"] == sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    in_one = samples.RowDataset(processor, samples.packed(dataset.rows, data, (), 10_000), data)
    packed = preflight.preflight(model, in_one, arguments(tmp_path))
    assert (len(in_one), packed["n_steps"]) == (1, 1)
    same = [key for key in counts if key.startswith(("tokens", "n_samples", "n_images"))]
    assert {key: packed[key] for key in same} == {key: counts[key] for key in same}


def test_the_probe_measures_what_training_does_and_parts_a_batch_that_does_not_fit(
    processor, tmp_path, monkeypatch, caplog
):
    model = lora_model(processor)
    data = made_samples(model, processor, 3)
    dataset = samples.RowDataset(processor, samples.plan_rows(data, 6, 3, seed=0), data)
    seen, forward = [], type(model).forward

    def watched(self, *given, **named):
        seen.append((named["input_ids"].shape[0], self.is_gradient_checkpointing))
        if named["input_ids"].shape[0] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return forward(self, *given, **named)

    monkeypatch.setattr(type(model), "forward", watched)
    asked = arguments(tmp_path, gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})
    counts = preflight.preflight(model, dataset, asked)
    assert seen[0] == (2, True)
    assert set(seen[1:]) == {(1, True)}
    assert counts["n_steps"] == 3
    assert "out of memory with 2 rows at once: goes on with 1" in caplog.text
    assert not model.is_gradient_checkpointing


def test_a_processor_with_bfloat16_trains_in_float32(monkeypatch, tmp_path):
    """`Trainer` takes bfloat16 for a GPU's and refuses it here: notebook 04 must not ask for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert not TrainingArguments(output_dir=str(tmp_path), bf16=preflight.bf16_on_gpu(), report_to="none").bf16


def test_features_of_before_are_refused_where_the_tower_is_trained(processor, tmp_path):
    data = made_samples(lora_model(processor), processor, 1)
    model = lora_model(processor, target_modules=r".*(visual|language_model).*(qkv|q_proj)")
    dataset = samples.RowDataset(processor, samples.plan_rows(data, 2, 3, seed=0), data)
    with pytest.raises(ValueError, match="tower and projector are frozen here"):
        preflight.preflight(model, dataset, arguments(tmp_path))
    with pytest.raises(ValueError, match="tower and projector are frozen here"):
        train.fit(model, dataset, dataset, arguments(tmp_path), tmp_path / "adapter", tmp_path / "log.jsonl")
    assert not (tmp_path / "adapter").exists()


def test_a_frozen_weight_that_moved_is_an_error(processor):
    model = lora_model(processor)
    before = preflight.trainable_table(model)
    next(p for name, p in model.named_parameters() if "visual.merger" in name).data.add_(1e-3)
    with pytest.raises(RuntimeError, match="vision merger: frozen weights changed"):
        preflight.compare_trainable(before, preflight.trainable_table(model))


def test_a_sequence_is_what_generation_will_see(processor):
    grid = torch.tensor([[1, 4, 4]])
    sequence = shared_image.build_sequence(processor, grid, TURNS)
    for number, (question, answer) in enumerate(TURNS, start=1):
        ids = sequence.input_ids[(sequence.branch == 0) | (sequence.branch == number)]
        labels = sequence.labels[sequence.branch == number]
        supervised = labels[labels != shared_image.IGNORE]
        prompt = vlm.prompt_ids(processor, question, n_image_tokens=4)
        assert ids[: -len(supervised)].tolist() == prompt
        assert processor.tokenizer.decode(supervised) == answer + "<|im_end|>"


def test_the_token_table_shows_what_is_supervised(processor):
    grid = torch.tensor([[1, 4, 4]])
    table = shared_image.token_table(processor, shared_image.build_sequence(processor, grid, TURNS))
    assert "".join(table.token[table.supervised & (table.branch == 1)]) == "SDO/HMI<|im_end|>"
    assert (table.role == "image").sum() == 4
    assert (table.supervised == (table.role == "answer")).all()


class Sized:
    def __init__(self, n, visit=0):
        self.branches, self.visit = range(n), visit


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    visits=st.lists(st.integers(1, 3), max_size=9),
    branches_per_image=st.integers(1, 10),
    share=st.floats(0, 0.6),
    seed=st.integers(0, 9),
)
def test_an_epoch_shows_every_annotation_once_and_the_replay_share_holds(
    sizes, visits, branches_per_image, share, seed
):
    data = [Sized(n) for n in sizes] + [Sized(n, visit=1) for n in visits]
    replay = [Sized(n) for n in (1, 4, 4)] if share else []
    n_rows = 2 * samples.rows_per_epoch(data, branches_per_image)
    rows = samples.plan_rows(data, n_rows, branches_per_image, seed, replay=replay, replay_share=share)
    for epoch in (0, 1):
        parts = [part for row in rows if row.epoch == epoch for part in row.parts]
        seen = sorted((i, b) for i, branches in parts for b in branches)
        assert seen == [(i, b) for i, sample in enumerate(data) for b in sample.branches]
    assert {data[row.sample].visit for row in rows} == {0}  # a visit never makes a row
    along = [len(row.also) for row in rows]
    assert max(along) - min(along) <= 1
    n_seen, n_replayed = (
        sum(len(branches) for row in rows for _, branches in row.parts),
        sum(len(replay[i].branches) for row in rows for i in row.replay),
    )
    assert abs(n_replayed - share * (n_seen + n_replayed)) <= 4
    assert rows == samples.plan_rows(data, n_rows, branches_per_image, seed, replay, share)


def sample_of(n_prefix, *lengths):
    branches = tuple(chat_tokens.Branch(torch.arange(n), 1) for n in lengths)
    return samples.Sample("a", (), None, None, torch.arange(n_prefix), branches)


@given(
    sizes=st.lists(st.lists(st.integers(2, 30), min_size=1, max_size=5), min_size=1, max_size=6),
    budget=st.integers(1, 400),
    share=st.sampled_from([0.0, 0.3]),
)
def test_packing_joins_rows_in_order_within_the_budget(sizes, budget, share):
    data, replay = [sample_of(20, *lengths) for lengths in sizes], [sample_of(20, 5, 7)] if share else []
    rows = samples.plan_rows(data, 30, 3, seed=1, replay=replay, replay_share=share)
    assert samples.packed(rows, data, replay, 0) == rows
    joined = samples.packed(rows, data, replay, budget)
    assert [part for row in joined for part in row.parts] == [part for row in rows for part in row.parts]
    assert [i for row in joined for i in row.replay] == [i for row in rows for i in row.replay]

    def length(row):
        parts = [*((data[i], own) for i, own in row.parts), *((replay[i], (0, 1)) for i in row.replay)]
        return sum(20 + sum(len(sample.branches[b].input_ids) for b in own) for sample, own in parts)

    assert all(length(row) <= budget or not row.also for row in joined)
    starts = np.cumsum([0, *(len(row.parts) for row in joined)])
    for row, start in zip(joined, starts[1:-1], strict=False):
        assert length(row) + length(rows[start]) > budget  # full: the next row did not fit


def test_replay_without_samples_is_refused():
    with pytest.raises(ValueError, match="replay_share 0.2 with 0 replay samples"):
        samples.plan_rows([Sized(2)], 1, 2, seed=0, replay_share=0.2)


def test_samples_of_annotations_and_of_general_pictures(processor, tmp_path):
    model = lora_model(processor)
    Image.new("RGBA", (56, 56)).save(tmp_path / "a.png")
    rows = [{"image_id": "a", "path": str(tmp_path / "a.png"), "question": q, "answer": a} for q, a in TURNS]
    (sample,) = samples.from_annotations(model, processor, pd.DataFrame(rows))
    visits = samples.from_annotations(model, processor, pd.DataFrame(rows).assign(visit=[0, 1, 0]))
    assert [(s.image_id, len(s.branches), s.visit) for s in visits] == [("a", 2, 0), ("a", 1, 1)]
    assert (sample.image_id, len(sample.branches), tuple(sample.features.shape)) == ("a", 3, (4, 192))
    pictures = general_task.make_pictures(2, seed=1, image_px=56)
    replay = samples.from_pictures(model, processor, pictures)
    answers = [processor.tokenizer.decode(b.input_ids[b.n_question :]) for s in replay for b in s.branches]
    assert answers == [answer + "<|im_end|>" for picture in pictures for _, answer in picture.turns]


def test_training_never_reads_the_test_split(tmp_path):
    corpus = pd.DataFrame({"image_id": ["a", "b", "c"], "split": ["train", "val", "test"], "path": "images/x.png"})
    accepted = pd.DataFrame(
        {"annotation_id": ["3", "1", "2"], "image_id": ["a", "a", "c"], "task": "qa", "answer": "x"}
    )
    corpus.to_parquet(tmp_path / "corpus.parquet")
    accepted.to_parquet(tmp_path / "accepted.parquet")
    table = samples.load_annotations(tmp_path, tmp_path, "train")
    assert table["annotation_id"].tolist() == ["1", "3"]
    assert table["path"].tolist() == [str(tmp_path / "images/x.png")] * 2
    with pytest.raises(ValueError, match="split 'test': training reads"):
        samples.load_annotations(tmp_path, tmp_path, "test")
    with pytest.raises(ValueError, match="split 'val': 0 accepted annotations"):
        samples.load_annotations(tmp_path, tmp_path, "val")


def test_what_is_hard_is_shown_more_often():
    table = pd.DataFrame({"annotation_id": ["1", "2", "3"], "prompt_id": ["ocr", "qa.activity", "qa.layer"]})
    shown = samples.repeated(table, "qa.activity=3, qa.layer=2")
    assert shown["annotation_id"].tolist() == list("122233")
    assert shown["visit"].tolist() == [0, 0, 1, 2, 0, 1]
    for nothing in ("", "qa.unheard_of=4"):
        assert samples.repeated(table, nothing).equals(table.assign(visit=0))
    for wrong in ("qa.activity", "qa.activity=0", "qa.activity=often", "=", "qa.activity=1.5"):
        with pytest.raises(ValueError, match=f"repeats '{wrong}': .* has no whole number above 0; write"):
            samples.repeated(table, wrong)


def test_watched_questions_are_asked_with_their_choices(tmp_path, monkeypatch):
    """The share of right answers among the closed questions about one image; the choices come as a JSON list."""
    Image.new("RGB", (56, 56)).save(tmp_path / "a.png")
    rows = [
        ("yes", ["yes", "no"], "qa"),
        ("no", ["yes", "no"], "qa"),
        ("text", [], "ocr"),
        ("yes", ["yes"], "multi_turn"),
    ]
    table = pd.DataFrame(
        {"question": "?", "answer": a, "choices": json.dumps(c), "task": t, "path": str(tmp_path / "a.png")}
        for a, c, t in rows
    )
    monkeypatch.setattr(train_log.vlm, "choose", lambda *asked: [listed[0] for listed in asked[-1]])
    asked = train_log.closed_questions(None, table, 10)
    assert (asked(model=None), asked.n_asked) == (0.5, 2)
    assert train_log.closed_questions(None, table, 0) is None


def test_the_live_curve_is_drawn_once_and_then_updated(tmp_path, monkeypatch):
    """One figure under the cell, however many events there are; the share of held-out questions says its n."""
    drawn = []
    handle = SimpleNamespace(update=drawn.append)
    monkeypatch.setattr(train_log, "display", lambda figure, display_id: drawn.append(figure) or handle)
    told = SimpleNamespace(records=[])
    curve = train_log.LiveCurve(told, "profile made")
    empty = {"loss": None, "eval_loss": None, "task_accuracy": None, "n_asked": None}
    for step, event in enumerate(
        [{"eval_loss": 4.0, "task_accuracy": 0.5, "n_asked": 6}, {"loss": 3.0}, {"loss": 2.0}]
    ):
        told.records.append({"step": step, "samples_seen": 10 * step} | empty | event)
        state = SimpleNamespace(global_step=step, max_steps=2, is_world_process_zero=True)
        curve.on_log(None, state, None)
    assert len(drawn) == 3
    loss, right = drawn[-1].axes
    assert loss.get_title() == "profile made, step 2 of 2"
    assert "held-out questions right (n = 6)" in [text.get_text() for text in loss.get_legend().get_texts()]
    assert right.get_ylim() == (-0.03, 1.03)
    assert plt.get_fignums() == [], "a figure left open is shown a second time"


class Rates(TrainerCallback):
    """Notes which parameters learn at which rate at the first step."""

    def on_step_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        self.rates = {name: of[id(p)] for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("rate", "expected"), [(1e-4, 1e-4), (0.0, 1e-2)])
def test_what_sees_may_learn_at_its_own_rate(processor, tmp_path, rate, expected):
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4, train_projector=True, train_tower=True)
    data = made_samples(model, processor, 2)
    rows = samples.plan_rows(data, 2, 3, seed=0)
    train_set = samples.RowDataset(processor, rows, data)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data)
    settings = arguments(tmp_path, max_steps=1, eval_strategy="no", lr_scheduler_type="constant")
    noted, before = Rates(), {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    train.fit(
        model, train_set, val_set, settings, tmp_path / "adapter", tmp_path / "log", [noted], vision_learning_rate=rate
    )
    sees = {name: tuning.is_tower(name) or tuning.is_projector(name) for name in noted.rates}
    assert set(sees.values()) == {True, False}
    assert noted.rates.keys() == before.keys()
    assert all(noted.rates[name] == pytest.approx(expected if sees[name] else 1e-2) for name in sees)
    moved = {name for name, p in model.named_parameters() if name in before and not torch.equal(p, before[name])}
    assert any(map(tuning.is_tower, moved))
    assert any(map(tuning.is_projector, moved))
