"""Checkpoints that are whole or do not count: each is sealed with the hashes of its files when it has been written.

Reads and writes `checkpoint-<step>/sealed.json` beside the files of transformers' `Trainer`.
"""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import TrainerCallback, TrainingArguments

from jwvl_lib import artifacts, preflight, recovery
from jwvl_lib.samples import RowDataset, Sample

log = logging.getLogger(__name__)
SEAL = "sealed.json"
# settings that change what a step computes; the others (logging, paths) may differ between a run and its continuation
_DECISIVE = (
    "max_steps learning_rate weight_decay lr_scheduler_type warmup_steps optim bf16 seed max_grad_norm "
    "adam_beta1 adam_beta2 adam_epsilon"
).split()


def run_key(
    model, train_set: RowDataset, trainable: Sequence[dict], arguments: TrainingArguments, **further: float
) -> str:
    """What a continuation must share with the run it continues: plan, data, weights, adapter, settings and code.

    The weights that training moves count as they stand before its first step: after another alignment they are others.
    `trainable` is `preflight.trainable_table(model)`, taken before a step moved a weight; `further` are settings of
    `train.fit` that the arguments do not hold.
    Of the batch its size over all processes counts, not how it is parted: a run that ran out of memory goes on smaller.
    """
    settings = {name: str(getattr(arguments, name)) for name in _DECISIVE}
    settings |= further
    settings |= {"rows_per_step": preflight.rows_per_step(arguments), "shared": train_set.shared}
    code = artifacts.code_sha256("04_training")
    free = preflight.weights_sha256([p for _, p in sorted(model.named_parameters()) if p.requires_grad])
    parts = [repr(train_set.rows), _content_sha256(train_set), _adaptation(model), trainable, free, settings]
    key = json.dumps([*parts, arguments.world_size, code], sort_keys=True, default=_plain)
    return hashlib.sha256(key.encode()).hexdigest()


def _content_sha256(train_set: RowDataset) -> str:
    """Of the words and pictures of all samples and of how pictures become patches; some 0.3 ms a sample of 168 px.

    Not of the samples' features: frozen weights, which the key holds, make them of the pictures, and their last bits
    differ between processors, where a run may go on.
    """
    digest = hashlib.sha256(train_set.processor.image_processor.to_json_string().encode())
    digest.update(str(len(train_set.samples)).encode())
    for sample in (*train_set.samples, *train_set.replay):
        _add_sample(digest, sample)
    return digest.hexdigest()


def _add_sample(digest, sample: Sample) -> None:
    """Its pictures, its token ids, and what says where they part and which of them are supervised."""
    parts = [(len(b.input_ids), b.n_question, b.later_prompts) for b in sample.branches]
    digest.update(repr([len(sample.prefix_ids), parts, [_picture_sha256(i) for i in sample.images]]).encode())
    digest.update(torch.cat([sample.prefix_ids, *(b.input_ids for b in sample.branches)]).cpu().numpy().tobytes())


def _picture_sha256(image: Image.Image | str) -> str:
    """Of a picture its pixels, of a path its file, which was read whole anyway when the samples were prepared."""
    if not isinstance(image, Image.Image):
        return artifacts.sha256(image)
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


def _adaptation(model) -> dict:
    """PEFT's configurations (rank, scale, dropout, words, ...); of a whole model, whose weights are free, its name."""
    if adapters := getattr(model, "peft_config", None):
        return {name: config.to_dict() for name, config in adapters.items()}
    return {"whole": model.name_or_path}


def _plain(value: object) -> object:
    """For JSON: a set in order, since Python shuffles it anew in every process; anything else as text."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


class Sealing(TrainerCallback):
    """Seals every checkpoint after its last file, of every process, is on disk."""

    def __init__(self, key: str):
        self.key = key

    def on_save(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero and folder.is_dir():
            try:
                seal(folder, self.key)
            except OSError as error:
                recovery.abandon(folder, error)


def seal(folder: Path, key: str) -> None:
    """Write the seal of a checkpoint folder: the run's key and the sha256 of every file."""
    artifacts.write_json(folder / SEAL, {"key": key, "files": _hashes(folder)})


def last_whole(folder: str | Path, key: str) -> Path | None:
    """The newest checkpoint of the run `key` under `folder` whose files are as they were sealed; None without one.

    A torn, unsealed or foreign checkpoint is passed over, and the log says why.
    """
    found = [(int(m[1]), path) for path in Path(folder).glob("checkpoint-*") if (m := re.search(r"-(\d+)$", path.name))]
    for _, path in sorted(found, reverse=True):
        reason = _fault(path, key)
        if reason is None:
            return path
        log.warning("%s is passed over: %s", path, reason)
    return None


def _fault(path: Path, key: str) -> str | None:
    try:
        sealed = json.loads((path / SEAL).read_text(encoding="utf-8"))
        files, of_run = sealed["files"], sealed["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return "no whole seal, it was cut off while being written"
    if of_run != key:
        return "it belongs to a run with other data or another plan, base, adapter or settings"
    return None if files == _hashes(path) else "its files are not those that were sealed"


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    return {str(p.relative_to(folder)): artifacts.sha256(p) for p in files}
