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
from transformers import TrainerCallback, TrainingArguments

from jwvl_lib import artifacts, preflight, recovery
from jwvl_lib.samples import Row

log = logging.getLogger(__name__)
SEAL = "sealed.json"
# settings that change what a step computes; the others (logging, paths) may differ between a run and its continuation
_DECISIVE = (
    "max_steps learning_rate weight_decay lr_scheduler_type warmup_steps optim bf16 seed max_grad_norm "
    "adam_beta1 adam_beta2 adam_epsilon"
).split()


def run_key(rows: Sequence[Row], trainable: Sequence[dict], arguments: TrainingArguments, **further: float) -> str:
    """What a continuation must share with the run it continues: plan, frozen weights, settings and code, hashed.

    `further` are settings of `train.fit` that the arguments do not hold.
    Of the batch its size over all processes counts, not how it is parted: a run that ran out of memory goes on smaller.
    """
    settings = {name: str(getattr(arguments, name)) for name in _DECISIVE}
    settings |= further
    settings["rows_per_step"] = preflight.rows_per_step(arguments)
    code = artifacts.code_sha256("04_training")
    key = json.dumps([repr(rows), trainable, settings, arguments.world_size, code], sort_keys=True, default=str)
    return hashlib.sha256(key.encode()).hexdigest()


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
        return "it belongs to a run with another plan, base or settings"
    return None if files == _hashes(path) else "its files are not those that were sealed"


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SEAL)
    return {str(p.relative_to(folder)): artifacts.sha256(p) for p in files}
