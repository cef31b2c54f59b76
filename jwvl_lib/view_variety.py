"""How one camera's pictures differ from day to day: exposure, contrast, field of view, binning, activity.

Reads and writes nothing. A simulated corpus with all views (`rare_views`) draws each of them anew for every picture, so
that a model learns what an instrument's pictures have in common and not one field, one exposure and one contrast
(domain randomisation: Tobin et al. 2017, arXiv:1703.06907). Real archives hold all of it: cutouts of any shape, level
1.5 data binned to a few dozen pixels, browse pictures stretched before they were published.
"""

import dataclasses

import numpy as np

CUTOUT_SCALES = (0.8, 3.0)  # pixel size of a cutout, in that of its row
WINDOW = (0.35, 1.0)  # height of a cutout in its width
SMALLEST_WINDOW_PX = 40
EMISSION = ("corona", "ultraviolet", "coronagraph")  # pictures whose contrast is a matter of taste


def vary(view, rng: np.random.Generator):
    """The row of a view with its exposure, pixel size and the numbers of its look drawn anew."""
    pixel = view.pixel_arcsec
    if view.field == "region":
        pixel *= float(np.exp(rng.uniform(*np.log(CUTOUT_SCALES))))
    gain = view.gain
    if view.picture in ("corona", "ultraviolet"):
        gain *= float(np.exp(rng.normal(0, 0.4)))
    look = _corona(view.look, rng) if view.picture == "corona" else view.look
    return dataclasses.replace(view, pixel_arcsec=pixel, gain=gain, look=look)


def _corona(look: dict, rng: np.random.Generator) -> dict:
    """Regions brighter or fainter against a quiet Sun with more or less texture, limb and corona beyond it."""
    bright = float(np.exp(rng.uniform(-1.8, 0.3)))
    which, counts, blur_px = look["loops"]
    return look | {
        "glow": [[width * rng.uniform(0.8, 1.3), level * bright] for width, level in look["glow"]],
        "loops": (which, counts * bright * rng.uniform(0.7, 2.0), blur_px),
        "clouds": look["clouds"] * rng.uniform(0.7, 1.8),
        "limb": look["limb"] * rng.uniform(0.5, 1.5),
        "scale_height": look["scale_height"] * rng.uniform(0.7, 1.8),
    }


def compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An emission picture with a contrast of its own: levels raised to a power about their median, often 1.

    Browse pictures and pictures of different filters of one channel differ in this way.
    """
    if rng.random() < 0.3:
        return image
    shown = image[np.isfinite(image) & (image > 0)]
    middle = np.float32(np.median(shown)) if shown.size else np.float32(1)
    return middle * np.clip(image / middle, 0, None) ** np.float32(rng.uniform(0.45, 1.1))


def taken(image: np.ndarray, header, field: str, rng: np.random.Generator) -> np.ndarray:
    """The part of the picture that the file keeps, its pixels binned; `header` (CRPIX, CDELT) follows.

    A cutout is the whole square or a part about its middle, wider than high. Some files hold binned pixels.
    """
    if field == "region":
        rows, columns = _window(image.shape, rng)
        image = image[rows, columns]
        header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] - columns.start, header["CRPIX2"] - rows.start
    factors, shares = ([1, 2], [0.85, 0.15]) if field == "region" else ([1, 2, 4], [0.75, 0.15, 0.1])
    factor = int(rng.choice(factors, p=shares))
    for axis in (1, 2):
        header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) / factor + 0.5
        header[f"CDELT{axis}"] *= factor
    return _binned(image, factor)


def _window(shape: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
    if rng.random() < 0.3:
        return slice(0, shape[0]), slice(0, shape[1])
    width = int(shape[1] * rng.uniform(0.75, 1.0))
    height = max(SMALLEST_WINDOW_PX, int(width * rng.uniform(*WINDOW)))
    top, left = ((n - size) // 2 for n, size in zip(shape, (height, width), strict=True))
    return slice(top, top + height), slice(left, left + width)


def _binned(image: np.ndarray, factor: int) -> np.ndarray:
    """Means over factor x factor pixels, missing where one of them is; the rest of the last rows is left out."""
    rows, columns = (n // factor for n in image.shape)
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return blocks.mean(axis=(1, 3))
