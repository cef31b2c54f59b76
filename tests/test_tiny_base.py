"""The tiny base: tokenizer, shape, files and what the shipped weights can do."""

import json
import shutil
import unicodedata

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jwvl_lib import general_task, tiny_base, vlm


@pytest.fixture(scope="module")
def model():
    return vlm.load_model(tiny_base.FOLDER)


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(tiny_base.FOLDER)


TOKENIZER = vlm.load_processor(tiny_base.FOLDER).tokenizer


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_back_from_its_tokens(text):
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "n_at_most"),
    [
        ("SDO/HMI magnetogram", 4),
        ("东北", 1),
        ("chromosphere", 3),
        ("图中有几个活动区？从中选择：0 / 1-2 / 3个以上。", 18),
        ("Which layer of the solar atmosphere does this image show?", 14),
    ],
)
def test_solar_text_is_short_in_tokens(text, n_at_most):
    assert len(TOKENIZER(text, add_special_tokens=False).input_ids) <= n_at_most


def test_digits_are_single_tokens():
    ids = TOKENIZER("20140203", add_special_tokens=False).input_ids
    assert [TOKENIZER.decode([i]) for i in ids] == list("20140203")


def test_chat_form_is_qwens(processor):
    assert vlm.prompt_text(processor, "What?") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_every_linear_width_suits_four_bit_blocks(model):
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            assert layer.in_features % 64 == 0, name
            assert layer.out_features % 64 == 0, name


def test_size_on_disk_and_parameter_table(model):
    folder = tiny_base.artifacts.resolve(tiny_base.FOLDER)
    assert sum(f.stat().st_size for f in folder.iterdir()) < 16e6
    table = tiny_base.parameter_table(model)
    assert table["n_parameters"].sum() == sum(p.numel() for p in model.parameters())
    assert 2e6 < table["n_parameters"].sum() < 6e6


def test_saved_model_gives_the_same_numbers_again(processor, tmp_path):
    fresh = tiny_base.build_model(processor.tokenizer, seed=3).eval()
    fresh.load_state_dict({k: v.bfloat16().float() for k, v in fresh.state_dict().items()})
    loaded = vlm.load_model(tiny_base.save(fresh, processor, tmp_path / "m"))
    ids = torch.tensor([processor.tokenizer("Where is it?").input_ids])
    with torch.inference_mode():
        torch.testing.assert_close(loaded(input_ids=ids).logits, fresh(input_ids=ids).logits, rtol=0, atol=0)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    assert json.loads((tmp_path / "m" / "preprocessor_config.json").read_text())["patch_size"] == 14


def test_same_seed_same_weights(processor):
    first, again, other = (tiny_base.build_model(processor.tokenizer, seed=s).state_dict() for s in (1, 1, 2))
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first[name], other[name])


def test_recipe_belongs_to_the_shipped_weights(tmp_path):
    recipe = tiny_base.read_recipe()
    assert recipe["profile"] == "tiny"
    assert {r["task"] for r in recipe["held_out"]} == {*general_task.TASKS, "qa"}
    folder = shutil.copytree(tiny_base.artifacts.resolve(tiny_base.FOLDER), tmp_path / "copy")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="restore the folder from git or rebuild"):
        tiny_base.read_recipe(folder)


def test_accuracy_counts_reading_apart():
    rows = [("ocr", "en", True), ("ocr", "zh", False), ("count", "en", True), ("place", "en", False)]
    table = tiny_base.accuracy(pd.DataFrame(rows, columns=["task", "language", "correct"]))
    found = table.set_index(["task", "language"])
    assert found.loc[("ocr", "all"), "accuracy"] == 0.5
    assert found.loc[("ocr", "all"), "n"] == 2
    assert found.loc[("qa", "en")].tolist() == [0.5, 2]


def test_shipped_weights_know_the_general_task(model, processor):
    items = general_task.make_items(96, seed=tiny_base.HELD_OUT_SEED + 1)
    predictions = tiny_base.evaluate(model, processor, items)
    found = tiny_base.accuracy(predictions).set_index(["task", "language"])["accuracy"]
    assert found[("qa", "all")] >= 0.9
    closed = predictions[predictions["closed"]]
    assert closed["correct"].mean() >= 0.9
    assert found[("ocr", "all")] >= 0.08


def test_four_bit_base_answers_like_the_full_one(model, processor):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    assert bitsandbytes.__version__
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["model.visual", "lm_head"],
    )
    small = vlm.load_model(tiny_base.FOLDER, quantization_config=config)
    assert small.get_memory_footprint() < 0.75 * model.get_memory_footprint()
    items = [i for i in general_task.make_items(40, seed=9) if i.task in ("colour", "shape", "kind")]
    images, questions = [i.image for i in items], [i.question for i in items]
    full, quantised = (
        vlm.answer(m, processor, images, questions, range(len(items)), max_new_tokens=8) for m in (model, small)
    )
    assert sum(a == b for a, b in zip(full, quantised, strict=True)) >= 0.7 * len(items)


@pytest.mark.slow
def test_tokenizer_and_a_short_build_from_nothing(tmp_path):
    recipe = tiny_base.build(tmp_path / "m", seed=0, n_vision_steps=2, n_answer_steps=2, n_eval=8)
    assert [(row["stage"], row["step"]) for row in recipe["history"]] == [("vision", 2), ("answers", 2)]
    assert tiny_base.read_recipe(tmp_path / "m") == recipe
    built = vlm.load_processor(tmp_path / "m").tokenizer
    assert built.get_vocab() == TOKENIZER.get_vocab()
