"""Pixel boxes in the convention of each model, there and back.

Reads and writes nothing. A box of the corpus is (x0, y0, x1, y1) in pixels of the picture, y down. Qwen2.5-VL counts
pixels of the picture as its processor resizes it; Qwen2-VL, InternVL and Qwen3-VL thousandths of width and height;
LLaVA-1.5 shares of the picture padded to a square.
"""

import math
from collections.abc import Sequence

CONVENTIONS = ("qwen2.5-vl", "norm1000", "norm1")
PATCH = 28  # Qwen2.5-VL: patches of 14, merged by twos
MIN_PIXELS, MAX_PIXELS = 56 * 56, 14 * 14 * 4 * 1280


def resized(width: int, height: int, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) to which Qwen2.5-VL's processor resizes a picture (its `smart_resize`).

    ValueError for a picture more than 200 times as long as wide, as there.
    """
    if min(width, height) <= 0 or max(width, height) / min(width, height) > 200:
        raise ValueError(f"{width}x{height}: sides must be positive, their ratio at most 200")
    wide, high = (round(side / PATCH) * PATCH for side in (width, height))
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(PATCH, math.floor(side / shrink / PATCH) * PATCH) for side in (width, height))
    elif wide * high < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        wide, high = (math.ceil(side * grow / PATCH) * PATCH for side in (width, height))
    return wide, high


def to_model(box: Sequence[float], size: tuple[int, int], convention: str) -> list[float]:
    """A box in pixels of a picture of `size` (width, height) as a model writes it: whole numbers, or three decimals."""
    (sx, sy), (dx, dy) = _scale(size, convention)
    values = [(v + d) * s for v, s, d in zip(box, (sx, sy, sx, sy), (dx, dy, dx, dy), strict=True)]
    return [round(v, 3) for v in values] if convention == "norm1" else [round(v) for v in values]


def from_model(box: Sequence[float], size: tuple[int, int], convention: str) -> list[float]:
    """Inverse of `to_model`, up to its rounding."""
    (sx, sy), (dx, dy) = _scale(size, convention)
    return [v / s - d for v, s, d in zip(box, (sx, sy, sx, sy), (dx, dy, dx, dy), strict=True)]


def _scale(size: tuple[int, int], convention: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Factors, and offsets in pixels that come before them."""
    width, height = size
    if convention == "qwen2.5-vl":
        wide, high = resized(width, height)
        return (wide / width, high / height), (0.0, 0.0)
    if convention == "norm1000":
        return (1000 / width, 1000 / height), (0.0, 0.0)
    if convention == "norm1":
        side = max(width, height)
        return (1 / side, 1 / side), ((side - width) // 2, (side - height) // 2)
    raise ValueError(f"box convention {convention!r} is not known; one of {', '.join(CONVENTIONS)}")
