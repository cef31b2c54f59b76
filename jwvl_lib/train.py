"""Supervised training on shared-image sequences.

Takes planned rows (`samples`), writes an adapter or a whole model, its log, and checkpoints while it runs. Optimiser,
schedule and mixed precision are those of transformers' `Trainer`; ours is the batch: the image once, the loss on
answers only.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from jwvl_lib import artifacts, checkpoints, preflight, shared_image, tuning
from jwvl_lib.samples import RowDataset


@dataclass(frozen=True)
class FitResult:
    """`log`: a row a log event, as in `train_log.jsonl`; `trainable`: a record a module, see `compare_trainable`."""

    log: pd.DataFrame
    trainable: list[dict]


def fit(
    model,
    train_set: RowDataset,
    val_set: RowDataset,
    arguments: TrainingArguments,
    adapter_dir: Path,
    log_path: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> FitResult:
    """Train the free weights of a model (`tuning.prepare`) on the planned rows, in their order, and save them.

    Takes up a run that was cut off, at the newest whole checkpoint of the same plan, base, settings and code under the
    arguments' `output_dir`: weights, optimiser, schedule and random state go on from there. The checkpoints are removed
    at the end.
    Validation loss (nats a supervised token, mean over batches) is logged as the arguments ask and at the end.
    Raises ValueError where tower or projector are free and the samples hold features of before, RuntimeError where a
    frozen weight changed.
    """
    preflight.check_features(model, train_set)
    before = preflight.trainable_table(model)
    key = checkpoints.run_key(train_set.rows, before, arguments)
    taken_up = checkpoints.last_whole(arguments.output_dir, key)
    log = _Log(log_path, train_set, preflight.rows_per_step(arguments), _step_of(taken_up))
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=train_set,
        eval_dataset=val_set,
        data_collator=partial(train_set.collate, model=model),
        compute_loss_func=shared_image.labelled_loss,
        callbacks=[log, checkpoints.Sealing(key), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(taken_up) if taken_up else None)
    if log.evaluated_at < trainer.state.global_step:
        trainer.evaluate()
    model.eval()
    trainable = preflight.compare_trainable(before, preflight.trainable_table(model))
    if trainer.is_world_process_zero():
        tuning.save(model, adapter_dir)
        _remove_checkpoints(Path(arguments.output_dir))
    return FitResult(pd.DataFrame(log.records), trainable)


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _remove_checkpoints(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class _Log(TrainerCallback):
    """Appends a line to the log file at every log event, so that a run can be watched; goes on after `taken_up_at`."""

    def __init__(self, path: Path, train_set: RowDataset, rows_per_step: int, taken_up_at: int = 0):
        self.path, self.rows, self.rows_per_step = Path(path), train_set.rows, rows_per_step
        self.n_samples = np.cumsum([0, *(len(row.branches) + train_set.n_replayed(row) for row in self.rows)])
        self.records = [r for r in _read_log(self.path) if r["step"] <= taken_up_at] if taken_up_at else []
        self.evaluated_at = max((r["step"] for r in self.records if r["eval_loss"] is not None), default=-1)
        self.started = time.perf_counter() - (self.records[-1]["seconds"] if self.records else 0)
        artifacts.write_text(self.path, "".join(json.dumps(record) + "\n" for record in self.records))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not {"loss", "eval_loss"} & set(logs) or not state.is_world_process_zero:
            return
        if "eval_loss" in logs:
            if state.global_step == self.evaluated_at:  # evaluated once more where a run is taken up
                return
            self.evaluated_at = state.global_step
        n_rows = min(state.global_step * self.rows_per_step, len(self.rows))
        record = {
            "step": state.global_step,
            "epoch": self.rows[max(n_rows - 1, 0)].epoch,
            "samples_seen": int(self.n_samples[n_rows]),
            "loss": logs.get("loss"),
            "eval_loss": logs.get("eval_loss"),
            "lr": logs.get("learning_rate"),
            "seconds": round(time.perf_counter() - self.started, 2),
        }
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _read_log(path: Path) -> list[dict]:
    """Whole lines of a log; the last one may be torn."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
