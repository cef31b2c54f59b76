"""Does every number of a written report lead to a row of a source? A reading of the files that makes nothing anew.

Reads `report.json`, `report.html`, `report.md` and the raw bytes under `sources/`; writes nothing. `report.check` makes
the report again from its sources; this module knows neither parsers nor templates: it takes each number a reader sees,
looks up the raw lines cited beside it, and says how the number follows from them. A number of a definition must stand
in the entry of the knowledge base that the page names beside it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from jwvl_lib import knowledge, report_boxes, report_texts
from jwvl_lib.report_arithmetic import NUMBER, is_date, is_days_to_limb, is_difference, is_grade, quotes, value_of

GRADE = re.compile(r"\b[RG][1-5]\b")
HOW = ("quoted", "difference", "count", "probability", "date", "line number", "projected", "wording", "definition")
DAYS_BEFORE = 9  # how far back a date of a report may lie
# Values that a shipped table or model gives for the lines cited: `report.check` works them out again.
MODELLED = re.compile(r"\.(p_[cmx]|mcintosh_chances|climatology|disk)\b")
SRS_ROW = re.compile(r"\s*\d{4}\s+[NS]\d\d[EW]\d+\s+\d+\s+(\d+)\s+[A-Za-z]{3}\s+(\d+)\s+(\d+)\b")
SRS_COLUMNS = {"area_msh": 1, "n_spots": 3}
# Words of the templates that hold digits: names of scales, units and rules, none of them about the day.
WORDING = re.compile(
    r"M5(?!\.\d)|\b1-8 Å|GOES 1-8|10分钟|10 minutes|(?<!\d)24 h|(?<!\d)24小时|(?<!\d)90%|90 day|90天"
    r"|(?<!\d)171(?!\d)|(?<!\d)131 Å|(?<!\d)1600 Å|F10\.7"
    r"|60 McIntosh|60个McIntosh|30°|every 30|within 24|sha256|W/m²|B0 = -?\d+\.\d°|<\d|(?<![:\d])20 UT"
    r"|f107_flux|(?:aia|hmi)_\w+\.jpg"
)


@dataclass(frozen=True)
class Number:
    """One number as a reader meets it: in which file and where, and how it follows from the lines cited beside it.

    `how` is one of `HOW`, or empty where nothing was found.
    """

    file: str
    where: str
    text: str
    how: str


def resolve(report_dir: str | Path) -> list[Number]:
    """Every number of the three files of a report, each with how it was resolved; `how == ""` is an unproved number."""
    folder = Path(report_dir)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    lines = _raw_lines(folder, report)
    known = _Known(report, lines)
    found = [Number("report.json", *row) for row in _of_json(report, known)]
    page = report_texts.Page((folder / "report.html").read_text(encoding="utf-8"))
    found += [
        Number("report.html", where, *row)
        for context, where, cited in page.texts
        for row in known.of_text(context, cited)
    ]
    found += [
        Number("report.html", key, text, "definition" if _defined(text, key) else "")
        for context, key in page.definitions
        for text in NUMBER.findall(context)
    ]
    return found + list(_of_markdown((folder / "report.md").read_text(encoding="utf-8"), known))


@lru_cache(maxsize=8192)
def _defined(text: str, key: str) -> bool:
    """Whether a number stands in an entry of the knowledge base, or in the reference `source.<id>`."""
    section, _, name = key.partition(".")
    if section == "source":
        said = " ".join(knowledge.load().sources.get(name, {}).values())
    else:
        e = knowledge.entry(key)
        said = " ".join([e.value, *e.names.values(), *e.says.values()])
    return text in NUMBER.findall(said)


def _raw_lines(folder: Path, report: dict) -> dict[tuple[str, int], str]:
    """(source id, line) -> text of the raw bytes, split at LF."""
    lines = {}
    for source in report["sources"]:
        text = (folder / source["path"]).read_bytes().decode("utf-8", errors="replace")
        lines |= {(source["id"], n): t.removesuffix("\r") for n, t in enumerate(text.split("\n"), start=1)}
    return lines


# --------------------------------------------------------------------------------------------------------------------
# what a number may follow from


class _Known:
    """The raw lines, and the numbers that follow from the report as a whole: its dates and its probabilities."""

    def __init__(self, report: dict, lines: dict[tuple[str, int], str]):
        self.report, self.lines = report, lines
        day = date.fromisoformat(report["report_date"])
        self.days = {f"{day + timedelta(days=back)}" for back in range(-DAYS_BEFORE, 2)}
        self.dates = {int(n) for d in self.days for n in d.split("-")} | {60, 3}
        self.times = {report[k][11:16] for k in ("issued_utc", "valid_utc")}
        self.chances = _chances(report)
        self.rows = {str(r["noaa_ar"]): [self.line(e) for e in r["evidence"][:1]] for r in report["regions"]}
        names = {s[k] for s in report["sources"] for k in ("path", "id", "sha256", "url") if s.get(k)}
        names |= {s["path"].removeprefix("sources/") for s in report["sources"]} | {
            s["sha256"][:12] for s in report["sources"]
        }
        names |= {str(report["model"]), str(report["profile"])} - {"", "None"}
        self.names = re.compile("|".join(re.escape(n) for n in sorted(names, key=len, reverse=True)))

    def line(self, evidence: dict) -> str:
        """The raw line that an evidence entry names."""
        return self.lines.get((evidence["source"], evidence["line"]), "")

    def of_text(self, text: str, cited: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
        """(number, how) of every number of a text; those inside a file name, a hash or the model's name are wording."""
        cited = list(cited)
        named = (n for name in self.names.findall(text) for n in NUMBER.findall(name))
        yield from ((n, "wording") for n in named)
        rest = WORDING.sub(" ", self.names.sub(" ", text))
        lines = [self.lines[c] for c in cited if c in self.lines]
        for grade in GRADE.findall(rest):
            yield grade[1:], "definition" if is_grade(grade, lines) else self.how(grade[1:], cited, text)
        yield from ((n, self.how(n, cited, text)) for n in NUMBER.findall(GRADE.sub(" ", rest)))

    def how(self, text: str, cited: Iterable[tuple[str, int]], context: str = "") -> str:
        """How a number follows from the lines cited beside it; empty where it does not."""
        cited = list(dict.fromkeys(cited))
        texts = [self.lines[c] for c in cited if c in self.lines]
        value = value_of(text)
        if any(quotes(text, value, line) for line in texts):
            return "quoted"
        if text in self.times:
            return "date"
        if value in self.dates and (not texts or is_date(text, context)):
            return "date"
        if f"{text}%" in self.chances or f"{text} %" in self.chances:
            return "probability"
        if value is not None and value == int(value) and 0 <= value <= len(cited):
            return "count"
        if value is not None and is_difference(value, texts[:4]):
            return "difference"
        if value in {line for _, line in cited}:
            return "line number"
        if value is not None and ("west limb" in context or "西边缘" in context) and is_days_to_limb(value, texts):
            return "difference"
        if value is not None and any(self._days_since(source) == value for source, _ in cited):
            return "difference"
        rows = () if cited else self.rows.get(text, ())  # a warning names a region and cites nothing
        return "quoted" if any(quotes(text, value, row) for row in rows) else ""

    def _days_since(self, source: str) -> int | None:
        """Days from the date in a source's name (`srs_20091021`) to the report's."""
        named = re.search(r"_(\d{4})(\d\d)(\d\d)$", source)
        day = date.fromisoformat(self.report["report_date"])
        return (day - date(*map(int, named.groups()))).days if named else None

    def how_time(self, text: str, cited: Iterable[tuple[str, int]]) -> str:
        """How an ISO date or time follows: the day is near the report's, the clock time is printed in a cited line."""
        texts = [self.lines[c] for c in cited if c in self.lines]
        if text[:10] not in self.days and not any(text[:10] in line for line in texts):
            return ""
        clock = text[11:16]
        if clock in ("", "00:00") or clock in self.times:
            return "date"
        return "quoted" if any(quotes(clock, None, line) for line in texts) else ""


def _chances(report: dict) -> set[str]:
    """Every probability as text, in the roundings of the page."""
    values = [v for r in report["regions"] for k in ("p_c", "p_m", "p_x") if r[k] for v in r[k].values()]
    rated = report["rates"]
    tables = [rated, *filter(None, [rated["model"]])]
    values += [v for table in tables for v in table["climatology"].values()]
    values += [v for p in (rated["model"] or {}).get("disk", {}).values() for v in p.values()]
    values += [v for r in report["regions"] for p in r.get("mcintosh_chances", {}).values() for v in p.values()]
    values = [v for v in values if isinstance(v, int | float)]
    return {"0.1%"} | {f"{100 * v:.{d}f}%" for v in values for d in (0, 1)}


# --------------------------------------------------------------------------------------------------------------------
# the three files


def _of_json(report: dict, known: _Known) -> Iterator[tuple[str, str, str]]:
    """(where, number, how) of every number under a fact of `report.json`, judged by the evidence nearest to it."""
    skipped = {"sources", "products", "warnings", "warnings_zh", "profile", "model", "languages", "narrative"}
    for key, value in report.items():
        if key in ("claims", "written"):  # a model's own sentences are shown as such, struck through or marked
            value = [c for c in value if c.get("origin") != "model"] if key == "claims" else []
        if key == "images":
            yield from _of_images(value, known)
        elif key not in skipped:
            yield from _walk(value, key, [], known)


def _of_images(figures: list[dict], known: _Known) -> Iterator[tuple[str, str, str]]:
    """Numbers of the images: what their headers say, and the boxes, held against the place the cited line prints."""
    for i, figure in enumerate(figures):
        where = f"images[{i}]"
        placed = {k: figure.get(k) for k in ("width", "height", "disk", "regions")}
        yield from _walk({k: v for k, v in figure.items() if k not in placed}, where, [], known)
        if placed["disk"]:
            sound = "projected" if report_boxes.disk_is_sound(figure) else ""
            numbers = {**placed["disk"], "width": placed["width"], "height": placed["height"]}
            yield from ((f"{where}.{k}", f"{v:g}", sound) for k, v in numbers.items())
        for j, region in enumerate(placed["regions"] or []):
            first = region["evidence"][0]
            line = known.lines.get((first["source"], first["line"]), "")
            holds = report_boxes.box_holds(figure, region, line, known.report["valid_utc"])
            yield from ((f"{where}.regions[{j}].box", f"{v:g}", "projected" if holds else "") for v in region["box"])
            number = str(region["noaa_ar"])
            yield f"{where}.regions[{j}].noaa_ar", number, known.how(number, [(first["source"], first["line"])])


def _walk(value: object, where: str, cited: list, known: _Known) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict) and {"source", "line", "text"} <= set(value):
        return
    if isinstance(value, dict):
        own = value.get("evidence")
        own = [(e["source"], e["line"]) for e in own] if isinstance(own, list) else []
        if "flux_w_m2" in value:
            own = [(known.report["xray_curve"]["source"], value["line"])]
        for key, child in value.items():
            if key not in ("evidence", "line", "source", "lines", "name"):
                before = value["previous"]["evidence"] if key.startswith("area_change") and value["previous"] else []
                also = [(e["source"], e["line"]) for e in before]
                yield from _walk(child, f"{where}.{key}", [*own, *also] or cited, known)
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _walk(child, f"{where}[{i}]", cited, known)
    elif isinstance(value, float) and MODELLED.search(where):
        yield where, f"{value:g}", "probability" if cited else ""
    elif isinstance(value, int | float) and not isinstance(value, bool) and (given := _column(where, cited, known)):
        yield where, f"{value:g}", "quoted" if f"{value:g}" in given else ""
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where, f"{abs(value):g}", known.how(f"{abs(value):g}", cited, " d") or _exact(value, cited, known)
    elif isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d(T[\d:]+)?", value):
        yield where, value, known.how_time(value, cited)
    elif isinstance(value, str):
        yield from ((where, *row) for row in known.of_text(value, cited))


def _column(where: str, cited: list, known: _Known) -> set[str]:
    """What the very column of a cited summary row prints for a field of a region; empty for any other number."""
    place = SRS_COLUMNS.get(where.rpartition(".")[2]) if where.startswith("regions[") else None
    rows = [row for c in cited[:1] if place and (row := SRS_ROW.match(known.lines.get(c, "")))]
    return {f"{int(row[place])}" for row in rows}


def _exact(value: float, cited: list, known: _Known) -> str:
    """A flux of 1.9e-07 may be printed with more digits than `%g` keeps."""
    return "quoted" if any(repr(value) in known.lines.get(c, "") for c in cited) else ""


def _of_markdown(text: str, known: _Known) -> Iterator[Number]:
    """Numbers of the Markdown, judged by the lines named in the same row (`source:line`) or by all lines cited."""
    everything = [key for key in _cited_anywhere(known.report)]
    for number, row in enumerate(text.split("\n"), start=1):
        named = [(s, int(n)) for s, n in re.findall(r"\b([a-z]\w*_\w+):(\d+)", row)]
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)|\b[a-z]\w*_\w+:\d+", " ", row)
        for found in known.of_text(plain, named or everything):
            yield Number("report.md", f"line {number}", *found)


def _cited_anywhere(value: object) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict) and {"source", "line", "text"} <= set(value):
        yield value["source"], value["line"]
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _cited_anywhere(child)
