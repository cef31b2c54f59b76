"""LoRA's sum in one pass is PEFT's: outputs, gradients, what is saved; whatever else a layer can do stays PEFT's."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners import lora

from jwvl_lib import lora_linear, tiny_base, tuning

TYPES = {torch.nn.Linear: lora_linear.Linear}


def layer(one_pass, bias=True, **options):
    """A layer of 6 inputs and 5 outputs under an adapter that has learnt something."""
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["0"], **options)
    if one_pass:
        config._register_custom_module(TYPES)
    torch.manual_seed(0)
    model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(6, 5, bias=bias)), config)
    torch.nn.init.normal_(model.base_model.model[0].lora_B["default"].weight)
    return model


def outcome(model, x):
    """Output and gradients of everything free, and of the input."""
    x = x.clone().requires_grad_()
    out = model(x)
    (out * torch.arange(out.numel()).view_as(out)).sum().backward()
    return [out, x.grad, *(p.grad for p in model.parameters() if p.requires_grad)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 6), (1, 7, 6), (2, 3, 4, 6)])
def test_output_and_every_gradient_are_those_of_peft(shape, bias):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    own, theirs = layer(True, bias), layer(False, bias)
    assert type(own.base_model.model[0]) is lora_linear.Linear
    for ours, peft in zip(outcome(own, x), outcome(theirs, x), strict=True):
        torch.testing.assert_close(ours, peft)


def test_the_base_weight_gets_no_gradient_and_an_input_without_one_none():
    model = layer(True)
    model(torch.ones(2, 6)).sum().backward()
    base = model.base_model.model[0].base_layer
    assert base.weight.grad is None
    assert base.bias.grad is None
    assert model.base_model.model[0].lora_A["default"].weight.grad is not None


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}])
def test_what_is_not_plain_lora_stays_pefts_own(monkeypatch, options):
    monkeypatch.setattr(lora_linear._LoraSum, "apply", lambda *_: pytest.fail("not PEFT's own"))
    x, own, theirs = torch.ones(4, 6), layer(True, **options), layer(False, **options)
    results = []
    for model in (own, theirs):
        torch.manual_seed(2)
        results.append(outcome(model, x))
    for ours, peft in zip(*results, strict=True):
        torch.testing.assert_close(ours, peft)


def test_an_adapter_can_be_left_out_and_merged():
    x, model = torch.ones(4, 6), layer(True)
    tuned = model(x)
    with model.disable_adapter():
        torch.testing.assert_close(model(x), model.base_model.model[0].base_layer(x))
    torch.testing.assert_close(model.merge_and_unload()(x), tuned)


def test_mixed_types_and_autocast_stay_pefts_own(monkeypatch):
    monkeypatch.setattr(lora_linear._LoraSum, "apply", lambda *_: pytest.fail("not PEFT's own"))
    model, x = layer(True), torch.ones(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16
    model.base_model.model[0].base_layer.to(torch.bfloat16)
    assert model(x.to(torch.bfloat16)).dtype == torch.bfloat16


def test_an_adapter_tells_nothing_of_it(tmp_path):
    for one_pass in (True, False):
        layer(one_pass).save_pretrained(tmp_path / str(one_pass))
    own, theirs = (json.loads((tmp_path / str(k) / "adapter_config.json").read_text()) for k in (True, False))
    assert own == theirs
    assert (tmp_path / "True" / "adapter_model.safetensors").read_bytes() == (
        tmp_path / "False" / "adapter_model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(("method", "kind"), [("lora", lora_linear.Linear), ("dora", lora.Linear)])
def test_lora_alone_is_summed_in_one_pass(method, kind):
    model = tuning.prepare(tiny_base.FOLDER, method, 4, train_tower=True)
    assert {type(m) for m in model.modules() if isinstance(m, lora.Linear)} == {kind}
