"""SolarMonitor's page of a day: its table of NOAA regions, to be held against SWPC's own summary.

Reads bytes, writes nothing. SolarMonitor takes its values from the summaries, so the page adds a check, not a source:
nothing of it enters a number of a report.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jwvl_lib.swpc import text_lines
from jwvl_lib.swpc_products import HALE, PLACE

COMPARED = ("hale_class", "mcintosh_class", "area_msh", "n_spots")  # the place is that of another hour
GREEK = dict(zip("αβγδ", "ABGD", strict=True))
_TAG = re.compile(r"<[^>]*>")


def differences(page: list[dict], summary: dict[int, dict]) -> list[dict]:
    """Where page and summary (by number) both give a value and the values differ: `{noaa_ar, field, there, here}`."""
    found = []
    for row in page:
        here = summary.get(row["noaa_ar"], {})
        for field in COMPARED:
            if None not in (row[field], here.get(field)) and row[field] != here[field]:
                one = {"noaa_ar": row["noaa_ar"], "field": field, "there": row[field], "here": here[field]}
                found.append({**one, "line": row["lines"][field]})
    return found


def regions(raw: bytes) -> list[dict]:
    """SolarMonitor page -> a row a region: `{noaa_ar, location, hale_class, mcintosh_class, area_msh, n_spots, flares,
    lines}`, what the page gives for today; None where it gives nothing.

    The table has a `<tr class=noaaresults>` a region with cells named noaa_number, position, hale, mcintosh, area,
    nspots, events, each "today/yesterday" (github.com/solarmonitor/solarmonitorphp, write_new_ar_table.php). `lines`
    maps a field to its (line, text). A page without that table gives the five-digit numbers of its visible text alone.
    """
    table = _MonitorTable()
    table.feed(raw.decode("utf-8", errors="replace"))
    lines = text_lines(raw)
    rows = [row for cells in table.rows if (row := _monitor_row(cells, lines))]
    return rows or [_numbered(n, at, text) for n, at, text in _visible_numbers(lines)]


class _MonitorTable(HTMLParser):
    """Cells of the rows of class `noaaresults`: a dict a row, the cell's id -> (line, text)."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.rows: list[dict[str, tuple[int, str]]] = []
        self.cell = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "tr":
            self.cell = ""
            self.inside = "noaaresults" in (given.get("class") or "").split()
            self.rows += [{}] if self.inside else []
        elif tag == "td" and self.rows and self.inside:
            self.cell = given.get("id") or ""
            self.rows[-1][self.cell] = (self.getpos()[0], "")
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag):
        self.cell = "" if tag in ("td", "tr", "table") else self.cell

    def handle_data(self, data):
        if self.cell:
            line, text = self.rows[-1][self.cell]
            self.rows[-1][self.cell] = (line, text + data)


def _monitor_row(cells: dict[str, tuple[int, str]], lines: list[str]) -> dict | None:
    today = {name: text.split("/")[0].strip() for name, (_, text) in cells.items()}
    if not re.fullmatch(r"1[0-9]{4}", today.get("noaa_number", "")):
        return None
    place = PLACE.match(today.get("position", ""))
    hale = "-".join(HALE[GREEK[c]] for c in today.get("hale", "") if c in GREEK)
    fields = {
        "noaa_ar": int(today["noaa_number"]),
        "location": place[0] if place else None,
        "hale_class": hale or None,
        "mcintosh_class": _spot_class(today.get("mcintosh", "")),
        "area_msh": _count(today.get("area")),
        "n_spots": _count(today.get("nspots")),
        "flares": re.findall(r"\b[CMX]\d+\.\d\b", cells.get("events", (0, ""))[1].split("/")[0]),
    }
    names = dict(zip(fields, ("noaa_number", "position", "hale", "mcintosh", "area", "nspots", "events"), strict=True))
    at = {field: cells[cell][0] for field, cell in names.items() if cell in cells}
    return {**fields, "lines": {field: (n, lines[n - 1]) for field, n in at.items()}}


def _spot_class(text: str) -> str | None:
    return text.capitalize() if re.fullmatch(r"[A-Za-z]{3}", text) else None


def _count(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,4}", text) else None


def _numbered(number_: int, line: int, text: str) -> dict:
    empty = dict.fromkeys(("location", "hale_class", "mcintosh_class", "area_msh", "n_spots"))
    return {"noaa_ar": number_, **empty, "flares": [], "lines": {"noaa_ar": (line, text)}}


def _visible_numbers(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """(region number, line, text) of each five-digit NOAA number outside of tags, once."""
    seen = set()
    for at, line in enumerate(lines, start=1):
        for found in re.findall(r"(?<![\w.])1[0-9]{4}(?![\w.])", _TAG.sub(" ", line)):
            if int(found) not in seen:
                seen.add(int(found))
                yield int(found), at, line
