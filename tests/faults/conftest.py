"""The faults suite: what every file of it shares, and the table of counts at its end.

`JWVL_FAULTS_SEED` chooses the moments (printed), `JWVL_FAULTS_SHARE` a part of the cases (1.0 all). The table goes to
`faults.json` in `outputs/performance`, or in the folder `JWVL_RECORDS` names.
"""

import importlib
import json
import os
import random
import shutil
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "heavy"))
import warm
from cases import SEED, SHARE, STAGES, STARTED, TABLE, Row, Whole

from jwvl_lib import artifacts


@pytest.fixture(scope="session")
def row():
    """`row(fault, stage)`: the counts to add to."""
    return lambda fault, stage: TABLE.setdefault((fault, stage), Row(fault, stage))


@pytest.fixture
def rng(request):
    """Random choices of one test: of the seed and the test's name only, so that a failing one is repeated alone."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Whole:
    """The small chain, run once; what its forks imported besides is imported here then, so that later forks have it."""
    warm.preload()
    root, cpu_s, n_writes = tmp_path_factory.mktemp("whole"), {}, {}
    for stage in STAGES:
        ended = warm.fork(warm.counted(warm.stage_run(stage, root), root), root / f"{stage}.said").wait()
        assert ended.code == 0, ended.said
        counted = json.loads((root / "counted.json").read_text())
        cpu_s[stage], n_writes[stage] = ended.cpu_s, counted["n_writes"]
        for name in counted["modules"]:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001, S112 (made on the fly there, or not to be imported alone)
                continue
    return Whole(root, cpu_s, n_writes)


@pytest.fixture
def fresh(whole, tmp_path):
    """`fresh(stage)`: an outputs folder in which all stages before it stand, as links to the undisturbed run."""
    made = []

    def make(stage: str) -> Path:
        root = tmp_path / f"case{len(made)}"
        for earlier in STAGES[: STAGES.index(stage)]:
            (root / warm.SMALL["run_id"]).mkdir(parents=True, exist_ok=True)
            (root / warm.SMALL["run_id"] / earlier).symlink_to(whole.run_dir / earlier)
        root.mkdir(exist_ok=True)
        made.append(root)
        return root

    yield make
    for root in made:
        shutil.rmtree(root, ignore_errors=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


def pytest_terminal_summary(terminalreporter):
    """The table, on the screen and as JSON; written also where a case failed, with what it counted."""
    if not TABLE:
        return
    rows = [asdict(r) for r in TABLE.values()]
    folder = Path(os.environ.get("JWVL_RECORDS") or artifacts.REPO / "outputs" / "performance")
    seconds = round(time.time() - STARTED)
    cpu = os.times()
    made = {"rows": rows, "seed": SEED, "share": SHARE, "seconds": seconds, "cpu_seconds": round(sum(cpu[:4]))}
    made |= {"load": round(os.getloadavg()[0], 1), "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    artifacts.write_json(folder / "faults.json", made)
    line = "{fault:<34}{stage:<22}{n:>6}{survived:>9}{lost:>6}{doubled:>8}{silent:>7}"
    total = {name: sum(r[name] for r in rows) for name in ("n", "survived", "lost", "doubled", "silent")}
    terminalreporter.section(f"faults, seed {SEED}, {seconds} s, CPU {made['cpu_seconds']} s")
    for r in [{name: name for name in rows[0]}, *rows, {"fault": "total", "stage": "", **total}]:
        terminalreporter.write_line(line.format(**r))
    terminalreporter.write_line(f"written to {folder / 'faults.json'}")
