"""Embeddings of the annotations' words beside an adapter: they alone move, and what is saved loads, merges, goes on."""

import pytest
import torch
from safetensors.torch import load_file
from test_checkpoints import Cut, CutOff
from test_tuning import TURNS, images, settings

from jwvl_lib import chat_tokens, merge, preflight, samples, tiny_base, train, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = [text for turn in TURNS for text in turn]


def run(folder, cut_at=None):
    processor = vlm.load_processor(tiny_base.FOLDER)
    torch.manual_seed(0)
    words = chat_tokens.tokens_used(processor, TEXTS)
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4, 8, train_tokens=words)
    data = samples.prepare_samples(model, processor, images(2), [TURNS] * 2, ["a", "b"])
    train_set = samples.RowDataset(processor, samples.plan_rows(data, 12, 2, seed=0), data)
    arguments = settings(folder / "checkpoints", max_steps=6, save_strategy="steps", save_steps=2)
    cut = [Cut(cut_at)] if cut_at else []
    paths = folder / "adapter", folder / "log.jsonl"
    return processor, model, words, train.fit(model, train_set, train_set, arguments, *paths, cut)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return folder, *run(folder)


def test_tokens_used_are_those_of_the_texts_and_no_others():
    processor = vlm.load_processor(tiny_base.FOLDER)
    used = chat_tokens.tokens_used(processor, ["NE / SW", "SW"])
    assert used == sorted(set(used))
    assert set(used) == set(processor.tokenizer("NE / SW")["input_ids"]) | set(processor.tokenizer("SW")["input_ids"])
    assert chat_tokens.tokens_used(processor, []) == []


def test_the_words_move_and_the_base_embedding_does_not(tuned):
    _, _, model, words, result = tuned
    rows = {row["module"]: row for row in result.trainable}
    assert rows["words of the annotations"]["n_trainable"] == len(words) * 192
    base = rows["token embedding"]
    assert base["n_trainable"] == 0
    assert base["frozen_sha256_before"] == base["frozen_sha256_after"]
    preflight.check_frozen(model, train_projector=False, train_tower=False)
    embedding = model.get_input_embeddings()
    every = torch.arange(1490)
    before = vlm.load_model(tiny_base.FOLDER).get_input_embeddings()(every)
    moved = (embedding(every) != before).any(dim=1).nonzero().flatten().tolist()
    assert set(moved) == set(words)
    hidden = torch.randn(2, 192)  # what is read by a word is what says it: the head is tied
    assert torch.allclose(model.lm_head(hidden)[:, :1490], hidden @ embedding(every).T, atol=1e-5)


def test_an_adapter_with_words_loads_plainly_and_merges_behind_the_gate(tuned, tmp_path):
    folder, processor, model, _, _ = tuned
    assert {path.name for path in (folder / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    loaded = vlm.load_model(tiny_base.FOLDER, folder / "adapter")
    asked = images(1), TEXTS[::2], [0] * len(TURNS), TEXTS[1::2]
    first, second = (vlm.answer_log_likelihood(m, processor, *asked) for m in (model, loaded))
    assert first == pytest.approx(second, abs=1e-4)
    merge.merge(tiny_base.FOLDER, folder / "adapter", tmp_path / "merged", n_items=4)
    whole = vlm.load_model(tmp_path / "merged")
    assert first == pytest.approx(vlm.answer_log_likelihood(whole, processor, *asked), abs=1e-3)


@pytest.mark.slow
def test_a_run_cut_off_goes_on_with_its_words(tuned, tmp_path):
    whole = tuned[0]
    with pytest.raises(CutOff):
        run(tmp_path, cut_at=3)
    run(tmp_path)
    expected, got = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, tmp_path))
    assert any("trainable_tokens" in name for name in expected)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
