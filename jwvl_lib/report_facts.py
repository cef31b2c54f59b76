"""What a day's SWPC texts say: regions with their history, flares, activity level, NOAA scales, regions to watch.

Reads the bytes of `Source`s and returns plain dicts, the parts of `report.json`; each names the lines it comes from.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from jwvl_lib import narrative, rates, swpc

DAYS_BACK = 7  # how far back a region's history is looked for
STALE_DAYS = 3  # how old the newest summary may be
NEAR_LIMB_DEG = 60  # beyond it foreshortening, not growth, may change an area
GROWTH_MSH_PER_DAY = 100
WATCH_P_M = 0.1
PLACE = re.compile(r"[NS]\d\d[EW]\d\d\d?")
R_SCALE = (("X20.0", "R5"), ("X10.0", "R4"), ("X1.0", "R3"), ("M5.0", "R2"), ("M1.0", "R1"))
# The 60 legal combinations of McIntosh (1990), Solar Physics 125, 251.
MCINTOSH_CLASSES = frozenset(
    ["Axx", "Bxo", "Bxi"]
    + [f"H{p}x" for p in "rsahk"]
    + [f"C{p}{c}" for p in "rsahk" for c in "oi"]
    + [f"{z}{p}{c}" for z in "DEF" for p in "rsahk" for c in ("oi" if p == "r" else "oic")]
)


@dataclass(frozen=True)
class Source:
    """One file the report stands on: its id, its name under `sources/` and its bytes."""

    id: str
    name: str
    raw: bytes


@dataclass(frozen=True)
class _Summary:
    issued: datetime
    valid: datetime
    regions: list[dict]
    heads: list[dict]

    @property
    def spotted(self) -> list[dict]:
        return sorted((r for r in self.regions if r["section"] == "I"), key=lambda r: r["noaa_ar"])


@dataclass(frozen=True)
class _Events:
    frame: pd.DataFrame
    head: dict


@dataclass(frozen=True)
class Day:
    """The facts of one report, its parts of `report.json`, and (en, zh) warnings."""

    facts: dict
    warnings: list[tuple[str, str]]


def read_day(sources: Iterable[Source], report_date: str, convention: str = "swpc") -> Day:
    """Everything a report of that day states, from the texts alone.

    A source that cannot be read becomes a warning. SwpcFormatError where no summary of the day nor of the `STALE_DAYS`
    before it can be read.
    """
    sources, day = list(sources), date.fromisoformat(report_date)
    summaries, events, warnings = _parse(sources)
    current = max((d for d in summaries if day - timedelta(days=STALE_DAYS) <= d <= day), default=None)
    if current is None:
        reasons = "; ".join(en for en, _ in warnings) or "none was given"
        raise swpc.SwpcFormatError(
            f"report of {report_date}: no readable SRS of the day or the {STALE_DAYS} days before ({reasons})"
        )
    summary = summaries[current]
    warnings += _gaps(day, current, summaries, events)
    rate_source = next(s for s in sources if s.id == "flare_rates")
    table = json.loads(rate_source.raw)
    flares = [] if events is None else _flares(events.frame)
    regions = [_region(r, summaries, current, table, rate_source, flares) for r in summary.spotted]
    warnings += [w for r in regions for w in _class_warning(r)]
    level = activity_level(events and events.frame, convention)
    facts = {
        "report_date": report_date,
        "issued_utc": summary.issued.isoformat(),
        "valid_utc": summary.valid.isoformat(),
        "flares_date": (day - timedelta(days=1)).isoformat(),
        "activity_level": {**level, "evidence": level["evidence"] or ([events.head] if events else [])},
        "regions": regions,
        "summary_evidence": summary.heads,
        "plages": [_place_of(r) for r in summary.regions if r["section"] == "IA"],
        "returning": [_place_of(r) for r in summary.regions if r["section"] == "II"],
        "flares": flares,
        "impacts": _impacts(flares, events),
        "watch_list": narrative.watch_list(regions, flares, table["climatology"]["M"]),
        "rates": {k: table[k] for k in ("years", "n_region_days", "k", "climatology")},
    }
    return Day(facts, warnings)


def activity_level(events: pd.DataFrame | None, convention: str = "swpc") -> dict:
    """`{value, convention, reason, evidence}` of one day's events (`swpc.read_events`); None gives "not known".

    swpc: very low (below C), low (C), moderate (1-4 M), high (5 or more M, or 1-4 of M5 and above), very high (5 or
    more of M5 and above), from the SWPC glossary. rwcc, the convention of the Chinese warning centre: the same, but
    any X-class flare makes it very high. An unknown convention is a ValueError.
    """
    if convention not in narrative.CONVENTION_NAMES:
        raise ValueError(f"convention {convention!r} is not known; use swpc or rwcc")
    if events is None:
        return {"value": "not known", "convention": convention, "reason": "no events list of the day", "evidence": []}
    flares = _xray_flares(events)
    at_least = {
        c: [f for f in flares if goes_flux(f["goes_class"]) >= goes_flux(c)] for c in ("C1.0", "M1.0", "M5.0", "X1.0")
    }
    n_m, n_m5 = len(at_least["M1.0"]), len(at_least["M5.0"])
    if n_m5 >= 5 or (convention == "rwcc" and at_least["X1.0"]):
        value, deciding = "very high", at_least["M5.0"]
    elif n_m >= 5 or n_m5:
        value, deciding = "high", at_least["M1.0"]
    elif n_m:
        value, deciding = "moderate", at_least["M1.0"]
    else:
        value, deciding = ("low" if at_least["C1.0"] else "very low"), at_least["C1.0"]
    reason = f"C or above: {len(at_least['C1.0'])}, M or above: {n_m}, M5 or above: {n_m5}, X: {len(at_least['X1.0'])}"
    return {"value": value, "convention": convention, "reason": reason, "evidence": [_evidence(f) for f in deciding]}


def goes_flux(goes_class: str) -> float:
    """Peak 1-8 angstrom flux in W/m2 of a GOES class: X3.1 is 3.1e-4."""
    return 10.0 ** ("ABCMX".index(goes_class[0]) - 8) * float(goes_class[1:])


# --------------------------------------------------------------------------------------------------------------------
# regions, flares, impacts


def _region(row: dict, summaries: dict, current: date, table: dict, table_source: Source, flares: list[dict]) -> dict:
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
        "previous": previous and {**previous, "days": days},
        "area_change_msh": change,
        "history": history,
        "flags": _flags(row, change, days, yesterday, flares),
        **chances,
        "evidence": [_evidence(row), *_rate_evidence(table_source, mcintosh)],
    }


def _class_warning(region: dict) -> Iterable[tuple[str, str]]:
    if "illegal_class" in region["flags"]:
        number, name = region["noaa_ar"], region["mcintosh_class"]
        yield (
            f"{number}: {name} is not one of the 60 McIntosh classes; no probability is given",
            f"{number}：{name}不在60个McIntosh分类之内，不给出概率",
        )


def _find(summary: _Summary, number: int) -> dict | None:
    return next((r for r in summary.regions if r["noaa_ar"] == number and r["section"] == "I"), None)


def _earlier(row: dict, day: date) -> dict:
    kept = ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots")
    return {"issued": day.isoformat(), **{k: row[k] for k in kept}, "evidence": [_evidence(row)]}


def _rate_evidence(source: Source, mcintosh: str) -> list[dict]:
    rows = enumerate(swpc.text_lines(source.raw), start=1)
    return [{"source": source.id, "line": n, "text": t} for n, t in rows if t.startswith(f'"{mcintosh}"')]


def _flags(
    row: dict, change: int | None, days: int | None, yesterday: _Summary | None, flares: list[dict]
) -> list[str]:
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


def _place_of(row: dict) -> dict:
    return {
        **{k: row[k] for k in ("noaa_ar", "location", "lat_deg", "lon_deg", "carrington_lon_deg")},
        "evidence": [_evidence(row)],
    }


def _xray_flares(events: pd.DataFrame) -> list[dict]:
    """X-ray flares in order of begin; the same flare printed twice counts once."""
    flares = events[events["goes_class"].notna()].drop_duplicates(["begin", "peak", "goes_class", "noaa_ar"])
    return flares.sort_values(["begin", "line"]).to_dict("records")


def _flares(events: pd.DataFrame) -> list[dict]:
    """X-ray flares with the place of the first optical report of the same event."""
    optical = events[(events["type"] == "FLA") & events["location"].str.fullmatch(PLACE.pattern).fillna(False)]
    optical = optical.sort_values(["begin", "line"]).drop_duplicates("event_id")
    seen = {row["event_id"]: row for row in optical.to_dict("records")}
    return [_flare(f, seen.get(f["event_id"])) for f in _xray_flares(events)]


def _flare(xray: dict, optical: dict | None) -> dict:
    return {
        "goes_class": xray["goes_class"],
        **{k: None if pd.isna(xray[k]) else xray[k].isoformat() for k in ("begin", "peak", "end")},
        "noaa_ar": None if pd.isna(xray["noaa_ar"]) else int(xray["noaa_ar"]),
        "location": optical and optical["location"],
        "evidence": [_evidence(row) for row in (xray, optical) if row],
    }


def _impacts(flares: list[dict], events: _Events | None) -> dict:
    """NOAA scales. R follows from the largest flare; S and G need products that are not read here."""
    unknown = {"value": "not known", "reason": "no product given", "evidence": []}
    if events is None:
        return {"R": {**unknown, "reason": "no events list of the day"}, "S": unknown, "G": unknown}
    top = max(flares, key=lambda f: goes_flux(f["goes_class"]), default=None)
    grade = next((r for c, r in R_SCALE if top and goes_flux(top["goes_class"]) >= goes_flux(c)), "none")
    reason = f"largest flare {top['goes_class']}" if top else "no X-ray flare"
    evidence = top["evidence"][:1] if top else [events.head]
    return {"R": {"value": grade, "reason": reason, "evidence": evidence}, "S": unknown, "G": unknown}


# --------------------------------------------------------------------------------------------------------------------
# the sources, parsed


def _parse(sources: list[Source]) -> tuple[dict[date, _Summary], _Events | None, list[tuple[str, str]]]:
    summaries, events, warnings = {}, None, []
    for source in sources:
        kind, _, day = source.id.partition("_")
        try:
            if kind == "srs":
                summaries[datetime.strptime(day, "%Y%m%d").date()] = _parse_summary(source)
            elif kind == "events":
                frame = swpc.events_table(swpc.parse_events(source.raw, source.name)).assign(source=source.id)
                events = _Events(frame, _line_with(source, ("NO EVENT REPORTS", ":Date:")))
        except swpc.SwpcFormatError as error:
            warnings.append((f"not used: {error}", f"未采用：{error}"))
    return summaries, events, warnings


def _parse_summary(source: Source) -> _Summary:
    issued, valid = swpc.srs_times(source.raw, source.name)
    regions = [{**r, "source": source.id} for r in swpc.parse_srs(source.raw, source.name)]
    heads = [_line_with(source, (":Issued:",)), _line_with(source, ("I.",))]
    return _Summary(issued, valid, regions, heads)


def _line_with(source: Source, starts: tuple[str, ...]) -> dict:
    """The first line that begins with the first of `starts` that any line begins with."""
    lines = swpc.text_lines(source.raw)
    number = next(n for start in starts for n, line in enumerate(lines, start=1) if line.startswith(start))
    return {"source": source.id, "line": number, "text": lines[number - 1]}


def _evidence(row: dict) -> dict:
    source = row.get("source") or f"events_{row['date']:%Y%m%d}"
    return {"source": source, "line": int(row["line"]), "text": row["text"]}


def _gaps(day: date, current: date, summaries: dict, events: _Events | None) -> Iterable[tuple[str, str]]:
    if current < day:
        yield (
            f"stale: no readable SRS of {day}; regions are those of the SRS issued on {current}",
            f"数据陈旧：没有{day}的活动区摘要，活动区取自{current}发布的摘要",
        )
    before = current - timedelta(days=1)
    if before not in summaries:
        last = max((d for d in summaries if d < current), default=None)
        then = f"changes are against {last}" if last else "no change of area can be given"
        then_zh = f"变化以{last}为准" if last else "无法给出面积变化"
        yield f"no SRS of the day before ({before}): {then}", f"没有前一日（{before}）的活动区摘要：{then_zh}"
    if events is None:
        eve = day - timedelta(days=1)
        yield (
            f"no events list of {eve}: activity level, flares and R scale are not known",
            f"没有{eve}的事件表：活动水平、耀斑和R级未知",
        )
