"""The teacher's ledger: what an answer costs does not grow with the answers before it; ledgers of before still read."""

import sqlite3

import pytest

from jwvl_lib import teacher_ledger
from jwvl_lib.teacher_ledger import ANSWERED, INVALID, REFUSED, Attempt, Request

SENT = "2014-02-03T00:00:00"


def requests(first, n):
    return [
        Request(f"i{k}", f"{k:064x}", "qa.layer", 1, "en", "m", "{}", "Describe.", f"item {k}")
        for k in range(first, first + n)
    ]


def answered(asked):
    return [Attempt(r.key, ANSWERED, '{"answer": "corona"}', 200, sent_utc=SENT) for r in asked]


def pages_of_a_commit(db, path, asked):
    """Pages of the write-ahead log that the answers to `asked` take, in one transaction."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    teacher_ledger.record_attempts(db, answered(asked))
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return path.with_name(path.name + "-wal").stat().st_size / size


def test_a_hundred_answers_write_as_much_to_a_full_ledger_as_to_an_empty_one(tmp_path):
    """An index by key would write a page an answer: keys are hashes, no two of them lie on one page."""
    path, n = tmp_path / "teacher.sqlite", 5_000
    asked = requests(0, n + 200)
    with teacher_ledger.open_ledger(path) as db:
        teacher_ledger.record_requests(db, asked)
        into_empty = pages_of_a_commit(db, path, asked[:100])
        teacher_ledger.record_attempts(db, answered(asked[100 : n + 100]))
        into_full = pages_of_a_commit(db, path, asked[n + 100 :])
    assert into_full <= into_empty + 2


def test_requests_fill_their_pages_whatever_order_they_come_in(tmp_path):
    """Written in the order of their keys: in any other, pages are split and stay partly empty."""
    for name, asked in (("given", requests(0, 2_000)), ("sorted", sorted(requests(0, 2_000), key=lambda r: r.key))):
        with teacher_ledger.open_ledger(tmp_path / name) as db:
            teacher_ledger.record_requests(db, asked)
    assert (tmp_path / "given").stat().st_size == (tmp_path / "sorted").stat().st_size


@pytest.mark.parametrize("indexed", [False, True], ids=["of_now", "of_before"])
def test_what_is_settled_and_what_is_dead(tmp_path, indexed):
    """Also of a ledger that still has the index of before, which goes."""
    path, asked = tmp_path / "teacher.sqlite", requests(0, 6)
    keys = [r.key for r in asked]
    with teacher_ledger.open_ledger(path) as db:
        teacher_ledger.record_requests(db, asked)
        if indexed:
            db.execute("CREATE INDEX attempts_by_key ON attempts (key, outcome)")
        outcomes = [(0, INVALID), (1, INVALID), (2, "timeout"), (0, ANSWERED), (1, INVALID), (3, REFUSED)]
        outcomes += [(2, "timeout"), (4, INVALID), (0, INVALID), (4, ANSWERED)]
        teacher_ledger.record_attempts(db, [Attempt(keys[k], what, error=what, sent_utc=SENT) for k, what in outcomes])
    with teacher_ledger.open_ledger(path) as db:
        assert teacher_ledger.settled(db, 2) == {keys[k] for k in (0, 1, 3, 4)}
        assert teacher_ledger.settled(db, 3) == {keys[k] for k in (0, 3, 4)}
        assert [r.image_id for r in teacher_ledger.unsettled(db, asked, 2)] == ["i2", "i5"]
        assert not db.execute("SELECT name FROM sqlite_master WHERE name = 'attempts_by_key'").fetchall()
    dead = teacher_ledger.dead_letters(path)
    assert dead[["image_id", "n_attempts", "outcome"]].values.tolist() == [
        ["i1", 2, INVALID], ["i2", 2, "timeout"], ["i3", 1, REFUSED],
    ]  # fmt: skip
    counted = {"requests": 6, "attempts": 10, ANSWERED: 2, INVALID: 5, REFUSED: 1, "timeout": 2}
    assert teacher_ledger.counts(path) == counted
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
