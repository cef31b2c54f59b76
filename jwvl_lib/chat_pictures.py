"""The pictures a chat can be about: the images of the report's day first, then those of the corpus, with their facts.

Reads `corpus.parquet` and its images, and the images kept among a report's sources; writes nothing. A FITS or JPEG2000
file is shown, and given to a model, drawn as on the report's page.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from jwvl_lib import facts, report_claims, report_images
from jwvl_lib.facts import Fact

MOST_CHOSEN = 4
MOST_SHOWN = 24
MAX_SIDE = 4096
PLAIN = (b"\x89PNG", b"\xff\xd8\xff")  # what every browser and endpoint takes as it is


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
    found = [_of_report(figure, report_dir, days) for figure in report.get("images", ())]
    rows = [] if corpus is None else corpus.to_dict("records")
    rows.sort(key=lambda r: (r["date_obs"][:10] not in days, r["simulated"], r["split"] != "test", r["date_obs"]))
    for row in rows:
        label = row["banner_text"].replace("\n", " · ")
        known = tuple(facts.from_json(row["facts"]))
        of_day = row["date_obs"][:10] in days
        found.append(Picture(row["image_id"], label, corpus_dir / row["path"], known, bool(row["simulated"]), of_day))
    return {p.image_id: p for p in found}


def _of_report(figure: Mapping, report_dir: Path, days: set[str]) -> Picture:
    """An image of the report, with what its file says of itself; one without a time is of the day it was given for."""
    taken, name = figure["date_obs"], figure["name"]
    label = " · ".join(filter(None, [figure["title"], taken and f"{taken[:16].replace('T', ' ')} UTC"])) or name
    known, of_day = tuple(report_claims.image_facts(figure)), taken is None or taken[:10] in days
    return Picture(f"day-{name}", label, report_dir / "sources" / name, known, figure["simulated"], of_day)


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


def data(picture: Picture) -> bytes:
    """The file as PNG or JPEG bytes, other formats drawn; OSError or ValueError, in one line, for no picture."""
    raw = picture.path.read_bytes()
    return raw if raw.startswith(PLAIN) else report_images.drawn(picture.path.name, raw)


def opened(picture: Picture) -> Image.Image:
    """The pixels as RGB; OSError or ValueError, in one line, for a file that is no picture of a usable size."""
    with Image.open(io.BytesIO(data(picture)), formats=["PNG", "JPEG"]) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{picture.path.name}: {image.size} pixels, at most {MAX_SIDE} a side; make it smaller")
        return image.convert("RGB")
