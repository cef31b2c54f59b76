"""Banners whose place, size, font and fields vary: how well is text read that no rule of the renderer fixes?

Reads the fonts that matplotlib installs, writes nothing. A style follows from a key (an image_id) alone, so that the
same picture has the same banner on every run. The default corpus has one style (`render.draw_banner`).
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jwvl_lib import lettering, render

SIZES = (10, 11, 12, 13)  # px at a width of 168
PLACES = ("top left", "top right", "bottom left", "bottom right")
# the date as instrument teams write it
DATES = ("%Y-%m-%d %H:%M UT", "%Y/%m/%d %H:%M", "%d-%b-%Y %H:%M UT", "%Y-%m-%dT%H:%M", "%Y.%m.%d %H:%M UTC")
ORDERS = ("name first", "date first", "date alone")


@dataclass(frozen=True)
class Style:
    """How a banner looks: font file, height in px at a width of 168, place of the band and side of the text, fields."""

    font: str
    size: int
    place: str
    date: str
    order: str


def style(key: str) -> Style:
    """The style of a key, each of its parts drawn evenly from the lists above."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"banner|{key}".encode()).digest()[:8], "big"))
    drawn = [options[rng.integers(len(options))] for options in (lettering.FONT_NAMES, SIZES, PLACES, DATES, ORDERS)]
    return Style(*drawn)


def lines(name: str, date_obs: str, look: Style) -> list[str]:
    """The lines of a banner: the view's name and its time (ISO, UTC) as the style writes it."""
    taken = datetime.fromisoformat(date_obs)
    date = taken.strftime(look.date.replace("%b", lettering.MONTHS[taken.month - 1]))
    return {"name first": [name, date], "date first": [date, name], "date alone": [date]}[look.order]


def redrawn(image: Image.Image, text: list[str], look: Style) -> Image.Image:
    """A picture of `render` with its banner replaced: the Sun moved down where the band is to stand above it.

    White on black in a band of a sixth of the picture; a font is made smaller until the lines fit into it.
    """
    height = render.banner_height(image.width)
    sun = image.crop((0, 0, image.width, image.height - height))
    top = look.place.startswith("top")
    made = Image.new("RGB", image.size)
    made.paste(sun, (0, height if top else 0))
    draw, scale = ImageDraw.Draw(made), image.width / 168
    font = _fitting(text, look, (image.width - 6 * scale, height / len(text)), scale)
    start = 0 if top else image.height - height
    right = look.place.endswith("right")
    for i, line in enumerate(text):
        at = (image.width - 3 * scale if right else 3 * scale, start + (2 * i + 1) * height / (2 * len(text)))
        draw.text(at, line, fill=(255, 255, 255), font=font, anchor="rm" if right else "lm")
    return made


def applied(picture: render.Rendered, name: str, date_obs: str, key: str) -> tuple[render.Rendered, list[str]]:
    """A picture without banner with that of the key's style, and its lines; places on the Sun move with the Sun."""
    look = style(key)
    text = lines(name, date_obs, look)
    to_png = picture.to_png_xy.copy()
    if look.place.startswith("top"):
        to_png[1, 2] += render.banner_height(picture.image.width)
    return replace(picture, image=redrawn(picture.image, text, look), to_png_xy=to_png), text


def _fitting(text: list[str], look: Style, room: tuple[float, float], scale: float) -> ImageFont.FreeTypeFont:
    """The font in the largest size, at most the style's, in which every line fits into `room` (width, height)."""
    for size in range(look.size, 6, -1):
        font = lettering.font(look.font, round(size * scale))
        boxes = [font.getbbox(line, anchor="lm") for line in text]
        high = 2 * max(max(-top, bottom) for _, top, _, bottom in boxes)  # about the middle of a line
        if max(right for _, _, right, _ in boxes) <= room[0] and high <= room[1]:
            return font
    raise ValueError(f"banner line {max(text, key=len)!r} does not fit {room[0]:.0f} px at 7 px; shorten it")


def band(image: Image.Image, look: Style) -> Image.Image:
    """The part of a picture of `redrawn` that holds the banner."""
    height = render.banner_height(image.width)
    top = 0 if look.place.startswith("top") else image.height - height
    return image.crop((0, top, image.width, top + height))
