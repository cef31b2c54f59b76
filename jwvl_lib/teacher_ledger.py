"""The teacher's ledger `teacher.sqlite`: every request and every raw answer, append-only, in WAL mode.

Reads and writes that one file. The ledger is the provenance of the annotations: they are rebuilt from it, and a request
whose key it has answered is never sent again. Times stand here and nowhere else. Keys are hashes: an index by them
would cost every answer a page of its own to write, so answers are kept in the order they came and read whole.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from jwvl_lib import artifacts

ANSWERED = "answered"
INVALID = "invalid"  # an answer that is not the JSON asked for
REFUSED = "refused"  # the server will not take this request (HTTP 4xx)
FINAL = (ANSWERED, REFUSED)
SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (sha256 TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY, image_id TEXT NOT NULL, image_sha256 TEXT NOT NULL, prompt_id TEXT NOT NULL,
    prompt_version INTEGER NOT NULL, language TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL,
    system_sha256 TEXT NOT NULL REFERENCES texts (sha256), user_text TEXT NOT NULL, recorded_utc TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    attempt_id INTEGER PRIMARY KEY, key TEXT NOT NULL REFERENCES requests (key), outcome TEXT NOT NULL,
    http_status INTEGER, raw TEXT NOT NULL, error TEXT NOT NULL, finish_reason TEXT NOT NULL, response_id TEXT NOT NULL,
    usage TEXT NOT NULL, sent_utc TEXT NOT NULL, seconds REAL NOT NULL
);
DROP INDEX IF EXISTS attempts_by_key;
CREATE TABLE IF NOT EXISTS sendings (sending_id INTEGER PRIMARY KEY, key TEXT NOT NULL, sent_utc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS plans (plan_id INTEGER PRIMARY KEY, round INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS planned (
    sha256 TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (sha256, place)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Request:
    """One question about one image, as it is sent: everything that decides the answer, and nothing else.

    Where a question is about several images, `image_id` and `image_sha256` name them in order, joined by commas.
    """

    image_id: str
    image_sha256: str
    prompt_id: str
    prompt_version: int
    language: str
    model: str
    parameters: str
    system: str
    user: str

    @cached_property
    def key(self) -> str:
        """sha256 of model, prompt, version, language, parameters, image bytes and text."""
        parts = [self.model, self.prompt_id, self.prompt_version, self.language, self.parameters]
        return hashlib.sha256(json.dumps([*parts, self.image_sha256, self.system, self.user]).encode()).hexdigest()


@dataclass(frozen=True)
class Attempt:
    """One sending of a request and what came back; `raw` is the answer's text as received."""

    key: str
    outcome: str
    raw: str = ""
    http_status: int | None = None
    error: str = ""
    finish_reason: str = ""
    response_id: str = ""
    usage: str = "{}"
    sent_utc: str = ""
    seconds: float = 0.0


def now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "")


@contextmanager
def open_ledger(path: str | Path) -> Iterator[sqlite3.Connection]:
    """A connection for one thread at a time. On leaving, its write-ahead log is folded in, so one file holds all.

    ValueError, with its path, for a torn file or one that is no ledger.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    artifacts.require_uncut_database(path)
    db = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(SCHEMA)
        yield db
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # locked, a full disk, a rule of the schema: not the file itself
            raise
        raise ValueError(f"{path} is torn or no ledger ({error}); bring back a copy or move it away") from error
    finally:
        db.close()


def record_requests(db: sqlite3.Connection, requests: Iterable[Request]) -> None:
    """Write requests not known yet, in one transaction; a system text shared by many is stored once.

    In the order of their keys, as the table stands: one pass over it, however many there are.
    """
    utc, texts, rows = now_utc(), {}, []
    for request in requests:
        digest = hashlib.sha256(request.system.encode()).hexdigest()
        texts[digest] = request.system
        rows.append((
            request.key, request.image_id, request.image_sha256, request.prompt_id, request.prompt_version,
            request.language, request.model, request.parameters, digest, request.user, utc,
        ))  # fmt: skip
    with db:
        db.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", sorted(texts.items()))
        db.executemany("INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", sorted(rows))


def record_attempts(
    db: sqlite3.Connection, attempts: Iterable[Attempt], sendings: Iterable[tuple[str, str]] = ()
) -> None:
    """Append attempts, and (key, sent_utc) of requests that are about to leave, in one transaction."""
    names = [f.name for f in fields(Attempt)]
    insert = f"INSERT INTO attempts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    with db:
        db.executemany(insert, [[getattr(a, name) for name in names] for a in attempts])
        db.executemany("INSERT INTO sendings (key, sent_utc) VALUES (?, ?)", list(sendings))


def n_sent(db: sqlite3.Connection) -> int:
    """How often anything was sent, over all runs: what a budget counts."""
    return db.execute("SELECT count(*) FROM sendings").fetchone()[0]


# --------------------------------------------------------------------------------------------------------------------
# plans: what is asked, round by round


def record_plan(db: sqlite3.Connection, round_: int, items: Sequence[tuple[str, str]]) -> None:
    """Make (key, item) pairs the plan of a round, in this order; `item` is JSON that the ledger only keeps.

    A plan is stored once by the hash of its content. Naming a plan for round 1 begins a new series of rounds.
    """
    digest = hashlib.sha256(json.dumps(list(items)).encode()).hexdigest()
    if dict(standing_plans(db)).get(round_) == digest:
        return
    rows = [(digest, place, key, item) for place, (key, item) in enumerate(items)]
    with db:
        db.executemany("INSERT OR IGNORE INTO planned VALUES (?, ?, ?, ?)", rows)
        db.execute("INSERT INTO plans (round, sha256) VALUES (?, ?)", (round_, digest))


def standing_plans(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """(round, sha256) of the plans that stand: the latest of each round since the latest first round."""
    rows = db.execute(
        "SELECT round, sha256, max(plan_id) FROM plans WHERE plan_id >="
        " (SELECT coalesce(max(plan_id), 0) FROM plans WHERE round = 1) GROUP BY round ORDER BY round"
    )
    return [(round_, digest) for round_, digest, _ in rows]


def planned(db: sqlite3.Connection, up_to_round: int) -> list[tuple[int, str, str]]:
    """(round, key, item) of everything planned up to a round, in the order of the plans."""
    found = []
    for round_, digest in standing_plans(db):
        if round_ <= up_to_round:
            rows = db.execute("SELECT key, item FROM planned WHERE sha256 = ? ORDER BY place", (digest,))
            found += [(round_, key, item) for key, item in rows]
    return found


# --------------------------------------------------------------------------------------------------------------------
# what it holds


def answers(db: sqlite3.Connection) -> dict[str, str]:
    """Raw answer by key, the first one accepted."""
    rows = db.execute("SELECT key, raw FROM attempts WHERE outcome = ? ORDER BY attempt_id DESC", (ANSWERED,))
    return dict(rows.fetchall())


def settled(db: sqlite3.Connection, max_attempts: int) -> set[str]:
    """Keys not to send again: answered, refused by the server, or `max_attempts` times answered with no valid JSON."""
    final = db.execute("SELECT key FROM attempts WHERE outcome IN (?, ?)", FINAL)
    hopeless = "SELECT key FROM attempts WHERE outcome = ? GROUP BY key HAVING count(*) >= ?"
    return {key for (key,) in final} | {key for (key,) in db.execute(hopeless, (INVALID, max_attempts))}


def dead_letters(path: str | Path) -> pd.DataFrame:
    """A row for each request that was sent and never answered: prompt, image, attempts, and what came back last."""
    columns = ["prompt_id", "language", "image_id", "n_attempts", "outcome", "http_status", "error", "raw"]
    with open_ledger(path) as db:
        rows = db.execute(
            "SELECT prompt_id, language, image_id, count(*), outcome, http_status, error, raw, max(attempt_id)"
            " FROM attempts JOIN requests USING (key)"
            " WHERE key NOT IN (SELECT key FROM attempts WHERE outcome = ?) GROUP BY key ORDER BY min(attempt_id)",
            (ANSWERED,),
        ).fetchall()
    return pd.DataFrame([row[:-1] for row in rows], columns=columns)


def counts(path: str | Path) -> dict[str, int]:
    """How many requests and attempts the ledger holds, and attempts by outcome.

    `interrupted` counts sendings whose answer the client did not live to see; it is left out where it is 0.
    """
    with open_ledger(path) as db:
        (n_requests,) = db.execute("SELECT count(*) FROM requests").fetchone()
        outcomes = db.execute("SELECT outcome, count(*) FROM attempts GROUP BY outcome ORDER BY outcome").fetchall()
        (n_interrupted,) = db.execute(
            "SELECT count(*) FROM (SELECT key, sent_utc FROM sendings EXCEPT SELECT key, sent_utc FROM attempts)"
        ).fetchone()
    found = {"requests": n_requests, "attempts": sum(n for _, n in outcomes), **dict(outcomes)}
    return found | ({"interrupted": n_interrupted} if n_interrupted else {})


def unsettled(db: sqlite3.Connection, requests: Sequence[Request], max_attempts: int) -> list[Request]:
    """The requests still to be sent, in order, each key once."""
    done = settled(db, max_attempts)
    return [r for key, r in {r.key: r for r in requests}.items() if key not in done]
