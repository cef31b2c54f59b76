"""NOAA SWPC daily texts: the Solar Region Summary (SRS) and the Edited Events list.

Reads `YYYYMMDDSRS.txt` and `YYYYMMDDevents.txt` as SWPC publishes them (1996 on) and writes the SRS format. Columns are
cut at their fixed places, never split at blanks: in both formats a field may be empty. Every row keeps its line.
"""

import calendar
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

SRS_DTYPES = {
    "issued": "datetime64[us]",
    "valid": "datetime64[us]",
    "section": "string",
    "noaa_ar": "Int64",
    "location": "string",
    "lat_deg": "Float64",
    "lon_deg": "Float64",
    "carrington_lon_deg": "Float64",
    "area_msh": "Float64",
    "mcintosh_class": "string",
    "extent_deg": "Float64",
    "n_spots": "Int64",
    "hale_class": "string",
    "line": "Int64",
    "text": "string",
}
EVENT_DTYPES = {
    "date": "datetime64[us]",
    "event_id": "string",
    "begin": "datetime64[us]",
    "peak": "datetime64[us]",
    "end": "datetime64[us]",
    "observatory": "string",
    "quality": "string",
    "type": "string",
    "location": "string",
    "particulars": "string",
    "goes_class": "string",
    "noaa_ar": "Int64",
    "line": "Int64",
    "text": "string",
}

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_ISSUED = re.compile(r":Issued:\s*(\d{4})\s+([A-Za-z]{3})[a-z]*\s+(\d{1,2})\s+(\d{2})(\d{2})")
_EVENTS_DATE = re.compile(r":Date:\s*(\d{4})\s+(\d{2})\s+(\d{2})")
_SECTION = re.compile(r"^([I1]A?|II)\s*\.\s*(?:Regions|H-alpha)", re.IGNORECASE)
_VALID = re.compile(r"Valid at\s+(\d{2})/(\d{2})(\d{2})Z", re.IGNORECASE)
_COLUMN_HEAD = re.compile(r"^NMBR\s+LAT\s+LO(?=\d{4}\s)", re.IGNORECASE)
_ROW = re.compile(r"^\d{4}(?=\s|$)")
_SPOTTED = re.compile(r"^(\d{4}) {1,2}([NS]\d\d[EW]\d\d\d?) *(\d{3})? +(\d{1,4})? +([A-Za-z]{3})? +(\d+)?")
_PLACE = re.compile(r"^([NS])(\d{2})(?:([EW])(\d{2,3}))?$")
_TAIL = re.compile(r"^\s*(\d{1,3})?\s*([A-Za-z][A-Za-z-]*)?\s*$")
_CLOCK = re.compile(r"^([ABU ]?)(\d{2})(\d{2})$")
_GOES = re.compile(r"^([ABCMX]\d+(?:\.\d+)?)(?:\s|$)")


class SwpcFormatError(ValueError):
    """A file that is not what its name promises, or a row that breaks the format: value, rule and remedy in one line."""


def text_lines(raw: bytes) -> list[str]:
    """Lines of a file as evidence quotes them: split at LF only, a CR before it dropped, UTF-8 with replacement."""
    return [line.removesuffix("\r") for line in raw.decode("utf-8", errors="replace").split("\n")]


def full_noaa_number(number: int, issued: datetime) -> int:
    """True NOAA number of the four digits printed: 10000 is added from June 2002 on (2192 -> 12192).

    Regions of the old count that were still on the disk in 2002 (9xxx) keep their number, as do all earlier ones.
    """
    if number >= 10000 or issued < datetime(2002, 6, 1) or (issued.year == 2002 and number >= 9000):
        return number
    return number + 10000


def read_srs(path: str | Path) -> pd.DataFrame:
    """Solar Region Summary -> a row a region of sections I (spots), IA (plage without spots) and II (due to return).

    Columns are those of `SRS_DTYPES`. `issued` and `valid` are UTC; the text issued on day D at 0030 UT holds positions
    valid at 2400 UT of D-1, that is `valid` = D 00:00. `lon_deg` is positive west; `area_msh` in millionths of the
    solar hemisphere; `line` is 1-based in the raw bytes and `text` that line. Fields blank in the file are missing.
    Raises SwpcFormatError for an empty, cut or misfiled file. Format: swpc.noaa.gov, "Solar Region Summary" readme.
    """
    path = Path(path)
    return srs_table(parse_srs(path.read_bytes(), path.name))


def read_events(path: str | Path) -> pd.DataFrame:
    """Edited Events list -> a row an event line, with the columns of `EVENT_DTYPES`.

    `begin`, `peak`, `end` are UTC and carry over midnight; `////` is missing, and the marks A(fter), B(efore),
    U(ncertain) before a time stand in `text` only. `goes_class` is set for X-ray flares (type XRA). A day without
    events gives an empty frame. Raises SwpcFormatError for an empty or misfiled file.
    """
    path = Path(path)
    return events_table(parse_events(path.read_bytes(), path.name))


def srs_table(records: Iterable[dict]) -> pd.DataFrame:
    """Records of `parse_srs`, of one file or of many, as the frame `read_srs` returns."""
    return _table(records, SRS_DTYPES)


def events_table(records: Iterable[dict]) -> pd.DataFrame:
    """Records of `parse_events`, of one file or of many, as the frame `read_events` returns."""
    return _table(records, EVENT_DTYPES)


def parse_srs(raw: bytes, name: str = "SRS") -> list[dict]:
    """Bytes of one SRS -> a dict a region (keys of `SRS_DTYPES`); `name` is used in errors only.

    Plain Python, about 0.1 ms a file: for whole archives, gather the records and call `srs_table` once.
    """
    lines = text_lines(raw)
    issued = _issued(lines, name)
    records, section, seen, valid = [], None, set(), None
    for number, line in enumerate(lines, start=1):
        if head := _SECTION.match(line):
            section = head[1].upper().replace("1", "I")
            seen.add(section)
            valid = valid or _valid(line, issued)
            continue
        row = _COLUMN_HEAD.sub("", line)
        if section and _ROW.match(row):
            fields = _region(row, section, issued)
            if fields is None:
                raise SwpcFormatError(f"{name} line {number}: {line!r} is not a row of section {section}; "
                                      "the file is cut or edited: fetch it again")
            records.append({"section": section, **fields, "line": number, "text": line})
        elif section == "II" and _is_comment(row):
            section = None
    if missing := {"I", "IA", "II"} - seen:
        raise SwpcFormatError(f"{name}: section {', '.join(sorted(missing))} is missing; a Solar Region Summary has "
                              "I, IA and II: the file is cut or another product, fetch it again")
    return [{"issued": issued, "valid": valid or issued.replace(hour=0, minute=0), **record} for record in records]


def parse_events(raw: bytes, name: str = "events") -> list[dict]:
    """Bytes of one Edited Events list -> a dict an event line (keys of `EVENT_DTYPES`); `name` is for errors."""
    lines = text_lines(raw)
    date = next((datetime(*map(int, m.groups())) for m in map(_EVENTS_DATE.match, lines) if m), None)
    if date is None:
        raise SwpcFormatError(f"{name}: {_what(raw)}; an events list has a line ':Date: YYYY MM DD': fetch it again")
    return [
        {"date": date, **_event(line, date), "line": number, "text": line}
        for number, line in enumerate(lines, start=1)
        if line[:4].strip().isdigit() and line[43:46].strip()
    ]


def write_srs(regions: pd.DataFrame, issued: datetime) -> str:
    """Text of a Solar Region Summary in SWPC's own columns; `read_srs` of it gives the same regions back.

    `regions` needs `section` and `noaa_ar`, and the columns of `read_srs` that its section prints (I: all; IA: location
    and Carrington longitude; II: latitude and Carrington longitude). `issued` is UTC, on day D; positions are taken to
    be valid at 2400 UT of D-1. Raises SwpcFormatError for a value the columns cannot hold.
    """
    before = issued - timedelta(days=1)
    day, eve = f"{issued:%d %b}", f"{before:%d}/2400Z"
    by_section = {s: [r for r in regions.to_dict("records") if r["section"] == s] for s in ("I", "IA", "II")}
    body = {s: [_print_region(r, s, issued) for r in rows] or ["None"] for s, rows in by_section.items()}
    return "\n".join([
        f":Product: {issued:%m%d}SRS.txt",
        f":Issued: {issued:%Y %b %d %H%M} UTC",
        "# Prepared jointly by the U.S. Dept. of Commerce, NOAA,",
        "# Space Weather Prediction Center and the U.S. Air Force.",
        "#",
        "Joint USAF/NOAA Solar Region Summary",
        f"SRS Number {issued.timetuple().tm_yday} Issued at {issued:%H%M}Z on {day} {issued:%Y}",
        f"Report compiled from data received at SWO on {before:%d %b}",
        f"I.  Regions with Sunspots.  Locations Valid at {eve} ",
        "Nmbr Location  Lo  Area  Z   LL   NN Mag Type",
        *body["I"],
        f"IA. H-alpha Plages without Spots.  Locations Valid at {eve} {before:%b}",
        "Nmbr  Location  Lo",
        *body["IA"],
        f"II. Regions Due to Return {day} to {issued + timedelta(days=2):%d %b}",
        "Nmbr Lat    Lo",
        *body["II"],
        "",
    ])
