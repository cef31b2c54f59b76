"""NOAA SWPC daily texts: the Solar Region Summary (SRS) and the Edited Events list.

Reads `YYYYMMDDSRS.txt` and `YYYYMMDDevents.txt` as SWPC publishes them (1996 on) and writes the SRS format. Columns are
cut at their fixed places, never split at blanks: in both formats a field may be empty. Every row keeps its line.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd

from jwvl_lib.knowledge import goes_letters

SRS_DTYPES = {
    "issued": "datetime64[us]",
    "valid": "datetime64[us]",
    "section": "string",
    "noaa_ar": "Int64",
    "location": "string",
    "lat_deg": "Float64",
    "lon_deg": "Float64",
    "carrington_lon_deg": "Float64",
    "area_msh": "Int64",
    "mcintosh_class": "string",
    "extent_deg": "Int64",
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

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISSUED = re.compile(r":Issued:\s*(\d{4})\s+([A-Za-z]{3})[a-z]*\s+(\d{1,2})\s+([01]\d|2[0-3])([0-5]\d)")
_EVENTS_DATE = re.compile(r":Date:\s*(\d{4})\s+(\d{2})\s+(\d{2})")
_SECTION = re.compile(r"([I1]A?|II)\s*\.\s*(?:Regions|H-alpha)", re.IGNORECASE)
_VALID = re.compile(r"Valid at\s+(\d{2})/(\d{2})(\d{2})Z", re.IGNORECASE)
# One file of 1996 has no line end after this heading, so that the first row follows it at once.
_COLUMN_HEAD = re.compile(r"NMBR\s+LAT\s+LO(?=\d{4}\s)", re.IGNORECASE)
_NOT_A_COMMENT = re.compile(r"\s*$|nmbr\b|none\b", re.IGNORECASE)
_ROW = re.compile(r"\d{4}(?=\s|$)|.{4} {1,2}[NS]\d\d[EW]\d")
_PLACE = re.compile(r"([NS])(\d{2})(?:([EW])(\d{2,3}))?")
_COUNT_AND_TYPE = re.compile(r"\s*(\d{1,3})?\s*([A-Za-z]+(?:-[A-Za-z]+)*)?\s*")
_FORMS = re.compile(r"(\d{3})?\|(\d{4})?\|([A-Za-z]{3})?\|(\d{2})?")
_CLOCK = re.compile(r"[ABU ]?([01]\d|2[0-3])([0-5]\d)")
_GOES = re.compile(rf"([{goes_letters()}]\d+\.\d)(?:\s|$)")


class SwpcFormatError(ValueError):
    """A file that is not what its name promises, or a row that breaks the format; one line says what to do."""


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
    issued, valid = srs_times(raw, name)
    records, section, seen = [], None, set()
    for number, line in enumerate(lines, start=1):
        if line[:1] in "I1" and (head := _SECTION.match(line)):
            section = head[1].upper().replace("1", "I")
            seen.add(section)
            continue
        row = line if line[:4].isdigit() else _COLUMN_HEAD.sub("", line)
        if section and _ROW.match(row):
            fields = _region(row, section, issued)
            if fields is None:
                raise SwpcFormatError(
                    f"{name} line {number}: {line!r} is not a row of section {section}; "
                    "the file is cut or edited: fetch it again"
                )
            records.append({"section": section, **fields, "line": number, "text": line})
        elif section == "II" and not _NOT_A_COMMENT.match(row):
            section = None  # free text follows, whose lines may begin with a region number
    if missing := {"I", "IA", "II"} - seen:
        raise SwpcFormatError(
            f"{name}: section {', '.join(sorted(missing))} is missing; a Solar Region Summary has "
            "I, IA and II: the file is cut or another product, fetch it again"
        )
    return [{"issued": issued, "valid": valid, **record} for record in records]


def srs_times(raw: bytes, name: str = "SRS") -> tuple[datetime, datetime]:
    """When an SRS was issued and when its positions are valid (UTC): also for one that lists no region."""
    lines = text_lines(raw)
    issued = _issued(lines, name)
    valid = next((v for line in lines if _SECTION.match(line) and (v := _valid(line, issued))), None)
    return issued, valid or issued.replace(hour=0, minute=0)


def events_date(raw: bytes, name: str = "events") -> datetime:
    """Midnight of the day that an events list is about, as its line ":Date:" says, also where it lists no event."""
    date = next((_date(name, *m.groups()) for m in map(_EVENTS_DATE.match, text_lines(raw)) if m), None)
    if date is None:
        raise SwpcFormatError(f"{name}: {_what(raw)}; an events list has a line ':Date: YYYY MM DD': fetch it again")
    return date


def parse_events(raw: bytes, name: str = "events") -> list[dict]:
    """Bytes of one Edited Events list -> a dict an event line (keys of `EVENT_DTYPES`); `name` is for errors."""
    date, records = events_date(raw, name), []
    for number, line in enumerate(text_lines(raw), start=1):
        if not line.strip() or line.startswith((":", "#", "NO EVENT REPORTS")):
            continue
        if not line[:4].strip().isdigit() or not line[43:48].strip():
            raise SwpcFormatError(
                f"{name} line {number}: {line!r} is not an event row (number in columns 1-4, type in "
                "44-46); the file is cut or edited: fetch it again"
            )
        records.append({"date": date, **_event(line, date), "line": number, "text": line})
    return records


def write_srs(regions: pd.DataFrame, issued: datetime) -> str:
    """Text of a Solar Region Summary in SWPC's own columns; `read_srs` of it gives the same regions back.

    `regions` needs `section` and `noaa_ar`, and the columns of `read_srs` that its section prints (I: all; IA: location
    and Carrington longitude; II: latitude and Carrington longitude); where `location` is missing it is made from
    `lat_deg` and `lon_deg`. Degrees and areas are rounded. `issued` is UTC, on day D; positions are taken to be valid
    at 2400 UT of D-1. Raises SwpcFormatError for a value the columns cannot hold.
    """
    rows = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in regions.to_dict("records")]
    body = {s: [_print_region(r, issued) for r in rows if r["section"] == s] or ["None"] for s in ("I", "IA", "II")}
    before = issued - timedelta(days=1)
    return "\n".join(
        [
            f":Product: {issued:%m%d}SRS.txt",
            f":Issued: {issued.year} {_MONTHS[issued.month - 1]} {issued:%d %H%M} UTC",
            "# Prepared jointly by the U.S. Dept. of Commerce, NOAA,",
            "# Space Weather Prediction Center and the U.S. Air Force.",
            "#",
            "Joint USAF/NOAA Solar Region Summary",
            f"SRS Number {issued.timetuple().tm_yday} Issued at {issued:%H%M}Z on {_day(issued)} {issued.year}",
            f"Report compiled from data received at SWO on {_day(before)}",
            f"I.  Regions with Sunspots.  Locations Valid at {before:%d}/2400Z ",
            "Nmbr Location  Lo  Area  Z   LL   NN Mag Type",
            *body["I"],
            f"IA. H-alpha Plages without Spots.  Locations Valid at {before:%d}/2400Z {_MONTHS[before.month - 1]}",
            "Nmbr  Location  Lo",
            *body["IA"],
            f"II. Regions Due to Return {_day(issued)} to {_day(issued + timedelta(days=2))}",
            "Nmbr Lat    Lo",
            *body["II"],
            "",
        ]
    )


def _table(records: Iterable[dict], dtypes: dict[str, str]) -> pd.DataFrame:
    records = list(records)
    return pd.DataFrame({k: pd.array([r[k] for r in records], dtype=d) for k, d in dtypes.items()})


def _what(raw: bytes) -> str:
    if not raw.strip():
        return f"{len(raw)} bytes and no text"
    return f"first line {text_lines(raw.lstrip())[0][:60]!r}"


def _date(name: str, *numbers: str | int) -> datetime:
    try:
        return datetime(*map(int, numbers))
    except ValueError as error:
        raise SwpcFormatError(f"{name}: {numbers} is no date ({error}); the file is edited: fetch it again") from None


def _issued(lines: list[str], name: str) -> datetime:
    for line in lines[:10]:
        if (found := _ISSUED.match(line)) and found[2].title() in _MONTHS:
            year, month, day, hour, minute = found.groups()
            return _date(name, year, _MONTHS.index(month.title()) + 1, day, hour, minute)
    raise SwpcFormatError(
        f"{name}: {_what(chr(10).join(lines).encode())}; a Solar Region Summary has a line "
        "':Issued: YYYY Mon DD HHMM UTC' at its head: fetch it again"
    )


def _valid(line: str, issued: datetime) -> datetime | None:
    """'23/2400Z' in a file of 24 October is 24 October 00:00; the month is the latest that is not after the issue."""
    found = _VALID.search(line)
    if not found:
        return None
    midnight = issued.replace(hour=0, minute=0)
    days = (midnight - timedelta(days=back) for back in range(28))
    day = next((d for d in days if d.day == int(found[1])), None)
    return day and day + timedelta(hours=int(found[2]), minutes=int(found[3]))


def _region(row: str, section: str, issued: datetime) -> dict | None:
    """The fields of one row, None where a field breaks its form (blank fields are legal)."""
    spots = section == "I"
    at = (13, 18, 24, 28, 32) if spots else (9, 17, 17, 17, 17) if section == "II" else (13, 18, 18, 18, 18)
    place, *fields = (row[i:j].strip() for i, j in pairwise((4, *at)))
    tail = _COUNT_AND_TYPE.fullmatch(row[32:] if spots else "")
    where = _PLACE.fullmatch(place)
    legal = row[:4].isdigit() and (where or not place) and tail and _FORMS.fullmatch("|".join(fields))
    if not legal or (spots and not (place and fields[2])):
        return None
    carrington, area, mcintosh, extent = fields
    latitude, longitude = _degrees(where)
    return {
        "noaa_ar": full_noaa_number(int(row[:4]), issued),
        "location": place or None,
        "lat_deg": latitude,
        "lon_deg": longitude,
        "carrington_lon_deg": float(carrington) if carrington else None,
        "area_msh": int(area) if area else None,
        "mcintosh_class": mcintosh.capitalize() or None,
        "extent_deg": int(extent) if extent else None,
        "n_spots": int(tail[1]) if tail[1] else None,
        "hale_class": tail[2].title() if tail[2] else None,
    }


def _degrees(place: re.Match | None) -> tuple[float | None, float | None]:
    if place is None:
        return None, None
    latitude = float(place[2]) * (1 if place[1] == "N" else -1)
    longitude = None if place[3] is None else float(place[4]) * (1 if place[3] == "W" else -1)
    return latitude + 0.0, longitude if longitude is None else longitude + 0.0


def _event(line: str, date: datetime) -> dict:
    kind, particulars = line[43:48].strip(), _present(line[58:76])
    begin = _time(line[10:16], date)
    goes = _GOES.match(particulars or "") if kind == "XRA" else None
    number = line[76:].strip()
    return {
        "event_id": line[:4].strip(),
        "begin": begin,
        "peak": _time(line[17:23], date, begin),
        "end": _time(line[27:33], date, begin),
        "observatory": _present(line[34:37]),
        "quality": _present(line[38:43]),
        "type": kind,
        "location": _present(line[48:58]),
        "particulars": particulars,
        "goes_class": goes[1] if goes else None,
        "noaa_ar": _event_region(number, date),
    }


def _event_region(number: str, date: datetime) -> int | None:
    if not number.isdecimal() or int(number) == 0:
        return None
    full = full_noaa_number(int(number), date)
    return full if full < 20000 else None


def _time(field: str, date: datetime, not_before: datetime | None = None) -> datetime | None:
    clock = _CLOCK.fullmatch(field.strip())
    if not clock:
        return None
    time = date + timedelta(hours=int(clock[1]), minutes=int(clock[2]))
    return time + timedelta(days=1) if not_before and time < not_before else time


def _present(field: str) -> str | None:
    return field.strip().strip("/") and field.strip() or None


def _day(date: datetime) -> str:
    return f"{date:%d} {_MONTHS[date.month - 1]}"


def _print_region(row: dict, issued: datetime) -> str:
    """One row in its columns, refused where reading it back would not give the same region."""
    number, section = int(row["noaa_ar"]), row["section"]
    place = row.get("location") or _place(row, section)
    carrington = _digits(row.get("carrington_lon_deg"), 3)
    text = f"{number % 10000:04d} {place:<7}{carrington}"
    if section == "IA":
        text = f"{number % 10000:04d}  {place:<9}{carrington}".rstrip()
    elif section == "I":
        tail = f"{_digits(row.get('n_spots'), 2):<2} {row.get('hale_class') or ''}"
        text = (
            f"{number % 10000:04d} {place:<9}{carrington}  {_digits(row.get('area_msh'), 4)} "
            f"{row['mcintosh_class'] or '   '}  {_digits(row.get('extent_deg'), 2)}   {tail}"
        )
    back = _region(text, section, issued)
    if back is None or back["noaa_ar"] != number or (row.get("location") or place) != back["location"]:
        raise SwpcFormatError(
            f"region {number} ({place}, section {section}) cannot be written as {text!r}, issued "
            f"{issued:%Y-%m-%d}; see the column widths in the module's _region, and NOAA numbers are "
            "10000-19999 from June 2002 on"
        )
    return text


def _place(row: dict, section: str) -> str:
    latitude = round(row["lat_deg"])
    place = f"{'N' if latitude >= 0 else 'S'}{abs(latitude):02d}"
    if section == "II":
        return place
    longitude = round(row["lon_deg"])
    return f"{place}{'W' if longitude >= 0 else 'E'}{abs(longitude):02d}"


def _digits(value: float | None, width: int) -> str:
    return " " * width if value is None else f"{round(value):0{width}d}"
