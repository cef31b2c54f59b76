"""What a stage has written, as records that can be counted: what was lost, what is there twice, what is another.

Reads the stage folders of a run; writes nothing. An undisturbed run is what a disturbed one is held against.
"""

import json
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jwvl_lib import artifacts

KEYS = {  # public tables, and what tells one record of them from another
    "00_tiny_base": ("held_out.parquet", None),
    "01_corpus_curation": ("corpus.parquet", ["image_id"]),
    "02_distillation": ("annotations.parquet", ["annotation_id"]),
    "03_review": ("accepted.parquet", ["annotation_id"]),
    "05_benchmark": ("predictions.parquet", ["annotation_id", "model"]),
}
# measured seconds and moments, in files that are compared otherwise byte by byte
MEASURED = re.compile(r'"(?:[a-z_]*seconds[a-z_]*|peak_memory_mb|[a-z_]*_utc)": ?(?:"[^"]*"|[^,}\n]*)')
MEASURED_FILES = {"train_log.jsonl", "preflight.json", "README.md", "transcript.json"}


@dataclass(frozen=True)
class Damage:
    """Records lost and doubled, and the files that are not those of an undisturbed run."""

    lost: int
    doubled: int
    differing: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.differing)


def damage(stage: str, folder: Path, undisturbed: Path) -> Damage:
    """How the outputs of a finished stage differ from those of an undisturbed run."""
    here, there = Counter(keys(stage, folder)), Counter(keys(stage, undisturbed))
    twice = sum((here - there).values())
    files, whole = outputs(folder), outputs(undisturbed)
    differing = [n for n in sorted(files | whole) if n not in files or n not in whole or not _same(files[n], whole[n])]
    return Damage(sum((there - here).values()), twice, tuple(differing))


def keys(stage: str, folder: Path) -> list[str]:
    """A name for each record of a stage's public table; one that stands there twice comes twice."""
    if stage in KEYS:
        name, columns = KEYS[stage]
        frame = pd.read_parquet(folder / name)
        return frame[columns or list(frame)].astype(str).agg("/".join, axis=1).tolist()
    if stage == "04_training":
        lines = (folder / "train_log.jsonl").read_text().splitlines()
        return [
            f"{row.get('step')}/{'eval' if row.get('eval_loss') is not None else ''}" for row in map(json.loads, lines)
        ]
    if stage == "06_daily_report":
        report = json.loads(next(folder.glob("*/report.json")).read_text())
        return [str(r["noaa_ar"]) for r in report["regions"]] + [
            f"{c['language']}/{c['text']}" for c in report["claims"]
        ]
    turns = json.loads((folder / "transcript.json").read_text())["turns"]
    return [f"{t['question']}/{s['text']}" for t in turns for s in t["sentences"]]


def outputs(folder: Path) -> dict[str, Path]:
    """The files that a stage's manifest names, but for the ledgers, which hold times."""
    manifest = artifacts.read_manifest(folder) or {"outputs": []}
    paths = [p for o in manifest["outputs"] for p in [folder / o["path"], *sorted((folder / o["path"]).rglob("*"))]]
    return {p.relative_to(folder).as_posix(): p for p in paths if p.is_file() and p.suffix != ".sqlite"}


def _same(one: Path, other: Path) -> bool:
    a, b = one.read_bytes(), other.read_bytes()
    return a == b or one.name in MEASURED_FILES and _unmeasured(a) == _unmeasured(b)


def _unmeasured(raw: bytes) -> str:
    text = re.sub(r"\| seconds \|[^|]*\|", "", MEASURED.sub("", raw.decode()))
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?", "", text)


def ledger_rows(folder: Path) -> Counter:
    """What stands in a stage's ledgers, a row an answer or an event: none of it may ever go."""
    tables = {
        "teacher.sqlite": "SELECT key || outcome FROM attempts",
        "review.sqlite": "SELECT id || annotation_id || verdict FROM review_event",
    }
    rows = Counter()
    for name, query in tables.items():
        if (folder / name).exists():
            db = sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)
            try:
                rows.update(key for (key,) in db.execute(query))
            except sqlite3.OperationalError:  # no table yet: killed before the first row
                pass
            finally:
                db.close()
    return rows


def standing(stage: str, run_dir: Path) -> str:
    """Why a manifest that stands is a lie: its files are not those it names. "" where there is none, or it holds."""
    if artifacts.read_manifest(run_dir / stage) is None:
        return ""
    try:
        artifacts.require_stage(run_dir, stage)
    except artifacts.MissingArtifactError as error:
        return str(error)
    return ""
