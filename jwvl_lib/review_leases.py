"""Leases of the review: they keep two people off the same annotation, and nothing else.

Reads and writes the table `lease` of `review.sqlite`, reads its decisions. A lease lasts 600 s and is renewed while its
holder is active; the lease of a killed process runs out, and so does one that a clock set back leaves in the far
future. Leases are no record: they need not survive a power cut.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from jwvl_lib.review_ledger import annotation_sha256, connection, is_person, transaction

LEASE_S = 600
_BATCH = 200  # tries under one lock: others wait for 2 ms at most
_DECIDED = (
    "SELECT DISTINCT reviewer FROM decision WHERE annotation_id = ? AND annotation_sha256 = ? AND verdict <> 'skip'"
)


def take(path: str | Path, annotation: Mapping, reviewer: str, n_persons: int = 1, now: float | None = None) -> bool:
    """Reserve an annotation for a reviewer for 600 s, so that two people do not decide the same one unawares.

    False where another holds it, or where `n_persons` others have decided it already. `now` is in seconds since 1970.
    """
    with transaction(Path(path), durable=False) as db:
        return _take(db, annotation, reviewer, n_persons, time.time() if now is None else now)


def take_next(
    path: str | Path, waiting: deque[tuple[str, int]], row_of: Callable[[str], Mapping], reviewer: str
) -> tuple[str, int] | None:
    """Reserve the first annotation of a queue that is free, and return its entry; None where none is.

    `waiting` holds pairs (annotation_id, n_persons) and loses those passed over; `row_of` gives the row of an id.
    """
    while waiting:
        with transaction(Path(path), durable=False) as db:
            for _ in range(min(_BATCH, len(waiting))):
                key, n_persons = waiting.popleft()
                if _take(db, row_of(key), reviewer, n_persons, time.time()):
                    return key, n_persons
    return None


def _take(db: sqlite3.Connection, annotation: Mapping, reviewer: str, n_persons: int, now: float) -> bool:
    key = annotation["annotation_id"]
    held = db.execute("SELECT reviewer, expires FROM lease WHERE annotation_id = ?", (key,)).fetchone()
    # one that runs out later than any taken now was taken before the clock was set back
    if held and held["reviewer"] != reviewer and now < held["expires"] <= now + LEASE_S:
        return False
    others = {row["reviewer"] for row in db.execute(_DECIDED, (key, annotation_sha256(annotation)))} - {reviewer}
    if sum(map(is_person, others)) >= n_persons:
        return False
    db.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", (key, reviewer, now + LEASE_S))
    return True


def drop(path: str | Path, reviewer: str) -> None:
    """Give back what a reviewer holds, at the end of a sitting."""
    with transaction(Path(path), durable=False) as db:
        db.execute("DELETE FROM lease WHERE reviewer = ?", (reviewer,))


def n_with_others(path: str | Path, reviewer: str, now: float | None = None) -> int:
    """How many annotations other reviewers hold just now."""
    query = "SELECT COUNT(*) FROM lease WHERE reviewer <> ? AND expires > ? AND expires <= ?"
    now = time.time() if now is None else now
    with connection(Path(path)) as db:
        return db.execute(query, (reviewer, now, now + LEASE_S)).fetchone()[0]
