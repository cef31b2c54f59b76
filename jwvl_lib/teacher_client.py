"""Asks an OpenAI-compatible server: spacing, retries, budget, and a ledger row for every attempt.

Reads the PNGs it sends; writes to the ledger as it goes, so an interrupted or killed run loses nothing it has paid for.
Every sending is on disk before it leaves, and with it every answer that had come by then; rows that arrive while one
transaction is being written share the next. Retries are this module's own: a client library's would be invisible in
the ledger, and they would hold a worker that could ask something else meanwhile.
"""

import asyncio
import json
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiolimiter import AsyncLimiter
from tqdm import tqdm

from jwvl_lib import teacher_http
from jwvl_lib.teacher_journal import Journal, open_journal
from jwvl_lib.teacher_ledger import (
    INVALID,
    REFUSED,
    Attempt,
    Request,
    n_sent,
    now_utc,
    open_ledger,
    record_requests,
    unsettled,
)

MAX_ATTEMPTS = 4  # answers that are not the JSON asked for, over all runs
MAX_FAILURES = 10  # failures of server or network in one run; being told to wait (429) is none
LONGEST_WAIT_S = 120.0
STOPS_THE_RUN = (401, 403, 404)  # wrong key or wrong address: every further request would fail the same way
log = logging.getLogger(__name__)


class TeacherError(RuntimeError):
    """The teacher cannot be reached as configured; nothing was lost, a rerun goes on where this one ended."""


@dataclass(frozen=True)
class Limits:
    """How hard a server may be pressed. 0 means no bound, but `concurrency` and `requests_per_minute` always bind.

    `budget` is the most requests that a ledger may ever send, retries and killed runs counted.
    """

    concurrency: int = 4
    requests_per_minute: float = 60
    tokens_per_minute: float = 0
    budget: int = 0
    timeout_s: float = 120
    first_wait_s: float = 1.0


@dataclass
class _Job:
    request: Request
    n_invalid: int = 0
    n_failed: int = 0


@dataclass
class _Run:
    """What the workers of one run share."""

    journal: Journal
    session: aiohttp.ClientSession
    url: str
    limits: Limits
    stop: threading.Event
    left: float  # requests that may still be sent
    images_of: Callable[[Request], Sequence[Path]]
    choices_of: Callable[[Request], Sequence[str]]
    tokens_of: Callable[[Request], float]
    requests: AsyncLimiter
    tokens: AsyncLimiter | None
    bar: tqdm
    n_open: int  # jobs not settled in this run
    queue: asyncio.Queue = field(default_factory=asyncio.Queue)
    resume_at: float = 0.0  # a Retry-After holds all workers, not only the one that got it
    fatal: str = ""


def ask_all(
    requests: Sequence[Request],
    ledger: Path,
    images_of: Callable[[Request], Sequence[Path]],
    choices_of: Callable[[Request], Sequence[str]],
    *,
    base_url: str,
    limits: Limits,
    tokens_of: Callable[[Request], float] = lambda request: 0,
    progress: bool = False,
) -> None:
    """Send what the ledger has not settled, and write every attempt to it.

    429, 5xx and dropped connections are tried again, Retry-After obeyed by all workers; so is, up to 4 times, an
    answer that is not valid JSON. A request that waits for its turn holds no worker. What still fails stays in the
    ledger as a dead letter. `tokens_of` estimates what a request costs for `tokens_per_minute`; what an answer says it
    used beyond that is made up for. It runs in a thread of its own, so it works inside Jupyter's event loop; on an
    interrupt, answers under way are waited for and kept. Raises TeacherError on 401, 403 and 404.
    """
    stop = threading.Event()

    def work() -> str:
        with open_ledger(ledger) as db:
            record_requests(db, requests)
            todo = unsettled(db, requests, MAX_ATTEMPTS)
            left = limits.budget - n_sent(db) if limits.budget else float("inf")
            if left < len(todo):
                log.warning("the budget leaves %d of %d requests to send; raise budget to go on", left, len(todo))
            return asyncio.run(main(db, todo, left))

    async def main(db: sqlite3.Connection, todo: list[Request], left: float) -> str:
        spacing = _limiters(limits, [tokens_of(r) for r in todo])
        async with teacher_http.open_session(limits.timeout_s) as session, open_journal(db) as journal:
            with tqdm(total=len(todo), disable=not progress, mininterval=5, unit="request") as bar:
                called = (images_of, choices_of, tokens_of)
                run = _Run(
                    journal,
                    session,
                    teacher_http.address(base_url),
                    limits,
                    stop,
                    left,
                    *called,
                    *spacing,
                    bar,
                    n_open=len(todo),
                )
                await _work(run, todo)
        return run.fatal

    with ThreadPoolExecutor(1) as pool:
        try:
            fatal = pool.submit(work).result()
        except BaseException:
            stop.set()
            raise
    if fatal:
        raise TeacherError(fatal)


def _limiters(limits: Limits, tokens: Sequence[float]) -> tuple[AsyncLimiter, AsyncLimiter | None]:
    requests = _limiter(limits.requests_per_minute, 1.0)
    return requests, _limiter(limits.tokens_per_minute, max([1.0, *tokens])) if limits.tokens_per_minute else None


def _limiter(per_minute: float, largest: float) -> AsyncLimiter:
    """Evenly spaced, but a fifth of a second's worth may leave at once: else what a late timer loses is lost for good.

    No minute holds more than `per_minute`, and a run that is killed and started again overshoots by no more than that.
    """
    burst = max(largest, per_minute / 300)
    return AsyncLimiter(burst, 60 * burst / (per_minute - burst if burst > largest else per_minute))


async def _work(run: _Run, todo: Sequence[Request]) -> None:
    for request in todo:
        run.queue.put_nowait(_Job(request))
    watch = asyncio.create_task(_watch(run))
    await asyncio.gather(*(_worker(run) for _ in range(min(run.limits.concurrency, len(todo)))))
    watch.cancel()


async def _watch(run: _Run) -> None:
    """Wake a worker that waits for a job when the run is interrupted from outside."""
    while not run.stop.is_set():
        await asyncio.sleep(0.25)
    run.queue.put_nowait(None)


async def _worker(run: _Run) -> None:
    """Take jobs until none is open; None in the queue wakes the workers at the end."""
    while run.n_open and not run.stop.is_set():
        job = await run.queue.get()
        if job is None or not await _may_send(run, job):
            break
        wait_s = await _send(run, job)
        if wait_s is None:
            run.n_open -= 1
            run.bar.update()
        else:
            asyncio.get_running_loop().call_later(wait_s, run.queue.put_nowait, job)
    run.queue.put_nowait(None)


async def _may_send(run: _Run, job: _Job) -> bool:
    """Wait for the limits and for the server's own pause; False where the run stops or its budget is spent."""
    if run.tokens:
        await run.tokens.acquire(min(max(1.0, run.tokens_of(job.request)), run.tokens.max_rate))
    while True:
        await run.requests.acquire()
        if run.stop.is_set() or (pause := run.resume_at - time.monotonic()) <= 0:
            break
        await asyncio.sleep(min(pause, 1.0))  # then a turn of its own, or all would leave at once
    if run.left < 1:
        run.stop.set()
    if run.stop.is_set():
        return False
    run.left -= 1
    return True


async def _send(run: _Run, job: _Job) -> float | None:
    """One attempt and its ledger rows; how long to wait before the next attempt, None where there is to be none.

    Nobody waits for the disk to have an answer: the worker's next sending does, which is written with it or after it.
    """
    request, sent = job.request, now_utc()
    try:
        body = teacher_http.body_of(request, run.images_of(request))
    except (OSError, ValueError) as error:
        run.journal.add(Attempt(request.key, REFUSED, error=str(error), sent_utc=sent))
        return None
    await run.journal.write((request.key, sent))
    start = time.monotonic()
    found, wait_s = await _ask(run, job, body)
    seconds = round(time.monotonic() - start, 3)
    run.journal.add(Attempt(request.key, sent_utc=sent, seconds=seconds, **found))
    await _make_up(run, request, found)
    return wait_s


async def _ask(run: _Run, job: _Job, body: dict) -> tuple[dict, float | None]:
    try:
        status, found, asked = await teacher_http.ask(run.session, run.url, body, run.choices_of(job.request))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # or a body that breaks off, or is no JSON
        return {"outcome": "unreachable", "error": str(error) or type(error).__name__}, _wait_s(run, job)
    if status >= 300:
        outcome, wait_s = _failed(run, job, status, asked)
        return {"outcome": outcome, **found}, wait_s
    if found["outcome"] != INVALID:
        return found, None
    job.n_invalid += 1
    return found, 0.0 if job.n_invalid < MAX_ATTEMPTS else None


def _failed(run: _Run, job: _Job, status: int, asked: float | None) -> tuple[str, float | None]:
    """What an HTTP error means: try again, give this request up, or stop the run."""
    if status in (408, 409, 429) or status >= 500:
        if asked is not None:
            asked = min(asked, LONGEST_WAIT_S)
            run.resume_at = max(run.resume_at, time.monotonic() + asked)
        told_to_wait = status == 429 and asked is not None
        return "rate_limited" if status == 429 else "server_error", asked if told_to_wait else _wait_s(run, job)
    if status in STOPS_THE_RUN:
        run.stop.set()
        remedy = "check teacher_base_url and teacher_model" if status == 404 else "set OPENAI_API_KEY to a valid key"
        run.fatal = f"the teacher answered HTTP {status}; {remedy}"
        return "stopped", None
    return REFUSED, None


def _wait_s(run: _Run, job: _Job) -> float | None:
    """Random, up to twice as long after each failure; None after the last."""
    job.n_failed += 1
    if job.n_failed >= MAX_FAILURES:
        log.warning("%s about %s is not answered; see dead_letters", job.request.prompt_id, job.request.image_id)
        return None
    return random.uniform(0, min(LONGEST_WAIT_S, run.limits.first_wait_s * 2**job.n_failed))


async def _make_up(run: _Run, request: Request, found: dict) -> None:
    """Hold the token limit to what was used, where that is more than was estimated."""
    if run.tokens is None:
        return
    more = json.loads(found.get("usage", "{}")).get("total_tokens", 0) - max(1.0, run.tokens_of(request))
    while more > 0:
        part = min(more, run.tokens.max_rate)
        await run.tokens.acquire(part)
        more -= part
