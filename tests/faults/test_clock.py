"""The machine's clock jumps by a day, either way, in the middle of a stage and between the acts of a review."""

import datetime as datetime_module
import sys
import time
from collections import deque

import pandas as pd
import pytest
import records
import warm
from cases import STAGES, share

from jwvl_lib import review_leases, review_ledger, teacher_replies

DAY_S = 86400.0
REAL_TIME, REAL_DATETIME = time.time, datetime_module.datetime


class Clock:
    """Wall-clock time that can be moved; the monotonic clock goes on, as the kernel's does."""

    def __init__(self):
        self.offset_s = 0.0

    def start(self, put=setattr) -> None:
        """Be the clock of every module of the library, and of `time.time`."""
        clock = self

        class Moved(REAL_DATETIME):
            @classmethod
            def now(cls, tz=None):
                return REAL_DATETIME.now(tz) + datetime_module.timedelta(seconds=clock.offset_s)

            def __reduce_ex__(self, protocol):
                """Go to worker processes as what it is there: a plain datetime."""
                at = self.year, self.month, self.day, self.hour, self.minute, self.second, self.microsecond, self.tzinfo
                return REAL_DATETIME, at

        put(time, "time", lambda: REAL_TIME() + clock.offset_s)
        for name, module in list(sys.modules.items()):
            if name.startswith("jwvl_lib.") and getattr(module, "datetime", None) is REAL_DATETIME:
                put(module, "datetime", Moved)

    def jump(self, seconds: float) -> None:
        """Move by so much."""
        self.offset_s += seconds


@pytest.fixture
def clock(monkeypatch):
    moved = Clock()
    moved.start(monkeypatch.setattr)
    return moved


@pytest.mark.parametrize("stage", STAGES)
def test_a_day_forth_or_back_in_the_middle_changes_no_result(stage, whole, fresh, row, rng):
    counts = row("clock jump", stage)
    for days in (1, -1)[: share(2 if whole.cpu_s[stage] < 4 else 1)]:
        root, at = fresh(stage), rng.randint(1, whole.n_writes[stage])

        def work(root=root, at=at, days=days) -> int:
            moved = Clock()
            moved.start()
            warm.Writes(root / warm.SMALL["run_id"], at, lambda: moved.jump(days * DAY_S))
            return warm.stage_run(stage, root)()

        ended = warm.fork(work, root / "said").wait()
        assert ended.code == 0, ended.said[-2000:]
        found = records.damage(stage, root / warm.SMALL["run_id"] / stage, whole.run_dir / stage)
        counts.n += 1
        counts.survived += not found
        counts.lost, counts.doubled = counts.lost + found.lost, counts.doubled + found.doubled
        counts.silent += bool(found)
        assert not found, f"{days} days at write {at}: {found}"


def annotations(n: int) -> pd.DataFrame:
    columns = "annotation_id image_id task language question answer prompt_id prompt_version teacher".split()
    return pd.DataFrame({name: [f"{name}{i}" for i in range(n)] for name in columns}).assign(choices="[]")


@pytest.mark.parametrize("days", [1, -1])
def test_leases_and_the_order_of_decisions_do_not_hang_on_the_clock(days, clock, tmp_path, row, rng):
    """After a jump nobody is locked out for longer than a lease lasts, and the decision made last counts."""
    counts, table = row("clock jump in the ledger", "03_review"), annotations(share(30))
    ledger = review_ledger.open_ledger(tmp_path / "review.sqlite")
    for k, annotation in enumerate(table.to_dict("records")):
        key, verdicts = annotation["annotation_id"], rng.sample(["accept", "skip", "flag"], 2)
        assert review_leases.take(ledger, annotation, "anna")
        clock.jump(days * DAY_S)
        later = clock.offset_s + review_leases.LEASE_S + 1
        clock.jump(review_leases.LEASE_S + 1)
        taken = review_leases.take_next(ledger, deque([(key, 1)]), lambda _: annotation, "berta")  # noqa: B023
        assert clock.offset_s == later
        for verdict in verdicts:
            review_ledger.append(ledger, [review_ledger.Decision(key, "berta", verdict)], table, client="panel")
            clock.jump(-days * DAY_S / 2)
        state = review_ledger.current(ledger, table).set_index("annotation_id")
        counts.n += 1
        lost = int(key not in state.index)
        wrong = not lost and state.loc[key, "verdict"] != verdicts[-1]
        counts.lost += lost
        counts.silent += bool(wrong) or taken is None
        counts.survived += not lost and not wrong and taken is not None
        assert not lost
        assert not wrong
        assert taken, f"annotation {k}: locked out by a lease of another clock"
    assert len(review_ledger.events(ledger)) == 2 * len(table)


def test_a_retry_after_date_of_another_clock_is_not_waited_for_a_day(clock, row):
    """The client caps what it waits (`LONGEST_WAIT_S`), and a clock that is ahead waits not at all."""
    from jwvl_lib import fetching, teacher_client

    counts, date = row("clock jump, Retry-After", "02_distillation"), "Fri, 31 Jan 2014 12:00:00 GMT"
    for days in range(-5, 6):
        clock.offset_s = (
            REAL_DATETIME(2014, 1, 31, 12, tzinfo=datetime_module.UTC).timestamp() + days * DAY_S
        ) - REAL_TIME()
        asked = teacher_replies.retry_after_s(date)
        waits = min(asked, teacher_client.LONGEST_WAIT_S)
        held = 0 <= waits <= 120 and asked == pytest.approx(max(0, -days * DAY_S), abs=5)
        held &= fetching.retry_after_s(date) == pytest.approx(asked, abs=5)
        counts.n += 1
        counts.survived += held
        assert held, f"{days} days: {asked} s"
