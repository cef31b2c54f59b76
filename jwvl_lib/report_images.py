"""The images of the day: what each shows, when it was taken, and where the regions of the summary lie in it.

Reads the bytes of image sources (FITS, JPEG2000, PNG, JPEG, GIF), of which a temporary folder holds a copy while they
are opened; writes nothing else. The place of a region is the summary's, turned to the time of the image and projected
by the image's own header, or by the limb where a published picture has none. Nothing is read from the pixels' text.
"""

import base64
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from PIL import Image

from jwvl_lib.report_sources import IMAGE_ID, Source, image_type

PICTURE_PX = 900  # width of a picture on the page
WINDOW_H = 36  # an image further than this from the summary's time shows another day
READ_CARDS = 400
CARD_CHARS = 200
LABEL_PX = (106, 34)  # of a picture PICTURE_PX wide: five digits 13 px high on a phone
MAX_SIDE = 4096
KNOWN = ("observatory", "instrument", "measurement", "layer")
FIRST = ("continuum", "magnetogram")  # which of several full disks stands for the day


@dataclass(frozen=True, eq=False)
class Opened:
    """An image as the page shows it: JPEG bytes with their size, and what the file says of itself.

    `disk` is `{x, y, radius_px, b0_deg}` in pixels of the picture (y down), None where the whole disk is not in it;
    `place` turns summary rows into `{noaa_ar, box}`.
    """

    jpeg: bytes
    width: int
    height: int
    title: str
    known: dict
    date_obs: str
    simulated: bool
    from_earth: bool
    disk: dict | None
    lines: tuple[str, ...]
    place: object


def with_headers(images: Sequence[Source]) -> list[Source]:
    """Each image, then what its file says of itself as lines (`image_1_header`), so that a line is evidence for it."""
    return [s for image in images for s in (image, *filter(None, [header_source(image, images)]))]


def header_source(image: Source, sources: Sequence[Source]) -> Source | None:
    """The lines of one image, None for a source that is no image or cannot be opened."""
    found = _try(image, sources) if IMAGE_ID.fullmatch(image.id) else None
    if not isinstance(found, Opened):
        return None
    raw = ("\n".join(found.lines) + "\n").encode()
    return Source(f"{image.id}_header", f"{image.name}.header.txt", raw, made_from=image.id)


def figures(sources: Sequence[Source], rows: Iterable[dict], valid: datetime) -> tuple[list[dict], list[tuple]]:
    """What `report.json` says of each image, and (en, zh) warnings.

    `rows` are those of the Solar Region Summary (`swpc.parse_srs`), `valid` the time of its places. Regions are marked
    in full disks seen from the Earth and taken within `WINDOW_H` of that time; `note` says why elsewhere they are not.
    """
    rows, made, warnings = list(rows), [], []
    for image in (s for s in sources if IMAGE_ID.fullmatch(s.id)):
        found = _try(image, sources)
        if isinstance(found, Opened):
            made.append(_figure(image, found, rows, valid, sources))
        elif image_type(image.raw) in ("png", "jpeg", "gif"):
            made.append(_unplaced(image, sources))
        else:
            warnings.append((f"image not shown: {found}", f"图像未采用：{found}"))
    return made, warnings


def main_figure(made: Sequence[dict]) -> dict | None:
    """The full disk that stands for the day: continuum before magnetogram before the rest, None where there is none."""
    whole = [f for f in made if f["disk"] and f["note"] is None]
    return min(whole, key=lambda f: next((i for i, k in enumerate(FIRST) if k in f["title"]), 9), default=None)


def pictures(sources: Sequence[Source]) -> dict[str, dict]:
    """Source id -> `{data, width, height}`: the picture as a data URL; a raster file that cannot be placed as it is."""
    shown = {}
    for image in (s for s in sources if IMAGE_ID.fullmatch(s.id)):
        found, kind = _try(image, sources), image_type(image.raw)
        if isinstance(found, Opened):
            shown[image.id] = {"data": _url("jpeg", found.jpeg), "width": found.width, "height": found.height}
        elif kind in ("png", "jpeg", "gif"):
            shown[image.id] = {"data": _url(kind, image.raw), "width": None, "height": None}
    return shown


def for_model(sources: Sequence[Source], image_px: int) -> dict[str, Image.Image]:
    """Source id -> RGB picture as a model sees it: published pictures as they are, FITS and JPEG2000 drawn, square."""
    seen = {}
    for image in (s for s in sources if IMAGE_ID.fullmatch(s.id)):
        found, kind = _try(image, sources), image_type(image.raw)
        if kind in ("png", "jpeg", "gif"):
            seen[image.id] = _raster(image.raw)
        elif isinstance(found, Opened):
            square = Image.new("RGB", (PICTURE_PX, PICTURE_PX))
            square.paste(_raster(found.jpeg), (0, 0))
            seen[image.id] = square.resize((image_px, image_px), Image.Resampling.BOX)
    return seen


def drawn(name: str, raw: bytes) -> bytes:
    """One image file (FITS, JPEG2000, GIF) as JPEG bytes, as on the page; OSError or ValueError for no image."""
    if image_type(raw) not in ("fits", "jp2"):
        stream = io.BytesIO()
        _raster(raw).save(stream, "JPEG", quality=86)
        return stream.getvalue()
    found = _opened(name, raw, b"")
    if not isinstance(found, Opened):
        raise ValueError(found)
    return found.jpeg


def _raster(raw: bytes) -> Image.Image:
    with Image.open(io.BytesIO(raw), formats=["PNG", "JPEG", "GIF"]) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{image.size} pixels, at most {MAX_SIDE} a side; make the picture smaller")
        return image.convert("RGB")


def labelled(figure: dict, regions: Sequence[dict]) -> dict:
    """A figure with `marks`: each region of the report in it, its box, and where its number stands clear of the others.

    A mark is `{row, evidence, box, x, y, line}`: centre of the number, and the end of a line to the box or None.
    """
    by_number = {r["noaa_ar"]: r for r in regions}
    placed = [p for p in figure["regions"] if p["noaa_ar"] in by_number]
    taken, marks = [tuple(p["box"]) for p in placed], []
    for region in sorted(placed, key=lambda p: (p["box"][1], p["box"][0])):
        x, y, far = _label_place(region["box"], taken, figure["width"], figure["height"])
        taken.append(_around(x, y))
        x0, y0, x1, y1 = region["box"]
        line = (round((x0 + x1) / 2, 1), y0 if y < y0 else y1) if far else None
        row, evidence = by_number[region["noaa_ar"]], region["evidence"]
        marks.append({"row": row, "evidence": evidence, "box": region["box"], "x": x, "y": y, "line": line})
    return {**figure, "marks": marks}


def _label_place(box: Sequence[float], taken: list[tuple], width: int, height: int) -> tuple[float, float, bool]:
    """Centre of a label near a box that meets nothing, nearest first; the least bad where all meet something."""
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    wide, high = LABEL_PX[0] / 2 + 6, LABEL_PX[1] / 2 + 4
    near = [(x, y0 - high), (x, y1 + high), (x1 + wide, y), (x0 - wide, y)]
    near += [(x + dx, up) for up in (y0 - high, y1 + high) for dx in ((x1 - x0 + wide) / 2, (x0 - x1 - wide) / 2)]
    far = [(x + dx, up) for k in (3, 5, 7) for up in (y0 - k * high, y1 + k * high) for dx in (0, -wide, wide)]
    fitting = [
        (round(min(max(x, wide), width - wide), 1), round(min(max(y, high), height - high), 1), i >= len(near))
        for i, (x, y) in enumerate([*near, *far])
    ]
    return min(fitting, key=lambda place: sum(_overlap(_around(*place[:2]), other) for other in taken))


def _around(x: float, y: float) -> tuple[float, float, float, float]:
    return x - LABEL_PX[0] / 2, y - LABEL_PX[1] / 2, x + LABEL_PX[0] / 2, y + LABEL_PX[1] / 2


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _url(kind: str, raw: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def _figure(image: Source, found: Opened, rows: list[dict], valid: datetime, sources: Sequence[Source]) -> dict:
    note = _why_unmarked(found, valid)
    placed = [] if note else found.place(rows)
    header = next((s.id for s in sources if s.id == f"{image.id}_header"), None)
    lines = [{"source": header, "line": n, "text": t} for n, t in enumerate(found.lines[:4], start=1)] if header else []
    by_number = {r["noaa_ar"]: r for r in rows if r["section"] == "I"}
    return {
        "source": image.id,
        "name": image.name,
        "title": found.title,
        "known": found.known,
        "date_obs": found.date_obs,
        "simulated": found.simulated,
        "width": found.width,
        "height": found.height,
        "disk": found.disk,
        "regions": [{**p, "evidence": [_row_line(by_number[p["noaa_ar"]]), *lines[:2]]} for p in placed],
        "note": note,
        "evidence": lines,
    }


def _unplaced(image: Source, sources: Sequence[Source]) -> dict:
    """A published picture of which neither time nor instrument can be told."""
    about = next((_object(s.raw) for s in sources if s.id == f"{image.id}_about"), {})
    return {
        "source": image.id,
        "name": image.name,
        "title": "",
        "known": {},
        "date_obs": None,
        "simulated": bool(about.get("simulated")),
        "width": None,
        "height": None,
        "disk": None,
        "regions": [],
        "note": ("cannot be placed on the Sun: regions are not marked", "无法确定其在日面的位置，未标出活动区"),
        "evidence": [],
    }


def _row_line(row: dict) -> dict:
    return {"source": row["source"], "line": int(row["line"]), "text": row["text"]}


def _why_unmarked(found: Opened, valid: datetime) -> tuple[str, str] | None:
    hours = (datetime.fromisoformat(found.date_obs) - valid).total_seconds() / 3600
    if abs(hours) > WINDOW_H:
        return (f"taken on {found.date_obs[:10]}: regions are not marked", f"拍摄于{found.date_obs[:10]}，未标出活动区")
    if not found.from_earth:
        return ("not seen from the Earth: regions are not marked", "非地球视角，未标出活动区")
    if found.disk is None:
        return ("not a full disk with a known limb: regions are not marked", "不是日面边缘已知的全日面像，未标出活动区")
    return None


# --------------------------------------------------------------------------------------------------------------------
# opening


def _try(image: Source, sources: Sequence[Source]) -> Opened | str:
    about = next((s.raw for s in sources if s.id == f"{image.id}_about"), b"")
    return _opened(image.name, image.raw, about)


@lru_cache(maxsize=8)
def _opened(name: str, raw: bytes, about: bytes) -> Opened | str:
    """The image, or one line why it cannot be used; what is written of it beside it (`about`) goes before its name."""
    from jwvl_lib import observations, render  # a second that a report without images does not need

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        if about:
            path.with_suffix(".json").write_bytes(about)
        try:
            obs = observations.open_observation(path)
            rendered = render.render(obs, PICTURE_PX)
        except (observations.UnreadableImage, OSError, ValueError) as error:
            return " ".join(str(error).replace(str(folder), "").split())[:200].lstrip("/")
    return _shown(obs, rendered, name, _object(about))


def _shown(obs, rendered, name: str, about: dict) -> Opened:
    from jwvl_lib import geometry, image_facts, observations, render

    picture = rendered.image.crop((0, 0, PICTURE_PX, PICTURE_PX - render.banner_height(PICTURE_PX)))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=86)
    where = geometry.disk_geometry(obs)
    if where is None and not about.get("banner_text"):  # a corpus picture has a band below, its disk is not centred
        where = geometry.disk_of_picture(obs)
    corona = obs.row is not None and obs.row.ion == "white light"
    whole = geometry.is_full_disk(where, obs.data.shape) and not corona
    title = str(about.get("title") or (obs.row.name if obs.row else "")) or "unknown instrument"
    simulated = bool(obs.header.get("SIMULATED") or about.get("simulated"))

    def place(rows: list[dict]) -> list[dict]:
        seen = image_facts.regions_seen(rows, obs.date_obs, where.b0_deg)
        limit = picture.height - 1
        return [
            {
                "noaa_ar": r.record["noaa_ar"],
                "quadrant": image_facts.quadrant_of(r),
                "box": [b[0], min(b[1], limit), b[2], min(b[3], limit)],
            }
            for r in seen
            for b in [image_facts.region_box(r, where, rendered)]
        ]

    return Opened(
        jpeg=stream.getvalue(),
        width=picture.width,
        height=picture.height,
        title=title,
        known={k: v for k in KNOWN if (v := about.get(k) or getattr(obs, k)) != observations.UNKNOWN},
        date_obs=obs.date_obs,
        simulated=simulated,
        from_earth=image_facts.seen_from_earth(obs.header),
        disk=_disk(where, rendered) if whole else None,
        lines=tuple(_lines(obs, name, title, simulated)),
        place=place,
    )


def _disk(where, rendered) -> dict:
    x, y = rendered.to_png([where.x, where.y])
    edge = rendered.to_png([where.x + where.radius_px, where.y])
    radius = ((edge[0] - x) ** 2 + (edge[1] - y) ** 2) ** 0.5
    values = {"x": x, "y": y, "radius_px": radius, "b0_deg": where.b0_deg}
    return {k: round(float(v), 2) for k, v in values.items()}


def _lines(obs, name: str, title: str, simulated: bool) -> Iterable[str]:
    """What was read of a file: name, time, instrument, whether simulated, then its header cards as they stand."""
    yield f"file = {_one_line(name)}"
    yield f"date_obs = {obs.date_obs} UTC"
    yield f"instrument = {_one_line(title)}, {obs.layer}"
    yield f"simulated = {simulated}"
    cards = ((k, v) for k, v in obs.header.items() if isinstance(v, str | int | float) and str(v).strip())
    for _, (key, value) in zip(range(READ_CARDS), cards, strict=False):
        yield f"{_one_line(str(key))} = {_one_line(str(value))}"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:CARD_CHARS]


def _object(raw: bytes) -> dict:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
