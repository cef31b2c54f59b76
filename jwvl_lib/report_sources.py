"""Which files a daily report may use, and their bytes.

Reads an archive folder of SWPC products, flat or in subfolders; writes nothing. Texts are named as SWPC names them
(`YYYYMMDDSRS.txt`, `YYYYMMDDevents.txt`, `YYYYMMDDSGAS.txt`, `YYYYMMDDdiscussion.txt`), snapshots of the JSON services
and of SolarMonitor `<product>_YYYYMMDD.json` or `.html`. A report stands on what had been issued on its day, never on
anything later.
"""

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from jwvl_lib import flare_model, instruments, knowledge, rates, swpc_products
from jwvl_lib.swpc import SwpcFormatError

DAYS_BACK = 7  # how far back a region's history is looked for
STALE_DAYS = 3  # how old the newest summary may be
FOLDERS = ("", "srs", "events", "sgas", "discussion", "json", "solarmonitor")
MAX_IMAGE_BYTES = 4_000_000  # of a picture that stands on the page as it is
MAX_RAW_BYTES = 40_000_000  # of a FITS or JPEG2000 file, which is drawn anew
IMAGE_ID = re.compile(r"image_\d+")
JSON_PRODUCTS = ("solar_regions", "xray_flares", "xray_flux", "f107_flux", "planetary_kp")
PRODUCTS = knowledge.names("product")  # what a product is called: English, Chinese


@dataclass(frozen=True)
class Source:
    """One file the report stands on: its id, its name under `sources/`, its bytes, and where it came from.

    `made_from` is set for the lines of a JSON product (`swpc_products.relined`): the id of the file as it was received.
    """

    id: str
    name: str
    raw: bytes
    made_from: str = ""
    url: str = ""
    fetched_utc: str | None = None


def find_texts(report_date: str, swpc_dir: str | Path) -> list[Path]:
    """The files a report of that day may use, in a fixed order.

    Summaries and Edited Events of the day and `DAYS_BACK` before it, SGAS and discussion of the day, and the newest
    snapshot of each service at most `STALE_DAYS` old. Raises FileNotFoundError, naming the days there are, where
    there is none of them.
    """
    day, folder = parse_date(report_date), Path(swpc_dir)
    if not folder.is_dir():
        raise FileNotFoundError(f"swpc_dir={str(swpc_dir)!r} is no folder; give the one with YYYYMMDDSRS.txt files")
    days = [day - timedelta(days=back) for back in range(DAYS_BACK, -1, -1)]
    wanted = [f"{d:%Y%m%d}SRS.txt" for d in days] + [f"{d:%Y%m%d}events.txt" for d in days[:-1]]
    wanted += [f"{day:%Y%m%d}{kind}.txt" for kind in ("SGAS", "discussion")]
    found = [path for name in wanted if (path := _locate(folder, name))]
    recent = [day - timedelta(days=back) for back in range(STALE_DAYS + 1)]
    for product in (*JSON_PRODUCTS, "solarmonitor"):
        ending = ".html" if product == "solarmonitor" else ".json"
        snapshots = (_locate(folder, f"{product}_{d:%Y%m%d}{ending}") for d in recent)
        found += [path for path in snapshots if path][:1]
    if not _recent(found, day):
        there = ", ".join(sorted({p.name[:8] for p in folder.rglob("*SRS.txt")})[:20]) or "none at all"
        raise FileNotFoundError(
            f"{folder}: no SRS issued on {report_date} or the {STALE_DAYS} days before, nor another product of it; "
            f"there are SRS of {there}"
        )
    return found


def _recent(found: list[Path], day: date) -> bool:
    """Whether there is anything to report from: a summary that is not too old, yesterday's events, or a snapshot."""
    names = {f"{day - timedelta(days=back):%Y%m%d}SRS.txt" for back in range(STALE_DAYS + 1)}
    names |= {f"{day - timedelta(days=1):%Y%m%d}events.txt", f"{day:%Y%m%d}SGAS.txt"}
    return any(p.name in names or p.name.startswith(("solar_regions", "xray_flares")) for p in found)


def _locate(folder: Path, name: str) -> Path | None:
    folders = (*FOLDERS, f"{name[:4]}_SRS", f"{name[:4]}_events")  # the last two: as NOAA's yearly archives unpack
    return next((path for kind in folders if (path := folder / kind / name).is_file()), None)


def gather(
    report_date: str,
    swpc_dir: str | Path,
    origins: dict[str, dict] | None = None,
    flare_model_file: str | Path = flare_model.MODEL_FILE,
) -> list[Source]:
    """The sources of a report: the bytes of `find_texts`, the lines of each JSON product, flare rates and model.

    `origins` maps a file name to its `url` and `fetched_utc` (written by `swpc_web`). `flare_model_file` is the shipped
    flare model, or one that a notebook has trained.
    """
    sources: list[Source] = []
    for path in find_texts(report_date, swpc_dir):
        origin = (origins or {}).get(path.name, {})
        sources += from_bytes(path.name, path.read_bytes(), origin.get("url", ""), origin.get("fetched_utc"))
    shipped = {"flare_rates": rates.TABLE_FILE, "flare_model": Path(flare_model_file)}
    return [*sources, *(Source(name, path.name, path.read_bytes()) for name, path in shipped.items())]


def from_bytes(name: str, raw: bytes, url: str = "", fetched_utc: str | None = None) -> list[Source]:
    """A file as a source; a JSON product that can be read is followed by its records, one a line."""
    stem = Path(name).stem
    text = next((kind for kind in ("SRS", "events", "SGAS", "discussion") if stem[8:] == kind), None)
    given = Source(f"{text.lower()}_{stem[:8]}" if text else stem, name, raw, url=url, fetched_utc=fetched_utc)
    made = [lined(given)] if name.endswith(".json") else []
    return [given, *(source for source in made if source)]


def find_images(report_date: str, swpc_dir: str | Path) -> Path | None:
    """The folder of the day's images inside an archive folder (`images_YYYYMMDD`, as `swpc_web` writes it), or None."""
    folder = Path(swpc_dir) / f"images_{parse_date(report_date):%Y%m%d}"
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def image_sources(image_dir: str | Path, origins: dict[str, dict] | None = None) -> list[Source]:
    """The images of a folder as sources `image_1` ..., in order of name: FITS, JPEG2000, PNG, JPEG, GIF by content.

    A JSON file of the same stem, or the row of a corpus (`../corpus.parquet`), goes with its image as `image_1_about`.
    Raises FileNotFoundError for a folder without one; other files and those above `MAX_IMAGE_BYTES` (pictures) or
    `MAX_RAW_BYTES` (FITS, JPEG2000) are left out.
    """
    folder, found = Path(image_dir), []
    paths = [p for p in sorted(folder.glob("*")) if p.is_file() and p.stat().st_size <= MAX_RAW_BYTES]
    for path in paths:
        kind = image_type(raw := path.read_bytes())
        if kind and (len(raw) <= MAX_IMAGE_BYTES or kind in ("fits", "jp2")):
            found.append((path, raw))
    if not found:
        raise FileNotFoundError(
            f"image_dir={str(image_dir)!r} holds no FITS, JPEG2000, PNG, JPEG or GIF; give the images of the day"
        )
    corpus, sources = _corpus_rows(folder), []
    for i, (path, raw) in enumerate(found, start=1):
        origin = (origins or {}).get(path.name, {})
        url, fetched = origin.get("url", ""), origin.get("fetched_utc")
        sources.append(Source(f"image_{i}", path.name, raw, url=url, fetched_utc=fetched))
        if about := _about(path, corpus):
            sources.append(Source(f"image_{i}_about", f"{path.stem}.about.json", about))
    return sources


def _about(path: Path, corpus: dict[str, bytes]) -> bytes:
    """What is written of an image beside it."""
    sidecar = path.with_suffix(".json")
    if sidecar.is_file() and sidecar.stat().st_size < 100_000:
        return sidecar.read_bytes()
    return corpus.get(path.name, b"")


def _corpus_rows(folder: Path) -> dict[str, bytes]:
    """File name -> its row as JSON, where the folder is the `images/` of a corpus; its pictures carry no header."""
    table = folder.parent / "corpus.parquet"
    if not table.is_file():
        return {}
    wanted = ["path", "image_id", "observatory", "instrument", "measurement", "date_obs", "simulated", "banner_text"]
    rows = pd.read_parquet(table, columns=wanted).to_dict("records")
    return {Path(r["path"]).name: json.dumps({**r, "title": _title(r)}, default=str).encode() for r in rows}


def _title(row: dict) -> str:
    return instruments.display_name(row["observatory"], row["instrument"], row["measurement"])


def image_type(raw: bytes) -> str | None:
    """fits, jp2, png, jpeg or gif by the first bytes of a file, else None: an SVG or a page is no image here."""
    heads = {
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\xd8\xff": "jpeg",
        b"GIF87a": "gif",
        b"GIF89a": "gif",
        b"SIMPLE  =": "fits",
        b"\x1f\x8b": "fits",  # compressed; that it is FITS shows when it is opened
        b"\x00\x00\x00\x0cjP  ": "jp2",
    }
    return next((kind for head, kind in heads.items() if raw.startswith(head)), None)


def lined(source: Source) -> Source | None:
    """The records of a JSON source, one a line, or None where it cannot be read (the reader of the day says why)."""
    try:
        raw = swpc_products.relined(source.raw, source.name)
    except SwpcFormatError:
        return None
    return Source(f"{source.id}_lines", f"{Path(source.name).stem}.lines.txt", raw, made_from=source.id)


def parse_date(text: str) -> date:
    """The day of a report, or a ValueError that says how to write one."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"report_date {text!r} is no date; write YYYY-MM-DD, for example 2000-09-27") from None
