"""A GOES X-ray light curve as a picture of the corpus, with the class of its peak measured.

Reads the FITS and netCDF files of GOES XRS; writes the picture into `images/` of the corpus's folder. The two bands are
drawn over a day's hours between 1e-9 and 3e-3 watts per square metre, with the decades that name the flare classes.
"""

import hashlib
import io
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from PIL import Image

from jwvl_lib import knowledge, render
from jwvl_lib.facts import Fact, to_json
from jwvl_lib.image_files import UnreadableImage
from jwvl_lib.observations import open_xrs

LEAST_MINUTES = 10
LEAST_SHARE = 0.5  # of the samples
CLASSES = knowledge.goes_letters()  # of decades from 1e-8 W/m2
LOWEST_WM2, HIGHEST_WM2 = 1e-9, 3e-3
METHOD = "measured:highest one-minute mean of 1-8 angstrom"
STRETCH = "none: flux over time, logarithmic, 1e-09 to 0.003 W/m2"


def is_light_curve(path: Path) -> bool:
    """Whether a file is a GOES XRS one: netCDF, or FITS tables whose header says GOES; content decides later."""
    if path.suffix.lower() == ".nc":
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = fits.getheader(path, 0)
    except Exception:  # whatever it is, the image readers will say it better
        return False
    return bool(re.fullmatch(r"GOES[- ]?\d+", str(header.get("TELESCOP", "")).strip())) and header.get("NAXIS", 0) == 0


def goes_class(flux_wm2: float) -> str:
    """ "M2.5" of 2.5e-5 W/m2, cut off (not rounded) after one decimal as SWPC does; "A0.1" at least."""
    power = min(max(int(np.floor(np.log10(flux_wm2) + 1e-9)), -8), -4)
    return f"{CLASSES[power + 8]}{max(np.floor(flux_wm2 / 10.0**power * 10 + 1e-6) / 10, 0.1):.1f}"


def peak(curve: pd.DataFrame) -> tuple[pd.Timestamp, float]:
    """Minute and flux (W/m2) of the highest one-minute mean of the 1-8 angstrom flux; NaN and non-positive left out."""
    flux = curve.set_index("time")["xrsb_wm2"]
    means = flux[flux > 0].resample("1min").mean()
    return means.idxmax(), float(means.max())


def light_curve_row(path: Path, source: str, folder: Path, image_px: int) -> dict:
    """Row of a curve's picture (see `image_rows`). Raises `UnreadableImage` for anything but an X-ray curve."""
    curve = open_xrs(path)
    good = curve["xrsb_wm2"] > 0
    if good.sum() < 2 or good.mean() < LEAST_SHARE:
        raise UnreadableImage(
            path, f"{good.mean():.0%} of {len(curve)} samples have a flux; at least {LEAST_SHARE:.0%}"
        )
    # a day's file may begin a second before its day
    first, last = curve["time"].iloc[0].round("min").isoformat(), curve["time"].iloc[-1].floor("s").isoformat()
    if curve["time"].iloc[-1] - curve["time"].iloc[0] < pd.Timedelta(minutes=LEAST_MINUTES):
        raise UnreadableImage(path, f"{first} to {last} are too short for a curve; at least {LEAST_MINUTES} minutes")
    satellite = curve.attrs["satellite"]
    banner = [f"{satellite} XRS", f"{first[:16].replace('T', ' ')} UT"]
    png = render.png_bytes(render.draw_banner(draw(curve, image_px), banner))
    pixels = hashlib.sha256(curve.to_numpy().astype(str).tobytes()).hexdigest()
    image_id = f"{satellite.lower()}-xrs_{first.replace('-', '').replace(':', '')}_{pixels[:8]}"
    (folder / "images" / f"{image_id}.png").write_bytes(png)
    return {
        "image_id": image_id,
        "path": f"images/{image_id}.png",
        "sha256": hashlib.sha256(png).hexdigest(),
        "source": source,
        **{"observatory": "GOES", "instrument": "XRS", "detector": satellite, "measurement": "light curve"},
        "wavelength_angstrom": None,
        "layer": "corona",
        "date_obs": first,
        **{"width": image_px, "height": image_px, "simulated": False, "stretch": STRETCH},
        "group_id": first[:10],
        "banner_text": "\n".join(banner),
        "facts": to_json([*_facts(curve, source, first, last), _banner_fact(banner, source)]),
        "boxes": json.dumps([]),
        "pixels": pixels,
    }


def _banner_fact(banner: list[str], source: str) -> Fact:
    return Fact("banner_text", "\n".join(banner), origin="render", source=source)


def _facts(curve: pd.DataFrame, source: str, first: str, last: str) -> list[Fact]:
    satellite = curve.attrs["satellite"]
    minute, flux = peak(curve)
    said = {"observatory": "GOES", "instrument": "XRS", "measurement": "light curve", "layer": "corona"}
    found = [Fact(kind, value, source=source, text=satellite) for kind, value in said.items()]
    found += [Fact("date_obs", first, source=source, text=first), Fact("time_end", last, source=source, text=last)]
    words = f"{flux:.3g} W/m2 at {minute:%Y-%m-%dT%H:%M}"
    measured = {"peak_goes_class": goes_class(flux), "peak_time": f"{minute:%Y-%m-%dT%H:%M}"}
    return found + [Fact(kind, value, origin=METHOD, source=source, text=words) for kind, value in measured.items()]


def draw(curve: pd.DataFrame, image_px: int) -> Image.Image:
    """RGB square, the curve above the banner's band: 1-8 angstrom red, .5-4 blue, hours (UT) below, classes right."""
    height = image_px - render.banner_height(image_px)
    figure = Figure(figsize=(image_px / 100, height / 100), dpi=100, facecolor="black")
    axes = figure.add_axes((0.08, 0.16, 0.84, 0.8), facecolor="black")
    size, width = image_px / 168 * 6.5, image_px / 168 * 0.8
    for name, colour in (("xrsa_wm2", "#5aa0ff"), ("xrsb_wm2", "#ff5a4d")):
        axes.semilogy(curve["time"], curve[name].where(curve[name] > 0), color=colour, lw=width)
    axes.set_ylim(LOWEST_WM2, HIGHEST_WM2)
    axes.set_xlim(curve["time"].iloc[0], curve["time"].iloc[-1])
    for i, name in enumerate(CLASSES):
        axes.axhline(10.0 ** (i - 8), color="0.35", lw=width / 2, zorder=0)
        place = (1.02, 10.0 ** (i - 8) * 10**0.5)
        axes.text(*place, name, transform=axes.get_yaxis_transform(), color="white", fontsize=size, va="center")
    axes.yaxis.set_visible(False)
    locator = AutoDateLocator(minticks=3, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.tick_params(axis="x", colors="white", labelsize=size, length=2, width=width / 2, pad=1)
    for spine in axes.spines.values():
        spine.set(color="0.5", linewidth=width / 2)
    FigureCanvasAgg(figure)
    image = Image.new("RGB", (image_px, image_px))
    image.paste(Image.open(io.BytesIO(_png(figure))).convert("RGB").resize((image_px, height)), (0, 0))
    return image


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="black", metadata={"Software": None})
    return stream.getvalue()
