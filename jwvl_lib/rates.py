"""How often regions of a McIntosh class have flared: counts from daily SRS and Edited Events, and what they imply.

Reads the archive of daily texts (tar files or folders) once, to derive `data/flare_rates.json`; afterwards only that.
The probability of a class is its day frequency, pulled towards climatology by a Beta prior worth `PRIOR_DAYS` days,
with the 90 % interval of the posterior: rare classes get wide intervals, unseen ones the climatology.
"""

import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
from scipy.special import betaincinv

from jwvl_lib import swpc

PRIOR_DAYS = 20
LEVELS = ("C", "M", "X")
TABLE_FILE = Path(__file__).parent / "data" / "flare_rates.json"
RECIPE = (
    "A row is a region with spots in the SRS issued on day d (00 UT) for which an Edited Events list of day d exists. "
    "It counts for C, M or X when at least one X-ray flare (type XRA) of that class or stronger began on d, 00-24 UT, "
    "and carries the region's number. Probability = (days + k * climatology) / (n + k), the mean of a Beta posterior; "
    "low and high are its 5 % and 95 % quantiles."
)
_FILE = re.compile(r"(\d{8})(SRS|events)\.txt$")


def flare_rates(srs: pd.DataFrame, events: pd.DataFrame, event_days: Iterable[datetime]) -> dict:
    """Counts per McIntosh class from the frames of `swpc.read_srs` and `swpc.read_events` of many days.

    `event_days`: the dates of which an events list exists, quiet days among them (they have no row in `events`).
    Returns `k`, `recipe`, `years`, `climatology` {C, M, X: share of region-days} and `classes` {class: {n, C, M, X}},
    n in region-days and C, M, X in days with a flare of that class or stronger.
    """
    regions = srs[srs["section"] == "I"].dropna(subset=["mcintosh_class"])
    rows = pd.DataFrame(
        {
            "day": regions["valid"].dt.normalize(),
            "noaa_ar": regions["noaa_ar"],
            "mcintosh_class": regions["mcintosh_class"],
        }
    ).drop_duplicates(["day", "noaa_ar"])
    rows = rows[rows["day"].isin(pd.DatetimeIndex(list(event_days)))]
    keys = pd.MultiIndex.from_frame(rows[["day", "noaa_ar"]])
    flares = events.dropna(subset=["goes_class", "noaa_ar"])
    for rank, level in enumerate(LEVELS):
        strong = flares[flares["goes_class"].str[0].isin(LEVELS[rank:])]
        days = pd.MultiIndex.from_arrays([strong["begin"].dt.normalize(), strong["noaa_ar"]])
        rows[level] = keys.isin(days)
    counts = rows.groupby("mcintosh_class").agg(n=("day", "size"), **{k: (k, "sum") for k in LEVELS}).sort_index()
    return {
        "k": PRIOR_DAYS,
        "recipe": RECIPE,
        "years": [int(rows["day"].dt.year.min()), int(rows["day"].dt.year.max())],
        "n_region_days": len(rows),
        "climatology": {k: round(float(rows[k].mean()), 6) for k in LEVELS},
        "classes": {name: {k: int(v) for k, v in row.items()} for name, row in counts.to_dict("index").items()},
    }


def probability(table: dict, mcintosh_class: str, level: str) -> dict[str, float]:
    """`{value, low, high}`: chance of at least one flare of `level` (C, M, X) or stronger within 24 h, for one region.

    Mean and 5-95 % interval of the Beta posterior, rounded to 4 digits; a class the table lacks has n = 0.
    """
    prior = table["climatology"][level]
    counts = table["classes"].get(mcintosh_class, {"n": 0, level: 0})
    hits = counts[level] + table["k"] * prior
    misses = counts["n"] - counts[level] + table["k"] * (1 - prior)
    low, high = betaincinv(hits, misses, [0.05, 0.95])  # scipy.stats takes a second to import
    return {"value": round(hits / (hits + misses), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def to_text(table: dict) -> str:
    """The table as JSON with one McIntosh class a line, so that a line is evidence for a probability."""
    head = [f'"{k}": {json.dumps(v)}' for k, v in table.items() if k != "classes"]
    classes = ",\n".join(f'"{name}": {json.dumps(counts)}' for name, counts in table["classes"].items())
    return "{\n" + ",\n".join(head) + ',\n"classes": {\n' + classes + "\n}\n}\n"


@dataclass(frozen=True)
class Archive:
    """Records of `swpc.parse_srs` and `swpc.parse_events` of many days, the days that have each text, provenance."""

    srs: list[dict]
    events: list[dict]
    srs_days: set[datetime]
    event_days: set[datetime]
    provenance: dict


def read_archive(folder: str | Path) -> Archive:
    """Every text of a folder of `srs_*.tar.gz` and `events_*.tar.gz` that cover the same years.

    Files that cannot be read are left out and counted under `n_unreadable`; the provenance names the tar files with
    their sha256. Raises FileNotFoundError where the folder holds no pair of tar files, ValueError where one is torn or
    where no day has both texts.
    """
    folder = Path(folder)
    tars = [p for e in sorted(folder.glob("events_*.tar.gz")) for p in (e, folder / e.name.replace("events", "srs"))]
    if not tars or not all(p.is_file() for p in tars):
        raise FileNotFoundError(
            f"{folder}: no pair srs_YEARS.tar.gz, events_YEARS.tar.gz; give the folder of the texts"
        )
    records, days, unreadable = {"SRS": [], "events": []}, {"SRS": set(), "events": set()}, 0
    for kind, day, raw in (member for tar in tars for member in _members(tar)):
        if day in days[kind]:
            continue  # the archive holds the last days of some years twice
        try:
            records[kind].extend(_PARSERS[kind](raw, f"{day:%Y%m%d}{kind}.txt"))
        except swpc.SwpcFormatError:
            unreadable += 1
            continue
        days[kind].add(day)
    if not days["SRS"] & days["events"]:
        raise ValueError(f"{folder}: no day with a summary and an events list in its tar files; give the whole archive")
    provenance = {
        "texts": "NOAA SWPC Solar Region Summary and Edited Events, works of the US Government in the public domain",
        "files": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(tars)},
        "n_event_days": len(days["events"]),
        "n_unreadable": unreadable,
    }
    return Archive(records["SRS"], records["events"], days["SRS"], days["events"], provenance)


def from_archive(folder: str | Path) -> dict:
    """Derive the table from the archive of texts in `folder` (see `read_archive`)."""
    archive = read_archive(folder)
    table = flare_rates(swpc.srs_table(archive.srs), swpc.events_table(archive.events), archive.event_days)
    head = {k: v for k, v in table.items() if k != "classes"}
    return {**head, "provenance": archive.provenance, "classes": table["classes"]}


_PARSERS = {"SRS": swpc.parse_srs, "events": swpc.parse_events}


def _members(tar: Path) -> Iterator[tuple[str, datetime, bytes]]:
    try:
        with tarfile.open(tar) as archive:
            for member in archive:
                found = _FILE.search(member.name)
                if member.isfile() and found:
                    yield found[2], datetime.strptime(found[1], "%Y%m%d"), archive.extractfile(member).read()
    except (tarfile.TarError, zlib.error, EOFError):
        raise ValueError(f"{tar} is torn or no tar file; bring it again") from None
