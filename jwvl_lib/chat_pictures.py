"""The pictures a chat can be about: the images of the report's day first, then those of the corpus, with their facts.

Reads `corpus.parquet` and its images, and the images kept among a report's sources; writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from jwvl_lib import facts
from jwvl_lib.facts import Fact

MOST_CHOSEN = 4
MOST_SHOWN = 24
MAX_SIDE = 4096


@dataclass(frozen=True)
class Picture:
    """One picture that can be chosen. `of_day`: of the report's day or the day before, so that the day's facts hold."""

    image_id: str
    label: str
    path: Path
    facts: tuple[Fact, ...] = ()
    simulated: bool = False
    of_day: bool = False


def pictures(corpus: pd.DataFrame | None, corpus_dir: Path, report: dict, report_dir: Path) -> dict[str, Picture]:
    """Every picture by id: of the report, of its day, real ones, simulated ones never trained on, and the rest."""
    days = {report["report_date"], report["flares_date"]}
    found = [
        Picture(f"day-{entry['name']}", entry["name"], report_dir / "sources" / entry["name"], of_day=True)
        for entry in report.get("images", ())
    ]
    rows = [] if corpus is None else corpus.to_dict("records")
    rows.sort(key=lambda r: (r["date_obs"][:10] not in days, r["simulated"], r["split"] != "test", r["date_obs"]))
    for row in rows:
        label = row["banner_text"].replace("\n", " · ")
        known = tuple(facts.from_json(row["facts"]))
        of_day = row["date_obs"][:10] in days
        found.append(Picture(row["image_id"], label, corpus_dir / row["path"], known, bool(row["simulated"]), of_day))
    return {p.image_id: p for p in found}


def matching(known: Mapping[str, Picture], query: str) -> list[Picture]:
    """The pictures whose label holds every word of a query; all of them for an empty one."""
    words = query.lower().split()
    return [p for p in known.values() if all(w in p.label.lower() for w in words)]


def chosen(known: Mapping[str, Picture], image_ids: Sequence[str]) -> list[Picture]:
    """The pictures of some ids, at most `MOST_CHOSEN`; ValueError names an id that is not there."""
    wanted = list(dict.fromkeys(image_ids))
    if missing := [i for i in wanted if i not in known]:
        raise ValueError(f"no picture {str(missing[0])[:80]!r} in this chat; choose one of the gallery")
    if len(wanted) > MOST_CHOSEN:
        raise ValueError(f"{len(wanted)} pictures chosen, at most {MOST_CHOSEN} at a time; take one away")
    return [known[i] for i in wanted]


def opened(picture: Picture) -> Image.Image:
    """The pixels as RGB; OSError or ValueError, in one line, for a file that is no PNG or JPEG of a usable size."""
    with Image.open(picture.path, formats=["PNG", "JPEG"]) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{picture.path.name}: {image.size} pixels, at most {MAX_SIDE} a side; make it smaller")
        return image.convert("RGB")
