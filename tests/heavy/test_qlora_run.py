"""QLoRA beside LoRA: a finished run's training once more on a decoder held in 4 bits, and both asked the same items.

Needs a finished run (`JWVL_TESTED_RUN`, or outputs/tiny). The twin is the variant `qlora` of params/recipes.yaml and
stands in `<run>-recipes/` afterwards; half an hour of one core.
"""

import os
from pathlib import Path

import pytest

from jwvl_lib import artifacts, recipes, recipes_measures

RUN = Path(os.environ.get("JWVL_TESTED_RUN") or artifacts.REPO / "outputs" / "tiny")
MEASURES = ("questions", "banner", "general")
N_GENERAL = 2400  # of the general task: 240 questions, as the benchmark asks, tell nothing finer than .03
MAX_IMAGES = 240  # twice the benchmark's, whose 720 questions tell nothing finer than .01

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (RUN / "05_benchmark" / "metrics.json").is_file(), reason=f"{RUN}: no finished run; see the docstring"
    ),
]


def test_four_bits_lose_nothing(record):
    of_the_run = ["-p", "run_id", RUN.name, "-p", "outputs_dir", str(RUN.parent)]
    asked = ["-p", "n_general", str(N_GENERAL), "-p", "max_images", str(MAX_IMAGES), "--only", "workshop,qlora"]
    assert recipes.main(["-f", "params/tiny.yaml", *of_the_run, *asked]) == 0
    folder = RUN.with_name(f"{RUN.name}-recipes")
    found = {name: recipes_measures.measured(folder / name) for name in ("workshop", "qlora")}
    differences = {name: recipes_measures.compare(name, "qlora", "workshop", found) for name in MEASURES}
    note = "; ".join(
        f"{name} {d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}], n = {d['n']}" for name, d in differences.items()
    )
    print(f"\nQLoRA minus LoRA, paired: {note}")
    largest = max(abs(d["value"]) for d in differences.values())
    record("qlora", largest, 0.01, sum(d["n"] for d in differences.values()), note=note)
    assert largest <= 0.01
