"""Growth of a corpus from 100 to 100,000 simulated rows: the cost of a row stays flat, and memory nearly so.

Rows as `corpus` leaves them in `work/`, copied from one simulated day with other days, regions and pixels (images are
not drawn: what is measured is everything that sees all rows at once). CPU times of one process, the least of several
tries. Draws the figure into $JWVL_FIGURES where that is set. About two minutes.
"""

import gc
import json
import os
import time
import tracemalloc
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from jwvl_lib import artifacts, corpus, corpus_table, plots, splits

pytestmark = pytest.mark.heavy
SIZES = (100, 1_000, 10_000, 100_000)
FLAT = 0.20


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The finished job of one simulated day, as text."""
    folder = tmp_path_factory.mktemp("one")
    corpus.build_corpus(folder, "simulated", n_simulated_days=1, image_px=84, workers=1, seed=2)
    return next((folder / "work").iterdir()).read_text()


def _grown(folder: Path, template: str, n_rows: int) -> list[str]:
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
            row["pixels"] = f"{i * len(rows) + k:064x}"
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


def test_the_cost_of_a_row_is_flat(template, tmp_path):
    records = []
    for n in SIZES:
        folder = tmp_path / str(n)
        jobs = _grown(folder, template, n)
        gc.collect()
        tries = [_cost(folder, jobs) for _ in range(max(2, min(20, 20_000 // n)))]
        best = {step: min(t[step] for t in tries) / n * 1e6 for step in tries[0]}
        records += [{"n_rows": n, "step": k, "us_per_row": v} for k, v in best.items()]
        print(
            f"\n{n} rows: " + ", ".join(f"{k} {v:.1f}" for k, v in best.items()), f"= {sum(best.values()):.0f} us a row"
        )
    table = pd.DataFrame(records)
    if os.environ.get("JWVL_FIGURES"):
        plots.save_figure(plots.growth(table), Path(os.environ["JWVL_FIGURES"]) / "growth.png")
    whole = table.groupby("n_rows")["us_per_row"].sum()
    print((whole / whole.median()).round(3).to_dict())
    assert ((whole / whole.median() - 1).abs() <= FLAT).all()
    frame = pd.read_parquet(tmp_path / str(SIZES[-2]) / "corpus.parquet")
    assert len(frame) == SIZES[-2]
    assert set(frame["split"]) == {"train", "val", "test"}
    assert splits.audit_splits(frame.assign(sha256=frame.index.astype(str)))["regions_crossing"] == 0


def test_memory_grows_by_the_entries_alone(template, tmp_path):
    """The entry that is kept of each row is small: two and a half kilobytes at the peak."""
    peaks = {}
    for n in (10_000, 40_000):
        folder = tmp_path / str(n)
        jobs = _grown(folder, template, n)
        tracemalloc.start()
        _cost(folder, jobs)
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"\n{n} rows: peak {peaks[n] / 2**20:.0f} MiB; facts {artifacts.sha256(folder / 'corpus.parquet')[:8]}")
    assert (peaks[40_000] - peaks[10_000]) / 30_000 < 2560
