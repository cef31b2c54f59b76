"""Run the numbered notebooks headlessly: papermill, a parameter file, and the manifests to say what is done.

    python -m jwvl_lib.run -f params/tiny.yaml [-p name value] [--from 02] [--to 05] [--force]

Reads `params/*.yaml` and `notebooks/*.ipynb`; writes, through the notebooks, `outputs/<run_id>/<stage>/` and the
executed copy `notebook.ipynb` beside each stage's files. A stage whose inputs, parameters and code are unchanged is
skipped. Exit status 0 when every stage stands, 1 when one failed, 2 for unusable arguments.
"""

import argparse
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from jwvl_lib.artifacts import REPO, MissingArtifactError, outputs_root, read_manifest, resolve, stale_reason, sweep
from jwvl_lib.parameters import (
    NOTEBOOKS,
    ParameterError,
    Scalar,
    check_names,
    given,
    read_parameter_file,
    stage_parameters,
)

LAST_OF_CHAIN = "08"
CELL_TIMEOUT_S = 3 * 3600
WHERE_TO_LOOK = {
    "corpus table": "01_corpus_curation/corpus.parquet",
    "reviewed annotations": "03_review/accepted.parquet",
    "adapter": "04_training/adapter",
    "benchmark table (base against tuned)": "05_benchmark/table.md",
    "daily report": "06_daily_report/*/report.html",
    "chat (make chat opens the page)": "07_chat/transcript.json",
}

log = logging.getLogger("jwvl")


class StageFailed(RuntimeError):
    """A notebook stopped before its manifest was written."""


def all_stages() -> list[str]:
    """The numbered notebooks, in order."""
    return sorted(p.stem for p in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def select_stages(first: str, last: str) -> list[str]:
    """Stages from `first` to `last`, each given by its number or full name, both included."""
    known = all_stages()
    for option, name in (("--from", first), ("--to", last)):
        if name not in known and name not in [s[:2] for s in known]:
            raise ParameterError(f"unknown stage {option} {name!r}; stages: {', '.join(known)}")
    chosen = [s for s in known if first[:2] <= s[:2] <= last[:2]]
    if not chosen:
        raise ParameterError(f"no stage between --from {first} and --to {last}; stages: {', '.join(known)}")
    return chosen


def run_stage(stage: str, parameters: Mapping[str, Scalar]) -> None:
    """Execute one notebook; StageFailed, in one line, where it raised, its kernel died or another run is at work there.

    The manifest decides, not papermill's metadata: that calls the cells of a killed kernel completed.
    """
    folder = outputs_root(parameters["outputs_dir"]) / str(parameters["run_id"]) / stage
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise StageFailed(f"{folder} cannot be made ({error.strerror}); choose another outputs_dir") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it goes with the process, however that ends
        except BlockingIOError:
            raise StageFailed(f"another run is at work in {folder}; wait for it, or choose another run_id") from None
        _execute(stage, folder, parameters)


def _execute(stage: str, folder: Path, parameters: Mapping[str, Scalar]) -> None:
    unfinished, executed = folder / ".notebook.running.ipynb", folder / "notebook.ipynb"
    (folder / "manifest.json").unlink(missing_ok=True)
    sweep(folder)  # else it would be counted to the outputs
    try:
        papermill.execute_notebook(
            NOTEBOOKS / f"{stage}.ipynb",
            unfinished,
            parameters=dict(parameters),
            kernel_name="python3",
            cwd=REPO,
            progress_bar=bool(parameters.get("progress")),
            start_timeout=180,
            execution_timeout=CELL_TIMEOUT_S,
            extra_arguments=["--log-level=40"],  # ipykernel warns that loopback TCP is not encrypted
        )
    except PapermillExecutionError as error:
        os.replace(unfinished, executed)
        raise StageFailed(f"{error.ename}: {_one_line(error.evalue)} (see {executed})") from None
    except Exception as error:
        # nbclient's DeadKernelError and CellTimeoutError, and whatever a full disk makes of the notebook
        raise StageFailed(f"{type(error).__name__}: {_one_line(str(error))}; run again, it takes up here") from None
    os.replace(unfinished, executed)
    if read_manifest(folder) is None:
        raise StageFailed(f"notebook ended without writing {folder / 'manifest.json'} (see {executed})")


def run_chain(stages: Sequence[str], values: Mapping[str, Scalar], force: bool = False) -> list[dict]:
    """Run or skip each stage in order. Returns a row a stage: stage, state, seconds, why, wrote.

    All parameters are checked before the first cell runs. Stops at the first failure; its row says why.
    """
    parameters = {stage: stage_parameters(stage, values) for stage in stages}
    rows = []
    for stage in stages:
        run_dir = outputs_root(parameters[stage]["outputs_dir"]) / str(parameters[stage]["run_id"])
        reason = "forced" if force else stale_reason(run_dir, stage, parameters[stage])
        row = {"stage": stage, "state": "skipped", "seconds": 0.0, "why": reason or "unchanged", "wrote": ""}
        rows.append(row)
        started = time.monotonic()
        if reason:
            log.info("%s: running (%s)", stage, reason)
            row["state"] = "done"
            try:
                run_stage(stage, parameters[stage])
            except StageFailed as error:
                row |= {"state": "failed", "why": str(error)}
        else:
            log.info("%s: skipped, inputs, parameters and code unchanged", stage)
        row["seconds"] = time.monotonic() - started
        if row["state"] == "failed":
            break
        row["wrote"] = _written(read_manifest(run_dir / stage))
    return rows


def summary(rows: Sequence[Mapping]) -> str:
    """The table printed at the end, a line a stage."""
    lines = [f"{'stage':<22}{'state':<9}{'seconds':>8}  wrote"]
    lines += [f"{r['stage']:<22}{r['state']:<9}{r['seconds']:>8.1f}  {r['wrote'] or r['why']}" for r in rows]
    return "\n".join([*lines, f"{'total':<31}{sum(r['seconds'] for r in rows):>8.1f}"])


def where_to_look(run_dir: Path) -> str:
    """Paths a person opens first, those that exist."""
    found = [(name, path) for name, pattern in WHERE_TO_LOOK.items() for path in sorted(run_dir.glob(pattern))]
    return "\n".join(f"{name + ':':<38}{path}" for name, path in found)


def _written(manifest: Mapping) -> str:
    def size(output: Mapping) -> str:
        if "n_records" in output:
            return f" ({output['n_records']})"
        return f" ({output['n_files']} files)" if "n_files" in output else ""

    return ", ".join(o["path"] + size(o) for o in manifest["outputs"])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.run", description=__doc__.partition("\n")[0])
    parser.add_argument("-f", "--file", default="params/tiny.yaml", help="flat YAML of parameters")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--from", dest="first", default="00", help="first stage, number or name")
    parser.add_argument("--to", dest="last", default=LAST_OF_CHAIN, help="last stage, number or name")
    parser.add_argument("--force", action="store_true", help="run stages even where nothing changed")
    return parser.parse_args(arguments)


def tell_progress() -> None:
    """Log what a run does, a line a stage, and of the libraries warnings alone."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    logging.getLogger("papermill").setLevel(logging.ERROR)


def read_values(file: str, pairs: Iterable[tuple[str, str]]) -> dict[str, Scalar]:
    """The parameters of a run: its file, then its `-p name value` pairs. ParameterError for a name no stage has."""
    values = read_parameter_file(resolve(file) or file) | given(pairs, all_stages())
    check_names(values, all_stages())
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    tell_progress()
    options = _parse(arguments)
    try:
        values = read_values(options.file, options.parameter)
        stages = select_stages(options.first, options.last)
        rows = run_chain(stages, values, force=options.force)
    except (ParameterError, MissingArtifactError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    common = stage_parameters(stages[0], values)
    run_dir = outputs_root(common["outputs_dir"]) / str(common["run_id"])
    print(f"\n{summary(rows)}\n\n{where_to_look(run_dir)}")
    failed = [r for r in rows if r["state"] == "failed"]
    for row in failed:
        print(f"error: {row['stage']}: {row['why']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
