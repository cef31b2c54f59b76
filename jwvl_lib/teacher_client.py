"""Asks an OpenAI-compatible server: spacing, retries, budget, and a ledger row for every attempt.

Reads the PNGs it sends; writes attempts to the ledger as they come in, so an interrupted run loses nothing it has paid
for. The openai client's own retries are off: they would be invisible in the ledger.
"""

import asyncio
import base64
import json
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import openai
import tenacity
from aiolimiter import AsyncLimiter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tqdm import tqdm

from jwvl_lib.prompts import STEPS
from jwvl_lib.teacher_ledger import (
    ANSWERED,
    INVALID,
    REFUSED,
    Attempt,
    Request,
    now_utc,
    open_ledger,
    record_attempts,
    record_requests,
    unsettled,
)

MAX_ATTEMPTS = 4
LONGEST_WAIT_S = 120.0
STOPS_THE_RUN = (401, 403, 404)  # wrong key or wrong address: every further request would fail the same way
FENCED = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.S)
THOUGHT = re.compile(r"^.*</think>", re.S)  # reasoning models put their thoughts before the answer
log = logging.getLogger(__name__)


class TeacherError(RuntimeError):
    """The teacher cannot be reached as configured; nothing was lost, a rerun goes on where this one ended."""


class _TryAgainError(Exception):
    """An attempt failed in a way that another may not; `wait_s` is the server's Retry-After."""

    def __init__(self, wait_s: float | None = None):
        self.wait_s = wait_s


class Reply(BaseModel):
    """The output schema of the prompts."""

    model_config = ConfigDict(str_strip_whitespace=True)

    observe: str = Field(min_length=1)
    identify: str = Field(min_length=1)
    analyse: str = Field(min_length=1)
    conclude: str = Field(min_length=1)
    answer: str = Field(min_length=1)

    @property
    def steps(self) -> list[str]:
        return [getattr(self, name) for name in STEPS]


def parse_reply(raw: str, choices: Sequence[str] = ()) -> Reply:
    """The reply in a raw answer, out of a code fence or after a `</think>` where there is one.

    Raises ValueError where it is not the JSON asked for, or where a closed question's answer is none of its choices.
    """
    text = THOUGHT.sub("", raw).strip()
    fenced = FENCED.match(text)
    try:
        reply = Reply.model_validate_json(fenced[1] if fenced else text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'reply'}: {first['msg']}") from None
    if choices and reply.answer not in choices:
        raise ValueError(f"answer {reply.answer!r} is none of the choices {' / '.join(choices)}")
    return reply


@dataclass
class _Run:
    """What the workers of one run share."""

    db: sqlite3.Connection
    client: openai.AsyncOpenAI
    limiter: AsyncLimiter
    stop: threading.Event
    left: float  # requests that may still be sent
    image_of: Callable[[Request], Path]
    choices_of: Callable[[Request], Sequence[str]]
    resume_at: float = 0.0  # a Retry-After holds all workers, not only the one that got it
    fatal: str = ""
    bar: tqdm | None = None
    waits: tenacity.wait.wait_base = field(default_factory=lambda: tenacity.wait_random_exponential(1, LONGEST_WAIT_S))


def ask_all(
    requests: Sequence[Request],
    ledger: Path,
    image_of: Callable[[Request], Path],
    choices_of: Callable[[Request], Sequence[str]],
    *,
    base_url: str,
    concurrency: int = 4,
    requests_per_minute: float = 60,
    budget: int = 0,
    timeout_s: float = 120,
    first_wait_s: float = 1.0,
    progress: bool = False,
) -> None:
    """Send what the ledger has not settled, and write every attempt to it.

    `budget` is the most requests this call may send, retries counted (0: no bound). 429, 5xx and dropped connections
    are tried again up to 4 times, Retry-After obeyed; so is an answer that is not valid JSON. What still fails stays in
    the ledger as a dead letter. Raises TeacherError on 401, 403 and 404. It runs in a thread of its own, so it
    works inside Jupyter's event loop; on an interrupt, answers under way are waited for and kept.
    """
    stop = threading.Event()
    options = {"base_url": base_url or None, "api_key": os.environ.get("OPENAI_API_KEY", "none"), "timeout": timeout_s}

    def work() -> str:
        with open_ledger(ledger) as db:
            record_requests(db, requests)
            todo = unsettled(db, requests, MAX_ATTEMPTS)
            return asyncio.run(main(db, todo))

    async def main(db: sqlite3.Connection, todo: list[Request]) -> str:
        async with openai.AsyncOpenAI(max_retries=0, **options) as client:
            limiter = AsyncLimiter(1, 60 / requests_per_minute)
            waits = tenacity.wait_random_exponential(first_wait_s, LONGEST_WAIT_S)
            left = budget or float("inf")
            run = _Run(db, client, limiter, stop, left, image_of, choices_of, waits=waits)
            with tqdm(total=len(todo), disable=not progress, mininterval=5, unit="request") as run.bar:
                queue = iter(todo)
                await asyncio.gather(*(_worker(run, queue) for _ in range(concurrency)))
        return run.fatal

    with ThreadPoolExecutor(1) as pool:
        try:
            fatal = pool.submit(work).result()
        except BaseException:
            stop.set()
            raise
    if fatal:
        raise TeacherError(fatal)


async def _worker(run: _Run, queue: Iterator[Request]) -> None:
    for request in queue:
        try:
            await _settle(run, request)
        except (_TryAgainError, tenacity.RetryError):
            log.warning("%s about %s is not answered; see dead_letters", request.prompt_id, request.image_id)
        run.bar.update()
        if run.stop.is_set():
            return


async def _settle(run: _Run, request: Request) -> None:
    """Send a request until it is answered, refused, out of attempts, or the run stops."""
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
        wait=lambda state: _wait_s(run, state),
        retry=tenacity.retry_if_exception_type(_TryAgainError),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            await asyncio.sleep(max(0.0, run.resume_at - time.monotonic()))
            await run.limiter.acquire()
            if run.left < 1:
                run.stop.set()
            if run.stop.is_set():
                return
            run.left -= 1
            await _send(run, request)


def _wait_s(run: _Run, state: tenacity.RetryCallState) -> float:
    asked = state.outcome.exception().wait_s
    return run.waits(state) if asked is None else min(asked, LONGEST_WAIT_S)


async def _send(run: _Run, request: Request) -> None:
    """One attempt and its ledger row; raises _TryAgainError where another attempt may succeed."""
    sent, start = now_utc(), time.monotonic()
    found: dict = {}
    again: _TryAgainError | None = None
    try:
        url = _data_url(run.image_of(request))
        completion = await run.client.chat.completions.create(
            model=request.model, messages=_messages(request, url), **json.loads(request.parameters)
        )
        found = _read(completion, run.choices_of(request))
        again = _TryAgainError() if found["outcome"] == INVALID else None
    except openai.APIStatusError as error:
        found, again = _failed(run, error)
    except openai.APIError as error:  # no connection, timeout, or a body that is no completion
        found, again = {"outcome": "unreachable", "error": str(error)}, _TryAgainError()
    seconds = round(time.monotonic() - start, 3)
    record_attempts(run.db, [Attempt(request.key, sent_utc=sent, seconds=seconds, **found)])
    if again:
        raise again


def _read(completion: openai.types.chat.ChatCompletion, choices: Sequence[str]) -> dict:
    """What an HTTP 200 brought, judged."""
    choice = completion.choices[0] if completion.choices else None
    raw = (choice.message.content if choice else None) or ""
    found = {
        "raw": raw,
        "http_status": 200,
        "finish_reason": (choice.finish_reason if choice else None) or "",
        "response_id": completion.id or "",
        "usage": completion.usage.model_dump_json(exclude_none=True) if completion.usage else "{}",
    }
    try:
        parse_reply(raw, choices)
    except ValueError as error:
        return {"outcome": INVALID, "error": str(error), **found}
    return {"outcome": ANSWERED, **found}


def _failed(run: _Run, error: openai.APIStatusError) -> tuple[dict, _TryAgainError | None]:
    """What an HTTP error means: try again, give this request up, or stop the run."""
    status, body = error.status_code, error.response.text
    found = {"http_status": status, "raw": body, "error": error.message}
    if status == 429 or status in (408, 409) or status >= 500:
        wait_s = _retry_after_s(error)
        if wait_s is not None:
            run.resume_at = max(run.resume_at, time.monotonic() + min(wait_s, LONGEST_WAIT_S))
        return {"outcome": "rate_limited" if status == 429 else "server_error", **found}, _TryAgainError(wait_s)
    if status in STOPS_THE_RUN:
        run.stop.set()
        remedy = "check teacher_base_url and teacher_model" if status == 404 else "set OPENAI_API_KEY to a valid key"
        run.fatal = f"the teacher answered HTTP {status}; {remedy}"
        return {"outcome": "stopped", **found}, None
    return {"outcome": REFUSED, **found}, None


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _messages(request: Request, data_url: str) -> list[dict]:
    content = [{"type": "image_url", "image_url": {"url": data_url}}, {"type": "text", "text": request.user}]
    return [{"role": "system", "content": request.system}, {"role": "user", "content": content}]


@lru_cache(maxsize=64)  # the annotations of one image follow each other
def _data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
