"""Runs and stages: folders, atomic writes, hashes, and the manifest that says a stage is done.

A stage writes `outputs/<run_id>/<stage>/` and, last of all and atomically, `manifest.json` (schema version,
parameters, code, inputs and outputs with sha256 and counts, git commit, package versions, UTC time, profile).
No manifest: the stage has not run, whatever an executed notebook says (papermill marks the cells of a killed kernel
"completed"). Stages know each other through these files and nothing else.
"""

import ast
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow.parquet as pq

from jwvl_lib.parameters import Scalar, code_cells, stage_parameters

SCHEMA_VERSION = 1
REPO = Path(__file__).resolve().parents[1]
LIBRARY = REPO / "jwvl_lib"
STAMPED_PACKAGES = (
    "numpy pandas pyarrow pillow astropy sunpy torch transformers peft accelerate tokenizers papermill".split()
)


class MissingArtifactError(FileNotFoundError):
    """An upstream stage has not run, or its files are not those its manifest names."""


# --------------------------------------------------------------------------------------------------------------------
# paths and atomic writes


def resolve(path: str | Path) -> Path | None:
    """An absolute path as it is, a relative one against the repository (a kernel's folder varies), "" as None."""
    if str(path) == "":
        return None
    return REPO / Path(path).expanduser()


def outputs_root(outputs_dir: str | Path) -> Path:
    """Where runs live. `JWVL_OUTPUTS`, where set, stands in for a relative `outputs_dir` (tests use it)."""
    if os.environ.get("JWVL_OUTPUTS") and not Path(outputs_dir).expanduser().is_absolute():
        return Path(os.environ["JWVL_OUTPUTS"])
    return resolve(outputs_dir) or REPO / "outputs"


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to be filled, which becomes `path` as a whole or not at all.

    A temporary file beside it, fsync, rename, fsync of the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; results are for reading
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Take away what writers that were killed in `replacing` have left; for a folder nobody writes to just now."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a whole file or nothing (see `replacing`)."""
    with replacing(path) as file:
        file.write(data)
    return Path(path)


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on disk: a new file's content alone does not survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> Path:
    """UTF-8, atomically."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: object) -> Path:
    """Indented UTF-8 JSON with keys in the order given; NaN is refused, since JSON has none."""
    return write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_parquet(path: str | Path, frame: pd.DataFrame) -> Path:
    """The same frame gives the same bytes on the same pyarrow; row groups of 10,000 bound a reader's memory."""
    sink = frame.reset_index(drop=True).to_parquet(index=False, row_group_size=10_000, compression="zstd")
    return write_bytes(path, sink)


# --------------------------------------------------------------------------------------------------------------------
# hashes


def sha256(path: str | Path) -> str:
    """Of a file its bytes; of a folder the sorted list of its files' relative paths and hashes."""
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return _digest([[p.relative_to(path).as_posix(), sha256(p)] for p in files])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_uncut_database(path: str | Path) -> None:
    """ValueError for an SQLite file that ends within a page, as a broken copy does: SQLite would read zeros there.

    Silent where there is no database, and where a write-ahead log stands beside it, which holds what the file lacks.
    """
    path = Path(path)
    log = path.with_name(f"{path.name}-wal")
    if not path.is_file() or path.stat().st_size < 512 or (log.is_file() and log.stat().st_size):
        return
    with path.open("rb") as file:
        head = file.read(18)
    page = int.from_bytes(head[16:], "big")
    if head.startswith(b"SQLite format 3\0") and path.stat().st_size % (65536 if page == 1 else page or 512):
        raise ValueError(f"{path} is torn (it ends within a page); bring back a copy, or move it away and run again")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_sha256(stage: str) -> str:
    """Hash of what a stage runs: its notebook's code cells, the library modules they import, the data those name."""
    code = "\n".join(source for source, tags in code_cells(stage) if "parameters" not in tags)
    parts, seen, queue = [code], set(), [*_library_imports(code)]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        source = (LIBRARY / f"{name}.py").read_text(encoding="utf-8")
        queue += _library_imports(source)
        parts += [name, source]
        parts += [sha256(p) for p in sorted((LIBRARY / "data").rglob("*")) if p.is_file() and p.name in source]
    return _digest(sorted(parts))


def _library_imports(source: str) -> set[str]:
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    names = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ImportFrom) and node.module == "jwvl_lib":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jwvl_lib."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jwvl_lib.")}
    return {name for name in names if (LIBRARY / f"{name}.py").is_file()}


# --------------------------------------------------------------------------------------------------------------------
# stages


@dataclass
class Stage:
    """A stage under way: its folder, its parameters, and the inputs registered so far."""

    name: str
    dir: Path
    parameters: dict[str, Scalar]
    inputs: list[dict] = field(default_factory=list)

    @property
    def profile(self) -> str:
        return str(self.parameters["profile"])

    def require(self, stage: str) -> Path:
        """Folder of a finished upstream stage, registered as an input; see `require_stage`."""
        folder = require_stage(self.dir.parent, stage)
        self.inputs.append({"stage": stage, "sha256": _outputs_digest(read_manifest(folder))})
        return folder

    def add_input(self, path: str | Path) -> Path:
        """Register a file or folder from outside the run; FileNotFoundError where it is missing."""
        path = resolve(path)
        if path is None or not path.exists():
            raise FileNotFoundError(f"{self.name}: input {path} does not exist; check the parameter that names it")
        self.inputs.append({"path": _portable(path), "sha256": sha256(path)})
        return path

    def finish(self, outputs: Iterable[str], counts: Mapping[str, int] | None = None) -> dict:
        """Hash the outputs and write `manifest.json`, last and atomically. Returns the manifest.

        `outputs` are files or folders relative to the stage's folder; a missing one is an error, not a success.
        """
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "stage": self.name,
            "run_id": self.parameters["run_id"],
            "profile": self.profile,
            "parameters": self.parameters,
            "code_sha256": code_sha256(self.name),
            "inputs": self.inputs,
            "outputs": [_describe(self.dir, name) for name in outputs],
            "counts": dict(counts or {}),
            "git_commit": _git_commit(),
            "packages": _package_versions(),
            "created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        write_json(self.dir / "manifest.json", manifest)
        return manifest


def start_stage(name: str, namespace: Mapping[str, object]) -> Stage:
    """Begin a stage: check its parameters, make its folder, take away an old manifest.

    `namespace` is the notebook's `globals()`; only the names of its parameters cell are read. Raises ParameterError
    for a value of the wrong type and OSError, in one line, for a folder that cannot be written.
    """
    parameters = stage_parameters(name, namespace)
    folder = outputs_root(parameters["outputs_dir"]) / str(parameters["run_id"]) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / ".writable", b"")
        (folder / ".writable").unlink(missing_ok=True)  # another page of the same notebook may have been quicker
        (folder / "manifest.json").unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); choose another outputs_dir") from None
    return Stage(name, folder, parameters)


def read_manifest(folder: Path) -> dict | None:
    """The manifest of a stage's folder, or None where the stage has not finished (missing or torn file)."""
    try:
        return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def require_stage(run_dir: Path, stage: str) -> Path:
    """Folder of a finished stage whose outputs are still those of its manifest.

    Raises MissingArtifactError naming the notebook to run.
    """
    folder = run_dir / stage
    manifest = read_manifest(folder)
    if manifest is None:
        raise MissingArtifactError(
            f"{folder}/manifest.json not found: stage {stage} of run {run_dir.name!r} has not finished."
            f" Run notebooks/{stage}.ipynb with run_id={run_dir.name!r} first"
        )
    changed = _changed_outputs(folder, manifest)
    if changed:
        raise MissingArtifactError(
            f"{folder / changed[0]} is not the file its manifest names (missing or altered)."
            f" Run notebooks/{stage}.ipynb with run_id={run_dir.name!r} again"
        )
    return folder


def stale_reason(run_dir: Path, stage: str, parameters: Mapping[str, Scalar]) -> str | None:
    """Why a stage must run (again), or None where inputs, parameters, code and outputs are those of its manifest."""
    manifest = read_manifest(run_dir / stage)
    if manifest is None:
        return "not run"
    if manifest.get("schema_version") != SCHEMA_VERSION:
        return "manifest of another schema version"
    changed = sorted(k for k, v in parameters.items() if k != "progress" and manifest["parameters"].get(k) != v)
    if changed:
        return f"parameters changed: {', '.join(changed)}"
    if manifest["code_sha256"] != code_sha256(stage):
        return "code changed"
    altered = _changed_outputs(run_dir / stage, manifest, ledgers=True)
    if altered:
        return f"output changed: {altered[0]}"
    for entry in manifest["inputs"]:
        if _input_sha256(run_dir, entry) != entry["sha256"]:
            return f"input changed: {entry.get('stage') or entry['path']}"
    return None


def _input_sha256(run_dir: Path, entry: Mapping[str, str]) -> str | None:
    if "stage" in entry:
        manifest = read_manifest(run_dir / entry["stage"])
        return _outputs_digest(manifest) if manifest else None
    path = resolve(entry["path"])
    return sha256(path) if path.exists() else None


def _outputs_digest(manifest: Mapping) -> str:
    # ledgers carry wall-clock times: what they decided is in the files rebuilt from them
    return _digest([[o["path"], o["sha256"]] for o in manifest["outputs"] if not o["path"].endswith(".sqlite")])


def _changed_outputs(folder: Path, manifest: Mapping, ledgers: bool = False) -> list[str]:
    names = [o for o in manifest["outputs"] if ledgers or not o["path"].endswith(".sqlite")]
    return [o["path"] for o in names if not (folder / o["path"]).exists() or sha256(folder / o["path"]) != o["sha256"]]


def _describe(folder: Path, name: str) -> dict:
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(f"{path} was to be an output of its stage, but nothing wrote it")
    entry = {"path": name, "sha256": sha256(path)}
    if path.is_dir():
        return entry | {"n_files": sum(p.is_file() for p in path.rglob("*"))}
    if path.suffix == ".parquet":
        entry["n_records"] = pq.read_metadata(path).num_rows
    elif path.suffix == ".jsonl":
        entry["n_records"] = len(path.read_bytes().splitlines())
    return entry | {"bytes": path.stat().st_size}


def _portable(path: Path) -> str:
    return path.relative_to(REPO).as_posix() if path.is_relative_to(REPO) else str(path)


def _git_commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(REPO), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}-dirty" if commit and git("status", "--porcelain") else commit or "not a git checkout"
    except FileNotFoundError:
        return "git not installed"


def _package_versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    return {name: metadata.version(name) for name in STAMPED_PACKAGES if name in installed}
