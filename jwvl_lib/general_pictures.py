"""Pictures of the general task: shapes, or spots and pairs on a disk, above a black band with two lines of text.

The layout is that of the tiny profile's solar pictures; nothing on them is solar. Reads fonts that matplotlib installs;
writes nothing.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jwvl_lib.lettering import FONT_NAMES, FONTS, MONTHS, font

SMALLEST_PX, LARGEST_PX = 9, 13  # of varied text in a picture of 168 px; smaller where a line does not fit
KINDS = ("shapes", "bright spots", "dark spots", "pairs")
SHAPES = ("circle", "square", "triangle", "cross")
SIDES = ("left", "right")
# RGB of the shapes; pictures of spots are tinted with it
COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 80, 235),
    "yellow": (240, 220, 40),
    "purple": (160, 50, 200),
    "orange": (250, 140, 20),
    "cyan": (30, 210, 220),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
}
_WORDS = (
    "apple arrow autumn basket bicycle bird bottle branch bread bridge bucket button camera candle carpet castle "
    "chair cherry circle city clock cloud coffee copper corner cotton cradle desert dinner doctor dragon engine "
    "evening family farmer feather finger flower forest garden glass guitar hammer harbour honey horse hotel island "
    "jacket journey kitchen ladder letter library lemon machine market melody mirror morning mountain museum needle "
    "number ocean office orange paper pencil people photograph piano picture pillow planet pocket potato quarter "
    "question rabbit railway rainbow river school season shadow silver singer station street summer table theatre "
    "ticket travel uncle valley vehicle village violin wagon water weather window winter wonder yellow zebra "
).split()


@dataclass(frozen=True)
class Thing:
    """One object: centre and radius in pixels (y down), and the bright side of a pair ("" for other kinds)."""

    x: float
    y: float
    radius: float
    bright_side: str = ""


@dataclass(frozen=True)
class Writing:
    """The text of a band: its lines, the x in pixels of the middle of every character, and whether it stands on top."""

    lines: tuple[str, ...]
    middles: tuple[tuple[float, ...], ...]
    on_top: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture and everything true of it. The first of `things` is the largest."""

    image: Image.Image
    kind: str
    colour: str
    shape: str
    things: tuple[Thing, ...]
    centre: tuple[float, float]
    text: Writing


def pick(rng: np.random.Generator, options: Sequence):
    """One of `options`, each as likely (ten times faster than `rng.choice` on a list)."""
    return options[int(rng.integers(len(options)))]


def make_scene(rng: np.random.Generator, image_px: int = 168, varied_text: bool = False) -> Scene:
    """A random picture: coloured shapes, or soft spots or bright-dark pairs on a disk, above two lines of text.

    Of varied text (`_write_varied`) there may be one line, and the band may stand above the things.
    """
    band = round(image_px / 6)
    unit = image_px / 168
    kind = KINDS[int(np.searchsorted((0.3, 0.5, 0.7), rng.random()))]
    tinted = [name for name in COLOURS if kind == "shapes" or name != "white"]
    colour = "grey" if kind == "pairs" or (kind != "shapes" and rng.random() < 0.25) else pick(rng, tinted)
    shape = pick(rng, SHAPES) if kind == "shapes" else ""
    off = 4 * unit * (kind != "shapes")
    centre = (image_px / 2 + rng.uniform(-off, off), (image_px - band) / 2 + rng.uniform(-off, off))
    disk_radius = rng.uniform(52, 68) * unit
    things = _place_things(rng, kind, centre, disk_radius, unit, (image_px, image_px - band))
    if kind == "shapes":
        image = _draw_shapes(rng, things, shape, COLOURS[colour], image_px)
    else:
        image = _draw_spots(rng, things, kind, COLOURS[colour], centre, disk_radius, image_px)
    text = (_write_varied if varied_text else _write_band)(rng, image)
    if varied_text and rng.random() < 0.5:
        image = Image.fromarray(np.roll(np.asarray(image), band, axis=0))
        things = tuple(replace(t, y=t.y + band) for t in things)
        text, centre = replace(text, on_top=True), (centre[0], centre[1] + band)
    return Scene(image, kind, colour, shape, things, centre, text)


def _place_things(rng, kind, centre, disk_radius, unit, extent) -> tuple[Thing, ...]:
    """Up to four things well apart and off the centre lines, the first clearly the largest."""
    n = int(rng.choice([1, 1, 2, 2, 3, 4] if kind == "shapes" else [0, 1, 1, 2, 2, 3, 3, 4]))
    large = rng.random() < 0.5
    first = rng.uniform(11, 15) if large else rng.uniform(6.5, 8.5)
    placed: list[Thing] = []
    for _ in range(200):
        if len(placed) == n:
            break
        radius = (first if not placed else first * rng.uniform(0.4, 0.6)) * unit
        if kind == "shapes":
            x, y = (rng.uniform(radius + 2, size - radius - 2) for size in extent)
        else:
            distance, angle = 0.8 * disk_radius * rng.random() ** 0.5, rng.uniform(0, 2 * math.pi)
            x, y = centre[0] + distance * math.cos(angle), centre[1] + distance * math.sin(angle)
        if min(abs(x - centre[0]), abs(y - centre[1])) < 8 * unit:
            continue
        if all(math.hypot(x - t.x, y - t.y) > 1.6 * (radius + t.radius) for t in placed):
            placed.append(Thing(x, y, radius, pick(rng, SIDES) if kind == "pairs" else ""))
    return tuple(placed)


def _draw_shapes(rng, things, shape, rgb, image_px) -> Image.Image:
    image = Image.new("RGB", (image_px, image_px), tuple(int(v) for v in rng.integers(0, 50, 3)))
    draw = ImageDraw.Draw(image)
    for t in things:
        x, y, r = t.x, t.y, t.radius
        if shape == "circle":
            draw.ellipse([x - r, y - r, x + r, y + r], fill=rgb)
        elif shape == "square":
            draw.rectangle([x - r, y - r, x + r, y + r], fill=rgb)
        elif shape == "triangle":
            draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=rgb)
        else:
            draw.rectangle([x - r, y - r / 3, x + r, y + r / 3], fill=rgb)
            draw.rectangle([x - r / 3, y - r, x + r / 3, y + r], fill=rgb)
    return image


def _draw_spots(rng, things, kind, rgb, centre, disk_radius, image_px) -> Image.Image:
    x, y = np.arange(image_px, dtype=np.float32), np.arange(image_px, dtype=np.float32)[:, None]
    beyond = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / disk_radius - 1
    level = {"bright spots": rng.uniform(0.2, 0.45), "dark spots": rng.uniform(0.55, 0.85), "pairs": 0.5}[kind]
    darkening = rng.uniform(0, 0.35) * level * (kind != "pairs")
    sky = rng.uniform(0, 0.15) * np.maximum(1 - rng.uniform(2, 6) * np.maximum(beyond, 0), 0)
    disk = level - darkening * (beyond + 1) ** 2 + rng.uniform(0.01, 0.05) * _noise(rng, image_px)
    field = np.where(beyond < 0, disk, sky)
    for t in things:
        rows, columns = (slice(max(0, int(c - 3 * t.radius)), int(c + 3 * t.radius)) for c in (t.y, t.x))
        field[rows, columns] += _spot(t, kind, x[columns], y[rows], rng)
    return Image.fromarray(_tint(rgb, overexpose=kind == "bright spots")[(np.clip(field, 0, 1) * 255).astype(np.uint8)])


def _tint(rgb: tuple[int, int, int], overexpose: bool) -> np.ndarray:
    """Colour table (256, 3) uint8 from black to `rgb`, and on to white where the brightest parts overexpose."""
    grey = np.linspace(0, 1, 256)[:, None]
    table = grey * np.array(rgb) / max(rgb) + overexpose * 1.5 * np.clip(grey - 0.75, 0, 1)
    return (np.clip(table, 0, 1) * 255).astype(np.uint8)


def _noise(rng: np.random.Generator, image_px: int) -> np.ndarray:
    """Grains of one to six pixels."""
    grain = int(rng.integers(1, 7))
    coarse = rng.standard_normal((image_px // grain + 1,) * 2, dtype=np.float32)
    return coarse.repeat(grain, 0).repeat(grain, 1)[:image_px, :image_px]


def _spot(t: Thing, kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian spot, or two of opposite sign side by side, tilted by up to 25 degrees."""
    if kind != "pairs":
        sign = 1 if kind == "bright spots" else -1
        return sign * rng.uniform(0.5, 0.8) * np.exp(-((x - t.x) ** 2 + (y - t.y) ** 2) / (0.75 * t.radius) ** 2)
    tilt, half = rng.uniform(-0.45, 0.45), 0.6 * t.radius
    dx, dy = half * np.cos(tilt), half * np.sin(tilt)
    width = (0.55 * t.radius) ** 2
    right = np.exp(-((x - t.x - dx) ** 2 + (y - t.y - dy) ** 2) / width)
    left = np.exp(-((x - t.x + dx) ** 2 + (y - t.y + dy) ** 2) / width)
    return rng.uniform(0.4, 0.55) * (right - left) * (1 if t.bright_side == "right" else -1)


@functools.cache
def band_font(band: int) -> ImageFont.FreeTypeFont:
    """The font of a text band `band` pixels high: two lines, 13 px at 28."""
    return ImageFont.truetype(FONTS / f"{FONT_NAMES[0]}.ttf", band // 2 - 1)


def make_strip(rng: np.random.Generator, image_px: int = 168, varied_text: bool = False) -> tuple[Image.Image, Writing]:
    """The text band of a picture alone, and what it says."""
    image = Image.new("RGB", (image_px, round(image_px / 6)))
    text = (_write_varied if varied_text else _write_band)(rng, image)
    return image, replace(text, on_top=varied_text and rng.random() < 0.5)


def _write_band(rng: np.random.Generator, image: Image.Image) -> Writing:
    """Draw the black band and two random lines at the foot of an image."""
    band = round(image.width / 6)
    lines = (random_line(rng), random_line(rng))
    x, y = round(rng.integers(2, 7) * image.width / 168), image.height - band + int(rng.integers(-2, 0))
    return _draw_band(image, lines, band_font(band), [(x, y), (x, y + band // 2)], "la")


def _write_varied(rng: np.random.Generator, image: Image.Image) -> Writing:
    """The same with one line or two in any of the fonts, in any size that fits, at either side."""
    band, unit = round(image.width / 6), image.width / 168
    lines = tuple(random_line(rng, 24) for _ in range(1 if rng.random() < 0.3 else 2))
    name, size = pick(rng, FONT_NAMES), int(rng.integers(SMALLEST_PX, LARGEST_PX + 1))
    while max(font(name, round(size * unit)).getlength(line) for line in lines) > image.width - 6 * unit:
        size -= 1
    drawn, right = font(name, round(size * unit)), rng.random() < 0.5
    margin = rng.uniform(2, 5) * unit
    starts = [image.width - margin - drawn.getlength(line) if right else margin for line in lines]
    heights = [(2 * i + 1) * band / (2 * len(lines)) + rng.uniform(-1, 1) * unit for i in range(len(lines))]
    places = [(x, image.height - band + y) for x, y in zip(starts, heights, strict=True)]
    return _draw_band(image, lines, drawn, places, "lm")


def _draw_band(image: Image.Image, lines, drawn: ImageFont.FreeTypeFont, places, anchor: str) -> Writing:
    """The black band at the foot of an image with each line at its place (x, y), white."""
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, image.height - round(image.width / 6), image.width, image.height], fill=(0, 0, 0))
    for line, place in zip(lines, places, strict=True):
        draw.text(place, line, font=drawn, fill=(255, 255, 255), anchor=anchor)
    return Writing(lines, tuple(_middles(line, drawn, x) for line, (x, _) in zip(lines, places, strict=True)))


def _middles(line: str, drawn: ImageFont.FreeTypeFont, x: float) -> tuple[float, ...]:
    """The x of the middle of every character of a line that starts at `x`."""
    ends = [x + drawn.getlength(line[:k]) for k in range(len(line) + 1)]
    return tuple((a + b) / 2 for a, b in itertools.pairwise(ends))


def random_line(rng: np.random.Generator, n_max: int = 20) -> str:
    """A line of text of at most `n_max` characters: a date and time, or words, numbers and marks."""
    if rng.random() < 0.3:
        return (_random_date if n_max <= 20 else _other_date)(rng)
    line = _random_word(rng)
    while rng.random() < 0.75 and len(longer := f"{line} {_random_word(rng)}") <= n_max:
        line = longer
    return line[:n_max]


def _random_date(rng: np.random.Generator) -> str:
    zone = "" if rng.random() < 0.4 else " " + _letters(rng, 2)
    year, month, day, hour, minute = (int(rng.integers(*r)) for r in ((1900, 2100), (1, 13), (1, 32), (0, 24), (0, 60)))
    return f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}{zone}"


def _other_date(rng: np.random.Generator) -> str:
    """A date and time as others write it: other marks between the parts, the month in letters."""
    written = _random_date(rng)
    mark = pick(rng, "/.-")
    if rng.random() < 0.3:
        year, month, rest = written.split("-", 2)
        return f"{rest[:2]}{mark}{MONTHS[int(month) - 1]}{mark}{year}{rest[2:]}"
    date, time = written.split(" ", 1)
    return f"{date.replace('-', mark)}{pick(rng, ' T')}{time}"


def _letters(rng: np.random.Generator, n: int) -> str:
    return "".join(chr(65 + k) for k in rng.integers(0, 26, n))


def _random_word(rng: np.random.Generator) -> str:
    kind = rng.random()
    digits = "".join(str(d) for d in rng.integers(0, 10, rng.integers(1, 6)))
    if kind < 0.25:
        return digits
    if kind < 0.45:
        return _letters(rng, int(rng.integers(2, 6)))
    if kind < 0.6:
        return pick(rng, _WORDS)
    if kind < 0.75:
        return _letters(rng, int(rng.integers(3, 12))).lower()
    tail = digits[:3] if rng.random() < 0.4 else _letters(rng, int(rng.integers(1, 5)))
    return _letters(rng, int(rng.integers(1, 5))) + pick(rng, "/-:.") + (tail.lower() if rng.random() < 0.3 else tail)
