"""Process seconds of each training step, taken the same way on both sides of `test_training_speed.py`.

Imported by the peer's Python too, which lacks this project: transformers alone.
"""

import time

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """A step lasts from its batch's assembly to the optimiser."""

    def __init__(self):
        self.stamps = []

    def on_train_begin(self, *_, **__):
        self.stamps.append(time.process_time())

    def on_step_end(self, *_, **__):
        self.stamps.append(time.process_time())

    @property
    def seconds(self):
        return [b - a for a, b in zip(self.stamps, self.stamps[1:], strict=False)]
