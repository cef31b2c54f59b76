"""How cost and memory grow with the number of records, and what ten million images would take: from measured points.

Takes a document of `jwvl_lib.performance`; reads and writes nothing.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jwvl_lib.performance import by_row, rows


def growth_table(doc: Mapping) -> pd.DataFrame:
    """Measured points of every growth row: row, what, n, cpu_s, peak_mib."""
    known = by_row(doc)
    table = [
        {"row": name, "what": row["what"].removeprefix("growth: "), **point}
        for name, row in rows().items()
        for point in known.get(name, {}).get("points", ())
    ]
    return pd.DataFrame(table, columns=["row", "what", "n", "cpu_s", "peak_mib"])


def slope(points: Sequence[Mapping]) -> float:
    """The steeper of two log-log slopes of cost over n: least squares over all points, and the last two alone.

    A fixed cost flattens the whole; the last step shows what bends upwards at the end.
    """
    n, cost = np.log([p["n"] for p in points]), np.log([max(p["cpu_s"], 1e-6) for p in points])
    return float(max(np.polyfit(n, cost, 1)[0], (cost[-1] - cost[-2]) / (n[-1] - n[-2])))


# how a stage spreads over workers: images and days apart from each other, or one process that sees all rows
SPREAD = {
    "growth_corpus": "processes or Dask", "growth_distillation": "one process", "growth_claims": "one process",
    "growth_training": "one process a GPU", "growth_answering": "one process a GPU",
    "growth_reports": "processes or Dask",
}  # fmt: skip
PER_IMAGE = {"growth_reports": 0, "growth_report_index": 0, "growth_chat": 0, "growth_queue": 8, "growth_review": 8,
             "growth_ledger": 8, "growth_claims": 8, "growth_metrics": 8, "growth_answering": 6,
             "growth_training": 8, "growth_distillation": 1}  # records of a stage for an image  # fmt: skip

TRUSTED_FROM = 10_000  # records


def on_paper(doc: Mapping, n_images: float = 1e7, day_s: float = 86_400, node_gib: float = 64) -> pd.DataFrame:
    """What `n_images` would take by the slopes: core-hours, workers for one day, memory of one process, what breaks.

    Extrapolated from the last measured point of each row, cost by its slope, memory by the growth between its last
    two points. A stage that one process does all of cannot be spread: its hours are its time. `breaks` ends in "?"
    where fewer than 10,000 records were measured: buffers that fill up once still look like growth there.
    """
    table = []
    for row, part in growth_table(doc).groupby("row", sort=False):
        n = n_images * PER_IMAGE.get(row, 1)
        if not n or len(part) < 2:
            continue
        before, last = part.iloc[-2], part.iloc[-1]
        seconds = last.cpu_s * (n / last.n) ** max(1.0, slope(part.to_dict("records")))
        a_record = max(0.0, (last.peak_mib - before.peak_mib) / (last.n - before.n))
        spread = SPREAD.get(row, "one process")
        apart = "Dask" in spread
        gib = (last.peak_mib if apart else last.peak_mib + a_record * (n - last.n)) / 1024
        workers = max(1, math.ceil(seconds / day_s)) if apart else 1
        broken = [
            word for word, is_so in (("memory", gib > node_gib), ("time", not apart and seconds > day_s)) if is_so
        ]
        breaks = ", ".join(broken) + ("?" if broken and last.n < TRUSTED_FROM else "")
        table.append(
            {"stage": part.iloc[0].what, "records": n, "measured_to": int(last.n), "core_hours": seconds / 3600,
             "engine": spread, "workers_for_a_day": workers, "hours": seconds / 3600 / workers, "memory_gib": gib,
             "breaks": breaks}
        )  # fmt: skip
    return pd.DataFrame(table)
