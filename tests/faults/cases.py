"""What the faults suite shares: the stages, the seed, the part of the cases to run, the table of counts."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import warm

from jwvl_lib import run

SEED = int(os.environ.get("JWVL_FAULTS_SEED", "20140225"))
SHARE = float(os.environ.get("JWVL_FAULTS_SHARE", "1"))
STAGES = run.select_stages("00", "07")
STARTED = time.time()


@dataclass
class Row:
    """Counts of one kind of fault in one stage; `survived`: it ended as it would have, or said in a line why not."""

    fault: str
    stage: str
    n: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    silent: int = 0


TABLE: dict[tuple[str, str], Row] = {}


def share(n: int) -> int:
    """How many cases of `n` are to be run."""
    return max(1, round(n * SHARE))


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: its folder, and for each stage the CPU seconds it took and the writes it made."""

    root: Path
    cpu_s: dict[str, float]
    n_writes: dict[str, int]

    @property
    def run_dir(self) -> Path:
        return self.root / warm.SMALL["run_id"]
