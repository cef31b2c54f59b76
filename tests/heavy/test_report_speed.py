"""Bars of the daily report's speed: a day at most 3 s without a model and 15 s with the tiny one, a year at most 5 min.

CPU times, so that a busy machine changes little; wall times are printed beside them and mean something on a quiet
machine of two cores only (`make test-heavy` there, or this file alone: about two minutes).
"""

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy
REPO = Path(__file__).resolve().parents[2]
DAY_S, DAY_WITH_MODEL_S, YEAR_S, CORES = 3, 15, 300, 2
# one thread; compiled modules are kept, as they are wherever nothing forbids it
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"OMP_NUM_THREADS": "1"}


def _timed(*arguments: str) -> tuple[float, float, str]:
    """CPU and wall seconds of a Python command with its children, and what it said."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout + done.stderr


def _report(archive, out, start: str, end: str) -> tuple[float, float, str]:
    command = ["-m", "jwvl_lib.report_archive", start, end, "--swpc-dir", str(archive), "--out", str(out)]
    return _timed(*command, "--workers", str(CORES if start != end else 1))


def test_a_day_without_a_model(archive, tmp_path, record):
    found = [_report(archive, tmp_path / str(i), "2014-10-24", "2014-10-24")[:2] for i in range(3)]
    cpu, wall = (sorted(times)[1] for times in zip(*found, strict=True))
    print(f"\na day without a model, imports among it: {cpu:.2f} s CPU, {wall:.2f} s wall (median of 3; bar {DAY_S} s)")
    record("day", cpu, DAY_S, 3, note=f"CPU seconds, imports among it; wall {wall:.1f} s")
    assert cpu <= DAY_S


def test_a_year_without_a_model(archive, tmp_path, record):
    cpu, wall, said = _report(archive, tmp_path / "reports", "2014-01-01", "2014-12-31")
    print(f"\na year without a model on {CORES} processes: {cpu:.0f} s CPU, {wall:.0f} s wall (bar {YEAR_S} s)")
    assert re.search(r"365 made, 0 kept, 0 failed", said)
    record("year", cpu / CORES, YEAR_S, 365, note=f"CPU seconds of {CORES} processes / {CORES}; wall {wall:.0f} s")
    assert cpu / CORES <= YEAR_S
    again, wall, said = _report(archive, tmp_path / "reports", "2014-01-01", "2014-12-31")
    print(f"the same year found made: {again:.0f} s CPU, {wall:.0f} s wall")
    assert re.search(r"0 made, 365 kept, 0 failed", said)
    assert again < cpu / 2


WITH_MODEL = """
import sys
from jwvl_lib import report, report_model, report_sources
day, swpc_dir, image_dir, out = sys.argv[1:]
sources = [*report.gather(day, swpc_dir), *report_sources.image_sources(image_dir)]
facts = report.compose(sources, day)
seen = report_model.look(facts, sources, "models/tiny_base")
made = report.compose(sources, day, model="models/tiny_base", model_claims=seen.sentences)
report.write(made, sources, out)
print(len(seen.answers), "answers,", seen.tokens_out, "tokens")
"""


def test_a_day_with_the_tiny_model(archive, shared_data, tmp_path, record):
    """Two pictures of the day, six questions each."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    for path in sorted((shared_data / "rendered_png").rglob("*.png"))[:2]:
        Image.open(path).convert("RGB").resize((168, 168)).save(tmp_path / "images" / path.name)
    places = [str(archive), str(tmp_path / "images"), str(tmp_path / "out")]
    cpu, wall, said = _timed("-c", WITH_MODEL, "2014-10-24", *places)
    print(f"\na day with the tiny model: {cpu:.1f} s CPU, {wall:.1f} s wall, {said.strip()} (bar {DAY_WITH_MODEL_S} s)")
    assert "12 answers" in said
    record("day_model", cpu, DAY_WITH_MODEL_S, 1, note=f"CPU seconds, 12 answers, imports among it; wall {wall:.1f} s")
    assert cpu <= DAY_WITH_MODEL_S
