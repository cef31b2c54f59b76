"""`python -m jwvl_lib.gpu_check --out gpu_check.json`: every line of training that needs a GPU, checked and timed once.

Builds Qwen2.5-VL 3B, 7B and 32B from their published configurations with random weights on the GPU (nothing is
downloaded), trains each a few steps in bf16 LoRA and NF4 QLoRA on samples of 1625 tokens, and writes one JSON with
date, device, versions, samples/s, model-FLOP utilisation, peak memory beside the estimate of `costs`, and the gain of
shared sequences. Without a GPU it says so in one line and ends with status 2.
"""

import argparse
import gc
import logging
import re
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from jwvl_lib import artifacts, costs, preflight, recovery, shared_image, tuning
from jwvl_lib.chat_tokens import Branch

log = logging.getLogger(__name__)
N_TOKENS, N_LABELS, N_BRANCHES = 1625, 55, 6  # of a sample; supervised in an annotation; annotations of a shared image
SIDE = 1008  # pixels: 1296 visual tokens
GOALS = {"utilisation_7b_packed": 0.45, "peak_gib_32b_nf4": 44.0, "shared_gain": 2.4, "estimate_off": 0.10}


def sequence(n_branches: int, n_visual: int, image_token_id: int, seed: int = 0) -> shared_image.SharedSequence:
    """A shared sequence of random words about one square image; with one branch it has `N_TOKENS` tokens."""
    generator = torch.Generator().manual_seed(seed)
    side = round(n_visual**0.5)
    prefix = torch.cat([_words(20, generator), torch.full((n_visual,), image_token_id), _words(1, generator)])
    n_branch = max(N_TOKENS - len(prefix), N_LABELS + 1) if n_branches == 1 else 110
    branches = [Branch(_words(n_branch, generator), n_branch - N_LABELS) for _ in range(n_branches)]
    return shared_image.assemble(prefix, branches, torch.tensor([[1, 2 * side, 2 * side]]), image_token_id)


def random_model(config: dict, precision: str, device: str):
    """A model of a configuration with random weights, its decoder in 4 bits for `nf4`, LoRA on the decoder."""
    torch.manual_seed(0)
    made = Qwen2_5_VLConfig(**config)
    made._attn_implementation = "sdpa"
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(made, dtype=torch.bfloat16)
    model.requires_grad_(False)
    if precision == "nf4":
        pack(model, device)
    tuned = tuning.adapt(model, "lora")
    tuned.gradient_checkpointing_enable({"use_reentrant": False})
    return tuned.train()


def pack(model, device: str) -> None:
    """Put the decoder's linear layers into 4 bits, one after another, as `tuning.nf4` says."""
    settings = tuning.nf4("bfloat16")
    for name, layer in list(model.named_modules()):
        if not re.fullmatch(tuning.DECODER_LAYERS, name):
            continue
        sizes = layer.in_features, layer.out_features, layer.bias is not None
        packed = Linear4bit(
            *sizes, compute_dtype=torch.bfloat16, quant_type=settings.bnb_4bit_quant_type, device="meta"
        )
        packed.weight = Params4bit(layer.weight.data, False, compress_statistics=True, quant_type="nf4")
        packed.bias = layer.bias
        model.set_submodule(name, packed.to(device))


def measure(model, pairs: Sequence, n_steps: int = 5, attention: str = "sdpa") -> dict:
    """Median seconds of a training step (forward, backward, AdamW), peak memory in GiB, after two steps of warm-up."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    seconds, losses = [], []
    for _ in range(n_steps + 2):
        started = time.perf_counter()
        batch = preflight.to_device(shared_image.collate(pairs, 0, attention, cached=True), model.device)
        labels = batch.pop("labels")
        loss = shared_image.labelled_loss(model(**batch, use_cache=False), labels)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())  # waits for the device
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / costs.GIB if torch.cuda.is_available() else 0.0
    return {"seconds": statistics.median(seconds[2:]), "peak_gib": round(peak, 2), "loss_fell": losses[-1] < losses[0]}


def check(
    name: str,
    precision: str,
    device: str,
    gpu: costs.Gpu,
    config: dict | None = None,
    side: int = SIDE,
    n_steps: int = 5,
) -> dict:
    """A line of the table: single samples of `N_TOKENS`, shared sequences of six annotations, the estimate beside."""
    entry = costs.model_configs()[name]
    config = config or entry["config"]
    n_visual = costs.visual_tokens(side, side, entry["image_processor"])
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = random_model(config, precision, device)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()  # what packing took is no part of training
    features = torch.randn(n_visual, config["text_config"]["hidden_size"], dtype=torch.bfloat16)
    single, shared = (
        measure(model, [(sequence(n, n_visual, config["image_token_id"]), features)], n_steps) for n in (1, N_BRANCHES)
    )
    flex = None
    if torch.cuda.is_available():
        model.set_attn_implementation({"text_config": "flex_attention"})
        of_six = [(sequence(N_BRANCHES, n_visual, config["image_token_id"]), features)]
        flex = measure(model, of_six, n_steps, "flex_attention")["seconds"]
    parts = costs.parameter_counts(config)
    flops = N_TOKENS * 6 * parts["decoder_linear"]  # with the recomputed forward pass: 2 forward, 2 again, 2 backward
    load = costs.Workload(1, side, side, 1, N_TOKENS - n_visual, N_TOKENS - n_visual, N_LABELS)
    estimated = costs.estimate(name, precision, 1, load, gpu)["memory_gib_a_gpu"] - costs.OVERHEAD_GIB
    return {
        "model": name,
        "precision": precision,
        "tokens": N_TOKENS,
        "samples_per_second": round(1 / single["seconds"], 3),
        "utilisation": round(flops / single["seconds"] / (gpu.tflops * 1e12), 3),
        "peak_gib": single["peak_gib"],
        "estimated_gib": round(estimated, 2),
        "estimate_off": round(estimated / single["peak_gib"] - 1, 3) if single["peak_gib"] else None,
        "shared_annotations_per_second": round(N_BRANCHES / shared["seconds"], 3),
        "shared_gain": round(N_BRANCHES * single["seconds"] / shared["seconds"], 2),
        "shared_gain_flex_attention": round(N_BRANCHES * single["seconds"] / flex, 2) if flex else None,
        "learns": bool(single["loss_fell"] and shared["loss_fell"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring. A model that does not fit becomes a line that says so."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="gpu_check.json", help="the JSON written")
    parser.add_argument("--tflops", type=float, default=989.0, help="peak of the GPU in bf16, without sparsity")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("error: no GPU here: every line stays not measured; run this where CUDA is", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    memory = torch.cuda.get_device_properties(0).total_memory / costs.GIB
    gpu, rows = costs.Gpu(memory_gib=memory, tflops=chosen.tflops), []
    for name in costs.model_configs():
        for precision in costs.PRECISIONS:
            try:
                rows.append(check(name, precision, "cuda", gpu))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                rows.append({"model": name, "precision": precision, "failed": recovery.one_line(error)})
            log.info("%s", rows[-1])
            artifacts.write_json(chosen.out, told(gpu, rows))
    return 0


def told(gpu: costs.Gpu, rows: Sequence[dict]) -> dict:
    """The JSON: when, on what, with which versions, against which goals, and the rows."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {
        "created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": device,
        "memory_gib": round(gpu.memory_gib, 1),
        "peak_tflops_bf16": gpu.tflops,
        "packages": {p: metadata.version(p) for p in ("torch", "transformers", "peft", "bitsandbytes")},
        "goals": GOALS,
        "rows": list(rows),
    }


def _words(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(10, 1000, (n,), generator=generator)


if __name__ == "__main__":
    sys.exit(main())
