"""Fetching from a real server on this machine: slow, torn, busy, lying, and pointing elsewhere."""

import functools
import socket
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from werkzeug import Request, Response

from jwvl_lib import artifacts, fetching, image_files

HERE = frozenset({"127.0.0.1"})
open_image = image_files.read_image


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return "127.0.0.1", 0


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """The waits of a test are milliseconds; a server on this machine has no name."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("g") / "a.fits"
    header = fits.Header({"DATE-OBS": "2014-05-05T10:00:00"})
    fits.writeto(path, np.random.default_rng(0).normal(size=(64, 64)).astype("f4"), header, checksum=True)
    return path.read_bytes()


@pytest.fixture
def server(httpserver):
    return httpserver


@pytest.fixture
def fetch(server, tmp_path):
    """`fetch(path)` of the server into a folder of its own."""

    def one(path: str, name: str = "a.fits", **options) -> fetching.Fetched:
        url = f"http://127.0.0.1:{server.port}{path}"
        return fetching.fetch_file(url, tmp_path / "got", name, HERE, open_image, **options)

    one.folder = tmp_path / "got"
    return one


def left(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def answers(server, path: str, *responses) -> list[float]:
    """The server gives these one after another, the last for ever; returns the times at which it was asked."""
    times, queue = [], list(responses)

    def handler(request: Request) -> Response:
        times.append(time.monotonic())
        response = queue.pop(0) if len(queue) > 1 else queue[0]
        return response() if callable(response) and not isinstance(response, Response) else response

    server.expect_request(path).respond_with_handler(handler)
    return times


def test_a_good_file_is_named_hashed_and_not_asked_for_twice(server, fetch, good):
    times = answers(server, "/a", Response(good))
    found = fetch("/a")
    assert (fetch.folder / "a.fits").read_bytes() == good
    assert found.sha256 == artifacts.sha256(fetch.folder / "a.fits")
    assert found.n_bytes == len(good)
    assert fetch("/a") == found
    assert len(times) == 1
    (fetch.folder / "a.fits").write_bytes(b"torn")
    assert fetch("/a").sha256 == found.sha256
    assert len(times) == 2
    assert left(fetch.folder) == ["a.fits", "fetched.json"]


def test_truncation_is_fetched_again_and_reported_when_it_lasts(server, fetch, good):
    def cut() -> Response:
        response = Response(good[:3000], direct_passthrough=True)
        response.automatically_set_content_length = False
        response.headers["Content-Length"] = str(len(good))
        return response

    answers(server, "/once", cut, Response(good))
    assert fetch("/once").n_bytes == len(good)
    times = answers(server, "/ever", cut)
    with pytest.raises(fetching.FetchError, match=rf"3000 of {len(good)} bytes|IncompleteRead"):
        fetch("/ever", "b.fits", attempts=3)
    assert len(times) == 3
    assert left(fetch.folder) == ["a.fits", "fetched.json"]


def test_a_chunked_answer_that_breaks_off_is_no_file(fetch, good, tmp_path):
    """Without Content-Length only the missing last chunk tells."""
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + good[:0x1000] + b"\r\n"
    with raw_server([body]) as port, pytest.raises(fetching.FetchError, match="did not answer"):
        fetching.fetch_file(f"http://127.0.0.1:{port}/x", tmp_path, "a.fits", HERE, open_image, attempts=1)
    assert left(tmp_path) == []


class raw_server:
    """A server that sends given bytes, block by block with a pause between, and hangs up."""

    def __init__(self, blocks, pause_s: float = 0.0):
        self.blocks, self.pause_s = blocks, pause_s

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self.socket.getsockname()[1]

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                try:
                    for block in self.blocks:
                        connection.sendall(block)
                        time.sleep(self.pause_s)
                except OSError:
                    pass

    def __exit__(self, *_):
        self.socket.close()


def test_a_silent_server_and_a_dripping_one_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(fetching, "LONGEST_S", 0.3)
    ask = functools.partial(fetching.fetch_file, folder=tmp_path, name="a.fits", hosts=HERE, check=open_image)
    with raw_server([b""], pause_s=2) as port, pytest.raises(fetching.FetchError, match="timed out"):
        ask(f"http://127.0.0.1:{port}/x", attempts=1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    started = time.monotonic()
    with raw_server([head, *[b"x"] * 200], pause_s=0.05) as port, pytest.raises(fetching.FetchError, match="too slow"):
        ask(f"http://127.0.0.1:{port}/x")
    assert time.monotonic() - started < 3
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_left_in_peace_for_as_long_as_it_says(server, fetch, good, status):
    busy = Response("busy", status, {"Retry-After": "1"})
    times = answers(server, "/a", busy, Response(good))
    fetch("/a")
    assert times[1] - times[0] >= 1.0


def test_a_server_that_asks_for_too_long_is_not_waited_for(server, fetch):
    times = answers(server, "/a", Response("busy", 503, {"Retry-After": "86400"}))
    with pytest.raises(fetching.FetchError, match="come back in 86400 s; run again later"):
        fetch("/a")
    assert len(times) == 1


def test_errors_are_retried_only_where_they_may_pass(server, fetch):
    broken, missing = answers(server, "/500", Response("", 500)), answers(server, "/404", Response("", 404))
    with pytest.raises(fetching.FetchError, match="status 500"):
        fetch("/500", attempts=3)
    with pytest.raises(fetching.FetchError, match="status 404"):
        fetch("/404", attempts=3)
    assert (len(broken), len(missing)) == (3, 1)


def test_html_named_fits_and_wrong_sizes_never_get_the_name(server, fetch, good):
    answers(server, "/html", Response("<!DOCTYPE html><title>Log in</title>", 200))
    with pytest.raises(fetching.FetchError, match=r"content is html, its suffix \.fits says fits"):
        fetch("/html")
    short = Response(good[:-2880])  # its own Content-Length agrees with it
    answers(server, "/short", short)
    with pytest.raises(fetching.FetchError, match="not what it should be"):
        fetch("/short")
    answers(server, "/size", Response(good))
    with pytest.raises(fetching.FetchError, match=rf"{len(good)} bytes, its catalogue says 99"):
        fetch("/size", n_bytes=99, attempts=2)
    assert left(fetch.folder) == []


def test_a_bomb_is_cut_off(server, fetch, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 100_000)
    answers(server, "/big", Response(b"x" * 200_000))
    with pytest.raises(fetching.FetchError, match="more than 100000 bytes"):
        fetch("/big")
    assert left(fetch.folder) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("https://203.0.113.7/x.fits", "host '203.0.113.7' is not allowed"),
        ("http://localhost:{port}/x.fits", "host 'localhost' is not allowed"),
        ("http://169.254.169.254/latest/meta-data", "is not allowed"),
        ("http://inside.example/x", "only https"),
        ("https://inside.example/x", "private address 10.0.0.8"),
        ("file:///etc/hostname", "status 302"),  # urllib itself goes no further
    ],
)
def test_redirects_lead_only_where_one_might_have_gone(server, tmp_path, monkeypatch, target, words):
    real = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        return [(2, 1, 6, "", ("10.0.0.8", 443))] if host == "inside.example" else real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    target = target.format(port=server.port)
    times = answers(server, "/a", Response("", 302, {"Location": target}))
    with pytest.raises(fetching.FetchError, match=words):
        fetching.fetch_file(
            f"http://127.0.0.1:{server.port}/a", tmp_path, "a.fits", HERE | {"inside.example"}, open_image
        )
    assert len(times) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"]
)
def test_a_name_that_means_a_private_address_is_not_asked(monkeypatch, address):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (address, 443))])
    with pytest.raises(fetching.FetchError, match="private address"):
        fetching.allow("https://good.example/x", {"good.example"})


def test_a_redirect_within_the_allowed_is_followed(server, fetch, good):
    answers(server, "/a", Response("", 302, {"Location": "/b"}))
    answers(server, "/b", Response(good))
    assert fetch("/a").n_bytes == len(good)


def test_one_host_is_never_asked_by_more_than_two_at_a_time(server, tmp_path, good, monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE_S", 0.02)
    lock, under_way, most, starts = threading.Lock(), 0, 0, []

    def handler(request: Request) -> Response:
        nonlocal under_way, most
        with lock:
            under_way, most = under_way + 1, max(most, under_way + 1)
            starts.append(time.monotonic())
        time.sleep(0.1)
        with lock:
            under_way -= 1
        return Response(good)

    server.expect_request("/a").respond_with_handler(handler)
    url = f"http://127.0.0.1:{server.port}/a"
    threads = [
        threading.Thread(target=fetching.fetch_file, args=(url, tmp_path, f"{i}.fits", HERE, open_image))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2
    assert len(fetching.origins(tmp_path)) == 6
    assert starts[-1] - starts[0] >= 0.2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aia.fits", "aia.fits"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\.hidden.fits", "hidden.fits"),
        ("a b;rm -rf.fits", "a_b_rm_-rf.fits"),
        ("x" * 300 + ".fits", "x" * 120 + ".fits"),
    ],
)
def test_names_that_servers_give(name, expected):
    assert fetching.safe_name(name) == expected


def test_no_name_is_an_error():
    with pytest.raises(fetching.FetchError, match="without a name"):
        fetching.safe_name("..")


def test_retry_after_as_number_date_or_nonsense():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert fetching.retry_after_s("120") == 120
    assert fetching.retry_after_s("Thu, 01 Jan 2026 00:00:30 GMT", now) == 30
    assert fetching.retry_after_s("Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert fetching.retry_after_s("soon") is None
    assert fetching.retry_after_s("") is None
