"""Other bases than Qwen2.5-VL train, in plain mode and shared; several images, and conversations, in one sequence."""

import numpy as np
import pandas as pd
import pytest
import tiny_others
import torch
from PIL import Image
from test_tuning import settings

from jwvl_lib import chat_tokens, preflight, samples, shared_image, tiny_base, train, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")
TALK = [
    ("Spots?", "yes, two"),
    ("How many?", "two", [("Spots?", "yes"), ("Sure?", "quite")]),
    ("Layer?", "chromosphere"),
]


def pictures(n, side=56):
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)) for _ in range(n)]


@pytest.fixture(scope="module", params=tiny_others.FAMILIES)
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    return tiny_others.save(request.param, tmp_path_factory.mktemp(request.param))


def prepared(base, n_images=2, **free):
    processor = vlm.load_processor(base)
    model = tuning.prepare(base, "lora", 4, 8, **free)
    images = [tuple(pictures(n_images)), pictures(1)[0]]
    return processor, model, samples.prepare_samples(model, processor, images, [TALK, TALK[:2]], ["ab", "c"])


def test_shared_and_separate_give_the_same_loss_and_gradients(folder):
    processor, model, data = prepared(folder, train_projector=True, train_tower=True)
    dataset = samples.RowDataset(processor, samples.validation_rows(data), data)
    losses, gradients = [], []
    for dataset.shared in (True, False):
        batch = dataset.collate([dataset[0], dataset[1]], model)
        labels = batch.pop("labels")
        loss = shared_image.labelled_loss(model(**batch, use_cache=False), labels)
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert any(tuning.is_tower(name) for name in gradients[0])
    for name, gradient in gradients[1].items():
        assert (gradients[0][name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name
    dataset.shared = True
    assert preflight.sharing_gap(model, dataset) < 1e-5
    assert dataset.shared


@pytest.mark.slow
def test_it_learns_in_plain_mode(folder, tmp_path):
    processor, model, data = prepared(folder)
    train_set = samples.RowDataset(processor, samples.plan_rows(data, 10, 3, seed=0), data, shared=False)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data, shared=False)
    watched = dict(eval_strategy="steps", eval_steps=5, eval_on_start=True)
    chosen = settings(tmp_path, max_steps=5, learning_rate=5e-2, **watched)
    result = train.fit(model, train_set, val_set, chosen, tmp_path / "adapter", tmp_path / "log.jsonl")
    loss = result.log["eval_loss"].dropna().tolist()
    assert loss[-1] < loss[0]
    frozen = {row["module"] for row in result.trainable if not row["trainable"]}
    assert frozen == {"vision merger", "vision tower", "token embedding", "decoder", "output head"}
    assert vlm.load_model(folder, tmp_path / "adapter")


def test_prefix_and_question_are_what_the_processor_makes_of_the_chat(folder):
    """One tokenisation of the whole prompt, by the processor itself, holds the same tokens as prefix and branch."""
    processor, images = vlm.load_processor(folder), pictures(2)
    prefix, vision = chat_tokens.encode_images(processor, images)
    branch = chat_tokens.encode_branch(processor, "Which layer?", "corona")
    chat = processor.apply_chat_template(
        vlm.chat_messages("Which layer?", 2), tokenize=False, add_generation_prompt=True
    )
    whole = processor(text=[chat], images=[images], return_tensors="pt")
    assert torch.equal(whole["input_ids"][0], torch.cat([prefix, branch.input_ids[: branch.n_question]]))
    assert all(torch.equal(whole[key], value) for key, value in vision.items())


def test_a_base_that_cannot_share_is_found_out(monkeypatch):
    """Positions that go on from branch to branch, as a model would have that counts its own."""
    processor, model, data = prepared(tiny_base.FOLDER, n_images=1)
    dataset = samples.RowDataset(processor, samples.validation_rows(data), data)
    assert preflight.sharing_gap(model, dataset) < 1e-5
    whole = shared_image.collate

    def counted(*arguments):
        batch = whole(*arguments)
        batch["position_ids"] = torch.arange(batch["input_ids"].shape[1]).expand_as(batch["position_ids"])
        return batch

    monkeypatch.setattr(shared_image, "collate", counted)
    assert preflight.sharing_gap(model, dataset) > 1e-3


def test_conversation_supervises_every_answer_and_no_question():
    processor = vlm.load_processor(tiny_base.FOLDER)
    branch = chat_tokens.encode_branch(processor, *TALK[1])
    kept = branch.labels[branch.labels != chat_tokens.IGNORE]
    assert processor.tokenizer.decode(kept) == "yes<|im_end|>quite<|im_end|>two<|im_end|>"
    plain = "Spots?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
    assert processor.tokenizer.decode(branch.input_ids).startswith(plain)


def test_rows_of_two_images_and_of_conversations_come_from_the_tables(tmp_path):
    processor, model = vlm.load_processor(tiny_base.FOLDER), tuning.prepare(tiny_base.FOLDER, "lora", 4)
    for name, image in zip("ab", pictures(2), strict=True):
        image.save(tmp_path / f"{name}.png")
    corpus = pd.DataFrame({"image_id": ["a", "b"], "split": "train", "path": ["a.png", "b.png"]})
    talk = '[{"question": "Spots?", "answer": "yes"}]'
    accepted = pd.DataFrame(
        {
            "annotation_id": ["1", "2", "3"],
            "image_id": ["a", "a", "a"],
            "task": ["qa", "multi_image", "multi_turn"],
            "question": ["q1", "q2", "q3"],
            "answer": ["x", "y", "z"],
            "more_images": ["[]", '["b"]', "[]"],
            "turns": ["[]", "[]", talk],
        }
    )
    corpus.to_parquet(tmp_path / "corpus.parquet")
    accepted.to_parquet(tmp_path / "accepted.parquet")
    default = samples.load_annotations(tmp_path, tmp_path, "train")
    assert (default.task.tolist(), default.attrs["n_left_out"]) == (["qa"], 2)
    table = samples.load_annotations(tmp_path, tmp_path, "train", tasks="")
    data = samples.from_annotations(model, processor, table)
    assert [(s.image_id, len(s.images), len(s.branches)) for s in data] == [("a", 1, 2), ("a,b", 2, 1)]
    assert len(data[1].features) == 2 * len(data[0].features)
    assert data[0].branches[1].later_prompts
    only = samples.load_annotations(tmp_path, tmp_path, "train", tasks="multi_turn")
    assert only.task.tolist() == ["multi_turn"]


def test_annotations_that_do_not_fit_are_named_and_sequences_stay_within_the_limit():
    processor, model, data = prepared(tiny_base.FOLDER)
    longest = [max(len(s.prefix_ids) + len(b.input_ids) for b in s.branches) for s in data]
    kept, too_long = samples.fitting(data, longest[1])
    assert {row["image_id"] for row in too_long} == {"ab"}
    assert all(row["n_tokens"] > longest[1] >= row["n_image_tokens"] for row in too_long)
    assert sum(len(s.branches) for s in kept) + len(too_long) == sum(len(s.branches) for s in data)
    assert samples.fitting(data, 0) == (data, [])
    limit = max(longest) + 5
    rows = samples.plan_rows(data, 8, 12, seed=0, max_tokens=limit)
    lengths = [
        len(data[r.sample].prefix_ids) + sum(len(data[r.sample].branches[b].input_ids) for b in r.branches)
        for r in rows
    ]
    assert max(lengths) <= limit
    assert samples.rows_per_epoch(data, 12, limit) > samples.rows_per_epoch(data, 12) == 2
