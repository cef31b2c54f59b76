"""The adapter of a decoder in 4 bits starts where quantisation left the base, and stays with that base."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from test_checkpoints import CutOff, run, weights
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from jwvl_lib import artifacts, four_bits, general_task, merge, tiny_base, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(tiny_base.FOLDER)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A QLoRA model as it starts, and the folder of its adapter."""
    folder = tmp_path_factory.mktemp("start") / "adapter"
    model = tuning.prepare(tiny_base.FOLDER, "qlora").eval()
    tuning.save(model, folder)
    return model, folder


@torch.no_grad()
def said(model, processor):
    """Log-probabilities (n, vocabulary) along the answers to questions that the start was not computed on."""
    rows = []
    for item in general_task.make_items(12, seed=5):
        text = vlm.prompt_text(processor, item.question) + item.answer
        inputs = processor(text=[text], images=[item.image], return_tensors="pt")
        n = len(processor.tokenizer(item.answer).input_ids) + 1
        rows.append(model(**inputs, logits_to_keep=n).logits[0].log_softmax(-1))
    return torch.cat(rows)


def divergence(first, second):
    return float((first.exp() * (first - second)).sum(-1).mean())


@pytest.mark.slow
def test_the_start_is_nearer_to_the_base_than_its_four_bits_are(started, processor):
    model, _ = started
    base = said(vlm.load_model(tiny_base.FOLDER), processor)
    with model.disable_adapter():
        plain = divergence(base, said(model, processor))
    assert divergence(base, said(model, processor)) < 0.5 * plain


def test_the_closest_product_is_least_squares_on_the_inputs_and_not_on_white_ones():
    torch.manual_seed(0)
    residual, inputs = torch.randn(12, 20), torch.randn(400, 20) * torch.logspace(0, -2, 20)
    b, a = four_bits.closest(residual, inputs, 3)
    left = ((residual - b @ a) @ inputs.T).square().sum()
    best = torch.linalg.svdvals(residual @ inputs.T)[3:].square().sum()  # Eckart and Young: no rank 3 does better
    assert left == pytest.approx(float(best), rel=1e-3)
    u, s, v = torch.linalg.svd(residual)
    white = residual - (u[:, :3] * s[:3]) @ v[:3]
    assert left < 0.8 * (white @ inputs.T).square().sum()
    assert torch.allclose(b.norm(dim=0), a.norm(dim=1), rtol=1e-3)
    assert four_bits.closest(residual, inputs, 50)[1].shape == (12, 20)


def test_where_nothing_is_in_four_bits_nothing_is_done():
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4)
    assert four_bits.start_at_residual(model, tiny_base.FOLDER) == 1
    assert all((p == 0).all() for name, p in model.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.layers.3.self_attn.q_proj.weight", "layers.3.self_attn.q_proj"),  # Qwen2.5-VL's published files
        ("model.language_model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj"),
        ("language_model.model.layers.0.mlp.down_proj.weight", "layers.0.mlp.down_proj"),  # LLaVA's
        ("model.text_model.layers.0.self_attn.o_proj.weight", "layers.0.self_attn.o_proj"),  # SmolVLM's
        ("model.vision_model.encoder.layers.0.self_attn.q_proj.weight", ""),
        ("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", ""),
        ("visual.blocks.0.mlp.up_proj.weight", ""),
        ("model.layers.3.self_attn.q_proj.bias", ""),
        ("model.layers.3.input_layernorm.weight", ""),
    ],
)
def test_a_layer_of_the_decoder_is_found_in_files_of_every_naming(key, name):
    assert four_bits.in_decoder(key) == name


def test_a_base_whose_files_lack_a_layer_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(four_bits, "_files", lambda base: {})
    with pytest.raises(ValueError, match=r"layers\.0.*no such weight in the base's safetensors; take method 'lora'"):
        tuning.prepare(tiny_base.FOLDER, "qlora", 4)


@pytest.mark.slow
def test_the_adapter_brings_its_base_here_and_in_plain_peft(started, processor):
    model, folder = started
    expected = said(model, processor)
    assert torch.allclose(said(vlm.load_model(tiny_base.FOLDER, folder), processor), expected, atol=1e-3)
    settings = BitsAndBytesConfig.from_dict(json.loads((folder / vlm.QUANTISED).read_text()))
    location = artifacts.resolve(tiny_base.FOLDER)
    plain = {"dtype": torch.float32, "device_map": "cpu", "attn_implementation": "eager"}
    base = AutoModelForImageTextToText.from_pretrained(location, quantization_config=settings, **plain)
    assert torch.allclose(said(PeftModel.from_pretrained(base, folder), processor), expected, atol=1e-3)


@pytest.mark.slow
def test_it_merges_into_what_its_four_bits_stand_for(started, processor, tmp_path):
    model, folder = started
    figures = merge.merge(tiny_base.FOLDER, folder, tmp_path / "merged", n_items=3)
    assert figures["largest_logit_difference"] < 1e-3
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    merged = vlm.load_model(tmp_path / "merged")
    assert torch.allclose(said(merged, processor), said(model, processor), atol=1e-3)
    stored = load_file(tmp_path / "merged" / "model.safetensors")
    assert not any("quant" in key or "lora" in key for key in stored)


@pytest.mark.slow
def test_qlora_cut_off_ends_with_the_same_bits(tmp_path, monkeypatch):
    prepare = tuning.prepare
    monkeypatch.setattr(tuning, "prepare", lambda base, _, *options, **named: prepare(base, "qlora", *options, **named))
    run(tmp_path / "whole", n_steps=4)
    with pytest.raises(CutOff):
        run(tmp_path / "cut", cut_at=3, n_steps=4)
    run(tmp_path / "cut", n_steps=4)
    whole = weights(tmp_path / "whole")
    assert all(torch.equal(value, weights(tmp_path / "cut")[name]) for name, value in whole.items())
