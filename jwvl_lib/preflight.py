"""What a training run will train and what it will cost, before it starts, and proof afterwards of what stayed frozen.

Reads and writes nothing; the notebook puts the returned values into `preflight.json` and `trainable.json`.
"""

import contextlib
import hashlib
import math
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import TrainingArguments

from jwvl_lib import costs, recovery, shared_image, tuning
from jwvl_lib.samples import RowDataset, Sample, open_picture

_MODULES = (
    "adapter",
    "adapter of the tower",
    "words of the annotations",
    "projector",
    "vision merger",
    "vision tower",
    "token embedding",
    "decoder",
    "output head",
)
_N_PROBED = 5  # batches timed: rows differ in length, one alone stands for none
_PROBE_SECONDS = 4.0  # after which no further batch is timed


def _group(name: str) -> str:
    """Which of `_MODULES` a parameter belongs to; `projector` is the copy of the merger that is trained."""
    if "lora_" in name:
        return "adapter of the tower" if tuning.is_tower(name) else "adapter"
    if "trainable_tokens" in name:
        return "words of the annotations"
    if "modules_to_save" in name:
        return "projector"
    if tuning.is_projector(name):
        return "vision merger"
    if tuning.is_tower(name):
        return "vision tower"
    return "token embedding" if "embed_tokens" in name else "output head" if "lm_head" in name else "decoder"


def bf16_on_gpu() -> bool:
    """Whether to train in bfloat16: on a CUDA device that has it. A CPU trains in float32, also one that has it.

    So the same parameters give the same figures on every processor, and `Trainer` takes bfloat16 for a GPU's.
    """
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def check_features(model, dataset: RowDataset) -> None:
    """Raise ValueError where features were computed once and a weight that they depend on would be trained."""
    if dataset.cached and tuning.sees_through_free_weights(model):
        seeing = (n for n, p in model.named_parameters() if p.requires_grad)
        moving = next(n for n in seeing if tuning.is_tower(n) or tuning.is_projector(n))
        raise ValueError(
            f"{moving!r} would be trained, but the images' features were computed before: tower and projector are "
            "frozen here; set train_tower or train_projector and prepare the samples again"
        )


def trainable_table(model) -> list[dict]:
    """A record a module: `module, n_parameters, n_trainable, trainable, frozen_sha256` (of its frozen weights)."""
    groups = {name: [] for name in _MODULES}
    for name, parameter in sorted(model.named_parameters()):
        groups[_group(name)].append(parameter)
    return [_module_record(group, parameters) for group, parameters in groups.items() if parameters]


def weights_table(model) -> list[dict]:
    """A record a weight tensor: `name, module, shape, trainable`; what `trainable.json` holds in full."""
    return [
        {"name": name, "module": _group(name), "shape": list(p.shape), "trainable": p.requires_grad}
        for name, p in sorted(model.named_parameters())
    ]


def with_weights(records: Sequence[dict], model) -> list[dict]:
    """The records of `compare_trainable` with the weights of each module: `weights` {name, shape, trainable}."""
    of_module: dict[str, list[dict]] = {}
    for row in weights_table(model):
        of_module.setdefault(row.pop("module"), []).append(row)
    return [record | {"weights": of_module.get(record["module"], [])} for record in records]


def check_frozen(model, train_projector: bool, train_tower: bool) -> None:
    """Raise RuntimeError where a weight of the tower or of the projector is free that was to be frozen.

    Catches an adapter on a "frozen" tower: its base weights do not move, yet what the tower sees does.
    """
    held = {"vision tower": train_tower, "adapter of the tower": train_tower, "projector": train_projector}
    held["vision merger"] = train_projector
    for row in weights_table(model):
        if row["trainable"] and not held.get(row["module"], True):
            raise RuntimeError(
                f"{row['name']!r} ({row['module']}) is free, but was to be frozen; set train_tower or train_projector, "
                "or keep the adapter to the decoder"
            )


def compare_trainable(before: list[dict], after: list[dict]) -> list[dict]:
    """Both tables in one, `frozen_sha256_before` and `_after`. Raises RuntimeError where a frozen weight moved."""
    rows = []
    for old, new in zip(before, after, strict=True):
        checksum, now = old["frozen_sha256"], new["frozen_sha256"]
        if checksum != now:
            raise RuntimeError(f"{old['module']}: frozen weights changed in training; the adapter is void, train again")
        counts = {key: value for key, value in old.items() if key != "frozen_sha256"}
        rows.append({**counts, "frozen_sha256_before": checksum, "frozen_sha256_after": now})
    return rows


@torch.no_grad()
def sharing_gap(model, dataset: RowDataset) -> float:
    """Relative difference of the loss of the plan's first row, as a shared sequence and as separate samples.

    Rounding (1e-6 in float32, 1e-2 in bfloat16) where a base's positions and masks allow shared sequences; more where
    they do not, and the row must be trained with `shared` false.
    """
    losses, was_shared = [], dataset.shared
    for dataset.shared in (True, False):
        batch = to_device(dataset.collate([dataset[0]], model), model.device)
        labels = batch.pop("labels")
        losses.append(shared_image.labelled_loss(model(**batch, use_cache=False), labels).item())
    dataset.shared = was_shared
    return abs(losses[0] - losses[1]) / abs(losses[1])


def rows_per_step(arguments: TrainingArguments) -> int:
    """Rows of the plan that one optimiser step takes, over all processes."""
    return arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size


def preflight(model, dataset: RowDataset, arguments: TrainingArguments) -> dict:
    """What the run will cost: samples, tokens, parameters, and time and memory from a few probe steps.

    The probe runs forward and backward on the first batches and leaves weights, gradients and random state as they
    were. `estimated_seconds` is an estimate: it leaves the optimiser and the validation out, and a machine that does
    other things meanwhile shifts it; memory is in MiB.
    """
    check_features(model, dataset)
    n_steps = math.ceil(len(dataset) / rows_per_step(arguments))
    seconds_per_step = _seconds_per_step(model, dataset, arguments)
    parameters = list(model.parameters())
    return {
        **_sample_counts(dataset),
        **_token_counts(dataset),
        "n_parameters": sum(p.numel() for p in parameters),
        "n_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "n_steps": n_steps,
        "seconds_per_step": round(seconds_per_step, 3),
        "estimated_seconds": round(seconds_per_step * n_steps),
        "peak_memory_mb": round(_peak_memory_mb()),
        "device": model.device.type,
        "bf16": bool(arguments.bf16),
    }


def _module_record(module: str, parameters: list[Tensor]) -> dict:
    n_trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return {
        "module": module,
        "n_parameters": sum(p.numel() for p in parameters),
        "n_trainable": n_trainable,
        "trainable": n_trainable > 0,
        "frozen_sha256": weights_sha256([p for p in parameters if not p.requires_grad]),
    }


def weights_sha256(parameters: Sequence[Tensor]) -> str | None:
    """sha256 over the bytes of the weights, None where there are none."""
    digest = hashlib.sha256()
    for parameter in parameters:
        whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter  # sharded over processes
        digest.update(whole.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest() if parameters else None


def workload(dataset: RowDataset) -> costs.Workload:
    """The plan in the numbers that `costs` asks for; text in the tokens of the tokenizer at hand, replay left out."""
    rows = [(dataset.samples[i], branches) for row in dataset.rows for i, branches in row.parts]
    branches = [[sample.branches[b] for b in chosen] for sample, chosen in rows]
    text = [
        sum(len(b.input_ids) for b in own) + int((sample.prefix_ids != dataset.processor.image_token_id).sum())
        for (sample, _), own in zip(rows, branches, strict=True)
    ]
    labels = [sum(int((b.labels != shared_image.IGNORE).sum()) for b in own) for own in branches]
    width, height = open_picture(dataset.samples[0].images[0]).size
    n_images, several = len(dataset.samples), max(len(sample.images) for sample in dataset.samples)
    longest = {"text_tokens_max": max(text), "label_tokens_max": max(labels), "images_a_row": several}
    return costs.Workload(n_images, width, height, len(rows), float(np.mean(text)), **longest)


def _sample_counts(dataset: RowDataset) -> dict:
    n_replayed = sum(map(dataset.n_replayed, dataset.rows))
    n_seen = sum(len(branches) for row in dataset.rows for _, branches in row.parts) + n_replayed
    return {
        "n_images": len({sample.image_id for sample in dataset.samples}),  # some are visited several times
        "n_samples": sum(len(sample.branches) for sample in dataset.samples),
        "n_replay_images": len(dataset.replay),
        "n_samples_seen": n_seen,
        "replay_share_seen": round(n_replayed / n_seen, 3),
    }


def _token_counts(dataset: RowDataset) -> dict:
    """Tokens of the image sequences and of the whole plan with its replay, shared and as separate samples."""
    images = [_row_tokens(dataset.samples[i], branches) for row in dataset.rows for i, branches in row.parts]
    again = [dataset.replay[i] for row in dataset.rows for i in row.replay]
    replayed = [_row_tokens(sample, range(len(sample.branches))) for sample in again]
    shared, separate = (sum(counts) for counts in zip(*images, *replayed, strict=True))
    lengths = [n for n, _ in images]
    return {
        "tokens_per_sequence_min": min(lengths),
        "tokens_per_sequence_median": float(np.median(lengths)),
        "tokens_per_sequence_max": max(lengths),
        "tokens_seen": shared,
        "tokens_seen_if_separate": separate,
        "tokens_saved_share": round(1 - shared / separate, 3),
    }


def _row_tokens(sample: Sample, branches: Iterable[int]) -> tuple[int, int]:
    """Tokens of one sample's branches as a shared sequence and as separate samples."""
    tails = [len(sample.branches[b].input_ids) for b in branches]
    n_prefix = len(sample.prefix_ids)
    return n_prefix + sum(tails), len(tails) * n_prefix + sum(tails)


def _seconds_per_step(model, dataset: RowDataset, arguments: TrainingArguments) -> float:
    """Forward and backward passes of a global batch, in smaller parts where memory asks for it, as in the training."""
    while True:
        try:
            return _probe(model, dataset, arguments) * arguments.gradient_accumulation_steps
        except RuntimeError as error:
            if not recovery.is_out_of_memory(error):
                raise
            arguments = recovery.smaller(arguments, error)


@contextlib.contextmanager
def _in_training(model, arguments: TrainingArguments) -> Iterator[None]:
    """The model as `Trainer` trains it, with gradient checkpointing where asked for, and afterwards as it was."""
    was_training = model.training
    model.train()
    if arguments.gradient_checkpointing:
        model.gradient_checkpointing_enable(arguments.gradient_checkpointing_kwargs)
    try:
        yield
    finally:
        if arguments.gradient_checkpointing:
            model.gradient_checkpointing_disable()
        model.zero_grad(set_to_none=True)
        model.train(was_training)


def _probe(model, dataset: RowDataset, arguments: TrainingArguments) -> float:
    """Median seconds of the forward and backward passes of `_N_PROBED` batches, after one that warms up.

    Fewer where they take longer than `_PROBE_SECONDS` together, but one at least.
    """
    n, seconds = arguments.train_batch_size, []
    with torch.random.fork_rng(), _in_training(model, arguments):
        for batch_number in range(1 + _N_PROBED):
            first = batch_number * n
            rows = [dataset[i % len(dataset)] for i in range(first, first + n)]
            started = time.perf_counter()
            batch = to_device(dataset.collate(rows, model), model.device)
            labels = batch.pop("labels")
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bool(arguments.bf16)):
                outputs = model(**batch, use_cache=False)
            shared_image.labelled_loss(outputs, labels).backward()
            seconds.append(time.perf_counter() - started)
            if sum(seconds[1:]) > _PROBE_SECONDS:
                break
    return statistics.median(seconds[1:])


def to_device(value, device):
    """The tensors of a nested batch (mappings and tuples) on the device."""
    if isinstance(value, dict):
        return type(value)(**{key: to_device(item, device) for key, item in value.items()})
    if isinstance(value, tuple):
        return tuple(to_device(item, device) for item in value)
    return value.to(device)


def _peak_memory_mb() -> float:
    """Peak of the device's memory, or of the whole process's on a CPU (ru_maxrss: kB on Linux, bytes on macOS)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
