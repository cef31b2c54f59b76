"""Stages run by a fork of this process, which has imported everything: a run costs its work and no second more.

What runs is `jwvl_lib.run.run_chain` itself: parameters, manifests, the reason to run or to skip. Two things are put
aside. Papermill's kernel, which takes seconds to start: the code cells of the notebook are executed one after another
in the fork (`run_cells`). And what a manifest says of the house, which takes a second to find out and is the same for
all forks: the hash of the code, the versions of the packages, the commit.
"""

import contextlib
import functools
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jwvl_lib import artifacts, run
from jwvl_lib.parameters import code_cells

LIMIT_S = 300  # of CPU, for one run: nothing here may hang
# the chain as small as its cells allow: 6 days, 4 steps of training, a checkpoint each, 2 images asked about
SMALL = {
    "run_id": "faults", "profile": "smoke", "n_eval": 12, "sources": "simulated", "n_simulated_days": 6,
    "n_activity_frames": 2, "max_steps": 4, "checkpoint_every": 1, "n_validation_images": 4,
    "max_images": 2, "n_general": 4, "n_bootstrap": 10, "solar_images": 1, "solar_shuffles": 1, "baselines": "",
    "max_new_tokens": 16, "picture_questions": "Describe the image.",
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a fork ended: its exit status, or the signal (negative), the CPU seconds it took, what it said."""

    code: int
    cpu_s: float
    said: str

    @property
    def errors(self) -> list[str]:
        """The lines by which a run says that it failed."""
        return [line for line in self.said.splitlines() if line.startswith("error:")]


def preload() -> None:
    """Import what the stages import, once: the forks have it."""
    for stage in run.all_stages():
        for source, _ in code_cells(stage):
            for line in re.findall(r"^(?:from|import) .*?(?:\([^)]*\)|$)", source, re.M | re.S):
                with contextlib.suppress(ImportError):
                    exec(line, {})  # noqa: S102
    for name in ("_package_versions", "_git_commit", "code_sha256"):
        setattr(artifacts, name, functools.cache(getattr(artifacts, name)))
    artifacts._package_versions()
    artifacts._git_commit()
    for stage in run.all_stages():
        artifacts.code_sha256(stage)


def run_cells(notebook, unfinished, parameters, **_) -> None:
    """What papermill does for a stage, in this process: `papermill.execute_notebook` is put in its place."""
    Path(unfinished).write_text("{}")
    namespace = {"__name__": "__main__", "display": lambda *_: None}
    for source, tags in code_cells(Path(notebook).stem):
        lines = [line for line in source.splitlines() if not line.startswith("%")]
        exec(compile("\n".join(lines), f"{Path(notebook).stem}", "exec"), namespace)  # noqa: S102
        if "parameters" in tags:
            namespace.update(parameters)


def stage_run(stage: str, root: Path, **changed) -> Callable[[], int]:
    """The work of a fork: `stage` of the run under `root`, skipped where it is done, with the small parameters."""

    def work() -> int:
        values = {**SMALL, "outputs_dir": str(root), **changed}
        rows = run.run_chain([stage], values)
        for row in rows:
            print(row["state"])
            if row["state"] == "failed":
                print(f"error: {row['stage']}: {row['why']}")
        return int(any(row["state"] == "failed" for row in rows))

    return work


class Writes:
    """Counts what a process is about to write under a folder: files opened, renamed or removed, databases opened."""

    EVENTS = ("os.rename", "os.remove", "os.mkdir", "sqlite3.connect")

    def __init__(self, root: Path, at: int = 0, act: Callable[[], None] = lambda: None):
        self.root, self.at, self.act, self.n = str(root), at, act, 0
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        writes = event in self.EVENTS or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        if writes and str(arguments[0]).startswith(self.root):
            self.n += 1
            if self.n == self.at:
                self.act()


def counted(work: Callable[[], int], root: Path) -> Callable[[], int]:
    """The work, and at its end `counted.json`: how often it wrote, and the modules it had imported."""

    def counting() -> int:
        writes = Writes(root / SMALL["run_id"])
        code = work()
        told = {"n_writes": writes.n, "modules": sorted(name for name in sys.modules if name != "__main__")}
        (root / "counted.json").write_text(json.dumps(told))
        return code

    return counting


def struck_at_write(work: Callable[[], int], root: Path, n: int) -> Callable[[], int]:
    """The work, whose process group gets SIGKILL just before its n-th write."""

    def struck() -> int:
        Writes(root / SMALL["run_id"], n, lambda: os.killpg(os.getpgid(0), signal.SIGKILL))
        return work()

    return struck


@dataclass
class Fork:
    """A process of one's own group, so that its workers die with it."""

    pid: int
    said: Path
    result: Ended | None = None

    def cpu_s(self) -> float:
        """CPU seconds of it and of its children, so far; infinite once it has ended."""
        total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
        for pid in _group(self.pid):
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / ticks
        return total

    def ended(self) -> bool:
        """Whether it has, without waiting for it."""
        if self.result is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._note(status, usage)
        return self.result is not None

    def kill(self) -> Ended:
        """SIGKILL to it and to every process it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> Ended:
        """Until it has ended."""
        if self.result is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._note(status, usage)
        return self.result

    def _note(self, status: int, usage) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # workers of a process that is no more
        said = self.said.read_text(errors="replace") if self.said.exists() else ""
        self.result = Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, said)


def _group(leader: int) -> list[int]:
    found = [leader]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def fork(work: Callable[[], int], said: Path) -> Fork:
    """Start `work` in a fork; its exit status is what `work` returns, 1 and a line `error: …` where it raises."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Fork(pid, said)
    code = 1
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))  # forks have forks
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _in_child(work)
    finally:
        os._exit(code)


def _in_child(work: Callable[[], int]) -> int:
    import logging
    import warnings

    import matplotlib
    import papermill

    matplotlib.use("agg")
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr, force=True)
    papermill.execute_notebook = run_cells
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BaseException as error:
        import traceback

        traceback.print_exc()
        print(f"error: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        return 1
