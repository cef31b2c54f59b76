"""Group commit for the teacher's ledger: rows that arrive while one transaction is written share the next.

Writes through the connection it is given. Rows reach the disk in the order in which they were handed in: who waits for
one (`write`) knows that all before it (`add`) are there too. Hundreds of writers at once cost one flush, not hundreds.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from jwvl_lib.teacher_ledger import Attempt, record_attempts


class Journal:
    """The rows waiting for the disk, and the future that tells when they are there. A failed write closes it."""

    def __init__(self, db: sqlite3.Connection):
        self.db, self.rows, self.done, self.error, self.closing = db, [], None, None, False
        self.wake, self.thread = asyncio.Event(), ThreadPoolExecutor(1)

    def add(self, row: tuple[str, str] | Attempt) -> None:
        """Hand a row in, without waiting; a tuple is a sending. Raises what went wrong with a row before it."""
        if self.error:
            raise self.error
        self.rows.append(row)
        self.wake.set()

    async def write(self, row: tuple[str, str] | Attempt) -> None:
        """Hand a row in and return when it is on disk."""
        self.add(row)
        self.done = self.done or asyncio.get_running_loop().create_future()
        await asyncio.shield(self.done)

    async def run(self) -> None:
        """Write until closed; then what is left."""
        while self.rows or not self.closing:
            await self.wake.wait()
            self.wake.clear()
            rows, done, self.rows, self.done = self.rows, self.done, [], None
            try:
                self.error or await asyncio.get_running_loop().run_in_executor(self.thread, self._commit, rows)
            except sqlite3.Error as error:
                self.error = error
            if done and self.error:
                done.set_exception(self.error)
            elif done:
                done.set_result(None)

    def _commit(self, rows: Sequence) -> None:
        attempts = [row for row in rows if isinstance(row, Attempt)]
        record_attempts(self.db, attempts, [row for row in rows if not isinstance(row, Attempt)])


@asynccontextmanager
async def open_journal(db: sqlite3.Connection) -> AsyncIterator[Journal]:
    """A journal over a ledger's connection, which nothing else may use meanwhile; at the end all rows are on disk."""
    journal = Journal(db)
    writing = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        journal.closing = True
        journal.wake.set()
        await writing
        journal.thread.shutdown()
    if journal.error:
        raise journal.error
