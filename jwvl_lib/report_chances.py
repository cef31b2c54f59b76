"""Which flare chances a report gives: the project's own model where the texts suffice, else class frequencies.

Takes parsed products and the source `flare_model` (the bytes of `data/flare_model.json`); reads and writes no file.
"""

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from jwvl_lib import flare_model, swpc
from jwvl_lib.flare_features import DAYS_BACK
from jwvl_lib.report_products import Products
from jwvl_lib.report_sources import Source

MODEL, TABLE = "flare_model", "mcintosh"


def with_model(
    regions: list[dict], found: Products, current: date | None, day: date, sources: Iterable[Source]
) -> tuple[list[dict], dict]:
    """Regions with `p_c, p_m, p_x` of the model, and `{method, reason, model}` for the report's `rates`.

    The model needs the Solar Region Summary of the very day and the Edited Events of the day before; where one of them
    is missing the regions keep the frequency of their class, and `reason` (English, Chinese) says why. A region whose
    class is not legal keeps none. The class frequencies stay beside the model's under `mcintosh_chances`.
    """
    source = next((s for s in sources if s.id == MODEL), None)
    if not regions or source is None or current is None:
        return regions, {"method": TABLE, "reason": None, "model": None}
    chances = None
    if current == day and found.summaries[current].product == "srs":
        model = json.loads(source.raw)
        chances = flare_model.probabilities(*_records(found, day), datetime(day.year, day.month, day.day), model)
    if chances is None:
        return regions, {"method": TABLE, "reason": _reason(day), "model": None}
    proof = _proof(source)
    rated = [_rated(r, chances.regions.get(r["noaa_ar"]), proof) for r in regions]
    first = day - timedelta(days=DAYS_BACK)
    heads = [e.head for d, e in sorted(found.events.items()) if first <= d < day and e.product == "events"]
    about = {
        **{k: model[k] for k in ("name", "years", "n_region_days", "climatology")},
        "n_event_days": chances.n_event_days,
        "disk": {f"p_{k.lower()}": v for k, v in chances.disk.items()},
        "evidence": [proof, *heads],
    }
    return rated, {"method": MODEL, "reason": None, "model": about}


def _records(found: Products, day: date) -> tuple[list[dict], list[dict], list[datetime]]:
    """Rows of summaries and events of the last days; stand-ins from other products name no regions and are left out."""
    first = day - timedelta(days=DAYS_BACK)
    srs = [
        {**row, "valid": datetime(d.year, d.month, d.day)}
        for d, summary in found.summaries.items()
        if first <= d <= day
        for row in summary.regions
    ]
    lists = {d: e for d, e in found.events.items() if first <= d < day and e.product == "events"}
    return srs, [row for e in lists.values() for row in e.rows], [datetime(d.year, d.month, d.day) for d in lists]


def _rated(region: dict, chances: dict | None, proof: dict) -> dict:
    table = {k: region[f"p_{k.lower()}"] for k in flare_model.LEVELS}
    if chances is None or table["M"] is None:
        return {**region, "chance_method": TABLE}
    own = {f"p_{k.lower()}": chances[k] for k in flare_model.LEVELS}
    evidence = [*region["evidence"], proof]
    return {**region, **own, "mcintosh_chances": table, "chance_method": MODEL, "evidence": evidence}


def _proof(source: Source) -> dict:
    """The line of the model's file that names it and its training sample."""
    lines = enumerate(swpc.text_lines(source.raw), start=1)
    number, text = next((n, t) for n, t in lines if t.startswith('"name"'))
    return {"source": source.id, "line": number, "text": text}


def _reason(day: date) -> tuple[str, str]:
    eve = day - timedelta(days=1)
    return (
        f"the flare model needs the Solar Region Summary of {day} and the Edited Events of {eve}: "
        "chances are the past frequencies of the McIntosh classes",
        f"耀斑模型需要{day}的活动区摘要和{eve}的事件表：概率取McIntosh分类的历史频率",
    )
