"""An adapter trained on 4 bits: its base comes along, here and elsewhere; it merges exactly and survives a cut."""

import json

import bitsandbytes
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from test_checkpoints import CutOff, run, weights
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from jwvl_lib import artifacts, general_task, merge, tiny_base, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(tiny_base.FOLDER)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A model with an adapter on 4 bits, moved off its start, and the adapter's folder."""
    folder = tmp_path_factory.mktemp("qlora") / "adapter"
    model = tuning.prepare(tiny_base.FOLDER, "qlora", 4).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    tuning.save(model, folder)
    return model, folder


@torch.no_grad()
def said(model, processor):
    """Log-probabilities (n, vocabulary) along the answers to questions of the general task."""
    rows = []
    for item in general_task.make_items(6, seed=5):
        text = vlm.prompt_text(processor, item.question) + item.answer
        inputs = processor(text=[text], images=[item.image], return_tensors="pt")
        n = len(processor.tokenizer(item.answer).input_ids) + 1
        rows.append(model(**inputs, logits_to_keep=n).logits[0].log_softmax(-1))
    return torch.cat(rows)


def test_an_evaluation_leaves_four_bits_that_can_be_trained(monkeypatch, processor):
    """As on a CPU with bfloat16, where bitsandbytes would repack them in a form without gradients."""

    def packed(*_):
        raise AssertionError("packed for inference alone")

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    monkeypatch.setattr(bitsandbytes.nn.modules, "_convert_weight_packed_for_cpu", packed)
    said(tuning.prepare(tiny_base.FOLDER, "qlora", 4).eval(), processor)


@pytest.mark.slow
def test_the_adapter_brings_its_base_here_and_in_plain_peft(adapted, processor):
    model, folder = adapted
    expected = said(model, processor)
    assert torch.allclose(said(vlm.load_model(tiny_base.FOLDER, folder), processor), expected, atol=1e-3)
    settings = BitsAndBytesConfig.from_dict(json.loads((folder / vlm.QUANTISED).read_text()))
    location = artifacts.resolve(tiny_base.FOLDER)
    plain = {"dtype": torch.float32, "device_map": "cpu", "attn_implementation": "eager"}
    base = AutoModelForImageTextToText.from_pretrained(location, quantization_config=settings, **plain)
    tuning.keep_unpacked(base)  # packed it would compute in bfloat16 where the processor has that
    assert torch.allclose(said(PeftModel.from_pretrained(base, folder), processor), expected, atol=1e-3)
    floats = AutoModelForImageTextToText.from_pretrained(location, **plain)  # loads, and answers otherwise
    assert not torch.allclose(said(PeftModel.from_pretrained(floats, folder), processor), expected, atol=0.1)


@pytest.mark.slow
def test_it_merges_into_what_its_four_bits_stand_for(adapted, processor, tmp_path):
    model, folder = adapted
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
