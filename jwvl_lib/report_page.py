"""The pages of a daily report: one self-contained HTML file, Markdown, and the disk map and flare strip as SVG.

Reads the dict of `report.json` and the templates `report.html.j2` (with `disk.svg.j2` and `report_glossary.html.j2`),
`report.md.j2`, `report.css`. Every text from a file is escaped, the page runs no script and loads nothing; its one
style sheet is named by hash in the page's own policy.
"""

import base64
import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from jwvl_lib import knowledge, narrative, report_glossary, report_images
from jwvl_lib.report_flares import goes_flux
from jwvl_lib.report_watch import percent

DATA = Path(__file__).parent / "data"
_R = 150  # disk radius on the map, in SVG units
_LABEL_STEP = 17


def html(report: dict, pictures: Mapping[str, dict] | None = None) -> str:
    """The page, with all languages of the report; a reader switches between them without script.

    `pictures` are those of `report_images.pictures`; the full disk among them that stands for the day takes the place
    of the drawn map, with the regions marked in it.
    """
    pictures = pictures or {}
    shown = [report_images.labelled(f, report["regions"]) for f in report["images"] if f["source"] in pictures]
    main = report_images.main_figure([f for f in report["images"] if f["source"] in pictures])
    css = (DATA / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    glossary, glossary_sources = report_glossary.groups(report)
    return (
        _environment(autoescape=True)
        .get_template("report.html.j2")
        .render(
            r=report,
            css=css,
            style_hash=f"sha256-{digest}",
            disk=disk_map(report),
            strip=flare_strip(report),
            cited=_cited(report),
            anchor=_anchor,
            percent=percent,
            term=knowledge.term,
            entry=knowledge.entry,
            goes_letters=knowledge.goes_letters(),
            glossary=glossary,
            glossary_sources=glossary_sources,
            gloss_id=report_glossary.anchor,
            reading=report_glossary.reading,
            reading_text=report_glossary.reading_text,
            date_en=narrative.date_en,
            date_zh=narrative.date_zh,
            clock=clock,
            sparkline=_sparkline,
            hashes={s["id"]: s["sha256"] for s in report["sources"]},
            curve=curve(report),
            pictures=pictures,
            main=next((f for f in shown if main and f["source"] == main["source"]), None),
            others=[f for f in shown if main is None or f["source"] != main["source"]],
            label_px=report_images.LABEL_PX[1],
            source_names={s["id"]: s["path"].removeprefix("sources/") for s in report["sources"]},
        )
    )


def markdown(report: dict) -> str:
    """The same report as Markdown, for archives and mail; text from files stands in code spans only."""
    template = _environment(autoescape=False).get_template("report.md.j2")
    return template.render(r=report, percent=percent, clock=clock, term=knowledge.term)


def disk_map(report: dict) -> dict:
    """Where the regions stand on the disk, in SVG units: north up, west right, spots at their true area.

    Orthographic projection with the Sun's tilt B0 of the valid time; `regions` and `plages` carry x, y (down), and
    regions a radius and a label place beside the disk. `graticule` holds the path data of the 30 degree lines.
    """
    b0 = solar_b0_deg(datetime.fromisoformat(report["valid_utc"]))
    regions = [_marker(r, b0) for r in report["regions"] if r["lon_deg"] is not None]
    for side in (-1, 1):
        _spread([m for m in regions if m["side"] == side], _LABEL_STEP, -float(_R), float(_R))
    plages = [_marker(p, b0) for p in report["plages"] if p["lon_deg"] is not None]
    lines = [[_project(lat, lon, b0) for lat in range(-90, 91, 5)] for lon in range(-90, 91, 30)]
    lines += [[_project(lat, lon, b0) for lon in range(-180, 181, 5)] for lat in range(-60, 61, 30)]
    return {
        "b0_deg": round(b0, 1),
        "radius": _R,
        "regions": regions,
        "plages": plages,
        "graticule": [_path(line) for line in lines],
    }


def disk_svg(report: dict) -> str:
    """The map of `disk_map` as one SVG document, as it stands on the page."""
    return _environment(autoescape=True).get_template("disk.svg.j2").render(disk=disk_map(report), page=False)


def clock(time: str | None, day: str) -> str | None:
    """`23:48` of an ISO time, `2014-10-25 00:12` where that is another day: a flare may peak or end after midnight."""
    return time and (time[11:16] if time[:10] == day[:10] else time[:16].replace("T", " "))


def interval_text(chance: dict | None) -> str:
    """`36% (30% to 42%)`, or nothing where no probability is given."""
    if chance is None:
        return ""
    return "{value} ({low} to {high})".format(**{k: percent(v) for k, v in chance.items()})


def solar_b0_deg(time: datetime) -> float:
    """Heliographic latitude of the disk centre in degrees, to 0.02 (Meeus, Astronomical Algorithms, chapter 29)."""
    days = (time - datetime(2000, 1, 1, 12)).total_seconds() / 86400
    century = days / 36525
    anomaly = math.radians(357.5291 + 35999.0503 * century)
    longitude = 280.4665 + 36000.7698 * century + 1.9146 * math.sin(anomaly) + 0.02 * math.sin(2 * anomaly)
    node = 73.6667 + 1.3958333 * (days + 2451545.0 - 2396758) / 36525
    return math.degrees(math.asin(math.sin(math.radians(longitude - node)) * math.sin(math.radians(7.25))))


def curve(report: dict) -> dict | None:
    """The X-ray curve as path data on 480 x 90 units, five decades from A1 up, and a tick a flare; None without one."""
    given = report["xray_curve"]
    if given is None:
        return None
    day = report["flares_date"]
    points = [(_along_day(p["time"], day), _decade(p["flux_w_m2"])) for p in given["points"]]
    path, last = [], None
    for x, y in points:
        path.append(f"{'L' if last is not None and x - last < 11 else 'M'}{x:.1f} {y:.1f}")
        last = x
    marks = [
        {
            "x": round(_along_day(f["peak"] or f["begin"], day), 1),
            "y": round(_decade(goes_flux(f["goes_class"])), 1),
            "label": f["goes_class"] if f["goes_class"][0] in "MX" else "",
            "evidence": f["evidence"],
        }
        for f in report["flares"]
    ]
    return {"path": "".join(path), "marks": marks, "peak": max(p["flux_w_m2"] for p in given["points"])}


def _along_day(time: str, day: str) -> float:
    """Where a time stands on a day of 480 units, 3 minutes each; a peak after midnight stands at the end of the day."""
    minutes = (datetime.fromisoformat(time) - datetime.fromisoformat(day)).total_seconds() // 60
    return min(max(minutes / 3, 0.0), 480.0)


def _decade(flux: float) -> float:
    return 90 - 18 * min(max(math.log10(flux) + 8, 0.0), 5.0)


def flare_strip(report: dict) -> list[dict]:
    """One mark a flare on a 24 hour strip of 480 units: x by peak, height by the logarithm of the flux above A1."""
    marks = []
    for flare in report["flares"]:
        letter, times = flare["goes_class"][0], float(flare["goes_class"][1:])
        decades = knowledge.goes_letters().index(letter) + math.log10(max(times, 1.0))
        marks.append(
            {
                "x": round(_along_day(flare["peak"] or flare["begin"], report["flares_date"]), 1),
                "h": round(18 * max(decades - 1, 0.15), 1),
                "goes_class": flare["goes_class"],
                "evidence": flare["evidence"],
            }
        )
    return marks


@cache
def _environment(autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(DATA),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _anchor(evidence: dict) -> str:
    return f"{evidence['source']}-{evidence['line']}"


def _cited(report: dict) -> dict[str, dict[int, str]]:
    """Every line the report cites, by source, in the order of the file."""
    cited: dict[str, dict[int, str]] = {s["id"]: {} for s in report["sources"]}
    stack: list = [report]
    while stack:
        value = stack.pop()
        if isinstance(value, dict) and {"source", "line", "text"} <= set(value):
            cited.setdefault(value["source"], {})[value["line"]] = value["text"]
        elif isinstance(value, dict | list):
            stack += value.values() if isinstance(value, dict) else value
    return {source: dict(sorted(lines.items())) for source, lines in cited.items()}


def _project(lat_deg: float, lon_deg: float, b0_deg: float) -> tuple[float, float, bool]:
    """x to the west, y to the south in SVG units, and whether the point is on the near side."""
    lat, lon, b0 = (math.radians(v) for v in (lat_deg, lon_deg, b0_deg))
    x = math.cos(lat) * math.sin(lon)
    y = math.sin(lat) * math.cos(b0) - math.cos(lat) * math.cos(lon) * math.sin(b0)
    depth = math.sin(lat) * math.sin(b0) + math.cos(lat) * math.cos(lon) * math.cos(b0)
    return round(_R * x, 1), round(-_R * y, 1), depth > -0.01


def _path(points: list[tuple[float, float, bool]]) -> str:
    """SVG path through the visible points; the pen is lifted on the far side."""
    words, drawing = [], False
    for x, y, visible in points:
        if visible:
            words.append(f"{'L' if drawing else 'M'}{x} {y}")
        drawing = visible
    return "".join(words)


def _marker(row: dict, b0: float) -> dict:
    # a region printed beyond the limb (W94) is drawn on it
    x, y, _ = _project(row["lat_deg"], max(-90.0, min(90.0, row["lon_deg"])), b0)
    area = row.get("area_msh") or 0
    side = 1 if x >= 0 else -1
    # an area A of the hemisphere 2 pi R^2 is a round spot of radius R sqrt(2 A)
    return {
        "row": row,
        "x": x,
        "y": y,
        "r": round(max(1.6, _R * math.sqrt(2e-6 * area)), 1),
        "side": side,
        "label_x": side * (_R + 18),
        "label_y": y,
    }


def _spread(markers: list[dict], step: float, low: float, high: float) -> None:
    """Move labels of one side apart, downwards first, then back up where they leave the picture."""
    markers.sort(key=lambda m: m["label_y"])
    for marker in markers:
        low = marker["label_y"] = round(max(marker["label_y"], low), 1)
        low += step
    for marker in reversed(markers):
        high = marker["label_y"] = round(min(marker["label_y"], high), 1)
        high -= step


def _sparkline(region: dict) -> dict | None:
    """Area over the days listed: polyline points in a box of 64 x 18 units, the last point apart."""
    series = [(h["issued"], h["area_msh"]) for h in region["history"]] + [("", region["area_msh"])]
    areas = [area for _, area in series if area is not None]
    if len(areas) < 2:
        return None
    top, step = max(max(areas), 1), 60 / (len(areas) - 1)
    points = [(round(2 + i * step, 1), round(16 - 14 * area / top, 1)) for i, area in enumerate(areas)]
    return {"points": " ".join(f"{x},{y}" for x, y in points), "last": points[-1]}
