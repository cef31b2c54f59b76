"""The general task before and after the tuning of a finished run, with more questions than its benchmark asks.

Needs a finished run (`JWVL_TESTED_RUN`, or outputs/tiny); three minutes of one core. The benchmark's 240 questions
tell nothing finer than .03, these a hundredth; their seed is neither the replay's nor the benchmark's.
"""

import os
from pathlib import Path

import pytest

from jwvl_lib import artifacts, general_task, tiny_base, vlm

RUN = Path(os.environ.get("JWVL_TESTED_RUN") or artifacts.REPO / "outputs" / "tiny")
N_QUESTIONS, SEED = 1600, 77_000_001

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (RUN / "04_training" / "adapter").is_dir(), reason=f"{RUN}: no finished run; see the docstring"
    ),
]


def test_little_of_the_general_task_is_forgotten(record):
    items, processor = general_task.make_items(N_QUESTIONS, SEED), vlm.load_processor(tiny_base.FOLDER)
    models = [vlm.load_model(tiny_base.FOLDER, adapter_dir=a) for a in ("", RUN / "04_training" / "adapter")]
    before, after = (tiny_base.evaluate(model, processor, items).correct.astype(float) for model in models)
    lost = before - after
    error = lost.std() / N_QUESTIONS**0.5
    note = f"{before.mean():.3f} before, {after.mean():.3f} after, paired; standard error {error:.3f}"
    print(f"\nforgetting: {lost.mean():+.4f}, {note}, n = {N_QUESTIONS}")
    record("forgetting", lost.mean(), 0.01, N_QUESTIONS, note=note)
    assert lost.mean() <= 0.01
