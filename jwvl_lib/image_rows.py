"""The rows of one image: its picture, its facts and boxes, and those of crops around its sunspot regions.

Reads an opened observation and the day's summary; writes pictures into `images/` of the corpus's folder. A row lacks
its split, which `corpus` deals out, and carries `pixels`, a digest of the values that duplicates are known by.
"""

import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from jwvl_lib import banner_styles, image_facts, instruments, measured_facts, render, simulate, swpc
from jwvl_lib.facts import Fact, to_json
from jwvl_lib.geometry import DiskGeometry, disk_geometry, patch_geometry
from jwvl_lib.observations import Observation

SMALLEST_DISK = 0.6  # of the picture's height above the banner: smaller, and it is a coronagraph's occulted disk
CROP_MARGIN = 1.5  # side of a crop, in the larger side of its region's box
SMALLEST_CROP_PX = 32  # of the original image: less would be shown as blur
PLACE_CARDS = (("CRPIX1", 0), ("CRPIX2", 1), ("FNDLMBXC", 0), ("FNDLMBYC", 1))  # pixels, which a crop shifts


def image_rows(
    obs: Observation,
    source: str,
    summary: tuple[str, bytes],
    folder: Path,
    image_px: int,
    region_crops: bool = False,
    bare_share: float = 0.0,
    vary_banners: bool = False,
) -> tuple[list[dict], list[dict]]:
    """The row of an image and, where asked for, one of each region on its disk; second: rejects (a bad summary).

    `summary` is source and bytes of the day's Solar Region Summary, ("", b"") for none. `bare_share` of the simulated
    images, by the hash of the source, have no banner, and no fact of one; `vary_banners` draws place, font, size and
    fields of every other banner from the source's name (`banner_styles`).
    """
    bare = bool(obs.header.get("SIMULATED")) and is_bare(source, bare_share)
    look = {"bare": bare, "varied": vary_banners}
    row, picture, rejects = _image_row(obs, source, summary, folder, image_px, **look)
    rows = [row]
    for number, part in crops(obs, picture, json.loads(row["boxes"])) if region_crops and picture.full_disk else ():
        rows.append(_image_row(part, f"{source}#AR{number}", summary, folder, image_px, measured=False, **look)[0])
    return rows, rejects


def is_bare(source: str, share: float) -> bool:
    """Whether an image is among the share (0 to 1) that is shown without a banner: the same ones on every run."""
    return int.from_bytes(hashlib.sha256(f"bare|{source}".encode()).digest()[:6], "big") < share * 2**48


def crops(obs: Observation, picture: render.Rendered, boxes: list[dict]) -> list[tuple[int, Observation]]:
    """(noaa_ar, square cutout of the original pixels around its box) of each region that is large enough to show.

    The header's pixel keywords are shifted, so that facts and boxes of a crop come the same way as those of any cutout.
    """
    found = []
    to_original = np.linalg.inv(picture.to_png_xy[:, :2])
    for entry in boxes:
        corners = (np.reshape(entry["box"], (2, 2)) - picture.to_png_xy[:, 2]) @ to_original.T
        side = round(max(SMALLEST_CROP_PX, CROP_MARGIN * np.ptp(corners, axis=0).max()))
        if side > min(obs.data.shape):
            continue
        limits = np.array(obs.data.shape[::-1]) - side
        x, y = (int(v) for v in np.clip(np.rint(corners.mean(axis=0) - side / 2), 0, limits))
        window = (slice(y, y + side), slice(x, x + side))
        cards = {k: obs.header[k] - (x, y)[i] for k, i in PLACE_CARDS if isinstance(obs.header.get(k), int | float)}
        rgb = None if obs.rgb is None else np.ascontiguousarray(obs.rgb[window])
        data = np.ascontiguousarray(obs.data[window])
        found.append((entry["noaa_ar"], replace(obs, data=data, rgb=rgb, header={**obs.header, **cards})))
    return found


def _image_row(
    obs,
    source: str,
    summary: tuple[str, bytes],
    folder: Path,
    image_px: int,
    measured: bool = True,
    bare: bool = False,
    varied: bool = False,
) -> tuple[dict, render.Rendered, list[dict]]:
    """Render, gather facts and boxes, write the picture; the row lacks its split. Third: rejects (a bad SRS)."""
    name = instruments.display_name(obs.observatory, obs.instrument, obs.measurement)
    short = instruments.banner_name(obs.observatory, obs.instrument, obs.measurement)
    banner = [] if bare else [short, f"{obs.date_obs[:16].replace('T', ' ')} UT"]
    picture = render.render(obs, image_px, [] if varied else banner, x_offset=_x_offset(source))
    if varied and banner:
        picture, banner = banner_styles.applied(picture, short, obs.date_obs[:16], source)
    pixels = hashlib.sha256(repr(obs.data.shape).encode() + obs.data.tobytes()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    image_id = f"{slug}_{obs.date_obs.replace('-', '').replace(':', '')}_{pixels[:8]}"
    png = render.png_bytes(picture.image)
    (folder / "images" / f"{image_id}.png").write_bytes(png)
    found = [*image_facts.header_facts(obs, source), *image_facts.activity_facts(obs.header, source)]
    if banner:
        found.append(Fact("banner_text", "\n".join(banner), origin="render", source=source))
    if measured and not obs.header.get("SIMULATED"):  # the simulator's own truth is better than any detector
        found += measured_facts.measured_facts(measured_facts.measure(obs), source)
    about_regions, boxes, rejects = _region_facts(obs, source, summary, picture)
    row = {
        "image_id": image_id,
        "path": f"images/{image_id}.png",
        "sha256": hashlib.sha256(png).hexdigest(),
        "source": source,
        **{k: getattr(obs, k) for k in ("observatory", "instrument", "detector", "measurement")},
        "wavelength_angstrom": obs.wavelength_angstrom if math.isfinite(obs.wavelength_angstrom) else None,
        "layer": obs.layer,
        "date_obs": obs.date_obs,
        "width": picture.image.width,
        "height": picture.image.height,
        "simulated": bool(obs.header.get("SIMULATED", False)),
        "stretch": _stretch_text(obs, picture),
        "group_id": obs.date_obs[:10],
        "banner_text": "\n".join(banner),
        "facts": to_json([*found, *about_regions]),
        "boxes": json.dumps(boxes),
        "pixels": pixels,
    }
    return row, picture, rejects


def _x_offset(source: str) -> int:
    """2 to 6 px, by the hash of the source: a reader must not learn one column by heart."""
    return 2 + hashlib.sha256(source.encode()).digest()[0] % 5


def _stretch_text(obs, picture: render.Rendered) -> str:
    if not obs.header.get("SIMULATED"):
        return picture.stretch
    return f"{picture.stretch}; simulated, sunspots {simulate.SPOT_ENLARGEMENT:g} times their linear size"


def _region_facts(obs, source: str, summary: tuple[str, bytes], picture: render.Rendered) -> tuple[list, list, list]:
    """Facts and boxes of the day's regions that the image shows, seen from the Earth; third: rejects."""
    srs_source, raw = summary
    geometry = patch_geometry(obs) or disk_geometry(obs)
    if not srs_source or geometry is None or not image_facts.seen_from_earth(obs.header):
        return [], [], []
    if picture.full_disk and _disk_height(geometry, picture) < SMALLEST_DISK * picture.image.height:
        return [], [], []
    try:
        seen = image_facts.regions_seen(swpc.parse_srs(raw, srs_source), obs.date_obs, geometry.b0_deg)
    except swpc.SwpcFormatError as error:
        return [], [], [{"path": srs_source, "reason": str(error)}]
    if not picture.full_disk:
        seen = image_facts.regions_in_field(seen, geometry, obs.data.shape)
    found = image_facts.srs_facts(raw, seen, srs_source, picture.full_disk)
    found += image_facts.polarity_facts(obs.header, seen, source)
    boxes = [{"noaa_ar": r.record["noaa_ar"], "box": image_facts.region_box(r, geometry, picture)} for r in seen]
    return found, boxes, []


def _disk_height(geometry: DiskGeometry, picture: render.Rendered) -> float:
    """Pixels from north to south limb in the picture."""
    top, bottom = picture.to_png(geometry.to_pixel([(0, 1), (0, -1)]))[:, 1]
    return float(bottom - top)
