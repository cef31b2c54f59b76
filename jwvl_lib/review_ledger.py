"""The review's ledger: `review.sqlite`, append-only events, safe for several writers and for a killed one.

Reads and writes that one file. Every decision is an event and no event is ever changed: an undo is an event too, and
the present state is a view (the latest decision not undone, per reviewer and annotation). A call returns when its
events are durable (write-ahead log, `synchronous = FULL`). Reviewers whose name begins with `auto:` are programs. Who
may look at what is in `jwvl_lib.review_leases`, what follows from the decisions in `jwvl_lib.review`.
"""

import hashlib
import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress
from json.encoder import encode_basestring
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import artifacts

# The first three are the criteria of the JW-VL paper, section 2.2; a person picks one with the digit of its place.
REASONS = {
    "physical_inconsistency": "physically inconsistent",
    "domain_error": "wrong solar physics",
    "hallucination": "hallucinated content",
    "wrong_instrument": "wrong wavelength or instrument",
    "ocr_error": "text misread",
    "language_format": "language or format",
    "unreadable_image": "unreadable image",
    "contradicted": "contradicted by a fact",
    "unsupported": "no fact supports it",
}
VERDICTS = ("accept", "reject", "skip", "flag")
BUSY_TIMEOUT_MS = 10_000
EVENT_COLUMNS = (
    "id ts_utc reviewer annotation_id annotation_sha256 prompt_id prompt_version teacher verdict reasons comment"
    " edit_text seconds client supersedes"
).split()
_JUDGED_COLUMNS = (
    "annotation_id image_id task language question answer prompt_id prompt_version teacher choices".split()
)
_HASHED_COLUMNS = ("image_id", "task", "language", "question", "answer")

# `supersedes` names the event an undo takes back, or the earlier decision that a new one replaces.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS review_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ts_utc TEXT NOT NULL, reviewer TEXT NOT NULL, annotation_id TEXT NOT NULL,
    annotation_sha256 TEXT NOT NULL, prompt_id TEXT NOT NULL, prompt_version TEXT NOT NULL, teacher TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accept', 'reject', 'skip', 'flag', 'undo')), reasons TEXT NOT NULL,
    comment TEXT NOT NULL, edit_text TEXT, seconds REAL, client TEXT NOT NULL, supersedes INTEGER);
CREATE INDEX IF NOT EXISTS event_of_reviewer ON review_event (reviewer, annotation_id);
CREATE INDEX IF NOT EXISTS event_of_annotation ON review_event (annotation_id);
CREATE INDEX IF NOT EXISTS event_undone ON review_event (supersedes) WHERE verdict = 'undo';
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON review_event
    BEGIN SELECT RAISE(ABORT, 'review_event is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON review_event
    BEGIN SELECT RAISE(ABORT, 'review_event is append-only'); END;
CREATE VIEW IF NOT EXISTS decision AS SELECT * FROM review_event e WHERE verdict <> 'undo'
    AND NOT EXISTS (SELECT 1 FROM review_event u WHERE u.verdict = 'undo' AND u.supersedes = e.id);
CREATE VIEW IF NOT EXISTS current_state AS SELECT * FROM decision e WHERE NOT EXISTS
    (SELECT 1 FROM decision l WHERE l.reviewer = e.reviewer AND l.annotation_id = e.annotation_id AND l.id > e.id);
CREATE TABLE IF NOT EXISTS lease (annotation_id TEXT PRIMARY KEY, reviewer TEXT NOT NULL, expires REAL NOT NULL);
"""


@dataclass(frozen=True)
class Decision:
    """One verdict of one reviewer on one annotation; ValueError, in one line, where it is malformed.

    A rejection names at least one of `REASONS`; an edit is an acceptance of the text as edited; `seconds` is the time
    the reviewer spent on it.
    """

    annotation_id: str
    reviewer: str
    verdict: str
    reasons: tuple[str, ...] = ()
    comment: str = ""
    edit_text: str | None = None
    seconds: float | None = None

    def __post_init__(self):
        where = f"decision on {self.annotation_id!r}"
        if self.verdict not in VERDICTS:
            raise ValueError(f"{where}: verdict {self.verdict!r} is not known; use one of {', '.join(VERDICTS)}")
        if not self.reviewer.strip():
            raise ValueError(f"{where}: the reviewer has no name; give the name of whoever decided")
        unknown = [reason for reason in self.reasons if reason not in REASONS]
        if unknown:
            raise ValueError(f"{where}: reason {unknown[0]!r} is not known; use one of {', '.join(REASONS)}")
        if (self.verdict == "reject") != bool(self.reasons):
            rule = "a rejection needs a reason" if self.verdict == "reject" else "only a rejection has reasons"
            raise ValueError(f"{where}: verdict {self.verdict!r} with reasons {list(self.reasons)}; {rule}")
        if self.edit_text is not None and (self.verdict != "accept" or not self.edit_text.strip()):
            raise ValueError(f"{where}: an edited text must not be empty and goes with verdict 'accept'")
        if any("\ud800" <= c <= "\udfff" for c in self.reviewer + self.comment + (self.edit_text or "")):
            raise ValueError(f"{where}: a text holds half a character, which no file can; write that text anew")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError(f"{where}: {self.seconds} seconds is no duration; leave it out where it is not known")


# --------------------------------------------------------------------------------------------------------------------
# the ledger


def open_ledger(path: str | Path) -> Path:
    """Make the ledger where it is missing and return its path; ValueError where the file is something else.

    Opening an existing ledger changes no byte of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    artifacts.require_uncut_database(path)
    try:
        with connection(path) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lease'").fetchone():
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        if "disk is full" in str(error):
            raise OSError(f"{path} could not be written ({error}): free disk space and run again") from error
        raise ValueError(f"{path} is no review ledger ({error}); move it away and run again") from error
    return path


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """One short connection an act: the last one to close folds the write-ahead log into the one file."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        db.execute("PRAGMA synchronous = FULL")
        yield db
    finally:
        db.close()


@contextmanager
def transaction(path: Path, durable: bool = True) -> Iterator[sqlite3.Connection]:
    """One writer at a time, all or nothing; not `durable` spares the wait for the disk (a killed process is safe)."""
    with connection(path) as db:
        if not durable:
            db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def hold_open(path: str | Path) -> sqlite3.Connection:
    """An idle connection for the length of a sitting: while it is open no act waits for the log to be folded."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("SELECT COUNT(*) FROM lease").fetchone()
    return db


def fold(path: str | Path) -> None:
    """Bring the write-ahead log into `review.sqlite`, so that the file alone is the ledger and can be hashed."""
    with connection(Path(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def annotation_sha256(annotation: Mapping) -> str:
    """Hash of what a reviewer judges: picture, task, language, question and answer (not the claims' marks)."""
    return _hash(str(annotation[name]) for name in _HASHED_COLUMNS)


def _hash(parts: Iterable[str]) -> str:
    return _hash_of_written(", ".join(map(encode_basestring, parts)))


def _hash_of_written(parts: str) -> str:
    # the JSON list of the parts, put together by hand: a fifth of the time of json.dumps, and a queue hashes 100,000
    return hashlib.sha256(f"[{parts}]".encode()).hexdigest()


def _hashes(annotations: pd.DataFrame, ids: set[str]) -> dict[str, str]:
    keys = annotations["annotation_id"].tolist()
    wanted = np.fromiter(map(ids.__contains__, keys), bool, len(keys))
    columns = (map(str, annotations[name].array[wanted].tolist()) for name in _HASHED_COLUMNS)
    written = zip(*(map(encode_basestring, column) for column in columns), strict=True)
    return dict(zip(compress(keys, wanted), map(_hash_of_written, map(", ".join, written)), strict=True))


def append(
    path: str | Path,
    decisions: Iterable[Decision],
    annotations: pd.DataFrame,
    client: str,
    undone: Iterable[tuple[str, str]] = (),
) -> int:
    """Record decisions, all in one transaction, durable when this returns. Returns how many.

    `client` says how they came: `panel`, `policy` or `file`; `undone` are pairs (reviewer, annotation_id) whose
    standing decision is taken back in the same transaction. ValueError for an annotation that is not among
    `annotations` and for an edit that is none of a closed question's choices; then nothing is recorded.
    """
    decisions = list(decisions)
    rows = rows_by_id(annotations, {decision.annotation_id for decision in decisions})
    return append_rows(path, decisions, rows, client, undone)


def append_rows(
    path: str | Path,
    decisions: Sequence[Decision],
    rows: Mapping[str, Mapping],
    client: str,
    undone: Iterable[tuple[str, str]] = (),
) -> int:
    """The same for whoever has the annotations' rows by id at hand: the panel, for which a table is slow."""
    undone = list(undone)
    for decision in decisions:
        require_recordable(decision, rows)
    if decisions or undone:
        now = _now_utc()
        with transaction(Path(path)) as db:
            for decision in decisions:
                _insert(db, decision, rows[decision.annotation_id], client, now)
            for reviewer, annotation_id in undone:
                _insert_undo(db, reviewer, annotation_id, client)
    return len(decisions)


def rows_by_id(annotations: pd.DataFrame, ids: set[str]) -> dict[str, dict]:
    """The rows of these annotations by id, in the columns that an event is made from: what `append_rows` takes."""
    # column by column: a tenth of what `to_dict` takes, and 60,000 rows are a usual corpus
    columns = [annotations[name].tolist() for name in _JUDGED_COLUMNS]
    rows = zip(*columns, strict=True)
    return {row[0]: dict(zip(_JUDGED_COLUMNS, row, strict=True)) for row in rows if row[0] in ids}


def require_recordable(decision: Decision, rows: Mapping[str, Mapping]) -> None:
    """ValueError, in one line, for an annotation that is not in `rows` and for an edit that is none of its choices."""
    if decision.annotation_id not in rows:
        raise ValueError(f"annotation {decision.annotation_id!r} is not in this run; decide on one of its annotations")
    choices = json.loads(rows[decision.annotation_id]["choices"])
    if decision.edit_text is not None and choices and decision.edit_text not in choices:
        raise ValueError(f"the edit {decision.edit_text!r} is none of the choices; use one of {' / '.join(choices)}")


def _insert(db: sqlite3.Connection, decision: Decision, row: Mapping, client: str, now: str) -> None:
    earlier = _current_id(db, decision.reviewer, decision.annotation_id)
    reasons = json.dumps(list(decision.reasons))
    values = (
        *(now, decision.reviewer, decision.annotation_id, annotation_sha256(row), str(row["prompt_id"])),
        *(str(row["prompt_version"]), str(row["teacher"]), decision.verdict, reasons, decision.comment),
        *(decision.edit_text, decision.seconds, client, earlier),
    )
    _insert_values(db, values)
    db.execute(
        "DELETE FROM lease WHERE annotation_id = ? AND reviewer = ?", (decision.annotation_id, decision.reviewer)
    )


def _insert_values(db: sqlite3.Connection, values: tuple) -> None:
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO review_event ({', '.join(EVENT_COLUMNS[1:])}) VALUES ({marks})", values)


def _current_id(db: sqlite3.Connection, reviewer: str, annotation_id: str) -> int | None:
    query = "SELECT MAX(id) FROM decision WHERE reviewer = ? AND annotation_id = ?"
    return db.execute(query, (reviewer, annotation_id)).fetchone()[0]


def _now_utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def undo(path: str | Path, reviewer: str, annotation_id: str | None = None, client: str = "panel") -> str | None:
    """Take back a reviewer's latest standing decision (on one annotation, where given), by an event of its own.

    The decision before it, if any, stands again. Returns the annotation's id, or None where there is nothing to undo.
    """
    with transaction(Path(path)) as db:
        return _insert_undo(db, reviewer, annotation_id, client)


def _insert_undo(db: sqlite3.Connection, reviewer: str, annotation_id: str | None, client: str) -> str | None:
    query = "SELECT * FROM decision WHERE reviewer = ? AND (? IS NULL OR annotation_id = ?) ORDER BY id DESC LIMIT 1"
    last = db.execute(query, (reviewer, annotation_id, annotation_id)).fetchone()
    if last is None:
        return None
    kept = [last[name] for name in EVENT_COLUMNS[2:8]]
    _insert_values(db, (_now_utc(), *kept, "undo", "[]", "", None, None, client, last["id"]))
    return last["annotation_id"]


def events(path: str | Path) -> pd.DataFrame:
    """Every event ever recorded, oldest first; `edit_text` is None where nothing was edited."""
    return _frame(path, "SELECT * FROM review_event ORDER BY id")


def current(path: str | Path, annotations: pd.DataFrame | None = None) -> pd.DataFrame:
    """The standing decisions, a row per reviewer and annotation, oldest first.

    With `annotations`, those only that were made on the text as it is there: a decision on another text does not count.
    """
    frame = _frame(path, "SELECT * FROM current_state ORDER BY id")
    if annotations is None or frame.empty:
        return frame
    hashes = _hashes(annotations, set(frame["annotation_id"]))
    return frame[frame["annotation_sha256"] == frame["annotation_id"].map(hashes)].reset_index(drop=True)


def persons_verdicts(path: str | Path, annotations: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The persons' verdicts as `current` has them, {annotation_id: {reviewer: verdict}}: what a queue is made from."""
    query = (
        "SELECT annotation_id, reviewer, annotation_sha256, verdict FROM decision"
        " WHERE reviewer < 'auto:' OR reviewer >= 'auto;' ORDER BY +id"  # by the index, past the programs' rows
    )
    with connection(Path(path)) as db:
        db.row_factory = None  # plain tuples: there may be 100,000
        rows = db.execute(query).fetchall()
    hashes, found = _hashes(annotations, {row[0] for row in rows}), defaultdict(dict)
    for key, reviewer, sha256, verdict in rows:
        if hashes.get(key) == sha256:
            found[key][reviewer] = verdict
        else:
            found[key].pop(reviewer, None)  # the latest was on another text: none stands
    return {key: by for key, by in found.items() if by}


def seen_by_programs(path: str | Path) -> set[str]:
    """Annotations on which a program ever decided, whatever became of it: persons look at the others first."""
    query = "SELECT annotation_id FROM review_event WHERE reviewer >= 'auto:' AND reviewer < 'auto;'"
    with connection(Path(path)) as db:
        db.row_factory = None
        return {key for (key,) in db.execute(query)}


def last_decided(path: str | Path, reviewer: str) -> str | None:
    """The annotation of a reviewer's latest standing decision: what an undo would take back."""
    with connection(Path(path)) as db:
        query = "SELECT annotation_id FROM decision WHERE reviewer = ? ORDER BY id DESC LIMIT 1"
        row = db.execute(query, (reviewer,)).fetchone()
    return row["annotation_id"] if row else None


def standing(path: str | Path, reviewer: str, annotation_id: str) -> str | None:
    """The verdict of one reviewer on one annotation as it stands, or None."""
    query = "SELECT verdict FROM decision WHERE reviewer = ? AND annotation_id = ? ORDER BY id DESC LIMIT 1"
    with connection(Path(path)) as db:
        row = db.execute(query, (reviewer, annotation_id)).fetchone()
    return row["verdict"] if row else None


def _frame(path: str | Path, query: str) -> pd.DataFrame:
    with connection(Path(path)) as db:
        rows = db.execute(query).fetchall()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=EVENT_COLUMNS)
    # the one text that may be missing: pandas 3 would put NaN for None, and NaN is true
    return frame.assign(edit_text=pd.Series([row["edit_text"] for row in rows], dtype=object))


def is_person(reviewer: str) -> bool:
    """Whether a reviewer's name is a person's (a program's begins with `auto:`)."""
    return not reviewer.startswith("auto:")
