"""The client against servers that break their word: truncated, wrong type, streamed; and the limits it keeps."""

import json
import re
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from jwvl_lib import teacher_journal, teacher_ledger
from jwvl_lib.teacher_client import Limits, ask_all
from jwvl_lib.teacher_ledger import Request
from jwvl_lib.teacher_replies import retry_after_s

GOOD = json.dumps({name: "seen" for name in ("observe", "identify", "analyse", "conclude", "answer")})
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def completion(content=GOOD, finish="stop"):
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": USAGE}
    return json.dumps(body).encode()


def send(handler, body, kind="application/json", length=None, status=200, **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def well(handler):
    send(handler, completion())


def truncated(handler):
    send(handler, completion()[:60], length=500)
    handler.close_connection = True


def cut_json(handler):
    send(handler, completion()[:60])


def proxy_page(handler):
    send(handler, b"<html>maintenance</html>", "text/html")


def no_choices(handler):
    send(
        handler,
        json.dumps({"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": []}).encode(),
    )


def cut_at_max_tokens(handler):
    send(handler, completion(GOOD[:30], "length"))


def too_many(handler):
    send(handler, b"{}", status=429, Retry_After="0.6")


def slowly(handler):
    time.sleep(0.3)
    well(handler)


def streamed(handler):
    parts = [{"reasoning_content": "hm"}, {"content": GOOD[:20]}, {"content": GOOD[20:]}]
    lines = []
    for k, delta in enumerate(parts):
        choice = {"index": 0, "delta": delta, "finish_reason": "stop" if k == len(parts) - 1 else None}
        chunk = {"id": "s", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        lines.append(f"data: {json.dumps(chunk)}\n\n")
    send(handler, ("".join(lines) + "data: [DONE]\n\n").encode(), "text/event-stream")


@pytest.fixture
def serve(tmp_path):
    servers = []
    Image.new("RGB", (28, 28)).save(tmp_path / "sun.png")

    def start(*script):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            script_left, bodies, times = list(script), [], []

            def do_POST(self):
                self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.times.append(time.monotonic())
                (self.script_left.pop(0) if self.script_left else well)(self)

            def log_message(self, *arguments):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        Handler.url = f"http://127.0.0.1:{servers[-1].server_port}/v1"
        return Handler

    yield start
    for server in servers:
        server.shutdown()


def requests(n, parameters="{}"):
    asked = ("description", 1, "en", "m", parameters, "system")
    return [Request("sun", "sha", *asked, f"question {k}") for k in range(n)]


def ask(server, folder, todo, image="sun.png", tokens_of=lambda request: 10, **limits):
    fast = {"requests_per_minute": 60_000, "first_wait_s": 0.01, **limits}
    ask_all(
        todo, folder / "t.sqlite", images_of=lambda r: [folder / image], choices_of=lambda r: (), base_url=server.url,
        tokens_of=tokens_of, limits=Limits(**fast),
    )  # fmt: skip
    return teacher_ledger.counts(folder / "t.sqlite")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (truncated, "unreachable"), (cut_json, "unreachable"), (proxy_page, "invalid"), (no_choices, "invalid"),
        (cut_at_max_tokens, "invalid"),
    ],
)  # fmt: skip
def test_a_broken_answer_is_recorded_and_asked_again(serve, tmp_path, fault, outcome):
    counts = ask(serve(fault), tmp_path, requests(1))
    assert counts == {"requests": 1, "attempts": 2, "answered": 1, outcome: 1}


def test_an_answer_cut_at_max_tokens_says_so(serve, tmp_path):
    ask(serve(*[cut_at_max_tokens] * 4), tmp_path, requests(1))
    assert teacher_ledger.dead_letters(tmp_path / "t.sqlite").error[0].startswith("cut at max_tokens")


def test_a_streamed_answer_is_put_together_and_may_go_without_system_message(serve, tmp_path):
    server = serve(streamed)
    counts = ask(server, tmp_path, requests(1, '{"no_system_message": true, "stream": true}'))
    assert counts["answered"] == 1
    (message,) = server.bodies[0]["messages"]
    assert message["role"] == "user"
    assert message["content"][-1]["text"] == "system\n\nquestion 0"
    assert "no_system_message" not in server.bodies[0]
    with teacher_ledger.open_ledger(tmp_path / "t.sqlite") as db:
        assert list(teacher_ledger.answers(db).values()) == [f"<think>hm</think>{GOOD}"]


def test_retry_after_holds_every_worker(serve, tmp_path):
    server = serve(too_many, slowly)  # so that the second worker has no time to ask again before the refusal is read
    ask(server, tmp_path, requests(30), concurrency=2)
    first_refusal, rest = server.times[0], server.times[2:]
    assert min(rest) - first_refusal >= 0.6


def test_a_waiting_request_holds_no_worker(serve, tmp_path):
    server = serve(lambda handler: send(handler, b"{}", status=500))
    ask(server, tmp_path, requests(20), concurrency=1, first_wait_s=1.0)
    texts = [body["messages"][-1]["content"][-1]["text"] for body in server.bodies]
    assert texts.index("question 0", 1) > 1  # others went before its second attempt
    assert len(texts) == 21


def test_retry_after_may_be_a_date():
    assert retry_after_s("7") == 7.0
    in_half_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after_s(in_half_a_minute) <= 30
    assert retry_after_s("soon") is None


def test_tokens_per_minute_is_kept_and_made_up_for(serve, tmp_path):
    server = serve()
    # 12 used where 6 were estimated, 1200 a minute: 0.6 s each
    ask(server, tmp_path, requests(4), concurrency=4, tokens_of=lambda request: 6, tokens_per_minute=1200)
    assert server.times[-1] - server.times[0] >= 3 * 6 / 20 * 0.8  # the first may arrive late


def test_a_ledger_that_cannot_be_written_stops_the_run(serve, tmp_path, monkeypatch):
    written = []

    def failing(db, attempts, sendings=()):
        written.append(len(list(attempts)))
        if len(written) > 2:
            raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(teacher_journal, "record_attempts", failing)
    server = serve()
    with pytest.raises(sqlite3.OperationalError, match="disk full"):
        ask(server, tmp_path, requests(50), concurrency=2)
    assert len(server.bodies) < 10


def test_the_bar_tells_rate_and_time_left(serve, tmp_path, capfd):
    ask_all(
        requests(3), tmp_path / "t.sqlite", images_of=lambda r: [tmp_path / "sun.png"], choices_of=lambda r: (),
        base_url=serve().url, limits=Limits(requests_per_minute=60_000), progress=True,
    )  # fmt: skip
    assert re.search(r"3/3 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+request/s\]", capfd.readouterr().err)


def test_a_stream_that_is_none_is_asked_again(serve, tmp_path):
    def broken(handler):
        send(handler, b'data: ["no chunk"]\n\n', "text/event-stream")

    counts = ask(serve(broken), tmp_path, requests(1, '{"stream": true}'))
    assert counts == {"requests": 1, "attempts": 2, "answered": 1, "unreachable": 1}


def test_only_png_is_sent(serve, tmp_path):
    (tmp_path / "sun.jpg").write_bytes(b"\xff\xd8\xff")
    server = serve()
    counts = ask(server, tmp_path, requests(2), image="sun.jpg")
    assert server.bodies == []
    assert counts["refused"] == 2
    assert "no PNG" in teacher_ledger.dead_letters(tmp_path / "t.sqlite").error[0]


def test_the_budget_is_the_ledgers_over_all_runs(serve, tmp_path):
    server = serve()
    for _ in range(3):
        ask(server, tmp_path, requests(9), budget=5, concurrency=1)
    assert len(server.bodies) == 5
    assert ask(server, tmp_path, requests(9), budget=50)["answered"] == 9
    assert len(server.bodies) == 9
