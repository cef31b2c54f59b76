"""The other SWPC products of a day: SGAS, Forecast Discussion, and the JSON services in their old and new shapes.

Reads bytes, writes nothing. A JSON service sends all its records on one line; `relined` puts each on a line of its own,
so that a line is evidence for it. Shapes known: a list of objects, a list of lists under a row of names (until 2026),
either of them wrapped as `{"data": [...]}`. Every record keeps its line; what cannot be read is a SwpcFormatError.
"""

import json
import re
from datetime import datetime, timedelta

from jwvl_lib import knowledge
from jwvl_lib.swpc import SwpcFormatError, full_noaa_number, text_lines

HALE = {name[0]: name for name in knowledge.values("hale_class") if "-" not in name}
_GOES = rf"[{knowledge.goes_letters()}]\d+\.\d"
PLACE = re.compile(r"[NS]\d\d[EW]\d\d\d?")
MAX_BYTES = 8_000_000
_SGAS_EVENT = re.compile(
    r" ?(\d{4}|/{4}) +(\d{4}|/{4}) +(\d{4}|/{4})(?: +(\d{4,5})(?= ))?(?: +([NS]\d\d[EW]\d\d))?.*?"
    rf"\b({_GOES})\b"
)
_INDICES = {
    "f107_sfu": re.compile(r"10 cm\s+(\d{2,3})\b"),
    "sunspot_number": re.compile(r"\bSSN\s+(\d{1,3})\b"),
    "ap": re.compile(r"Afr/Ap\s+\d{3}/(\d{3})"),
    "xray_background": re.compile(rf"X-ray Background\s+({_GOES})"),
}
_PLANETARY = re.compile(r"Planetary((?:\s+\d)+)")
_PFU = re.compile(r"([\d,.]+)\s*pfu", re.IGNORECASE)
_TITLES = ("Solar Activity", "Energetic Particle", "Solar Wind", "Geospace")


def relined(raw: bytes, name: str = "JSON") -> bytes:
    """The records of a JSON product, one a line, each as it stands in the file (runs of blanks made one).

    SwpcFormatError where the file is cut, larger than `MAX_BYTES`, no JSON, or holds no list of records.
    """
    if len(raw) > MAX_BYTES:
        raise SwpcFormatError(f"{name}: {len(raw)} bytes, at most {MAX_BYTES}; fetch the day's file, not an archive")
    text = raw.decode("utf-8", errors="replace")
    start, decoder, lines = _list_start(text, name), json.JSONDecoder(), []
    while True:
        start = _skip(text, start, " \t\r\n,")
        if start >= len(text):
            raise SwpcFormatError(f"{name}: ends within the list after {len(lines)} records; it is cut, fetch it again")
        if text[start] == "]":
            return ("\n".join(lines) + "\n").encode()
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            raise SwpcFormatError(
                f"{name}: record {len(lines) + 1} cannot be read; the file is cut or edited, fetch it again"
            ) from None
        lines.append(" ".join(text[start:end].split()))
        start = end


def _list_start(text: str, name: str) -> int:
    opening = re.match(r"\s*\[", text) or re.match(r'\s*\{[^\[\]]*?"data"\s*:\s*\[', text)
    if not opening:
        head = " ".join(text[:40].split())
        raise SwpcFormatError(f"{name}: starts with {head!r}, not with a list of records; fetch it again")
    return opening.end()


def _skip(text: str, start: int, blanks: str) -> int:
    while start < len(text) and text[start] in blanks:
        start += 1
    return start


def records(lined: bytes) -> list[dict]:
    """The records of `relined` bytes as dicts, each with its `line` and `text`; a row of names goes before lists."""
    found, names = [], None
    for number, line in enumerate(text_lines(lined), start=1):
        value = json.loads(line) if line else None
        if isinstance(value, list) and names is None:
            names = [str(v) for v in value]
        elif isinstance(value, list):
            found.append({**dict(zip(names, value, strict=False)), "line": number, "text": line})
        elif isinstance(value, dict):
            found.append({**value, "line": number, "text": line})
    return found


def time_of(value: object) -> datetime | None:
    """UTC of a time tag, with or without T, Z and fractions; None where it is none."""
    try:
        return datetime.fromisoformat(str(value).strip().removesuffix("Z").replace(" ", "T"))
    except ValueError:
        return None


def number(value: object) -> float | None:
    """A finite number from a JSON number or its text, else None."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if abs(found) < 1e30 else None


def region_records(rows: list[dict]) -> dict[str, list[dict]]:
    """solar_regions.json -> observed day ("2026-07-03") -> records as `swpc.parse_srs` gives them, and SWPC's chances.

    Longitudes are west negative there and are turned; a region without area is a plage (section IA). Rows whose number
    or day cannot be read are left out.
    """
    days: dict[str, list[dict]] = {}
    for row in rows:
        day, region = time_of(row.get("observed_date")), number(row.get("region"))
        if day is None or region is None or not 0 < region < 20000:
            continue
        days.setdefault(f"{day:%Y-%m-%d}", []).append(_region_record(row, day, int(region)))
    return days


def _region_record(row: dict, day: datetime, region: int) -> dict:
    area, east, south = number(row.get("area")), number(row.get("longitude")), number(row.get("latitude"))
    place = str(row.get("location") or "")
    chances = {k: number(row.get(f"{k}_flare_probability")) for k in "cmx"}
    return {
        "issued": day + timedelta(days=1),
        "valid": day + timedelta(days=1),
        "section": "IA" if area is None else "I",
        "noaa_ar": full_noaa_number(region, day),
        "location": place if PLACE.fullmatch(place) else None,
        "lat_deg": south,
        "lon_deg": None if east is None else -east + 0.0,
        "carrington_lon_deg": number(row.get("carrington_longitude")),
        "area_msh": None if area is None else int(area),
        "mcintosh_class": _text(row.get("spot_class"), r"[A-Za-z]{3}", str.capitalize),
        "extent_deg": None,
        "n_spots": None if (spots := number(row.get("number_spots"))) is None else int(spots),
        "hale_class": _text(row.get("mag_class"), r"[ABGD]{1,3}", lambda t: "-".join(HALE[c] for c in t)),
        "swpc_percent": chances if None not in chances.values() else None,
        "line": row["line"],
        "text": row["text"],
    }


def _text(value: object, pattern: str, change) -> str | None:
    return change(value) if isinstance(value, str) and re.fullmatch(pattern, value) else None


def flare_records(rows: list[dict]) -> list[dict]:
    """xray-flares-7-day.json -> flares `{goes_class, begin, peak, end, line, text}` (UTC); unreadable rows left out."""
    found = []
    for row in rows:
        begin, goes = time_of(row.get("begin_time")), row.get("max_class")
        if begin and isinstance(goes, str) and re.fullmatch(_GOES, goes):
            peak, end = time_of(row.get("max_time")), time_of(row.get("end_time"))
            found.append(
                {"goes_class": goes, "begin": begin, "peak": peak, "end": end, "line": row["line"], "text": row["text"]}
            )
    return found


def parse_sgas(raw: bytes, name: str = "SGAS") -> dict:
    """Solar and Geophysical Activity Summary -> `{issued, head, flares, indices, kp, protons}`.

    `flares`: rows of section A with an X-ray class, of the day before the issue (times as datetimes). `indices`: name
    to `{value, line, text}` for F10.7 (solar flux units), sunspot number, Ap, X-ray background. `kp`: eight planetary
    K indices with their line, or None. `protons`: `{pfu, none, line, text}`. SwpcFormatError where its head is missing.
    """
    lines = text_lines(raw)
    issued = issue_time(lines, name)
    if not any("Geophysical Activity Summary" in line for line in lines[:8]):
        raise SwpcFormatError(f"{name}: no Solar and Geophysical Activity Summary; fetch it again")
    if missing := [c for c in "ABCE" if not any(line.startswith(f"{c}. ") for line in lines)]:
        raise SwpcFormatError(f"{name}: section {', '.join(missing)} is missing; the file is cut, fetch it again")
    day = issued.replace(hour=0, minute=0) - timedelta(days=1)
    head = next({"line": n, "text": line} for n, line in enumerate(lines, start=1) if line.startswith(":Issued:"))
    found: dict = {"issued": issued, "head": head, "flares": [], "indices": {}, "kp": None, "protons": None}
    section = ""
    for at, line in enumerate(lines, start=1):
        section = line[0] if re.match(r"[A-F]\.  ?", line) else section
        where = {"line": at, "text": line}
        if section == "A" and (row := _SGAS_EVENT.match(line)):
            found["flares"].append({**_sgas_flare(row, day), **where})
        if line.startswith("B.") and found["protons"] is None:
            pfu = _PFU.search(line)
            flux = number(pfu[1].replace(",", "")) if pfu else None
            found["protons"] = {"none": bool(re.search(r":\s*None", line, re.IGNORECASE)), "pfu": flux, **where}
        if section == "E":
            for key, pattern in _INDICES.items():
                if key not in found["indices"] and (value := pattern.search(line)):
                    found["indices"][key] = {"value": value[1] if key == "xray_background" else int(value[1]), **where}
            if planetary := _PLANETARY.search(line):
                found["kp"] = {"values": [int(k) for k in planetary[1].split()], **where}
    return found


def _sgas_flare(row: re.Match, day: datetime) -> dict:
    begin, peak, end = (
        None if "/" in t else day + timedelta(hours=int(t[:2]), minutes=int(t[2:])) for t in row.groups()[:3]
    )
    region = None if row[4] is None else full_noaa_number(int(row[4]), day)
    later = [t + timedelta(days=1) if t and begin and t < begin else t for t in (peak, end)]
    times = {"begin": begin, "peak": later[0], "end": later[1]}
    return {"goes_class": row[6], **times, "noaa_ar": region, "location": row[5]}


def parse_discussion(raw: bytes, name: str = "discussion") -> list[dict]:
    """Forecast Discussion -> paragraphs `{title, part, lines: [(line number, text)]}`; part is summary or forecast.

    The words stay SWPC's: they are quoted, nothing is taken from them. SwpcFormatError where the last part is missing.
    """
    lines = text_lines(raw)
    issue_time(lines, name)
    title, part, found = "Solar Activity", "", {}
    for at, line in enumerate(lines, start=1):
        if line.strip() in _TITLES:
            title, part = line.strip(), ""
        elif head := re.match(r"\.(24 hr Summary|Forecast)", line):
            part = "summary" if head[1].startswith("24") else "forecast"
        elif part and line.strip() and not line.startswith((":", "#")):
            found.setdefault((title, part), []).append((at, line))
    if not {("Geospace", "summary"), ("Geospace", "forecast")} <= set(found):
        raise SwpcFormatError(f"{name}: its last part, the forecast of Geospace, is missing; it is cut, fetch it again")
    return [{"title": t, "part": p, "lines": rows} for (t, p), rows in found.items()]


def issue_time(lines: list[str], name: str) -> datetime:
    """UTC of the line ':Issued: 2025 Dec 24 0245 UTC' among the first ten lines of a text product."""
    for line in lines[:10]:
        if found := re.match(r":Issued:\s*(\d{4} [A-Za-z]{3} \d{1,2} \d{4})", line):
            try:
                return datetime.strptime(found[1], "%Y %b %d %H%M")
            except ValueError:
                break
    raise SwpcFormatError(f"{name}: no readable line ':Issued: YYYY Mon DD HHMM UTC' at its head; fetch it again")
