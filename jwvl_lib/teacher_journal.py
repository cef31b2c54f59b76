"""Group commit for the teacher's ledger: rows that arrive while one transaction is written share the next.

Writes through the connection it is given. A writer goes on when its row is on disk, so nothing that was answered can be
lost to a kill, and hundreds of writers at once cost one flush instead of hundreds.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from jwvl_lib.teacher_ledger import Attempt, record_attempts


class Journal:
    """The rows waiting for the disk, and the future that tells their writers when they are there."""

    def __init__(self, db: sqlite3.Connection):
        self.db, self.rows, self.done = db, [], None
        self.wake, self.thread = asyncio.Event(), ThreadPoolExecutor(1)

    async def write(self, row: tuple[str, str] | Attempt) -> None:
        """Return when the row is on disk; a tuple is a sending."""
        self.done = self.done or asyncio.get_running_loop().create_future()
        self.rows.append(row)
        self.wake.set()
        await asyncio.shield(self.done)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            rows, done, self.rows, self.done = self.rows, self.done, [], None
            try:
                await asyncio.get_running_loop().run_in_executor(self.thread, self._commit, rows)
            except sqlite3.Error as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _commit(self, rows: Sequence) -> None:
        attempts = [row for row in rows if isinstance(row, Attempt)]
        record_attempts(self.db, attempts, [row for row in rows if not isinstance(row, Attempt)])


@asynccontextmanager
async def open_journal(db: sqlite3.Connection) -> AsyncIterator[Journal]:
    """A journal over a ledger's connection, which nothing else may use meanwhile."""
    journal = Journal(db)
    writing = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        writing.cancel()
        journal.thread.shutdown()
