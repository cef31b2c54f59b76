"""Supervised training on shared-image sequences.

Takes planned rows (`samples`), writes an adapter or a whole model, its log, and checkpoints while it runs. Optimiser,
schedule and mixed precision are those of transformers' `Trainer`; ours is the batch: the image once, the loss on
answers only.
"""

import copy
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from jwvl_lib import chat_tokens, checkpoints, preflight, recovery, shared_image, tuning
from jwvl_lib.samples import RowDataset
from jwvl_lib.train_log import LiveCurve, TrainLog


@dataclass(frozen=True)
class FitResult:
    """`log`: a row a log event, as in `train_log.jsonl`; `trainable`: a record a module, see `compare_trainable`."""

    log: pd.DataFrame
    trainable: list[dict]


def batch_sizes(images_per_step: int, images_at_once: int = 0) -> dict[str, int]:
    """Arguments of `TrainingArguments` for a global batch of `images_per_step` rows, over all processes.

    `images_at_once` rows pass through a device together (0: as many as the batch gives it), the rest is accumulated.
    Raises ValueError where the batch cannot be parted so.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", 1))
    at_once = images_at_once or images_per_step // n_processes
    if not at_once or images_per_step % (at_once * n_processes):
        raise ValueError(
            f"images_per_step {images_per_step}: no multiple of {at_once} rows at once on {n_processes} process(es); "
            "change images_per_step or images_at_once"
        )
    parts = images_per_step // (at_once * n_processes)
    return {"per_device_train_batch_size": at_once, "gradient_accumulation_steps": parts}


def fit(
    model,
    train_set: RowDataset,
    val_set: RowDataset,
    arguments: TrainingArguments,
    adapter_dir: Path,
    log_path: Path,
    callbacks: Sequence[TrainerCallback] = (),
    watch: Callable[..., float] | None = None,
    patience: int = 0,
    live: str = "",
    length_exponent: float = 0.0,
    vision_learning_rate: float = 0.0,
) -> FitResult:
    """Train the free weights of a model (`tuning.prepare`) on the planned rows, in their order, and save them.

    Takes up a run that was cut off, at the newest whole checkpoint of the same plan, data, base, adapter, settings and
    code under the arguments' `output_dir`: weights, optimiser, schedule and random state go on from there, and it
    evaluates at the steps of an undisturbed run alone. The checkpoints are removed at the end. Where memory runs out,
    the batch is parted and the run taken up again, with the same global batch.
    Validation loss (nats a supervised token, mean over batches) is logged as the arguments ask and at the end; `watch`
    and `patience` see `TrainLog`; `live`, a title, draws the curve under the cell; `length_exponent` weighs answers in
    the training loss, see `shared_image.statement_weights`; `vision_learning_rate` is the peak rate of tower and
    projector, where they are free (0: that of the rest).
    Raises ValueError where tower or projector are free and the samples hold features of before, RuntimeError where a
    frozen weight changed, MemoryError and OSError with the remedy where memory or disk do not suffice.
    """
    preflight.check_features(model, train_set)
    before, weights = preflight.trainable_table(model), recovery.free_weights(model)
    further = {"length_exponent": length_exponent, "vision_learning_rate": vision_learning_rate}
    key = checkpoints.run_key(model, train_set, before, arguments, **further)
    stops = chat_tokens.stops(train_set.processor) if length_exponent else ()  # of a large vocabulary it takes a while
    loss = partial(shared_image.labelled_loss, length_exponent=length_exponent, stops=stops)
    while True:
        taken_up = checkpoints.last_whole(arguments.output_dir, key)
        n_rows = preflight.rows_per_step(arguments)
        log = TrainLog(log_path, train_set, n_rows, _step_of(taken_up), watch, patience)
        curve = [LiveCurve(log, live)] if live else []
        told = [log, checkpoints.Sealing(key), *curve, *callbacks]
        chosen = _going_on(arguments) if taken_up else arguments
        trainer = _trainer(model, chosen, train_set, val_set, loss, told, vision_learning_rate)
        try:
            trainer.train(resume_from_checkpoint=str(taken_up) if taken_up else None)
            if log.evaluated_at < trainer.state.global_step:
                trainer.evaluate()
            break
        except RuntimeError as error:
            if not recovery.is_out_of_memory(error):
                raise
            arguments = recovery.smaller(arguments, error, evaluating=not model.training)
        del trainer
        recovery.restore(model, weights)
    model.eval()
    trainable = preflight.compare_trainable(before, preflight.trainable_table(model))
    _save(trainer, model, Path(adapter_dir))
    return FitResult(pd.DataFrame(log.records), trainable)


class VisionRateTrainer(recovery.CheckpointingTrainer):
    """Tower and projector may learn at a rate of their own: they know how to see, the decoder learns new words."""

    vision_learning_rate = 0.0  # peak; 0: that of the rest

    def create_optimizer(self, model=None):
        optimizer = super().create_optimizer(model)
        named = (self.model if model is None else model).named_parameters()
        sees = {id(p) for name, p in named if tuning.is_tower(name) or tuning.is_projector(name)}
        for group in list(optimizer.param_groups) if self.vision_learning_rate else ():
            vision = [p for p in group["params"] if id(p) in sees]
            group["params"] = [p for p in group["params"] if id(p) not in sees]
            optimizer.add_param_group({**group, "params": vision, "lr": self.vision_learning_rate})
        return optimizer


def _going_on(arguments: TrainingArguments) -> TrainingArguments:
    """A copy without the evaluation at the start: a checkpoint's step is rarely one at which the run evaluates.

    No `dataclasses.replace`, which would set up the device, and with it the other processes, once more.
    """
    changed = copy.copy(arguments)
    changed.eval_on_start = False
    return changed


def _trainer(
    model, arguments, train_set: RowDataset, val_set: RowDataset, loss: Callable, callbacks: list, vision_rate: float
) -> VisionRateTrainer:
    trainer = VisionRateTrainer(
        model=model,
        args=arguments,
        train_dataset=train_set,
        eval_dataset=val_set,
        data_collator=partial(train_set.collate, model=model),
        compute_loss_func=loss,
        callbacks=callbacks,
    )
    trainer.vision_learning_rate = vision_rate
    trainer.remove_callback(PrinterCallback)
    return trainer


def _save(trainer, model, adapter_dir: Path) -> None:
    """Write the weights, whole again where they were sharded over processes, then take the checkpoints away."""
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    if trainer.is_world_process_zero():
        try:
            tuning.save(model, adapter_dir, state)
        except recovery.WRITE_ERRORS as error:
            raise OSError(
                f"{adapter_dir} could not be written ({recovery.one_line(error)}): free disk space and run again; "
                "training goes on from its newest checkpoint"
            ) from None
        _remove_checkpoints(Path(trainer.args.output_dir))
    trainer.accelerator.wait_for_everyone()


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _remove_checkpoints(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
