"""The products of a day, parsed: what each source gives, and what is missing, cut, stale or taken from elsewhere.

Reads the bytes of `Source`s and writes nothing. A product that cannot be read becomes a (English, Chinese) warning and
a state, never an error: where the Solar Region Summary fails, the JSON service stands in, and says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from jwvl_lib import solarmonitor, swpc, swpc_products
from jwvl_lib.report_sources import PRODUCTS, STALE_DAYS, Source
from jwvl_lib.swpc import SwpcFormatError, text_lines

Warnings = list[tuple[str, str]]


@dataclass(frozen=True)
class Summary:
    """Regions of one morning: when issued and valid (UTC), rows of `swpc.parse_srs` with their `source`, head lines."""

    issued: datetime
    valid: datetime
    regions: list[dict]
    heads: list[dict]
    product: str = "srs"

    @property
    def spotted(self) -> list[dict]:
        """The rows with spots, by number."""
        return sorted((r for r in self.regions if r["section"] == "I"), key=lambda r: r["noaa_ar"])


@dataclass(frozen=True)
class Events:
    """Rows of one day as `swpc.parse_events` gives them, with their `source`, and the line that names the day."""

    rows: list[dict]
    head: dict
    product: str = "events"


@dataclass
class Products:
    """Everything that could be read of a day; dates are those of issue for summaries, of the events for events."""

    summaries: dict[date, Summary] = field(default_factory=dict)
    events: dict[date, Events] = field(default_factory=dict)
    sgas: dict | None = None
    discussion: list[dict] = field(default_factory=list)
    rows: dict[str, list[dict]] = field(default_factory=dict)
    swpc_percent: dict[int, dict] = field(default_factory=dict)
    monitor: list[dict] | None = None
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    warnings: Warnings = field(default_factory=list)


def read(sources: Iterable[Source], day: date) -> Products:
    """Parse every source of the report of `day`; later products fill only what earlier ones leave open."""
    found, sources = Products(), list(sources)
    for source in sources:
        kind = kind_of(source.id)
        if kind and not source.made_from:
            try:
                _READERS[kind](found, source, day, sources)
                found.states.setdefault(kind, ("used", ""))
            except SwpcFormatError as error:
                found.states.setdefault(kind, ("torn", str(error)))
                found.warnings.append((f"not used: {error}", f"未采用：{error}"))
    _stand_in(found, day)
    return found


def newest_summary(sources: Iterable[Source]) -> Source | None:
    """The newest Solar Region Summary among the sources that can be read, None where there is none."""
    for source in sorted((s for s in sources if kind_of(s.id) == "srs"), key=lambda s: s.id, reverse=True):
        try:
            swpc.parse_srs(source.raw, source.name)
        except SwpcFormatError:
            continue
        return source
    return None


def kind_of(source_id: str) -> str | None:
    """The product of a source id, None for the table of flare rates and for images."""
    return next((kind for kind in PRODUCTS if source_id.startswith(f"{kind}_")), None)


def evidence(row: dict) -> dict:
    """`{source, line, text}` of a parsed row."""
    source = row.get("source") or f"events_{row['date']:%Y%m%d}"
    return {"source": source, "line": int(row["line"]), "text": row["text"]}


def state_list(found: Products) -> list[dict]:
    """One entry a product for `report.json`: used, missing, torn (unreadable), or stale (says nothing of the day)."""
    states = {kind: found.states.get(kind, ("missing", "")) for kind in PRODUCTS}
    return [{"product": kind, "state": state, "detail": detail} for kind, (state, detail) in states.items()]


# --------------------------------------------------------------------------------------------------------------------
# one reader a product


def _date_in(source: Source) -> date:
    try:
        return datetime.strptime(source.id.rpartition("_")[2][:8], "%Y%m%d").date()
    except ValueError:
        raise SwpcFormatError(f"{source.name}: no date in the name; name it as SWPC does, YYYYMMDDSRS.txt") from None


def _require_its_day(source: Source, of: date, what: str) -> None:
    if of != _date_in(source):
        raise SwpcFormatError(f"{source.name}: {what} {of}, its name says otherwise; fetch it again")


def _read_srs(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    issued, valid = swpc.srs_times(source.raw, source.name)
    _require_its_day(source, issued.date(), "issued on")
    regions = [{**r, "source": source.id} for r in swpc.parse_srs(source.raw, source.name)]
    heads = [_line_with(source, (":Issued:",)), _line_with(source, ("I.", "1.", "I .", "i."))]
    found.summaries[issued.date()] = Summary(issued, valid, regions, heads)


def _read_events(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    of = swpc.events_date(source.raw, source.name).date()
    _require_its_day(source, of, "it lists the events of")
    rows = [{**row, "source": source.id} for row in swpc.parse_events(source.raw, source.name)]
    found.events[of] = Events(rows, _line_with(source, ("NO EVENT REPORTS", ":Date:")))


def _read_sgas(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    found.sgas = {**swpc_products.parse_sgas(source.raw, source.name), "source": source.id}


def _read_discussion(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    _require_its_day(source, swpc_products.issue_time(text_lines(source.raw), source.name).date(), "issued on")
    found.discussion = [
        {
            "title": part["title"],
            "part": part["part"],
            "lines": [{"source": source.id, "line": n, "text": text} for n, text in part["lines"]],
        }
        for part in swpc_products.parse_discussion(source.raw, source.name)
    ]


def _read_json(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    lines = next((s for s in sources if s.made_from == source.id), None)
    raw = lines.raw if lines else swpc_products.relined(source.raw, source.name)  # the second says what is wrong
    kind = kind_of(source.id)
    found.rows[kind] = [{**r, "source": f"{source.id}_lines"} for r in swpc_products.records(raw)]
    if not found.rows[kind]:
        raise SwpcFormatError(f"{source.name}: the list is empty; fetch it again")


def _read_monitor(found: Products, source: Source, day: date, sources: list[Source]) -> None:
    found.monitor = [{**row, "source": source.id} for row in solarmonitor.regions(source.raw)]
    if not found.monitor:
        raise SwpcFormatError(f"{source.name}: neither its table of regions nor a region number; nothing is compared")


_READERS: dict[str, Callable] = {
    "srs": _read_srs,
    "events": _read_events,
    "sgas": _read_sgas,
    "discussion": _read_discussion,
    "solarmonitor": _read_monitor,
    **dict.fromkeys(("solar_regions", "xray_flares", "xray_flux", "f107_flux", "planetary_kp"), _read_json),
}


def _line_with(source: Source, starts: tuple[str, ...]) -> dict:
    """The first line that begins with the first of `starts` that any line begins with, else the first line."""
    lines = text_lines(source.raw)
    number = next((n for start in starts for n, line in enumerate(lines, start=1) if line.startswith(start)), 1)
    return {"source": source.id, "line": number, "text": lines[number - 1]}


# --------------------------------------------------------------------------------------------------------------------
# what stands in where a text fails


def _stand_in(found: Products, day: date) -> None:
    eve = day - timedelta(days=1)
    days = swpc_products.region_records(found.rows.get("solar_regions", []))
    for observed, rows in days.items():
        issue_day = date.fromisoformat(observed) + timedelta(days=1)
        rows = [{**r, "source": found.rows["solar_regions"][0]["source"]} for r in _unique(rows)]
        if issue_day == day:
            found.swpc_percent = {
                r["noaa_ar"]: {**r["swpc_percent"], "evidence": [evidence(r)]} for r in rows if r["swpc_percent"]
            }
        if issue_day <= day and issue_day not in found.summaries:
            heads = [evidence(rows[0])]
            found.summaries[issue_day] = Summary(rows[0]["issued"], rows[0]["valid"], rows, heads, "solar_regions")
    if days and eve.isoformat() not in days:
        _stale(found, "solar_regions", f"its newest day is {max(days)}", f"最新日期为{max(days)}", eve)
    for product in ("xray_flux", "f107_flux", "planetary_kp"):
        times = [at.date() for r in found.rows.get(product, []) if (at := swpc_products.time_of(r.get("time_tag")))]
        if times and eve not in times:
            _stale(found, product, f"its newest record is of {max(times)}", f"最新记录为{max(times)}", eve)
    if found.sgas and (of := found.sgas["issued"].date() - timedelta(days=1)) != eve:
        _stale(found, "sgas", f"it is of {of}", f"其日期为{of}", eve)
    flares = swpc_products.flare_records(found.rows.get("xray_flares", []))
    if eve not in found.events:
        _events_from_flares(found, flares, eve)
    elif flares and not any(f["begin"].date() == eve for f in flares):
        _stale(found, "xray_flares", "no flare of the day in it", "其中没有当日耀斑", eve)


def _unique(rows: list[dict]) -> list[dict]:
    """One row a region, the first."""
    return list({r["noaa_ar"]: r for r in reversed(rows)}.values())[::-1]


def _events_from_flares(found: Products, flares: list[dict], eve: date) -> None:
    """Events of the day from the flare service, where its records reach beyond that day, else from the SGAS."""
    blank = dict.fromkeys(("event_id", "observatory", "quality", "location", "particulars", "noaa_ar"))
    blank |= {"date": datetime(eve.year, eve.month, eve.day), "type": "XRA"}
    times = sorted(f["begin"].date() for f in flares)
    if times and times[0] <= eve <= times[-1]:
        source = found.rows["xray_flares"][0]["source"]
        rows = [{**blank, **f} for f in flares if f["begin"].date() == eve]
        head = {"source": source, "line": flares[0]["line"], "text": flares[0]["text"]}
        product = "xray_flares"
    elif found.sgas and found.sgas["issued"].date() - timedelta(days=1) == eve:
        source, product = found.sgas["source"], "sgas"
        rows = [{**blank, **f} for f in found.sgas["flares"] if f["begin"]]
        head = {"source": source, **found.sgas["head"]}
    else:
        if flares:
            _stale(
                found, "xray_flares", f"it covers {times[0]} to {times[-1]}", f"其范围为{times[0]}至{times[-1]}", eve
            )
        return
    found.events[eve] = Events([{**row, "source": source} for row in rows], head, product)


def _stale(found: Products, product: str, en: str, zh: str, eve: date) -> None:
    names = PRODUCTS[product]
    found.states[product] = ("stale", en)
    found.warnings.append(
        (f"stale: {names[0]} says nothing of {eve} ({en})", f"数据陈旧：{names[1]}没有{eve}的内容（{zh}）")
    )


def gaps(found: Products, day: date, current: date | None) -> Warnings:
    """What a reader must know about missing and substituted products, in order of weight."""
    eve, said = day - timedelta(days=1), []
    if current is None:
        said.append(
            (
                f"no readable SRS of {day} or the {STALE_DAYS} days before: regions are not known",
                f"没有{day}及此前{STALE_DAYS}天可读的活动区摘要：活动区未知",
            )
        )
    else:
        said += _summary_gaps(found, day, current)
    if eve not in found.events:
        said.append(
            (
                f"no events list of {eve}: activity level, flares and R scale are not known",
                f"没有{eve}的事件表：活动水平、耀斑和R级未知",
            )
        )
    elif (product := found.events[eve].product) != "events":
        names = PRODUCTS[product]
        said.append(
            (
                f"no events list of {eve}: flares are those of {names[0]}",
                f"没有{eve}的事件表：耀斑取自{names[1]}",
            )
        )
    missing = [PRODUCTS[k] for k in PRODUCTS if k not in found.states and k not in ("srs", "events")]
    if missing:
        en, zh = ", ".join(m[0] for m in missing), "、".join(m[1] for m in missing)
        said.append((f"not given: {en}", f"未提供：{zh}"))
    return said


def _summary_gaps(found: Products, day: date, current: date) -> Warnings:
    said, summary = [], found.summaries[current]
    if current < day:
        said.append(
            (
                f"stale: no readable SRS of {day}; regions are those of the SRS issued on {current}",
                f"数据陈旧：没有{day}的活动区摘要，活动区取自{current}发布的摘要",
            )
        )
    if summary.product != "srs":
        said.append(
            (
                f"no readable SRS of {current}: regions are those of the JSON service, observed on the day before",
                f"没有{current}可读的活动区摘要：活动区取自JSON服务前一日的观测",
            )
        )
    before = current - timedelta(days=1)
    if before not in found.summaries:
        last = max((d for d in found.summaries if d < current), default=None)
        then = f"changes are against {last}" if last else "no change of area can be given"
        then_zh = f"变化以{last}为准" if last else "无法给出面积变化"
        said.append((f"no SRS of the day before ({before}): {then}", f"没有前一日（{before}）的活动区摘要：{then_zh}"))
    return said
