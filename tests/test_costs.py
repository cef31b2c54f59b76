"""Tokens and parameters from the configuration are those of the processor and of the model itself."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from jwvl_lib import chat_tokens, costs, parameters, run, tiny_base, tuning, vlm

MODELS = tuple(costs.model_configs())
LOAD = costs.Workload(1000, 1008, 1008, 3000, 700.0, 1100, 500)
PROFILES = {
    "qwen3b": MODELS[0],
    "qwen7b": MODELS[1],
    "paper32b": MODELS[2],
    "astrollava": MODELS[1],
    "radio_llava": MODELS[1],
}


def meta_model(name):
    with torch.device("meta"):
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**costs.model_configs()[name]["config"]))


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts_are_those_of_the_model_and_of_the_published_weights(name):
    entry, model = costs.model_configs()[name], meta_model(name)
    counts, groups = costs.parameter_counts(entry["config"]), dict.fromkeys(("tower", "merger", "embedding", "head"), 0)
    for parameter_name, parameter in model.named_parameters():
        part = (
            "merger"
            if tuning.is_projector(parameter_name)
            else "tower"
            if tuning.is_tower(parameter_name)
            else "embedding"
            if "embed_tokens" in parameter_name
            else "head"
            if "lm_head" in parameter_name
            else "decoder_linear"
            if "_proj.weight" in parameter_name
            else "decoder_other"
        )
        groups[part] = groups.get(part, 0) + parameter.numel()
    assert groups == counts
    assert 2 * sum(counts.values()) == entry["weights_bytes_bf16"]
    assert len(entry["revision"]) == 40
    assert entry["revision"] in entry["source"]


def test_tiny_base_counts_by_the_same_formula():
    model = vlm.load_model(tiny_base.FOLDER)
    assert sum(costs.parameter_counts(model.config.to_dict()).values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("stem", PROFILES)
def test_profiles_train_what_they_say_on_the_true_configuration(stem):
    """Shapes, trainable parameters and preflight of every profile, on a model of the true form on the meta device."""
    values = parameters.read_parameter_file(f"{parameters.NOTEBOOKS.parent}/params/{stem}.yaml")
    chosen = parameters.stage_parameters("04_training", values)
    name, _, revision = chosen["base_model"].partition("@")
    assert (name, revision) == (PROFILES[stem], costs.model_configs()[name]["revision"])
    method = "lora" if chosen["method"] == "qlora" else chosen["method"]
    free = {k: chosen[k] for k in ("train_projector", "train_tower")}
    model = tuning.adapt(meta_model(name), method, chosen["lora_r"], chosen["lora_alpha"], **free)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert costs.trained_count(costs.model_configs()[name]["config"], method, chosen["lora_r"], **free) == sum(
        p.numel() for p in trained.values()
    )
    assert any(map(tuning.is_projector, trained)) == chosen["train_projector"]
    assert any(map(tuning.is_tower, trained)) == chosen["train_tower"]
    if method == "lora":
        per_layer = [n for n in trained if "layers.0." in n]
        assert len(per_layer) == 14  # q, k, v, o, gate, up, down; two matrices each
        assert {p.shape[0] for n, p in trained.items() if "lora_A" in n} == {chosen["lora_r"]}
    tuning.check_stages(chosen["stages"], chosen["train_projector"])
    side = parameters.stage_parameters("01_corpus_curation", values)["image_px"]
    assert side % 28 == 0
    load = dataclasses.replace(LOAD, width=side, height=side)
    rows = costs.table(load, costs.Gpu(), chosen["method"], lora_r=chosen["lora_r"], **free)
    assert (rows["fits"][rows["model"] == name.partition("/")[2]].isin(["one GPU", "DDP", "FSDP2"])).any()
    assert run.all_stages()


@pytest.mark.parametrize("name", [MODELS[0], MODELS[1]])  # with a tied head and with one of its own
@pytest.mark.parametrize(
    ("method", "tower", "n_tokens"), [("lora", True, 400), ("dora", False, 0), ("dora", True, 400), ("full", True, 400)]
)
def test_trained_weights_of_every_way_are_those_of_the_model(name, method, tower, n_tokens):
    model = tuning.adapt(meta_model(name), method, 16, train_tower=tower, train_tokens=range(n_tokens))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    config = costs.model_configs()[name]["config"]
    assert costs.trained_count(config, method, 16, False, tower, n_tokens) == trained
    (row,) = costs.table(LOAD, costs.Gpu(), method, train_tower=tower, n_trained_tokens=n_tokens).query(
        "model == @name.partition('/')[2] and precision == 'bf16' and n_gpus == 1"
    )["trained_parameters"]
    assert row == trained


@settings(max_examples=30, deadline=None)
@given(width=st.integers(28, 1500), height=st.integers(28, 1500))
def test_visual_tokens_are_those_of_the_processor(width, height):
    if max(width, height) / min(width, height) > 100:
        return
    fixed = costs.model_configs()[MODELS[0]]["image_processor"]
    processor = Qwen2VLImageProcessorPil(**fixed)
    (grid,) = processor(images=[Image.new("RGB", (width, height))], return_tensors="np")["image_grid_thw"]
    assert costs.visual_tokens(width, height, fixed) == int(np.prod(grid)) // fixed["merge_size"] ** 2


def test_a_large_image_is_scaled_down_as_the_processor_does():
    fixed = costs.model_configs()[MODELS[0]]["image_processor"] | {"max_pixels": 28 * 28 * 100}
    processor = Qwen2VLImageProcessorPil(**fixed)
    (grid,) = processor(images=[Image.new("RGB", (1024, 700))], return_tensors="np")["image_grid_thw"]
    assert costs.visual_tokens(1024, 700, fixed) == int(np.prod(grid)) // 4 <= 100


def test_a_sequence_has_as_many_tokens_as_the_processor_makes():
    processor = vlm.load_processor(tiny_base.FOLDER)
    images = [Image.new("RGB", (84, 140)), Image.new("RGB", (168, 56))]
    grids = processor.image_processor(images=images, return_tensors="pt")["image_grid_thw"]
    branch = chat_tokens.encode_branch(processor, "Which layer?", "corona")
    chat = processor.apply_chat_template(
        vlm.chat_messages("Which layer?", 2), tokenize=False, add_generation_prompt=True
    )
    whole = processor(text=[chat], images=[images], return_tensors="pt")["input_ids"][0]
    assert torch.equal(
        whole, torch.cat([chat_tokens.encode_prefix(processor, grids), branch.input_ids[: branch.n_question]])
    )


def test_the_table_lists_what_does_not_fit_and_grows_with_the_work():
    rows = costs.table(LOAD, costs.Gpu(memory_gib=24))
    assert len(rows) == 24
    assert set(rows["fits"]) >= {"does not fit", "one GPU"}
    by = rows.set_index(["model", "precision", "n_gpus"])
    large, small = "Qwen2.5-VL-32B-Instruct", "Qwen2.5-VL-3B-Instruct"
    assert by.loc[(large, "bf16", 1), "fits"] == "does not fit"
    assert by.loc[(small, "nf4", 1), "fits"] == "one GPU"
    assert by.loc[(large, "bf16", 8), "hours"] == pytest.approx(by.loc[(large, "bf16", 1), "hours"] / 8, rel=0.05)
    assert by.loc[(large, "nf4", 1), "memory_gib_a_gpu"] < 0.45 * by.loc[(large, "bf16", 1), "memory_gib_a_gpu"]
    wide = costs.table(costs.Workload(1000, 2016, 2016, 3000, 700.0, 1100, 500), costs.Gpu())
    assert (wide["visual_tokens"] == 4 * rows["visual_tokens"]).all()
    assert (wide["hours"] > rows["hours"]).all()
    full = costs.table(LOAD, costs.Gpu(), "full")
    assert (full["fits"][full["precision"] == "nf4"] == "no such way").all()
