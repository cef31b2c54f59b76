"""When memory or disk run out in training: what to change, in one line, and how to go on meanwhile.

Writes nothing itself; a checkpoint that could not be written whole is taken away again.
"""

import dataclasses
import gc
import logging
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import Trainer, TrainingArguments

log = logging.getLogger(__name__)
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # of a full disk: Python's, torch's and safetensors' own


class CheckpointingTrainer(Trainer):
    """transformers' `Trainer` that survives a checkpoint that cannot be written; the older one stays."""

    def floating_point_ops(self, inputs):
        """Not counted: nothing reads it, and counting the parameters anew takes 3 % of a small model's step."""
        return 0

    def _save_checkpoint(self, model, trial):
        try:
            super()._save_checkpoint(model, trial)
        except torch.OutOfMemoryError:
            raise
        except WRITE_ERRORS as error:
            if self.args.world_size > 1:  # the other processes wait for this one
                raise
            abandon(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", error)


def abandon(folder: Path, error: Exception) -> None:
    """Take away a checkpoint that was not written whole, and say in one line what to do."""
    shutil.rmtree(folder, ignore_errors=True)
    log.warning(
        "%s could not be written (%s): training goes on and the older checkpoint stays; free disk space under %s, or "
        "set checkpoint_every higher",
        folder.name,
        one_line(error),
        folder.parent,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host under torch's CPU allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def smaller(arguments: TrainingArguments, error: BaseException, evaluating: bool = False) -> TrainingArguments:
    """The same global batch in smaller parts: fewer rows at once, accumulated over more passes.

    Where memory ran out while `evaluating`, fewer rows are evaluated at once, and the training's parts stay.
    Raises MemoryError, in one line, where a part is one row already or several processes would have to agree.
    """
    at_once = arguments.per_device_eval_batch_size if evaluating else arguments.per_device_train_batch_size
    if at_once == 1 or arguments.world_size > 1:
        raise MemoryError(_advice(at_once, error, evaluating))
    if evaluating:
        fewer = at_once // 2
        log.warning(
            "out of memory in evaluation with %d rows at once: goes on with %d; the training stays as it is, the "
            "validation loss, a mean over batches, may move a little",
            at_once,
            fewer,
        )
        return dataclasses.replace(arguments, per_device_eval_batch_size=fewer)
    fewer = max(n for n in range(1, at_once) if at_once % n == 0)
    log.warning("out of memory with %d rows at once: goes on with %d, the global batch stays", at_once, fewer)
    return dataclasses.replace(
        arguments,
        per_device_train_batch_size=fewer,
        per_device_eval_batch_size=min(fewer, arguments.per_device_eval_batch_size),
        gradient_accumulation_steps=arguments.gradient_accumulation_steps * at_once // fewer,
    )


def _advice(at_once: int, error: BaseException, evaluating: bool) -> str:
    """What to change where rows are not parted further, and nothing that cannot be changed or would not help."""
    if evaluating:  # the closed questions asked meanwhile are as many as the validation images
        remedies = ["per_device_eval_batch_size lower"] if at_once > 1 else []
        remedies += ["n_validation_images or max_tokens lower", "dtype: bfloat16"]
    else:
        remedies = ["images_at_once lower"] if at_once > 1 else []
        remedies += ["gradient_checkpointing: true", "branches_per_image or max_tokens lower", "dtype: bfloat16"]
    where = "evaluation" if evaluating else "training"
    told = f"out of memory in {where} with {at_once} row(s) at once ({one_line(error)})"
    return f"{told}: set {', '.join(remedies)}, or method: qlora"


def free_weights(model) -> dict[str, torch.Tensor]:
    """Copies of the weights that training moves, on the CPU."""
    return {name: p.detach().to("cpu", copy=True) for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def restore(model, weights: dict[str, torch.Tensor]) -> None:
    """Put the copies back, drop gradients and what the device holds of the failed step."""
    for name, parameter in model.named_parameters():
        if name in weights:
            parameter.copy_(weights[name])
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def one_line(error: BaseException) -> str:
    """An error's type and message without line breaks, at most 160 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
