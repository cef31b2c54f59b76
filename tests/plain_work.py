"""Small functions for tests/test_workers.py: a process that is to run one imports this file and nothing heavy."""

import os
import signal
import time
from pathlib import Path


def odd_ones_fail(n: int) -> int:
    if n % 2:
        raise KeyError(f"no such\nnumber: {n}")
    return n * n


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def deadly(n: int, folder: str, always: bool = False) -> int:
    """The seventh kills its process: the first time, or always."""
    mark = Path(folder) / "died"
    if n == 7 and (always or not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def unsendable(n: int) -> object:
    return (lambda: n) if n == 1 else n
