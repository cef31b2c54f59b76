"""One way to fetch: allowed hosts over https, staged, measured, opened, hashed, and only then given its name.

Reads addresses, writes files into the folder it is told and `fetched.json` there (file -> url, sha256, bytes, UTC).
A host is asked only where it is allowed, also after a redirect, and never at a private address; a busy one is left in
peace for as long as it says. What arrives is a file under its name only when it is whole and opens as what it is.
"""

import hashlib
import json
import logging
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import tenacity

from jwvl_lib import artifacts

LOGGER = logging.getLogger(__name__)
USER_AGENT = "jwvl-workshop (solar corpus and daily report)"
TIMEOUT_S = 20  # without a byte
LONGEST_S = 900  # for one file, however steadily it drips
LONGEST_WAIT_S = 300  # a host that asks for more is not waited for
MAX_BYTES = 1 << 29
ATTEMPTS = 4
FIRST_WAIT_S = 1.0  # doubled with every attempt, where the host does not say
PER_HOST = 2  # requests at a time to one host
PAUSE_S = 0.2  # between the starts of two requests to one host
COME_BACK = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK = ("127.0.0.1", "localhost")  # reached only where a caller allows it by name, as tests do
LEDGER = "fetched.json"
STAGING = ".staging"


class FetchError(OSError):
    """An address that may not be asked, did not answer, or answered with something else; one line."""


class _ComeBack(FetchError):
    """Worth another attempt, after `wait_s` seconds where the host named them."""

    def __init__(self, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched, or `error`, one line why it was not."""

    name: str
    url: str
    sha256: str = ""
    n_bytes: int = 0
    fetched_utc: str = ""
    error: str = ""


def fetch_file(
    url: str,
    folder: str | Path,
    name: str,
    hosts: Collection[str],
    check: Callable[[Path], object],
    n_bytes: int | None = None,
    attempts: int = ATTEMPTS,
) -> Fetched:
    """Fetch one file into `folder` under `name`; one that stands there as the ledger has it is not fetched again.

    `check` opens the staged file and raises ValueError or OSError where it is not what it should be; `n_bytes` is its
    size where a catalogue knows it. Raises FetchError.
    """
    folder, name = Path(folder), safe_name(name)
    if (known := _standing(folder, name, url)) is not None:
        return known
    (folder / STAGING).mkdir(parents=True, exist_ok=True)
    staged = folder / STAGING / name
    try:
        size, digest = _attempts(lambda: _into(staged, url, hosts, n_bytes), attempts)
        _checked(staged, url, check)
        staged.replace(folder / name)
    finally:
        staged.unlink(missing_ok=True)
    found = Fetched(name, url, digest, size, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    note(folder, [found])
    return found


def fetch_bytes(
    url: str, hosts: Collection[str], max_bytes: int = MAX_BYTES, attempts: int = ATTEMPTS
) -> tuple[bytes, Mapping[str, str]]:
    """The bytes of a small answer (a page, a text, a catalogue) and its headers. Raises FetchError."""

    def once() -> tuple[bytes, Mapping[str, str]]:
        with _answer(url, hosts) as answer:
            return b"".join(_body(answer, url, max_bytes)), answer.headers

    return _attempts(once, attempts)


def safe_name(name: str) -> str:
    """A file name that a server gave, without folders, hidden files or characters that mean something elsewhere."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", re.split(r"[/\\]", name)[-1]).lstrip("._-")
    if not name:
        raise FetchError("a file without a name; name it yourself")
    stem, dot, suffix = name.partition(".")
    return f"{stem[:120]}{dot}{suffix[-80:]}"


# --------------------------------------------------------------------------------------------------------------------
# the ledger


def origins(folder: str | Path) -> dict[str, dict]:
    """File name -> `{url, sha256, n_bytes, fetched_utc}` of what was fetched into a folder; empty where nothing was."""
    try:
        noted = json.loads((Path(folder) / LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def note(folder: str | Path, found: Collection[Fetched]) -> None:
    """Add what was fetched to the folder's ledger."""
    with _LEDGER_LOCK:
        noted = origins(folder)
        noted |= {f.name: {k: v for k, v in asdict(f).items() if k not in ("name", "error")} for f in found if f.sha256}
        artifacts.write_json(Path(folder) / LEDGER, noted)


_LEDGER_LOCK = threading.Lock()


def _standing(folder: Path, name: str, url: str) -> Fetched | None:
    entry = origins(folder).get(name, {})
    path = folder / name
    if entry.get("url") != url or not path.is_file() or artifacts.sha256(path) != entry.get("sha256"):
        return None
    return Fetched(name, **entry)


# --------------------------------------------------------------------------------------------------------------------
# one attempt, and the next


def _attempts(once: Callable, attempts: int) -> object:
    """`once()` until it succeeds, fails for good, or has failed `attempts` times."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=_wait_s,
        retry=tenacity.retry_if_exception_type(_ComeBack),
        before_sleep=tenacity.before_sleep_log(LOGGER, logging.INFO),
        reraise=True,
    )
    return retrying(once)


def _wait_s(state: tenacity.RetryCallState) -> float:
    asked = state.outcome.exception().wait_s
    return FIRST_WAIT_S * 2 ** (state.attempt_number - 1) if asked is None else asked


def _into(staged: Path, url: str, hosts: Collection[str], n_bytes: int | None) -> tuple[int, str]:
    """Stream an answer into a file; its size and sha256."""
    digest, size = hashlib.sha256(), 0
    with staged.open("wb") as file, _answer(url, hosts) as answer:
        for block in _body(answer, url, MAX_BYTES):
            _write(file, digest, block)
            size += len(block)
    if n_bytes is not None and size != n_bytes:
        raise _ComeBack(f"{url}: {size} bytes, its catalogue says {n_bytes}; cut on the way, or another file")
    return size, digest.hexdigest()


def _write(file: BinaryIO, digest: object, block: bytes) -> None:
    file.write(block)
    digest.update(block)


def _checked(staged: Path, url: str, check: Callable[[Path], object]) -> None:
    try:
        check(staged)
    except (ValueError, OSError) as error:
        raise FetchError(f"{url}: not what it should be: {' '.join(str(error).split())[:250]}") from None


@contextmanager
def _answer(url: str, hosts: Collection[str]) -> Iterator[HTTPResponse]:
    """An open answer with status 200; everything that goes wrong, also while it is read, as a FetchError."""
    host = urlsplit(url).hostname or ""
    allow(url, hosts)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(), _Redirects(hosts))
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})
    try:
        with _turn(host), opener.open(request, timeout=TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error) from None
    except FetchError:
        raise
    except (OSError, ValueError, HTTPException) as error:
        raise _ComeBack(f"{url}: {host} did not answer ({' '.join(str(error).split())[:120]})") from None


def _refusal(url: str, error: urllib.error.HTTPError) -> FetchError:
    if error.code not in COME_BACK:
        return FetchError(f"{url}: status {error.code}")
    wait_s = retry_after_s(error.headers.get("Retry-After", ""))
    if wait_s is not None and wait_s > LONGEST_WAIT_S:
        return FetchError(f"{url}: status {error.code}, come back in {wait_s:.0f} s; run again later")
    return _ComeBack(f"{url}: status {error.code}", wait_s)


def retry_after_s(text: str, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date, RFC 9110, 10.2.3), None where it does not."""
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _body(answer: HTTPResponse, url: str, max_bytes: int) -> Iterator[bytes]:
    """The body in blocks as they come; FetchError where it is cut, endless, too large or too slow."""
    size, started = 0, time.monotonic()
    announced = answer.headers.get("Content-Length", "")
    while block := answer.read1(1 << 16):
        size += len(block)
        if size > max_bytes:
            raise FetchError(f"{url}: more than {max_bytes} bytes; this is not the product")
        if time.monotonic() - started > LONGEST_S:
            raise FetchError(f"{url}: {size} bytes in {LONGEST_S} s; too slow, try another mirror")
        yield block
    if announced.isdigit() and int(announced) != size:
        raise _ComeBack(f"{url}: {size} of {announced} bytes; cut on the way, fetch it again")


# --------------------------------------------------------------------------------------------------------------------
# who may be asked, and how often


def allow(url: str, hosts: Collection[str]) -> None:
    """Nothing, or FetchError: the host must be named in `hosts`, the scheme https, the address a public one.

    http is allowed to this machine where `hosts` names it. Behind a proxy the proxy looks the name up. That the
    certificate must be of the named host guards against a name that changes between look-up and connection.
    """
    parts = urlsplit(url)
    if parts.hostname not in hosts:
        raise FetchError(f"{url}: host {parts.hostname!r} is not allowed; allowed are {', '.join(sorted(hosts))}")
    if parts.hostname in LOOPBACK and parts.scheme == "http":
        return
    if parts.scheme != "https":
        raise FetchError(f"{url}: only https is allowed")
    if "https" in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _ComeBack(f"{url}: {parts.hostname} did not answer ({error.strerror or error})") from None
    private = [entry[4][0] for entry in found if not ip_address(entry[4][0].split("%")[0]).is_global]
    if private:
        raise FetchError(f"{url}: {parts.hostname} is the private address {private[0]}; only public ones are asked")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only where its target would have been allowed as an address."""

    def __init__(self, hosts: Collection[str]):
        self.hosts = hosts

    def redirect_request(self, request, file, code, message, headers, url):
        allow(url, self.hosts)
        return super().redirect_request(request, file, code, message, headers, url)


@contextmanager
def _turn(host: str) -> Iterator[None]:
    """Wait until a request to this host is due: few at a time, none straight after another."""
    with _TURNSTILES[host]:
        with _PAUSE_LOCK:
            wait_s = _NEXT_START[host] - time.monotonic()
            _NEXT_START[host] = max(time.monotonic(), _NEXT_START[host]) + PAUSE_S
        if wait_s > 0:
            time.sleep(wait_s)
        yield


_TURNSTILES: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(PER_HOST))
_NEXT_START: dict[str, float] = defaultdict(float)
_PAUSE_LOCK = threading.Lock()
