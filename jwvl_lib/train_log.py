"""What a training run tells while it runs: a line of `train_log.jsonl` at every event, held-out questions, early stop.

Reads and writes the log file; a run that is taken up goes on in it. `LiveCurve` draws the same in a notebook.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from transformers import TrainerCallback

from jwvl_lib import artifacts, plots, vlm
from jwvl_lib.samples import RowDataset, open_picture

log = logging.getLogger(__name__)


class TrainLog(TrainerCallback):
    """Appends a line to the log file at every log event, so that a run can be watched; goes on after `taken_up_at`.

    `watch(model)` is asked at every evaluation, and its share stands beside the validation loss as `task_accuracy`;
    `n_asked` is the number of its questions (`watch.n_asked`).
    After `patience` evaluations (0: never) without a lower validation loss than the best one the run stops.
    """

    def __init__(
        self,
        path: Path,
        train_set: RowDataset,
        rows_per_step: int,
        taken_up_at: int = 0,
        watch: Callable[..., float] | None = None,
        patience: int = 0,
    ):
        self.path, self.rows, self.rows_per_step = Path(path), train_set.rows, rows_per_step
        self.watch, self.patience = watch, patience
        seen = (sum(len(own) for _, own in row.parts) + train_set.n_replayed(row) for row in self.rows)
        self.n_samples = np.cumsum([0, *seen])
        self.records = [r for r in read_log(self.path) if r["step"] <= taken_up_at] if taken_up_at else []
        self.evaluated_at = max((r["step"] for r in self.records if r["eval_loss"] is not None), default=-1)
        self.started = time.perf_counter() - (self.records[-1]["seconds"] if self.records else 0)
        self.rewritten = False

    def on_log(self, args, state, control, logs=None, model=None, **kwargs):
        if not {"loss", "eval_loss"} & set(logs):
            return
        accuracy = None
        if "eval_loss" in logs:
            if state.global_step == self.evaluated_at:  # evaluated once more where a run is taken up
                return
            self.evaluated_at = state.global_step
            accuracy = self._watched(model)
        n_rows = min(state.global_step * self.rows_per_step, len(self.rows))
        record = {
            "step": state.global_step,
            "epoch": self.rows[max(n_rows - 1, 0)].epoch,
            "samples_seen": int(self.n_samples[n_rows]),
            "loss": logs.get("loss"),
            "eval_loss": logs.get("eval_loss"),
            "task_accuracy": accuracy,
            "n_asked": None if accuracy is None else getattr(self.watch, "n_asked", None),
            "lr": logs.get("learning_rate"),
            "seconds": round(time.perf_counter() - self.started, 2),
        }
        self.records.append(record)
        if state.is_world_process_zero:
            self._write(record)
        if stops_early([r["eval_loss"] for r in self.records if r["eval_loss"] is not None], self.patience):
            control.should_training_stop = True

    def _watched(self, model) -> float | None:
        if self.watch is None:
            return None
        was_training = model.training
        model.eval()
        accuracy = self.watch(model)
        model.train(was_training)
        return accuracy

    def _write(self, record: dict) -> None:
        if not self.rewritten:  # the lines of before, without what comes after the checkpoint
            artifacts.write_text(self.path, "".join(json.dumps(r) + "\n" for r in self.records[:-1]))
            self.rewritten = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        log.info("%s", {key: value for key, value in record.items() if value is not None})


def stops_early(losses: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` validation losses is below the best one before them; never for 0."""
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def read_log(path: Path) -> list[dict]:
    """Whole lines of a log; the last one may be torn."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def closed_questions(processor, annotations: pd.DataFrame, n: int) -> Callable[..., float] | None:
    """A measure for `TrainLog`: the share of `n` closed questions whose likeliest choice is the answer.

    The questions are spread over the annotations that offer choices (a JSON list) and are about one image; None where
    there are none or `n` is 0; its `n_asked` is how many there were. Draws no random number, so a watched run ends with
    the very weights of an unwatched one.
    """
    if n == 0 or "choices" not in annotations:
        return None
    closed = annotations.assign(choices=annotations["choices"].map(json.loads))
    closed = closed[closed["choices"].map(len) > 0]
    closed = closed[~closed["task"].isin(["multi_image", "multi_turn"])]
    if closed.empty:
        return None
    chosen = closed.iloc[np.linspace(0, len(closed) - 1, min(n, len(closed))).astype(int)]
    pictures = [open_picture(path) for path in chosen["path"]]
    asked = pictures, chosen["question"].tolist(), list(range(len(chosen))), chosen["choices"].tolist()

    def accuracy(model) -> float:
        answers = vlm.choose(model, processor, *asked)
        return float(np.mean([given == right for given, right in zip(answers, chosen["answer"], strict=True)]))

    accuracy.n_asked = len(chosen)
    return accuracy


class LiveCurve(TrainerCallback):
    """Redraws the loss curve under the running cell of a notebook at every log event."""

    def __init__(self, log: TrainLog, stamp: str):
        self.log, self.stamp, self.handle = log, stamp, None

    def on_log(self, args, state, control, **kwargs):
        if not self.log.records or not state.is_world_process_zero:
            return
        figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
        plots.plot_loss(
            ax, pd.DataFrame(self.log.records), f"{self.stamp}, step {state.global_step} of {state.max_steps}"
        )
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)
        plt.close(figure)
