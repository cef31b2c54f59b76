"""The GPU check itself, on the CPU with a tiny configuration: it needs no GPU to be right, only to mean something."""

import copy
import json

import pytest
import torch
from bitsandbytes.nn import Linear4bit

from jwvl_lib import artifacts, costs, gpu_check, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.fixture(scope="module")
def config():
    """The published configuration, made narrow and shallow."""
    made = copy.deepcopy(costs.model_configs()[NAME]["config"])
    rope = dict(rope_type="default", rope_theta=1e6, mrope_section=[4, 6, 6])
    made["text_config"] |= dict(hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1)
    made["text_config"] |= dict(num_hidden_layers=2, vocab_size=1200, rope_parameters=rope)
    made["vision_config"] |= dict(depth=1, hidden_size=32, intermediate_size=64, num_heads=2, out_hidden_size=64)
    made["image_token_id"] = 1100
    return made | {"vision_start_token_id": 1101, "vision_end_token_id": 1102, "video_token_id": 1103}


@pytest.mark.parametrize("precision", costs.PRECISIONS)
def test_a_line_is_measured(config, precision, monkeypatch):
    monkeypatch.setattr(gpu_check, "N_TOKENS", 200)
    row = gpu_check.check(NAME, precision, "cpu", costs.Gpu(), config, side=112, n_steps=1)
    assert row["tokens"] == 200
    assert row["samples_per_second"] > 0
    assert row["shared_annotations_per_second"] > 0
    assert row["estimated_gib"] > 3  # of the true model, not of this one
    json.dumps(row)


def test_the_decoder_is_packed_and_only_the_adapter_is_free(config):
    model = gpu_check.random_model(config, "nf4", "cpu")
    packed = [name for name, module in model.named_modules() if isinstance(module, Linear4bit)]
    assert len(packed) == 14
    assert not any(map(tuning.is_tower, packed))
    assert all("lora_" in name for name, p in model.named_parameters() if p.requires_grad)
    assert model.get_submodule(packed[0]).weight.quant_state is not None


def test_one_sample_has_the_length_that_is_named():
    sequence = gpu_check.sequence(1, 1296, 5)
    assert len(sequence.input_ids) == gpu_check.N_TOKENS
    shared = gpu_check.sequence(6, 1296, 5)
    assert shared.n_branches == 6
    assert len(shared.input_ids) == 1296 + 21 + 6 * 110


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run the check itself")
def test_without_a_gpu_it_says_so_in_one_line(tmp_path, capsys):
    assert gpu_check.main(["--out", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x.json").exists()
    told = gpu_check.told(costs.Gpu(), [])
    assert told["device"] == "cpu"
    assert artifacts.REPO.is_dir()
    assert vlm.located(NAME + "@abc") == (NAME, "abc")
