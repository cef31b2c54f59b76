"""The daily solar activity report: every number leads to a line of a source file.

Reads SWPC texts (`YYYYMMDDSRS.txt`, `YYYYMMDDevents.txt`) and `data/flare_rates.json`; writes `<date>/report.json`,
`report.html`, `report.md` and, byte for byte, `sources/`. The report of day D is the view at 0030 UT of D: the regions of
the summary issued on D, the flares of D-1, and chances for D. Nothing in it depends on the clock or the machine.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from jwvl_lib import artifacts, narrative, rates, report_page, swpc
from jwvl_lib.rates import flare_rates  # noqa: F401  (part of this module's public names)

log = logging.getLogger(__name__)

DAYS_BACK = 7  # how far back a region's history is looked for
STALE_DAYS = 3  # how old the newest summary may be
NEAR_LIMB_DEG = 60  # beyond it foreshortening, not growth, may change an area
GROWTH_MSH_PER_DAY = 100
WATCH_P_M = 0.1
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


def gather(report_date: str, swpc_dir: str | Path) -> list[Source]:
    """The texts a report of that day may use: summaries of the day and `DAYS_BACK` before it, events of the day before.

    `swpc_dir` holds the files flat or under `srs/` and `events/`. Raises FileNotFoundError, naming the days there are,
    where it has no summary of the day nor of the `STALE_DAYS` before it.
    """
    day, folder = date.fromisoformat(report_date), Path(swpc_dir)
    days = [day - timedelta(days=back) for back in range(DAYS_BACK, -1, -1)]
    wanted = [("srs", f"{d:%Y%m%d}SRS.txt") for d in days] + [("events", f"{days[-2]:%Y%m%d}events.txt")]
    found = [(kind, path) for kind, name in wanted for path in (folder / name, folder / kind / name) if path.is_file()]
    recent = {f"{d:%Y%m%d}SRS.txt" for d in days[-1 - STALE_DAYS :]}
    if not recent & {path.name for _, path in found}:
        there = sorted({p.name[:8] for p in folder.rglob("*SRS.txt")})
        raise FileNotFoundError(f"{folder}: no SRS issued on {report_date} or the {STALE_DAYS} days before; "
                                f"there are {', '.join(there[:20]) or 'none at all'}")
    sources = {path.name: Source(f"{kind}_{path.name[:8]}", path.name, path.read_bytes()) for kind, path in found}
    return [*sources.values(), Source("flare_rates", rates.TABLE_FILE.name, rates.TABLE_FILE.read_bytes())]


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
    at_least = {c: [f for f in flares if goes_flux(f["goes_class"]) >= goes_flux(c)] for c in ("C1.0", "M1.0", "M5.0", "X1.0")}
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


def compose(sources: Iterable[Source], report_date: str, convention: str = "swpc", languages: str = "zh,en",
            profile: str = "tiny", model: str | None = None, model_claims: Iterable[dict] = ()) -> dict:
    """The report as the dict that `report.json` holds. A function of its arguments alone.

    A source that cannot be read becomes a warning; without one readable summary of the last days it is an error
    (SwpcFormatError). `model_claims` are sentences of a model with their verdicts; they stand beside the facts and
    change none of them.
    """
    sources = list(sources)
    warnings: list[tuple[str, str]] = []
    summaries, events = _parse(sources, warnings)
    day = date.fromisoformat(report_date)
    current = max((d for d in summaries if day - timedelta(days=STALE_DAYS) <= d <= day), default=None)
    if current is None:
        raise swpc.SwpcFormatError(f"report of {report_date}: no readable SRS of the day or the {STALE_DAYS} days before; "
                                   + "; ".join(en for en, _ in warnings))
    summary = summaries[current]
    table_source = next(s for s in sources if s.id == "flare_rates")
    table, flares_day = json.loads(table_source.raw), day - timedelta(days=1)
    _warn_of_gaps(day, current, summaries, events, warnings)
    level = activity_level(events and events.frame, convention)
    if events and not level["evidence"]:
        level["evidence"] = [events.head]
    flares = [] if events is None else _flares(events.frame)
    regions = [_region(r, summaries, current, table, table_source, flares, warnings) for r in summary.spotted]
    language_list = tuple(part.strip() for part in languages.split(",") if part.strip())
    report = {
        "report_date": report_date,
        "issued_utc": summary.issued.isoformat(),
        "valid_utc": summary.valid.isoformat(),
        "flares_date": flares_day.isoformat(),
        "activity_level": level,
        "regions": regions,
        "plages": [_place_of(r) for r in summary.regions if r["section"] == "IA"],
        "returning": [_place_of(r) for r in summary.regions if r["section"] == "II"],
        "flares": flares,
        "impacts": _impacts(flares, events),
        "watch_list": _watch_list(regions, flares, table),
        "rates": {k: table[k] for k in ("years", "n_region_days", "k", "climatology")},
    }
    claims = narrative.narrative_claims(report, summary.heads, language_list)
    return {
        **report,
        "narrative": {language: narrative.join(claims, language) for language in language_list},
        "claims": [*claims, *model_claims],
        "sources": [{"id": s.id, "path": f"sources/{s.name}", "sha256": hashlib.sha256(s.raw).hexdigest(),
                     "fetched_utc": None} for s in sources],
        "model": model,
        "profile": profile,
        "languages": list(language_list),
        "warnings": [en for en, _ in warnings],
        "warnings_zh": [zh for _, zh in warnings],
    }


def write(report: dict, sources: Iterable[Source], out_dir: str | Path) -> Path:
    """Write `<report_date>/` under `out_dir`: sources first, `report.json` last. Returns that folder."""
    folder = Path(out_dir) / report["report_date"]
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    for source in sources:
        artifacts.write_bytes(folder / "sources" / source.name, source.raw)
    artifacts.write_text(folder / "report.html", report_page.html(report))
    artifacts.write_text(folder / "report.md", report_page.markdown(report))
    artifacts.write_json(folder / "report.json", report)
    return folder


def check(report_dir: str | Path) -> list[str]:
    """Problems of a written report, one line each; an empty list means that every number resolves.

    Reads the raw bytes under `sources/` again: hashes, every evidence line against its text, and the whole report made
    anew from them, compared value by value with `report.json`; then the pages against the report. Sentences of a model
    are not made anew (their evidence is checked all the same).
    """
    folder = Path(report_dir)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    problems, sources = [], []
    for entry in report["sources"]:
        path = folder / entry["path"]
        if not path.is_file() or path.resolve().parent != (folder / "sources").resolve():
            problems.append(f"{entry['id']}: {entry['path']} is missing")
            continue
        sources.append(Source(entry["id"], path.name, path.read_bytes()))
        if artifacts.sha256(path) != entry["sha256"]:
            problems.append(f"{entry['id']}: {entry['path']} has another sha256 than the report says")
    lines = {s.id: swpc.text_lines(s.raw) for s in sources}
    problems += [p for where, e in _all_evidence(report, "report") for p in _check_evidence(where, e, lines)]
    n_made = sum(c.get("origin") != "model" for c in report["claims"])
    try:
        again = compose(sources, report["report_date"], report["activity_level"]["convention"],
                        ",".join(report["languages"]), report["profile"], report["model"], report["claims"][n_made:])
    except (ValueError, StopIteration) as error:
        return [*problems, f"the report cannot be made from its sources: {error}"]
    problems += list(_differences(report, json.loads(json.dumps(again)), "report"))
    for name, page in (("report.html", report_page.html), ("report.md", report_page.markdown)):
        if (folder / name).read_text(encoding="utf-8") != page(again):
            problems.append(f"{name} is not the page of this report")
    return problems


# --------------------------------------------------------------------------------------------------------------------
# the sources, parsed


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


def _parse(sources: list[Source], warnings: list[tuple[str, str]]) -> tuple[dict[date, _Summary], _Events | None]:
    summaries, events = {}, None
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
    return summaries, events


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


def _warn_of_gaps(day: date, current: date, summaries: dict, events: _Events | None, warnings: list) -> None:
    if current < day:
        warnings.append((f"stale: no readable SRS of {day}; regions are those of the SRS issued on {current}",
                         f"数据陈旧：没有{day}的活动区摘要，活动区取自{current}发布的摘要"))
    if current - timedelta(days=1) not in summaries:
        earlier = [d for d in summaries if d < current]
        then = (f"changes are against {max(earlier)}", f"变化以{max(earlier)}为准") if earlier else (
            "no change of area can be given", "无法给出面积变化")
        warnings.append((f"no SRS of the day before ({current - timedelta(days=1)}): {then[0]}",
                         f"没有前一日（{current - timedelta(days=1)}）的活动区摘要：{then[1]}"))
    if events is None:
        eve = day - timedelta(days=1)
        warnings.append((f"no events list of {eve}: activity level, flares and R scale are not known",
                         f"没有{eve}的事件表：活动水平、耀斑和R级未知"))


# --------------------------------------------------------------------------------------------------------------------
# regions, flares, impacts


def _region(row: dict, summaries: dict, current: date, table: dict, table_source: Source, flares: list[dict],
            warnings: list) -> dict:
    number, mcintosh = row["noaa_ar"], row["mcintosh_class"]
    history = [_earlier(r, d) for d in sorted(summaries) if d < current and (r := _find(summaries[d], number))]
    previous = history[-1] if history else None
    comparable = previous and None not in (previous["area_msh"], row["area_msh"])
    change = row["area_msh"] - previous["area_msh"] if comparable else None
    chances = {f"p_{c.lower()}": rates.probability(table, mcintosh, c) for c in rates.LEVELS}
    if mcintosh not in MCINTOSH_CLASSES:
        chances = dict.fromkeys(chances)
        warnings.append((f"{number}: {mcintosh} is not one of the 60 McIntosh classes; no probability is given",
                         f"{number}：{mcintosh}不在60个McIntosh分类之内，不给出概率"))
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


def _find(summary: _Summary, number: int) -> dict | None:
    return next((r for r in summary.regions if r["noaa_ar"] == number and r["section"] == "I"), None)


def _earlier(row: dict, day: date) -> dict:
    kept = ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots")
    return {"issued": day.isoformat(), **{k: row[k] for k in kept}, "evidence": [_evidence(row)]}


def _rate_evidence(source: Source, mcintosh: str) -> list[dict]:
    rows = enumerate(swpc.text_lines(source.raw), start=1)
    return [{"source": source.id, "line": n, "text": t} for n, t in rows if t.startswith(f'"{mcintosh}"')]


def _flags(row: dict, change: int | None, days: int | None, yesterday: _Summary | None, flares: list[dict]) -> list[str]:
    per_day = change / days if days and change is not None else 0
    listed_before = yesterday is None or any(r["noaa_ar"] == row["noaa_ar"] and r["section"] != "II"
                                             for r in yesterday.regions)
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
    return {**{k: row[k] for k in ("noaa_ar", "location", "lat_deg", "lon_deg", "carrington_lon_deg")},
            "evidence": [_evidence(row)]}


def _xray_flares(events: pd.DataFrame) -> list[dict]:
    """X-ray flares in order of begin; the same flare printed twice counts once."""
    flares = events[events["goes_class"].notna()].drop_duplicates(["begin", "peak", "goes_class", "noaa_ar"])
    return flares.sort_values(["begin", "line"]).to_dict("records")


def _flares(events: pd.DataFrame) -> list[dict]:
    optical = events[(events["type"] == "FLA") & events["location"].notna()]
    found = []
    for f in _xray_flares(events):
        seen = optical[optical["event_id"] == f["event_id"]].sort_values(["begin", "line"]).to_dict("records")[:1]
        found.append({
            "goes_class": f["goes_class"],
            **{k: None if pd.isna(f[k]) else f[k].isoformat() for k in ("begin", "peak", "end")},
            "noaa_ar": None if pd.isna(f["noaa_ar"]) else int(f["noaa_ar"]),
            "location": seen[0]["location"] if seen else None,
            "evidence": [_evidence(r) for r in (f, *seen)],
        })
    return found


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


def _watch_list(regions: list[dict], flares: list[dict], table: dict) -> list[dict]:
    watched = []
    for r in regions:
        reasons = list(_reasons(r, flares, table))
        if reasons:
            watched.append({"noaa_ar": r["noaa_ar"], "reasons": [en for en, _ in reasons],
                            "reasons_zh": [zh for _, zh in reasons]})
    chance = {r["noaa_ar"]: r["p_m"]["value"] if r["p_m"] else 0.0 for r in regions}
    return sorted(watched, key=lambda w: (-chance[w["noaa_ar"]], w["noaa_ar"]))


def _reasons(region: dict, flares: list[dict], table: dict) -> Iterable[tuple[str, str]]:
    if region["p_m"] and region["p_m"]["value"] >= WATCH_P_M:
        p, prior = narrative.percent(region["p_m"]["value"]), narrative.percent(table["climatology"]["M"])
        name = region["mcintosh_class"]
        yield (f"class {name}: M or stronger on {p} of days (all regions: {prior})",
               f"{name}类：{p}的日子出现M级或更强耀斑（全部活动区：{prior}）")
    if "delta" in region["flags"]:
        yield f"magnetic class {region['hale_class']}: a delta spot", f"磁分类{region['hale_class']}：含δ黑子"
    strong = [f for f in flares if f["noaa_ar"] == region["noaa_ar"] and f["goes_class"][0] in "MX"]
    if strong:
        names = [f["goes_class"] for f in strong]
        yield f"flared on the day before: {', '.join(names)}", f"前一日爆发耀斑：{'、'.join(names)}"
    if "growing" in region["flags"]:
        change, before = region["area_change_msh"], region["previous"]["issued"]
        limb = "near_limb" in region["flags"]
        yield (f"area +{change} millionths since {before}" + (", near the limb: may be foreshortening" if limb else ""),
               f"面积自{before}以来增加{change}" + ("，靠近日面边缘，可能由投影引起" if limb else ""))


# --------------------------------------------------------------------------------------------------------------------
# checking


def _all_evidence(value: object, where: str) -> Iterable[tuple[str, dict]]:
    if isinstance(value, dict) and {"source", "line", "text"} <= set(value):
        yield where, value
    elif isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _all_evidence(child, f"{where}.{key}")


def _check_evidence(where: str, evidence: dict, lines: dict[str, list[str]]) -> Iterable[str]:
    known = lines.get(evidence["source"], [])
    if not 1 <= evidence["line"] <= len(known):
        yield f"{where}: {evidence['source']} has no line {evidence['line']}"
    elif known[evidence["line"] - 1] != evidence["text"]:
        yield f"{where}: line {evidence['line']} of {evidence['source']} reads {known[evidence['line'] - 1]!r}"


def _differences(given: object, made: object, where: str) -> Iterable[str]:
    if isinstance(given, dict) and isinstance(made, dict):
        for key in dict.fromkeys([*given, *made]):
            yield from _differences(given.get(key), made.get(key), f"{where}.{key}")
    elif isinstance(given, list) and isinstance(made, list) and len(given) == len(made):
        for i, (a, b) in enumerate(zip(given, made, strict=True)):
            yield from _differences(a, b, f"{where}[{i}]")
    elif given != made:
        yield f"{where} is {given!r}, its sources give {made!r}"


def main(arguments: list[str] | None = None) -> None:
    """`--flare-rates FOLDER` derives `data/flare_rates.json` from the archive of SWPC texts in that folder."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.report", description=main.__doc__)
    parser.add_argument("--flare-rates", metavar="FOLDER", required=True)
    table = rates.from_archive(parser.parse_args(arguments).flare_rates)
    artifacts.write_text(rates.TABLE_FILE, rates.to_text(table))
    log.info("%s: %d region-days", rates.TABLE_FILE.name, table["n_region_days"])


if __name__ == "__main__":
    main()
