"""What a day's products say: regions with their history, flares, activity level, NOAA scales, regions to watch.

Reads the bytes of `Source`s and returns plain dicts, the parts of `report.json`; each names the lines it comes from.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from jwvl_lib import knowledge, rates, report_chances, report_flares, report_products, report_watch, solarmonitor, swpc
from jwvl_lib.report_flares import activity_level, goes_flux
from jwvl_lib.report_products import Events, Products, Summary, evidence
from jwvl_lib.report_sources import DAYS_BACK, STALE_DAYS, Source, parse_date

__all__ = ["DAYS_BACK", "MCINTOSH_CLASSES", "STALE_DAYS", "Day", "Source", "activity_level", "goes_flux", "read_day"]

NEAR_LIMB_DEG = 60  # beyond it foreshortening, not growth, may change an area
GROWTH_MSH_PER_DAY = 100
RETURN_LON_DEG = 60  # a region this far east may have come round the limb
RETURN_TOLERANCE_DEG = (5, 12)  # of latitude and Carrington longitude, for the same region a rotation later
MCINTOSH_CLASSES = frozenset(knowledge.mcintosh_classes())


@dataclass(frozen=True)
class Day:
    """The facts of one report, its parts of `report.json`, (en, zh) warnings, and the summary's rows as parsed."""

    facts: dict
    warnings: list[tuple[str, str]]
    summary_rows: list[dict]


def read_day(sources: Iterable[Source], report_date: str, convention: str = "swpc") -> Day:
    """Everything a report of that day states, from its products alone.

    A product that cannot be read becomes a warning. SwpcFormatError where neither regions nor flares are known.
    """
    sources, day = list(sources), parse_date(report_date)
    eve, found = day - timedelta(days=1), report_products.read(sources, day)
    current = max((d for d in found.summaries if day - timedelta(days=STALE_DAYS) <= d <= day), default=None)
    events = found.events.get(eve)
    if current is None and events is None:
        reasons = "; ".join(en for en, _ in found.warnings) or "none was given"
        raise swpc.SwpcFormatError(
            f"report of {report_date}: no readable SRS of the day or the {STALE_DAYS} days before, "
            f"and no events ({reasons})"
        )
    rate_source = next(s for s in sources if s.id == "flare_rates")
    table = json.loads(rate_source.raw)
    flares = report_flares.flares_of(events)
    summary = found.summaries.get(current)
    regions = [_region(r, found, current, table, rate_source, flares) for r in summary.spotted] if summary else []
    past = {d: e for d, e in found.events.items() if _recent(d, current)}
    regions = [_with_background(r, found, current, past) for r in regions]
    regions, chances = report_chances.with_model(regions, found, current, day, sources)
    warnings = [*found.warnings, *report_products.gaps(found, day, current)]
    warnings += [w for r in regions for w in _class_warning(r)]
    facts = {
        "report_date": report_date,
        "issued_utc": summary.issued.isoformat() if summary else f"{day}T00:00:00",
        "valid_utc": summary.valid.isoformat() if summary else f"{day}T00:00:00",
        "flares_date": eve.isoformat(),
        "activity_level": report_flares.level_of(events, convention),
        "regions": regions,
        "regions_from": summary.product if summary else None,
        "summary_evidence": summary.heads if summary else [events.head],
        "plages": _places(summary, "IA"),
        "returning": _places(summary, "II"),
        "flares": flares,
        "xray_curve": report_flares.xray_curve(found, eve),
        "impacts": report_flares.impacts(flares, events, found, eve),
        "indices": report_flares.indices(found, eve),
        "watch_list": report_watch.watch_list(regions, flares, table["climatology"]["M"]),
        "discussion": found.discussion,
        "cross_checks": list(_cross_checks(found, summary)),
        "products": report_products.state_list(found),
        "rates": {
            **{k: table[k] for k in ("years", "n_region_days", "k", "climatology")},
            "evidence": _rate_heads(rate_source),
            **chances,
        },
    }
    return Day(facts, warnings, summary.regions if summary else [])


# --------------------------------------------------------------------------------------------------------------------
# regions


def _region(row: dict, found: Products, current: date, table: dict, table_source: Source, flares: list[dict]) -> dict:
    summaries = found.summaries
    number, mcintosh = row["noaa_ar"], row["mcintosh_class"]
    history = [_earlier(r, d) for d in sorted(summaries) if d < current and (r := _find(summaries[d], number))]
    previous = history[-1] if history else None
    comparable = previous and None not in (previous["area_msh"], row["area_msh"])
    change = row["area_msh"] - previous["area_msh"] if comparable else None
    chances = {f"p_{c.lower()}": rates.probability(table, mcintosh, c) for c in rates.LEVELS}
    if mcintosh not in MCINTOSH_CLASSES:
        chances = dict.fromkeys(chances)
    fields = ("noaa_ar", "location", "lat_deg", "lon_deg", "area_msh", "mcintosh_class", "hale_class", "n_spots")
    days = (current - date.fromisoformat(previous["issued"][:10])).days if previous else None
    yesterday = summaries.get(current - timedelta(days=1))
    return {
        **{k: row[k] for k in fields},
        "carrington_lon_deg": row["carrington_lon_deg"],
        "previous": previous and {**previous, "days": days},
        "area_change_msh": change,
        "history": history,
        "flags": _flags(row, change, days, yesterday, flares),
        **chances,
        "evidence": [evidence(row), *_rate_evidence(table_source, mcintosh)],
    }


def _with_background(region: dict, found: Products, current: date, past: dict[date, Events]) -> dict:
    """What other products add to a region: SWPC's own chances, its transitions, its flares, the region it may be."""
    change, previous = region["area_change_msh"], region["previous"]
    return {
        **region,
        "area_change_msh_per_day": None if change is None else round(change / previous["days"], 1),
        "transitions": list(_transitions(region, current)),
        "flare_history": _flare_history(region["noaa_ar"], past),
        "may_be_return_of": _return_of(region, found),
        "swpc_percent": found.swpc_percent.get(region["noaa_ar"]),
    }


def _transitions(region: dict, current: date) -> Iterable[dict]:
    """Each change of McIntosh or Mount Wilson class between two summaries that list the region."""
    now = {**region, "issued": current.isoformat(), "evidence": region["evidence"][:1]}
    states = [*region["history"], now]
    for before, after in zip(states, states[1:], strict=False):
        for kind in ("mcintosh_class", "hale_class"):
            if before[kind] and after[kind] and before[kind] != after[kind]:
                yield {
                    "kind": kind,
                    "issued": after["issued"],
                    "before": before[kind],
                    "after": after[kind],
                    "evidence": [*before["evidence"], *after["evidence"]],
                }


def _recent(day: date, current: date | None) -> bool:
    return current is not None and current - timedelta(days=DAYS_BACK) <= day < current


def _flare_history(number: int, past: dict[date, Events]) -> dict:
    """Flares of a region over the events lists of the days before: `{days, C, M, X, evidence}`.

    The evidence ends with the line of each list that names its day, so that a history without flares has one too.
    """
    own = {day: [row for row in past[day].rows if row["noaa_ar"] == number] for day in sorted(past)}
    rows = [f for day in own for f in report_flares.xray_flares(own[day])]
    return {
        "days": len(past),
        **{c: sum(f["goes_class"][0] == c for f in rows) for c in "CMX"},
        "evidence": [*(evidence(f) for f in rows if f["goes_class"][0] in "CMX"), *(e.head for e in past.values())],
    }


def _return_of(region: dict, found: Products) -> dict | None:
    """The old region due to return at this place, for a region that has come round the east limb in these days."""
    first = region["history"][0] if region["history"] else region
    lon, carrington = first.get("lon_deg"), region["carrington_lon_deg"]
    if lon is None or lon > -RETURN_LON_DEG or carrington is None or region["lat_deg"] is None:
        return None
    for day in sorted(found.summaries, reverse=True):
        for row in found.summaries[day].regions:
            if row["section"] == "II" and None not in (row["carrington_lon_deg"], row["lat_deg"]):
                across = abs((row["carrington_lon_deg"] - carrington + 180) % 360 - 180)
                beside = abs(row["lat_deg"] - region["lat_deg"])
                if beside <= RETURN_TOLERANCE_DEG[0] and across <= RETURN_TOLERANCE_DEG[1]:
                    return {"noaa_ar": row["noaa_ar"], "evidence": [evidence(row)]}
    return None


def _class_warning(region: dict) -> Iterable[tuple[str, str]]:
    number, name = region["noaa_ar"], region["mcintosh_class"]
    if "illegal_class" in region["flags"]:
        wrong = f"{name} is not one of the 60 McIntosh classes" if name else "no McIntosh class is given"
        wrong_zh = f"{name}不在60个McIntosh分类之内" if name else "未给出McIntosh分类"
        yield f"{number}: {wrong}; no probability is given", f"{number}：{wrong_zh}，不给出概率"


def _find(summary: Summary, number: int) -> dict | None:
    return next((r for r in summary.regions if r["noaa_ar"] == number and r["section"] == "I"), None)


def _earlier(row: dict, day: date) -> dict:
    kept = ("location", "lon_deg", "area_msh", "mcintosh_class", "hale_class", "n_spots")
    return {"issued": day.isoformat(), **{k: row[k] for k in kept}, "evidence": [evidence(row)]}


def _rate_evidence(source: Source, mcintosh: str) -> list[dict]:
    rows = enumerate(swpc.text_lines(source.raw), start=1)
    return [{"source": source.id, "line": n, "text": t} for n, t in rows if t.startswith(f'"{mcintosh}"')]


def _rate_heads(source: Source) -> list[dict]:
    """The lines of the table that hold for all classes."""
    keys = ('"k"', '"years"', '"n_region_days"', '"climatology"')
    rows = enumerate(swpc.text_lines(source.raw), start=1)
    return [{"source": source.id, "line": n, "text": t} for n, t in rows if t.startswith(keys)]


def _flags(row: dict, change: int | None, days: int | None, yesterday: Summary | None, flares: list[dict]) -> list[str]:
    per_day = change / days if days and change is not None else 0
    listed_before = yesterday is None or any(
        r["noaa_ar"] == row["noaa_ar"] and r["section"] != "II" for r in yesterday.regions
    )
    tests = {
        "delta": "Delta" in (row["hale_class"] or ""),
        "growing": per_day >= GROWTH_MSH_PER_DAY,
        "decaying": per_day <= -GROWTH_MSH_PER_DAY,
        "new": not listed_before,
        "near_limb": abs(row["lon_deg"] or 0) >= NEAR_LIMB_DEG,
        "m_flare": any(f["noaa_ar"] == row["noaa_ar"] and f["goes_class"][0] in "MX" for f in flares),
        "hale_missing": row["hale_class"] is None,
        "illegal_class": row["mcintosh_class"] not in MCINTOSH_CLASSES,
    }
    return [name for name, true in tests.items() if true]


def _places(summary: Summary | None, section: str) -> list[dict]:
    fields = ("noaa_ar", "location", "lat_deg", "lon_deg", "carrington_lon_deg")
    rows = [r for r in summary.regions if r["section"] == section] if summary else []
    return [{**{k: r[k] for k in fields}, "evidence": [evidence(r)]} for r in rows]


def _cross_checks(found: Products, summary: Summary | None) -> Iterable[dict]:
    """SolarMonitor against the summary: `only_there`, `only_here`, `differs` (class, area, spots), with the lines."""
    if not found.monitor or summary is None:
        return
    rows = {r["noaa_ar"]: r for r in summary.regions if r["section"] != "II"}
    named = {m["noaa_ar"]: (m["source"], *m["lines"]["noaa_ar"]) for m in found.monitor}
    source = found.monitor[0]["source"]
    yield {
        "with": "solarmonitor",
        "n_compared": sum(any(m[f] is not None for f in solarmonitor.COMPARED) for m in found.monitor),
        "only_there": sorted(set(named) - set(rows)),
        "only_here": sorted(set(rows) - set(named)),
        "differs": [
            {
                **{k: d[k] for k in ("noaa_ar", "field", "there", "here")},
                "evidence": [_cited(source, *d["line"]), evidence(rows[d["noaa_ar"]])],
            }
            for d in solarmonitor.differences(found.monitor, rows)
        ],
        "evidence": [
            *(_cited(*line) for line in named.values()),
            *(evidence(row) for number, row in rows.items() if number not in named),
        ],
    }


def _cited(source: str, line: int, text: str) -> dict:
    return {"source": source, "line": line, "text": text}
