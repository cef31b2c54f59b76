"""Endpoints that misbehave (`tests/heavy/storm_server.py`: a third of the answers faulty), for all that ask one."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import storm_client
import warm
from cases import SEED, share
from PIL import Image

from jwvl_lib import chat, chat_pictures, endpoint_answers, report_agent, teacher_ledger
from jwvl_lib.artifacts import REPO
from jwvl_lib.observations import sunpy_data

STORM = REPO / "tests" / "heavy" / "storm_server.py"


@pytest.fixture
def storm(tmp_path):
    """Folder with the storm's images, and the port of a server that holds a request for milliseconds."""
    for k in range(storm_client.N_IMAGES):
        Image.new("L", (42, 42), 10 * k).save(tmp_path / f"image{k:02d}.png")
    command = [sys.executable, STORM, tmp_path / "server.log", "0.02"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield tmp_path, int(server.stdout.readline())
        server.kill()


def asked_of(folder: Path) -> list[tuple[int, str]]:
    """Item and fault of every request that the server has sent an answer to."""
    rows = [line.split("\t") for line in (folder / "server.log").read_text().splitlines()]
    return [(int(r[2]), r[3]) for r in rows if len(r) == 5 and r[1] == "out"]


def answered(folder: Path) -> list[int]:
    """The items that the ledger has an answer of, one that has two of them twice."""
    query = "SELECT user_text FROM attempts JOIN requests USING (key) WHERE outcome = 'answered'"
    with closing(sqlite3.connect(f"file:{folder / 'teacher.sqlite'}?mode=ro", uri=True)) as db:
        return [int(text.removeprefix("item ")) for (text,) in db.execute(query)]


def test_teacher_in_a_storm_killed_four_times(storm, row, rng):
    folder, port = storm
    counts, n = row("endpoint storm, teacher killed", "02_distillation"), share(1500)
    limits = {"concurrency": 32, "requests_per_minute": 60_000, "timeout_s": 20, "first_wait_s": 0.05}

    def ask() -> int:
        storm_client.main(folder, port, 0, n, limits)
        return 0

    known: set[int] = set()
    for _ in range(4):
        fork, goal = warm.fork(ask, folder / "said"), len(known) + rng.randint(n // 20, n // 6)
        while not fork.ended() and len(asked_of(folder) if (folder / "server.log").exists() else ()) < goal:
            time.sleep(0.02)
        fork.kill()
        now = set(answered(folder))
        counts.lost += len(known - now)
        known |= now
    for _ in range(4):
        ended = warm.fork(ask, folder / "said").wait()
        assert ended.code == 0, ended.said[-2000:]
        if len(set(answered(folder))) == n:
            break
    found = answered(folder)
    late = (
        "SELECT count(*) FROM sendings JOIN attempts USING (key)"
        " WHERE outcome = 'answered' AND sendings.sent_utc > attempts.sent_utc"
    )
    with closing(sqlite3.connect(f"file:{folder / 'teacher.sqlite'}?mode=ro", uri=True)) as db:
        sent_again = db.execute(late).fetchone()[0]
    counts.n += n
    counts.survived += len(set(found))
    counts.lost += n - len(set(found))
    counts.doubled += len(found) - len(set(found)) + sent_again
    assert sorted(found) == list(range(n))
    assert sent_again == 0
    assert teacher_ledger.counts(folder / "teacher.sqlite")


def test_benchmark_questions_in_a_storm_are_answered_or_told(storm, row, caplog):
    folder, port = storm
    counts, n = row("endpoint storm", "05_benchmark"), share(80)
    said = endpoint_answers.answer(
        [Image.new("L", (8, 8))], [f"item {k}" for k in range(n)], [0] * n,
        base_url=f"http://127.0.0.1:{port}/v1", model="m",
    )  # fmt: skip
    empty = said.count("")
    told = sum(int(r.args[1]) for r in caplog.records if "without an answer" in r.msg)
    counts.n += n
    counts.survived += n - empty + told
    counts.silent += empty - told
    assert len(said) == n
    assert empty == told
    assert n - empty > n / 2


def test_a_narrator_in_a_storm_leaves_a_report_that_says_whose_words_it_has(storm, row):
    folder, port = storm
    counts = row("endpoint storm, narrator", "06_daily_report")
    day = "2000-09-27"
    for k in range(share(6)):
        made, log = report_agent.make_report(
            day, sunpy_data() / "SRS", folder / f"report{k}", profile="tiny",
            narrator_base_url=f"http://127.0.0.1:{port}/v1", narrator_model="m",
        )  # fmt: skip
        report = json.loads((made / "report.json").read_text(encoding="utf-8"))
        states = {step["name"]: step["state"] for step in log.rows()}
        failed = states["narrate"] == "failed" and any("did not answer" in w for w in report["warnings"])
        told = failed or (states["narrate"] == "done" and report["model"] == "m")  # its words, under its name
        counts.n += 1
        counts.survived += bool(report["regions"]) and told
        counts.silent += not told
        assert report["regions"]
        assert told, (states, report["warnings"])


def test_a_chat_in_a_storm_keeps_every_turn_and_says_what_failed(storm, whole, row):
    folder, port = storm
    counts, n = row("endpoint storm", "07_chat"), share(30)
    report_dir = next((whole.run_dir / "06_daily_report").glob("*/report.json")).parent
    report = json.loads((report_dir / "report.json").read_text(encoding="utf-8"))
    import pandas as pd

    corpus_dir = whole.run_dir / "01_corpus_curation"
    pictures = chat_pictures.pictures(pd.read_parquet(corpus_dir / "corpus.parquet"), corpus_dir, report, report_dir)
    room = chat.room_of(report_dir, pictures, report, base_url=f"http://127.0.0.1:{port}/v1", model="m")
    conversation = chat.Conversation.resumed(folder, "storm")
    turns = []
    for k in range(n):
        image = sorted(pictures)[(SEED + k) % len(pictures)]
        turns.append(chat.whole(chat.ask(room, conversation, f"Describe the picture, item {k}", [image])))
    kept = chat.Conversation.resumed(folder, "storm").turns
    told = sum(bool(t["sentences"]) if t["state"] == "done" else bool(t["reason"]) for t in turns)
    counts.n += n
    counts.survived += told
    counts.lost += n - len(kept)
    counts.doubled += len(kept) - len({t["turn"] for t in kept})
    counts.silent += n - told
    assert len(kept) == n
    assert told == n
    assert {t["state"] for t in turns} <= {"done", "failed"}
