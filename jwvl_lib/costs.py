"""What a training would cost on a GPU, from a model's configuration alone: pixels to tokens to memory to time to money.

Reads `data/model_configs.json` (the published configurations of Qwen2.5-VL, pinned by commit); writes nothing. Counts
of parameters and tokens are exact; memory, time and money are estimates whose constants stand below. No GPU has
confirmed them here: `python -m jwvl_lib.gpu_check` measures what they estimate.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

CONFIGS = Path(__file__).parent / "data" / "model_configs.json"
GIB = 2**30
PRECISIONS = ("bf16", "nf4")
GPU_COUNTS = (1, 2, 4, 8)
# assumptions of this project
UTILISATION = {
    "bf16": 0.40,
    "nf4": 0.30,
}  # share of the peak that training reaches; 4-bit weights are unpacked on the way
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8  # 4 bits, an 8-bit scale a block of 64, a float32 a block of 256 scales
ADAMW_BYTES = 16  # a trained weight: itself, its gradient and two moments in float32
OVERHEAD_GIB = 2.0  # CUDA context, workspaces, fragments


@dataclass(frozen=True)
class Gpu:
    """Memory in GiB, peak in bf16 TFLOP/s without sparsity, price an hour in the currency of the answer."""

    memory_gib: float = 80.0
    tflops: float = 989.0
    price_per_hour: float = 2.5


@dataclass(frozen=True)
class Workload:
    """A plan in numbers: its images and its rows (an image and the text tokens of some annotations)."""

    n_images: int
    width: int  # pixels
    height: int
    n_rows: int
    text_tokens: float  # of a row, mean
    text_tokens_max: int  # of a row
    label_tokens_max: int  # of a row
    rows_at_once: int = 1  # on one GPU
    images_a_row: int = 1


@cache
def model_configs() -> dict[str, dict]:
    """`revision`, `source`, `config` and `image_processor` by hub id."""
    return json.loads(CONFIGS.read_text(encoding="utf-8"))


def visual_tokens(width: int, height: int, processor: dict) -> int:
    """Tokens of one image: its size rounded to whole merged patches, as the processor itself rounds it."""
    factor = processor["patch_size"] * processor["merge_size"]
    size = smart_resize(height, width, factor, processor["min_pixels"], processor["max_pixels"])
    return (size[0] // factor) * (size[1] // factor)


def parameter_counts(config: dict) -> dict[str, int]:
    """Weights of a Qwen2.5-VL by part: decoder linears and the rest of it, embedding, head, tower, merger."""
    t, v = config["text_config"], config["vision_config"]
    h, i, n = t["hidden_size"], t["intermediate_size"], t["num_hidden_layers"]
    kv = h // t["num_attention_heads"] * t["num_key_value_heads"]
    vh, vi, merged = v["hidden_size"], v["intermediate_size"], v["hidden_size"] * v["spatial_merge_size"] ** 2
    patch = 3 * v["temporal_patch_size"] * v["patch_size"] ** 2
    block = 4 * vh * vh + 4 * vh + 3 * vh * vi + 2 * vi + vh + 2 * vh
    return {
        "decoder_linear": n * (2 * h * h + 2 * h * kv + 3 * h * i),
        "decoder_other": n * (h + 2 * kv + 2 * h) + h,
        "embedding": t["vocab_size"] * h,
        "head": 0 if config["tie_word_embeddings"] else t["vocab_size"] * h,
        "tower": v["depth"] * block + patch * vh,
        "merger": vh + merged * merged + merged + merged * v["out_hidden_size"] + v["out_hidden_size"],
    }


def trained_count(
    config: dict, method: str, lora_r: int, train_projector: bool, train_tower: bool, n_trained_tokens: int = 0
) -> int:
    """Weights that a way of tuning moves; an adapter on the tower sits on all linear layers of its blocks.

    `n_trained_tokens` words' embeddings move beside an adapter (`tuning.prepare`); full tuning moves all of them.
    """
    parts, t, v = parameter_counts(config), config["text_config"], config["vision_config"]
    merger = parts["merger"] if train_projector else 0
    if method == "full":
        decoder = sum(parts[k] for k in ("decoder_linear", "decoder_other", "embedding", "head"))
        return decoder + merger + (parts["tower"] if train_tower else 0)
    h, i = t["hidden_size"], t["intermediate_size"]
    kv = h // t["num_attention_heads"] * t["num_key_value_heads"]
    adapter = lora_r * t["num_hidden_layers"] * (2 * (h + h) + 2 * (h + kv) + 3 * (h + i))
    vh, vi = v["hidden_size"], v["intermediate_size"]
    tower = lora_r * v["depth"] * ((vh + 3 * vh) + (vh + vh) + 3 * (vh + vi)) if train_tower else 0
    magnitudes = 0  # of DoRA: one an output of every adapted layer
    if method == "dora":
        magnitudes = t["num_hidden_layers"] * (2 * h + 2 * kv + 2 * i + h)
        magnitudes += v["depth"] * (3 * vh + vh + 2 * vi + vh) if train_tower else 0
    return adapter + tower + merger + magnitudes + n_trained_tokens * h


def estimate(
    name: str,
    precision: str,
    n_gpus: int,
    load: Workload,
    gpu: Gpu,
    method: str = "lora",
    lora_r: int = 16,
    train_projector: bool = False,
    train_tower: bool = False,
    n_trained_tokens: int = 0,
) -> dict:
    """A row of the table; `fits` says by which means (DDP, FSDP2) or that it does not.

    Memory counts weights, what AdamW keeps of the trained ones, activations with gradient checkpointing, and the logits
    of supervised tokens; time counts the products of matrices. With full tuning, `nf4` is no choice.
    """
    entry = model_configs()[name]
    parts = parameter_counts(entry["config"])
    n_visual = visual_tokens(load.width, load.height, entry["image_processor"]) * load.images_a_row
    longest = n_visual + load.text_tokens_max
    trained = trained_count(entry["config"], method, lora_r, train_projector, train_tower, n_trained_tokens)
    full = method == "full"
    weights = 4 * (sum(parts.values()) - trained) / GIB if full else _weights_gib(parts, precision)  # full: in float32
    state = trained * ADAMW_BYTES / GIB
    passing = _activations_gib(entry["config"], longest, load)
    whole = weights + state + passing + OVERHEAD_GIB
    sharded = (weights + state) / n_gpus + _layer_gib(entry["config"]) + passing + OVERHEAD_GIB
    moving = train_tower or train_projector
    hours = _flops(parts, entry["config"], n_visual, load, method, moving) / n_gpus
    hours /= gpu.tflops * 1e12 * UTILISATION[precision] * 3600
    shards = precision == "bf16" and n_gpus > 1
    fits = "DDP" if whole <= gpu.memory_gib else "FSDP2" if shards and sharded <= gpu.memory_gib else "does not fit"
    fits = (
        "no such way"
        if method == "full" and precision == "nf4"
        else "one GPU"
        if fits == "DDP" and n_gpus == 1
        else fits
    )
    return {
        "model": name.partition("/")[2],
        "precision": precision,
        "n_gpus": n_gpus,
        "visual_tokens": n_visual,
        "tokens_longest_row": longest,
        "trained_parameters": trained,
        "memory_gib_a_gpu": round(sharded if fits == "FSDP2" else whole, 1),
        "fits": fits,
        "hours": round(hours, 2),
        "money": round(hours * n_gpus * gpu.price_per_hour, 2),
    }


def table(load: Workload, gpu: Gpu, method: str = "lora", **options) -> pd.DataFrame:
    """`estimate` for every model, precision and number of GPUs; what does not fit stands there and says so."""
    return pd.DataFrame(
        estimate(name, precision, n, load, gpu, method, **options)
        for name in model_configs()
        for precision in PRECISIONS
        for n in GPU_COUNTS
    )


def _weights_gib(parts: dict[str, int], precision: str) -> float:
    packed = parts["decoder_linear"] * (NF4_BYTES if precision == "nf4" else 2)
    return (packed + 2 * sum(n for part, n in parts.items() if part != "decoder_linear")) / GIB


def _layer_gib(config: dict) -> float:
    """A layer gathered whole while it computes, and the next one under way; embedding and head with them."""
    parts, n_layers = parameter_counts(config), config["text_config"]["num_hidden_layers"]
    return 2 * (2 * parts["decoder_linear"] / n_layers + parts["embedding"] + parts["head"]) / GIB


def _activations_gib(config: dict, longest: int, load: Workload) -> float:
    """Of the rows at once: the input of every layer, one layer anew with its float32 copies, the supervised logits."""
    t = config["text_config"]
    h, i = t["hidden_size"], t["intermediate_size"]
    kept = 2 * t["num_hidden_layers"] * h
    anew = 2 * (12 * h + 4 * i) + 4 * (8 * h + i)  # bf16, and in float32 the norms and the adapters' inputs
    logits = load.label_tokens_max * t["vocab_size"] * (2 + 4 + 4)
    mask = longest**2 * 3  # bool and its bf16 form
    return load.rows_at_once * (longest * (kept + anew) + logits + mask) / GIB


def _flops(parts: dict[str, int], config: dict, n_visual: int, load: Workload, method: str, moving: bool) -> float:
    """Of the whole plan, with every layer computed twice forward (gradient checkpointing)."""
    t, v = config["text_config"], config["vision_config"]
    tokens = n_visual + load.text_tokens
    passes = (
        8 if method == "full" else 6
    )  # twice forward and once backward; full tuning needs the weights' gradients too
    attention = passes * t["num_hidden_layers"] * t["hidden_size"] * tokens  # a token sees half of the others
    head = 6 * t["vocab_size"] * t["hidden_size"] * load.label_tokens_max
    decoder = load.n_rows * (tokens * (passes * parts["decoder_linear"] + attention) + head)
    patches = n_visual * v["spatial_merge_size"] ** 2
    seen = load.n_rows * 4 if moving else load.n_images  # features of a frozen tower are computed once
    return decoder + seen * 2 * parts["tower"] * patches
