"""Growth: what each stage costs on 100 to 100,000 small records, and the corpus's own cost of a row, which stays flat.

For the corpus, rows as it leaves them in `work/`, copied from one simulated day with other days, regions and pixels
(images are not drawn: what is measured is everything that sees all rows at once). CPU times of one process, the least
of several tries. Draws the figure into $JWVL_FIGURES where that is set. For every stage (`growth_stages`) processor
time and peak memory of a process that does n records and nothing else; `JWVL_MOST` bounds n.
"""

import gc
import hashlib
import json
import os
import time
import tracemalloc
from datetime import date, timedelta
from pathlib import Path

import growth_stages
import pandas as pd
import pytest

from jwvl_lib import artifacts, corpus, corpus_table, performance_growth, plots, splits

pytestmark = pytest.mark.heavy
SIZES = (100, 1_000, 10_000, 100_000)
FLAT = 0.20
SLOPE = 1.1
MOST = int(os.environ.get("JWVL_MOST", "100000"))
N_ROUNDS = 3
STAGES = {  # the greatest number of records; those below are its tenths
    "corpus": 10_000, "table": 100_000, "distillation": 10_000, "ledger": 100_000, "claims": 10_000,
    "review": 100_000, "queue": 100_000, "training": 10_000, "answering": 10_000, "metrics": 100_000,
    "reports": 100, "report_index": 10_000, "chat": 1_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The finished job of one simulated day, as text."""
    folder = tmp_path_factory.mktemp("one")
    corpus.build_corpus(folder, "simulated", n_simulated_days=1, image_px=84, workers=1, seed=2)
    return next((folder / "work").iterdir()).read_text()


def grown(folder: Path, template: str, n_rows: int) -> list[str]:
    """Jobs of `n_rows` rows in `folder/work`; a region is on the disk for four days in a row, as real ones are."""
    outcome = json.loads(template)
    day, rows = outcome["rows"][0]["group_id"], outcome["rows"]
    numbers = sorted({n for row in rows for n in splits.region_numbers(row["facts"])})
    (folder / "work").mkdir(parents=True)
    jobs = []
    for i in range(-(-n_rows // len(rows))):
        other = date(1900, 1, 1) + timedelta(days=i)
        text = template.replace(day, f"{other}").replace(day.replace("-", ""), f"{other:%Y%m%d}")
        for k, number in enumerate(numbers):
            text = text.replace(str(number), str(100_000 + i // 4 * len(numbers) + k))
        again = json.loads(text)
        again["rows"] = again["rows"][: n_rows - i * len(rows)]
        for k, row in enumerate(again["rows"]):
            row["pixels"] = hashlib.sha256(f"{i * len(rows) + k}".encode()).hexdigest()
        jobs.append(f"{i:024x}.json")
        (folder / "work" / jobs[-1]).write_text(json.dumps(again))
    return jobs


def _cost(folder: Path, jobs: list[str]) -> dict[str, float]:
    """CPU seconds of each step over all rows."""
    clock, spent = time.process_time, {}
    start = clock()
    found = []
    for job in jobs:
        found += corpus_table.entries(job, json.loads((folder / "work" / job).read_bytes())["rows"])
    spent["index"], start = clock() - start, clock()
    kept, _ = corpus_table.without_duplicates(found)
    spent["dedup"], start = clock() - start, clock()
    names = corpus_table.split_names(kept, "", 0)
    spent["split"], start = clock() - start, clock()
    corpus_table.write(folder, kept, names)
    spent["table"] = clock() - start
    return spent


def test_the_cost_of_a_row_is_flat(template, tmp_path, record):
    jobs = {n: grown(tmp_path / str(n), template, n) for n in SIZES}
    tries = {n: [] for n in SIZES}
    for _ in range(N_ROUNDS):  # all sizes in turn, so that what the host does meanwhile hits them alike
        for n in SIZES:
            gc.collect()
            tries[n] += [_cost(tmp_path / str(n), jobs[n]) for _ in range(max(1, min(10, 10_000 // n)))]
    records = []
    for n, found in tries.items():
        best = {step: min(t[step] for t in found) / n * 1e6 for step in found[0]}
        records += [{"n_rows": n, "step": k, "us_per_row": v} for k, v in best.items()]
        told = ", ".join(f"{k} {v:.1f}" for k, v in best.items())
        print(f"\n{n} rows: {told} = {sum(best.values()):.0f} us a row")
    table = pd.DataFrame(records)
    if os.environ.get("JWVL_FIGURES"):
        plots.save_figure(plots.growth(table), Path(os.environ["JWVL_FIGURES"]) / "growth.png")
    whole = table.groupby("n_rows")["us_per_row"].sum()
    print((whole / whole.median()).round(3).to_dict())
    departures = (whole / whole.median() - 1).abs()
    by_size = ", ".join(f"{n} rows {us / whole.median() - 1:+.2f}" for n, us in whole.items())
    note = f"median {whole.median():.0f} us of CPU a row; {by_size}"
    record("growth_flat", float(departures.max()), FLAT, SIZES[-1], note=note)
    assert (departures <= FLAT).all()
    frame = pd.read_parquet(tmp_path / str(SIZES[-2]) / "corpus.parquet")
    assert len(frame) == SIZES[-2]
    assert set(frame["split"]) == {"train", "val", "test"}
    assert splits.audit_splits(frame.assign(sha256=frame.index.astype(str)))["regions_crossing"] == 0


def test_memory_grows_by_the_entries_alone(template, tmp_path):
    """The entry that is kept of each row is small: two and a half kilobytes at the peak."""
    peaks = {}
    for n in (10_000, 40_000):
        folder = tmp_path / str(n)
        jobs = grown(folder, template, n)
        tracemalloc.start()
        _cost(folder, jobs)
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"\n{n} rows: peak {peaks[n] / 2**20:.0f} MiB; facts {artifacts.sha256(folder / 'corpus.parquet')[:8]}")
    assert (peaks[40_000] - peaks[10_000]) / 30_000 < 2560


@pytest.mark.parametrize("stage", STAGES)
def test_the_cost_of_each_stage_grows_no_faster_than_its_records(stage, template, tmp_path, record, request):
    most = min(STAGES[stage], MOST)
    least = 10 if most <= 1_000 else 100
    sizes = [n for n in (10, 100, 1_000, 10_000, 100_000) if least <= n <= most]
    given = {"table": lambda: [template], "reports": lambda: [request.getfixturevalue("archive")]}
    given["report_index"] = given["reports"]
    given = given.get(stage, list)()
    points = {}
    for n in sizes:
        for name, cost in growth_stages.measured(getattr(growth_stages, stage), tmp_path / str(n), n, *given).items():
            points.setdefault(name, []).append({k: round(v, 6) for k, v in cost.items()})
    slopes = {name: performance_growth.slope(of_one) for name, of_one in points.items()}
    for name, of_one in points.items():
        print(f"\n{name}: slope {slopes[name]:.2f}", *of_one, sep="\n  ")
        record(f"growth_{name}", slopes[name], SLOPE, of_one[-1]["n"], points=of_one, note="CPU of one process")
    assert max(slopes.values()) <= SLOPE
