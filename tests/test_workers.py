"""One seam for mapping work: here, on processes, on a real Dask cluster; failures, deaths, kills cost one item."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from jwvl_lib import artifacts, corpus, image_rows, report_archive, workers
from plain_work import deadly, odd_ones_fail, sleep, unsendable

pytestmark = pytest.mark.slow
WAYS = ("here", "processes", "cluster")


@pytest.fixture(scope="module")
def cluster():
    """Address of a cluster of two processes on this machine."""
    import dask
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.worker.memory.terminate": False}
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": ":0"}
    with dask.config.set(settings), LocalCluster(**options, silence_logs=60) as started:
        yield started.scheduler_address


@pytest.fixture
def ways(cluster):
    return {"here": {"workers": 1}, "processes": {"workers": 2}, "cluster": {"dask_address": cluster}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("in_order", [True, False])
def test_every_way_gives_the_same(ways, way, in_order):
    done = list(workers.each(odd_ones_fail, iter(range(30)), in_order=in_order, **ways[way]))
    if in_order:
        assert [d.item for d in done] == list(range(30))
    assert {d.item: d.value for d in done} == {n: None if n % 2 else n * n for n in range(30)}
    assert {d.error for d in done if d.item % 2} == {f"KeyError: 'no such\\nnumber: {n}'" for n in range(1, 30, 2)}
    assert all(len(d.error.splitlines()) < 2 for d in done)
    assert not any(d.error for d in done if d.item % 2 == 0)


@pytest.mark.parametrize("way", WAYS[1:])
def test_the_finished_ones_need_not_wait_for_a_slow_one(ways, way):
    items = [1.0, 0.0, 0.01, 0.02]
    assert next(workers.each(sleep, items, in_order=False, **ways[way])).value < 1
    assert next(workers.each(sleep, items, **ways[way])).value == 1


@pytest.mark.parametrize("way", WAYS)
def test_no_more_than_a_window_is_ever_taken(ways, way):
    taken, yielded, ahead = 0, 0, []

    def items():
        nonlocal taken
        for n in range(100):
            taken += 1
            yield 2 * n

    for _ in workers.each(odd_ones_fail, items(), **ways[way]):
        ahead.append(taken - yielded)
        yielded += 1
    assert yielded == 100
    assert max(ahead) <= 2 * workers.WINDOW


def test_leaving_in_the_middle_ends_the_processes(ways):
    for done in workers.each(odd_ones_fail, range(0, 2000, 2), workers=2):
        if done.item == 20:
            break
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
        assert [n for n in names if sys.argv[0].encode() in n and b"spawn" not in n and b"resource" not in n] == []


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_death_costs_a_second_try_and_not_the_batch(ways, way, tmp_path):
    done = list(workers.each(partial(deadly, folder=str(tmp_path)), range(20), **ways[way]))
    assert [d.value for d in done] == list(range(20))
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("way", WAYS[1:])
def test_an_item_that_always_kills_is_one_line(ways, way, tmp_path):
    done = list(workers.each(partial(deadly, folder=str(tmp_path), always=True), range(20), **ways[way]))
    assert [d.item for d in done if d.error] == [7]
    assert done[7].error == workers.DIED
    assert [d.value for d in done] == [None if n == 7 else n for n in range(20)]


def test_a_value_that_cannot_be_sent_back_is_one_line():
    done = list(workers.each(unsendable, range(3), workers=2))
    assert [bool(d.error) for d in done] == [False, True, False]
    assert "\n" not in done[1].error


def test_a_cluster_that_is_not_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(workers, "CLUSTER_TIMEOUT_S", 1)
    with pytest.raises(ConnectionError, match="tcp://127.0.0.1:9.*does not answer"):
        list(workers.each(odd_ones_fail, range(3), dask_address="tcp://127.0.0.1:9"))


def test_a_cluster_without_workers_is_one_clear_line(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(workers, "CLUSTER_TIMEOUT_S", 1)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0", silence_logs=60) as empty:
        with pytest.raises(ConnectionError, match="has no worker; start some with: dask worker tcp://"):
            list(workers.each(odd_ones_fail, range(3), dask_address=empty.scheduler_address))


# --------------------------------------------------------------------------------------------------------------------
# its two callers


def test_a_corpus_is_the_same_bytes_every_way(ways, tmp_path):
    found = {}
    for way, where in ways.items():
        corpus.build_corpus(tmp_path / way, "simulated", n_simulated_days=2, image_px=84, **where)
        names = ("corpus.parquet", "rejects.parquet", "images", "raw", "work")
        found[way] = [artifacts.sha256(tmp_path / way / name) for name in names]
    assert found["here"] == found["processes"] == found["cluster"]


def test_an_image_whose_process_dies_is_one_reject(tmp_path, monkeypatch):
    """The pools fork, so a reader patched here is patched there."""
    good = image_rows.image_rows

    def fatal(obs, source, *rest):
        if source.endswith("hmi_magnetogram.fits") or "magnetogram" in obs.measurement:
            os.kill(os.getpid(), signal.SIGKILL)
        return good(obs, source, *rest)

    local = tmp_path / "local"
    corpus.build_corpus(tmp_path / "a", "simulated", n_simulated_days=1, image_px=84, workers=1)
    (tmp_path / "a" / "raw").rename(local)
    monkeypatch.setattr(image_rows, "image_rows", fatal)
    table, rejects = corpus.build_corpus(tmp_path / "b", "local", local_dir=local, image_px=84, real_split="")
    assert len(table) == 5
    assert rejects["reason"].tolist() == [workers.DIED]


@pytest.fixture
def october(shared_data):
    return shared_data / "swpc_text_runs" / "ar12192_2014oct"


def _tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): artifacts.sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_reports_are_the_same_bytes_every_way(ways, october, tmp_path):
    for way, where in ways.items():
        made = report_archive.backfill("2014-10-18", "2014-10-23", october, tmp_path / way, **where)
        assert [d.state for d in made] == ["made"] * 6
    assert _tree(tmp_path / "here") == _tree(tmp_path / "processes") == _tree(tmp_path / "cluster")


def test_a_backfill_that_was_killed_goes_on_and_ends_with_the_same_files(october, tmp_path):
    span = ["2014-10-14", "2014-10-29", "--swpc-dir", str(october)]
    command = [sys.executable, "-m", "jwvl_lib.report_archive", *span, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        while len(list((tmp_path / "killed").glob("*/report.json"))) < 3:
            assert process.poll() is None
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    n_made = len(list((tmp_path / "killed").glob("*/report.json")))
    assert 3 <= n_made < 16
    assert not (tmp_path / "killed" / "index.html").exists()
    again = report_archive.backfill(*span[:2], october, tmp_path / "killed")
    assert [d.state for d in again].count("kept") >= 3
    report_archive.backfill(*span[:2], october, tmp_path / "whole", workers=1)
    left = {p for p in _tree(tmp_path / "killed") if p.endswith(".tmp")}
    assert {k: v for k, v in _tree(tmp_path / "killed").items() if k not in left} == _tree(tmp_path / "whole")


def test_workers_end_with_a_killed_parent():
    """Else they wait for ever for their next item: nobody is left to send or to end them."""
    lines = "from jwvl_lib import workers; from plain_work import sleep\n"
    lines += "for done in workers.each(sleep, [0.0] * 8 + [60.0] * 4): print(done.value, flush=True)"
    environment = {**os.environ, "PYTHONPATH": f"{artifacts.REPO}:{Path(__file__).parent}"}
    with subprocess.Popen([sys.executable, "-c", lines], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline().strip() == "0.0"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
    deadline = time.monotonic() + 10
    while (left := [c for c in children if _runs(c)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for orphan in left:
        orphan.kill()
    assert not left


def _runs(process: psutil.Process) -> bool:
    """A dead one stays in the table until its new parent asks for it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
