"""The one way from an observation to the picture a model sees: north up, recorded stretch, the same bytes every time.

Reads fonts and colormaps that matplotlib and sunpy install, writes nothing. The upper part of the square picture holds
the Sun, the lower sixth a black band for the banner. The stretch comes from the instrument table, fixed in physical
units wherever the instrument allows it, so that colours mean the same on every day.
"""

import functools
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import sunpy.visualization.colormaps  # noqa: F401  (registers sdoaia171 and the others with matplotlib)
from PIL import Image, ImageDraw, ImageFont

from jwvl_lib.geometry import DiskGeometry, disk_geometry, heliographic_to_pixel, is_full_disk
from jwvl_lib.instruments import Stretch
from jwvl_lib.observations import Observation

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
DISK_FILLS = 0.92  # of the height above the banner
ASINH = 10.0  # slope of the asinh stretch at its lower end, relative to the range
LIMB_RSUN = 1.0  # the photosphere ends here; what lies beyond is drawn black
UNKNOWN_STRETCH = Stretch("asinh", 1.0, 99.7, "percentile")
BOX_COLOUR = (0, 255, 0)
LABEL_PX = 10  # height of the number at a box
_STRIP_ROWS = 64
LIMB_COLOUR, GRID_COLOUR = (255, 255, 255), (150, 150, 150)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture: RGB image, the exact stretch in words, and `to_png_xy` (2, 3), which takes (x, y, 1) of the original
    pixels (0-based, y up) to pixels of the picture (0-based, y down). `full_disk` says whether the whole disk shows."""

    image: Image.Image
    stretch: str
    to_png_xy: np.ndarray
    full_disk: bool

    def to_png(self, pixels: np.ndarray) -> np.ndarray:
        """(..., 2) original pixels -> (..., 2) picture pixels."""
        return np.asarray(pixels) @ self.to_png_xy[:, :2].T + self.to_png_xy[:, 2]


def render(obs: Observation, image_px: int = 168, banner: Sequence[str] | None = None, x_offset: int = 4) -> Rendered:
    """Picture of `image_px` x `image_px`, RGB; `banner`: up to two lines of text for the band below the Sun.

    Full disks are turned and scaled so that the disk has the same place and size whatever the instrument; cutouts and
    coronagraphs (white light) are turned and scaled to fit. Missing pixels are black.
    """
    if image_px < 28:
        raise ValueError(f"image_px={image_px}: a picture needs at least 28 pixels; 168 is the tiny profile")
    geometry = disk_geometry(obs)
    full_disk = is_full_disk(geometry, obs.data.shape)
    size = (image_px, image_px - banner_height(image_px))
    on_disk = full_disk and not (obs.row and obs.row.ion == "white light")
    to_png = _placement(obs.data.shape, geometry, on_disk, size)
    if obs.rgb is not None:
        colours, text = _published_colours(obs.rgb, to_png, size), "none: colours as published"
    else:
        values, seen = _resample(obs.data, to_png, size)
        radii = _radii(geometry, to_png, size) if full_disk and _asks_for_disk(obs) else None
        colours, text = _colour(obs, values, seen, radii)
    image = Image.new("RGB", (image_px, image_px))
    image.paste(Image.fromarray(colours), (0, 0))
    if banner:
        image = draw_banner(image, banner, x_offset)
    return Rendered(image, text, to_png, full_disk)


def banner_height(image_px: int) -> int:
    """Height of the black band: a sixth of the picture."""
    return round(image_px / 6)


def draw_banner(image: Image.Image, lines: Sequence[str], x_offset: int = 4) -> Image.Image:
    """A copy with up to two lines of white DejaVu Sans Mono in the band, 13 px high at a width of 168.

    Raises ValueError for a line that does not fit: a banner cut short would be a wrong target for reading.
    """
    height = banner_height(image.width)
    font = _font(round(13 * image.width / 168))
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height - height, image.width, image.height), fill=(0, 0, 0))
    if len(lines) > 2:
        raise ValueError(f"{len(lines)} banner lines: the band holds 2")
    for i, line in enumerate(lines):
        if x_offset + font.getlength(line) > image.width:
            raise ValueError(f"banner line {line!r} is wider than the picture ({image.width} px); shorten it")
        middle = image.height - height + (2 * i + 1) * height / 4
        draw.text((x_offset, round(middle)), line, fill=(255, 255, 255), font=font, anchor="lm")
    return image


def draw_boxes(image: Image.Image, boxes: Sequence[dict], labels: bool = True) -> Image.Image:
    """A copy with the boxes [{"noaa_ar", "box": [x0, y0, x1, y1]}] outlined, each with its number: to look at, not to
    train on. A number stands where it runs into the least of the boxes and of the numbers before it."""
    image, font = image.copy(), _font(9)
    draw, taken = ImageDraw.Draw(image), [tuple(box["box"]) for box in boxes]
    for box in boxes:
        draw.rectangle(box["box"], outline=BOX_COLOUR)
        if labels:
            text = str(box["noaa_ar"])
            places = _label_places(box["box"], (math.ceil(font.getlength(text)), LABEL_PX), image.size)
            place = min(places, key=lambda p: sum(_shared_area(p, other) for other in taken))
            draw.text(place[:2], text, fill=BOX_COLOUR, font=font)
            taken.append(place)
    return image


def _label_places(box: Sequence[float], size: tuple[int, int], within: tuple[int, int]) -> list[tuple]:
    """Where a label may stand by its box, the best first: above, below, beside; boxes (x0, y0, x1, y1) inside `within`.

    All in pixels, as `size` and `within` (width, height).
    """
    (x0, y0, x1, y1), (width, height) = box, size
    corners = [(x0, y0 - height), (x1 - width, y0 - height), (x0, y1 + 1), (x1 - width, y1 + 1)]
    corners += [(x1 + 2, y0), (x0 - width - 1, y0)]
    kept = [(max(0, min(x, within[0] - width)), max(0, min(y, within[1] - height))) for x, y in corners]
    return [(x, y, x + width, y + height) for x, y in kept]


def _shared_area(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def draw_grid(image: Image.Image, picture: Rendered, geometry: DiskGeometry, step_deg: int = 15) -> Image.Image:
    """A copy of `picture.image` or of one drawn on it, with the limb and a heliographic grid of `step_deg` degrees.

    Stonyhurst coordinates at the time of the image; to look at, not to train on.
    """
    image = image.copy()
    draw = ImageDraw.Draw(image)
    along = np.arange(-180.0, 181.0, 3.0)
    lines = [(np.full_like(along, lat), along) for lat in range(-90 + step_deg, 90, step_deg)]
    lines += [(along[30:91], np.full(61, float(lon))) for lon in range(-180, 180, step_deg)]
    for lat_deg, lon_deg in lines:
        pixels, near = heliographic_to_pixel(geometry, lat_deg, lon_deg)
        points = picture.to_png(pixels)
        for i in np.flatnonzero(near[:-1] & near[1:]):
            draw.line([tuple(points[i]), tuple(points[i + 1])], fill=GRID_COLOUR)
    turn = np.radians(np.arange(0, 361, 2))
    limb = picture.to_png(geometry.to_pixel(np.column_stack([np.cos(turn), np.sin(turn)])))
    draw.line([tuple(p) for p in limb], fill=LIMB_COLOUR, width=2)
    return image


def png_bytes(image: Image.Image) -> bytes:
    """PNG without any metadata: the same picture has the same bytes."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def _placement(shape: tuple, geometry: DiskGeometry | None, on_disk: bool, size: tuple[int, int]) -> np.ndarray:
    """Affine (2, 3) from original to picture pixels: the disk at its place, or the whole field north up."""
    down = np.diag([1.0, -1.0])
    turn = down if geometry is None else down @ np.linalg.inv(geometry.matrix) * geometry.radius_px
    corners = np.array([(x, y) for x in (-0.5, shape[1] - 0.5) for y in (-0.5, shape[0] - 0.5)])
    turned = corners @ turn.T
    span = np.ptp(turned, axis=0)
    scale, centre = min(size / span), (turned.max(axis=0) + turned.min(axis=0)) / 2
    if on_disk:
        scale, centre = DISK_FILLS * size[1] / 2 / geometry.radius_px, turn @ (geometry.x, geometry.y)
    middle = (np.array(size) - 1) / 2
    return np.column_stack([scale * turn, middle - scale * centre])


def _resample(data: np.ndarray, to_png: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Values (height, width) and where there are any: means over blocks first, then bilinear, NaN left out of both."""
    factor = max(1, round(1 / np.sqrt(abs(np.linalg.det(to_png[:, :2])))))
    values, weights = _reduced(data, factor)
    inverse = np.linalg.inv(np.vstack([to_png, (0, 0, 1)]))[:2]
    inverse[:, 2] -= (factor - 1) / 2
    inverse /= factor
    # Pillow counts from pixel corners, this library from pixel centres
    inverse[:, 2] += 0.5 - inverse[:, :2].sum(axis=1) / 2
    affine = (size, Image.Transform.AFFINE, inverse.ravel())
    sums = np.asarray(Image.fromarray(values).transform(*affine, Image.Resampling.BILINEAR))
    if weights is None:  # nothing is missing: a pixel lies inside or outside, Pillow blends no edges
        field = Image.new("L", values.shape[::-1], 1)
        return sums, np.asarray(field.transform(*affine, Image.Resampling.NEAREST)) > 0
    weights = np.asarray(Image.fromarray(weights).transform(*affine, Image.Resampling.BILINEAR))
    seen = weights > 0.5
    return np.divide(sums, weights, out=np.zeros_like(sums), where=seen), seen


def _reduced(data: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Means over factor x factor blocks, missing pixels as zero, and the share of each block that is not missing.

    The shares are None where nothing is missing.
    """
    whole = (-(-data.shape[0] // factor), -(-data.shape[1] // factor))
    # one sum tells whether anything is missing, which is rare: a mask of 16 million pixels costs more than the rest
    if np.isfinite(data.sum()) and not (data.shape[0] % factor or data.shape[1] % factor):
        return _block_mean(data, factor), None
    finite = np.isfinite(data)
    padding = ((0, whole[0] * factor - data.shape[0]), (0, whole[1] * factor - data.shape[1]))
    values, weights = (np.pad(a, padding) for a in (np.where(finite, data, np.float32(0)), finite.astype(np.float32)))
    return _block_mean(values, factor), _block_mean(weights, factor)


def _block_mean(data: np.ndarray, factor: int) -> np.ndarray:
    """Pillow's box reduction of a float32 array whose sides are multiples of the factor."""
    if factor == 1:
        return data
    # Pillow copies what it is given: strips that stay in the cache take half the time of a copy of 16 million pixels
    rows = factor * max(1, _STRIP_ROWS // factor)
    strips = (data[start : start + rows] for start in range(0, len(data), rows))
    return np.concatenate([np.asarray(Image.fromarray(strip).reduce(factor)) for strip in strips])


def _published_colours(rgb: np.ndarray, to_png: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    channels = [_resample(rgb[..., i].astype(np.float32), to_png, size)[0] for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _radii(geometry: DiskGeometry, to_png: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Distance of every picture pixel from the disk centre in solar radii."""
    x0, y0 = to_png @ (geometry.x, geometry.y, 1)
    radius = geometry.radius_px * np.sqrt(abs(np.linalg.det(to_png[:, :2])))
    y, x = np.ogrid[: size[1], : size[0]]
    return np.hypot(x - x0, y - y0) / radius


def _asks_for_disk(obs: Observation) -> bool:
    """Whether the stretch, or the black beyond the photosphere, needs to know what lies on the disk."""
    return obs.layer == "photosphere" or (obs.row is not None and obs.row.stretch.scale == "disk_median")


def _colour(obs: Observation, values: np.ndarray, seen: np.ndarray, radii: np.ndarray | None) -> tuple:
    """RGB of the values and the stretch in words."""
    colormap = obs.row.colormap if obs.row else "gray"
    notes = []
    if obs.prestretched:
        levels, text = values / 255, "none: display levels 0 to 255 as published"
    else:
        if radii is not None and obs.layer == "photosphere":
            seen = seen & (radii <= LIMB_RSUN)
            notes = ["black beyond the limb"]
        levels, text = _stretched(obs, values, seen, radii)
    table = _lookup(colormap)
    colours = table.take(np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8), axis=0)
    colours[~seen] = 0
    return colours, ", ".join([text, f"colormap {colormap}", *notes])


def _stretched(obs: Observation, values: np.ndarray, seen: np.ndarray, radii: np.ndarray | None) -> tuple:
    """Levels 0 to 1 and the stretch in words."""
    stretch = obs.row.stretch if obs.row else UNKNOWN_STRETCH
    unit = obs.unit or (obs.row.unit if obs.row else "") or "of the data"
    low, high, detail = stretch.low, stretch.high, ""
    exposure = obs.header.get("EXPTIME")
    if stretch.scale == "exposure" and isinstance(exposure, int | float) and exposure > 0 and "/s" not in unit:
        values, unit, detail = values / np.float32(exposure), f"{unit}/s", " (data / EXPTIME)"
    if stretch.scale == "disk_median":
        inside = seen & (radii < 0.95) if radii is not None else seen
        median = float(np.median(values[inside])) if inside.any() else 1.0
        values, unit, detail = values / np.float32(median or 1.0), "of the median", f" {median:.6g} {unit}"
    if stretch.scale == "percentile":
        low, high = np.percentile(values[seen], (low, high)) if seen.any() else (0.0, 1.0)
        detail = f" (percentiles {stretch.low:g} and {stretch.high:g} of the picture)"
    high = high if high > low else low + 1.0
    if stretch.kind == "log":
        low = max(low, high * 1e-3)
    kind = f"asinh({ASINH:g}x)" if stretch.kind == "asinh" else stretch.kind
    text = f"{kind}, {low:.6g} to {high:.6g} {unit}{detail}"
    return _curve(stretch.kind, np.clip(values, low, high), low, high), text


def _curve(kind: str, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Levels 0 to 1 of values between low and high."""
    share = (values - low) / (high - low)
    if kind == "sqrt":
        return np.sqrt(share)
    if kind == "asinh":
        return np.arcsinh(share * ASINH) / np.arcsinh(ASINH)
    if kind == "log":
        return np.log(values / low) / np.log(high / low)
    return share


@functools.cache
def _lookup(colormap: str) -> np.ndarray:
    """(256, 3) bytes of a matplotlib or sunpy colormap."""
    return matplotlib.colormaps[colormap](np.arange(256), bytes=True)[:, :3].copy()


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # the basic layout: Raqm, where installed, may place the same text otherwise
    return ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)
