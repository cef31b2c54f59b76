"""The storm: 10,000 requests, 30 % of the attempts faulty, the client killed five times by SIGKILL.

Nothing may be lost, nothing sent again that had an answer, limits and budget kept, and the client may cost 5 % over the
time the server itself takes. That time is the sum of what the server held its requests, divided by the concurrency,
plus the seconds in which the server was closed (429 with Retry-After). It is compared with the time from the first
request to the last thing the server saw; starting Python is left out.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import teacher_ledger
from jwvl_lib.artifacts import REPO

pytestmark = pytest.mark.heavy
HERE = Path(__file__).parent
N_IMAGES = 20


@pytest.fixture
def storm(tmp_path, request):
    """The folder with its images, and the port of a server of its own process; the parameter is the server's pace."""
    rng = np.random.default_rng(0)
    for k in range(N_IMAGES):
        pixels = np.kron(rng.integers(0, 255, (42, 42)), np.ones((4, 4))).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"image{k:02d}.png")
    command = [sys.executable, HERE / "storm_server.py", tmp_path / "server.log", str(getattr(request, "param", 1.0))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield tmp_path, int(server.stdout.readline())
        server.kill()


def start(folder, port, n, **limits):
    command = [sys.executable, HERE / "storm_client.py", folder, str(port), "0", str(n), json.dumps(limits)]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL)


def read_log(folder):
    names = ["time", "what", "item", "fault", "held"]
    frame = pd.read_csv(folder / "server.log", sep="\t", names=names, keep_default_na=False, dtype={"fault": str})
    return frame[frame["held"].ne("")].astype({"held": float})


def n_arrived(folder):
    path = folder / "server.log"
    return path.read_text().count("\tin\t") if path.exists() else 0


def answered_items(folder):
    """The items that have an answer in the ledger."""
    with sqlite3.connect(f"file:{folder / 'teacher.sqlite'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT user_text FROM attempts JOIN requests USING (key) WHERE outcome = 'answered'")
        items = [int(text.removeprefix("item ")) for (text,) in rows]
    assert len(set(items)) == len(items), "answered twice"
    return set(items)


def sent_after_an_answer(folder):
    """How many sendings the ledger holds that are later than the one that was answered."""
    query = (
        "SELECT count(*) FROM sendings JOIN attempts USING (key)"
        " WHERE outcome = 'answered' AND sendings.sent_utc > attempts.sent_utc"
    )
    with sqlite3.connect(f"file:{folder / 'teacher.sqlite'}?mode=ro", uri=True) as db:
        return db.execute(query).fetchone()[0]


def killed_after(client, folder, n_more):
    """Kill the client once the server has seen so many more requests; the time of the kill."""
    goal = n_arrived(folder) + n_more
    while n_arrived(folder) < goal:
        assert client.poll() is None, "the client ended before it was killed"
        time.sleep(0.1)
    client.send_signal(signal.SIGKILL)
    client.wait()
    return time.time()


def busiest(times, window_s):
    """Most arrivals in any window."""
    times = np.sort(np.asarray(times))
    return int((np.searchsorted(times, times + window_s) - np.arange(len(times))).max())


def overhead(log, concurrency):
    """How much longer a client took than the server made it, in shares of that time, while it had more to ask.

    From the first arrival to that of the last new item: then all `concurrency` places should be taken all the time, but
    for the seconds in which the server was closed. After that a client waits for the last slow answers and retries,
    which says nothing about it.
    """
    arrived = log[log["what"] == "in"]
    begin, end = arrived["time"].min(), arrived.groupby("item")["time"].min().max()
    arrived = arrived[arrived["time"] <= end]
    held = np.minimum(arrived["held"], end - arrived["time"]).sum()
    needed = held / concurrency + closed_seconds(arrived.loc[arrived["fault"] == "closed", "time"])
    return (end - begin) / needed - 1


def closed_seconds(closed):
    """Seconds the server was closed, from the first refusal of each closed second."""
    times = np.sort(np.asarray(closed))
    first = times[np.flatnonzero(np.diff(times, prepend=-1e9) > 5)]
    return float(len(first)) * 1.0


def test_ten_thousand_requests_thirty_percent_faults_five_kills(storm, record):
    folder, port = storm
    n, concurrency, budget = 10_000, 64, 20_000
    limits = {"concurrency": concurrency, "requests_per_minute": 7200, "budget": budget, "timeout_s": 20}
    limits["first_wait_s"] = 0.25
    snapshots = []
    for _ in range(5):
        killed = killed_after(start(folder, port, n, **limits), folder, 2200)
        snapshots.append((killed, answered_items(folder)))
    for _ in range(3):  # what failed too often in one run is tried in the next
        assert start(folder, port, n, **limits).wait(600) == 0
        if len(answered_items(folder)) == n:
            break
    log, answered = read_log(folder), answered_items(folder)
    arrived = log[log["what"] == "in"]
    again = [item for t, known in snapshots for item in arrived.loc[arrived["time"] > t, "item"] if item in known]
    record("storm_lost", n - len(answered) + len(again), 0, n, note=f"{len(arrived)} attempts, 5 SIGKILLs")
    assert sorted(answered) == list(range(n)), "lost"
    assert again == []
    assert sent_after_an_answer(folder) == 0
    # what the server answered well and was asked again: only what a killed client could not write down
    well = log[(log["what"] == "out") & log["fault"].isin(["", "slow"])]
    unlucky = int((well.groupby("item").size() - 1).sum())
    assert unlucky <= 5 * concurrency
    faulty = arrived["fault"].ne("").mean()
    assert faulty > 0.28
    per_second = busiest(arrived["time"], 1.0)
    assert len(arrived) <= budget
    assert busiest(arrived["time"], 60.0) <= 7200
    with teacher_ledger.open_ledger(folder / "teacher.sqlite") as db:
        n_sent = teacher_ledger.n_sent(db)
    assert len(arrived) <= n_sent <= budget
    figures = {
        "requests": n, "attempts seen by the server": len(arrived), "faulty share": round(float(faulty), 3),
        "kills": 5, "lost": n - len(answered), "sent again though answered": len(again),
        "answered by the server, but the client was dead": unlucky, "most in one second (limit 120)": per_second,
        "ledger": teacher_ledger.counts(folder / "teacher.sqlite"),
    }  # fmt: skip
    print(json.dumps(figures, indent=1))


def a_block(script, folder, port, first, n, limits):
    """One client's run over n items: its overhead, seconds of wall and processor time, attempts."""
    command = [sys.executable, HERE / script, folder, str(port), str(first), str(n), json.dumps(limits)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    log = read_log(folder)
    log = log[(log["item"] >= first) & (log["item"] < first + n)]
    attempts = int((log["what"] == "in").sum())
    return {
        "overhead": overhead(log, limits["concurrency"]), "wall_s": log["time"].max() - log["time"].min(),
        "cpu_ms": 1e3 * json.loads(done.stdout)["cpu_s"] / attempts, "attempts": attempts,
    }  # fmt: skip


@pytest.mark.parametrize("storm", [0.4], indirect=True)
def test_the_client_costs_five_percent_over_the_server(storm, record):
    """Needs a machine that is not taken by something else: five minutes, the load is printed beside the figures.

    The teacher's client and a bare one ask the same 10,000 questions of the same server, in turns of 2,000, and meet
    the same faults.
    """
    folder, port = storm
    limits = {"concurrency": 96, "requests_per_minute": 60_000, "timeout_s": 20, "first_wait_s": 0.1}
    load, blocks = os.getloadavg()[0], []
    for k in range(5):
        for script, offset in (("storm_client.py", 0), ("storm_bare.py", 1_000_000))[:: 1 if k % 2 else -1]:
            found = a_block(script, folder, port, offset + 2000 * k, 2000, limits)
            blocks.append({"client": "ours" if offset == 0 else "bare", "block": k, **found})
    table = pd.DataFrame(blocks)
    by_client = table.groupby("client")[["overhead", "wall_s", "cpu_ms", "attempts"]].agg(
        {"overhead": "median", "wall_s": "sum", "cpu_ms": "mean", "attempts": "sum"}
    )
    print(table.round(4).to_string(index=False), by_client.round(4).to_string(), sep="\n")
    print(f"load before and after: {load:.1f}, {os.getloadavg()[0]:.1f}; processors: {os.cpu_count()}")
    share, bare = by_client.loc["ours", "overhead"], by_client.loc["bare", "overhead"]
    note = f"wall time, median of 5 blocks; a bare client {bare:.3f}; load {load:.1f} before"
    record("storm_overhead", float(share), 0.05, int(by_client.loc["ours", "attempts"]), note=note)
    assert share <= 0.05


def test_a_budget_and_limits_that_bind_hold_over_kills(storm):
    folder, port = storm
    limits = {"concurrency": 48, "requests_per_minute": 1500, "tokens_per_minute": 120_000, "budget": 500}
    limits["first_wait_s"] = 0.1
    for n_more in (120, 150):
        killed_after(start(folder, port, 1000, **limits), folder, n_more)
    assert start(folder, port, 1000, **limits).wait(120) == 0
    assert start(folder, port, 1000, **limits).wait(60) == 0  # nothing left to spend
    arrived = read_log(folder).query("what == 'in'")
    counts = teacher_ledger.counts(folder / "teacher.sqlite")
    with teacher_ledger.open_ledger(folder / "teacher.sqlite") as db:
        assert teacher_ledger.n_sent(db) == 500
    assert 500 - 2 * 48 <= len(arrived) <= 500  # a kill may fall between the ledger's row and the sending
    # 120,000 tokens a minute at 100 each are 20 requests a second; the requests' own limit is 25
    fastest = busiest(arrived["time"], 5.0) / 5
    print(json.dumps({"sent": 500, "seen by the server": len(arrived), "per second": fastest, "ledger": counts}))
    assert fastest <= 20 * 1.05
