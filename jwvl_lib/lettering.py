"""Letters drawn on pictures: the fonts that matplotlib installs, set alike everywhere, and months in English.

Reads font files, writes nothing.
"""

import functools
from pathlib import Path

import matplotlib
from PIL import ImageFont

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# of varied text; the first is that of all other text
FONT_NAMES = ("DejaVuSansMono", "DejaVuSans", "DejaVuSerif", "DejaVuSansMono-Bold", "STIXGeneral")
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # whatever the locale


@functools.cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One of `FONT_NAMES`, `size` pixels high, in the basic layout: Raqm, where installed, may set a text otherwise."""
    return ImageFont.truetype(FONTS / f"{name}.ttf", size, layout_engine=ImageFont.Layout.BASIC)
