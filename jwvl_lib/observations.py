"""Observations: open one image file, whatever its kind, into pixels, header, instrument and date.

Reads FITS (also compressed and with several extensions), JPEG2000 with its FITS header in the XML box, PNG, JPEG and
GIF, and GOES X-ray files; writes nothing. What cannot be trusted (truncated, wrong kind, a cube, a mask, no date)
raises `UnreadableImage` with one line; a date is never made up.
"""

import functools
import json
import math
import re
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import sunpy

from jwvl_lib.image_files import UnreadableImage, read_image
from jwvl_lib.instruments import UNKNOWN, Instrument, identify, identify_name

# images among the test files that every sunpy installation carries
SAMPLE_FILES = (
    "2013_05_13__16_54_06_137__SOHO_LASCO_C3_white-light.jp2",
    "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2",
    "2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174.jp2",
    "2023_01_31__03_39_23_200__SDO_HMI_HMI_continuum.jp2",
    "EIT/efz20040301.000010_s.fits",
    "EIT/efz20040301.010016_s.fits",
    "aia_171_level1.fits",
    "hsi_image_20101016_191218.fits",
    "resampled_hmi.fits",
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_CLOCK = r"(?P<h>[0-2]\d)[:_-]?(?P<i>[0-5]\d)(?:[:_-]?(?P<s>[0-5]\d))?"
_DAY = r"(?P<y>19\d\d|20\d\d)[_.-]?(?P<m>[01]\d)[_.-]?(?P<d>[0-3]\d)"
_NAME_DATE = re.compile(rf"(?<!\d){_DAY}(?:T|_+|\.|-){_CLOCK}(?!\d)")


@dataclass(frozen=True, eq=False)
class Observation:
    """One image of the Sun. `data`: float32, (rows, columns), row 0 at the bottom as in FITS, NaN where missing.

    `rgb` keeps the colours of a picture that had them (uint8, rows as in `data`), else None. `date_obs` is UTC,
    ISO 8601 to the second. `prestretched`: the values are display levels 0 to 255, not physical. What no row of the
    instrument table fits is "unknown" (`row` is None).
    """

    path: Path
    source_kind: str
    data: np.ndarray
    header: dict
    date_obs: str
    observatory: str
    instrument: str
    detector: str
    measurement: str
    wavelength_angstrom: float
    layer: str
    unit: str
    prestretched: bool
    row: Instrument | None
    rgb: np.ndarray | None = None


def open_observation(path: Path | str) -> Observation:
    """Open an image file; the content must be what the suffix says.

    Raises `UnreadableImage` for anything that is not one two-dimensional, dated picture, and `FileNotFoundError`.
    """
    path = Path(path)
    kind, data, rgb, header = read_image(path)
    row = identify(header, path.name) or (None if _says_who(header) else identify_name(path.name))
    date_obs = header_date(header) or _sidecar_date(path) or name_date(path.name)
    if not date_obs:
        raise UnreadableImage(
            path, "no observation date in header or file name; a date is never guessed: name it YYYYMMDD_HHMMSS"
        )
    return Observation(
        path=path,
        source_kind=kind,
        data=data,
        header=header,
        date_obs=date_obs,
        observatory=row.observatory if row else UNKNOWN,
        instrument=row.instrument if row else UNKNOWN,
        detector=row.detector if row else UNKNOWN,
        measurement=row.measurement if row else UNKNOWN,
        wavelength_angstrom=row.wavelength_angstrom if row else math.nan,
        layer=row.layer if row else UNKNOWN,
        unit="display level" if kind != "fits" else str(header.get("BUNIT") or (row.unit if row else "")),
        prestretched=kind != "fits",
        row=row,
        rgb=rgb,
    )


def _says_who(header: dict) -> bool:
    """Whether a header names its instrument: then the file name has no say."""
    return any(str(header.get(key) or "").strip() for key in ("TELESCOP", "INSTRUME", "DETECTOR", "OBSRVTRY"))


def sample_files() -> list[Path]:
    """Images among the test files of the installed sunpy, those that are there: 3 JPEG2000, 1 large, 5 FITS."""
    return [p for p in (sunpy_data() / name for name in SAMPLE_FILES) if p.is_file()]


def sample_srs_files() -> list[Path]:
    """Solar Region Summaries among the test files of the installed sunpy."""
    return sorted((sunpy_data() / "SRS").glob("*SRS.txt"))


def sunpy_data() -> Path:
    """Folder of real test observations in the installed sunpy (BSD-2-Clause)."""
    return Path(sunpy.__file__).parent / "data" / "test"


def open_xrs(path: Path | str) -> pd.DataFrame:
    """GOES X-ray fluxes: columns time (UTC, no zone), xrsa_wm2 (0.5-4 angstrom) and xrsb_wm2 (1-8 angstrom).

    FITS and netCDF files as sunpy.timeseries reads them; fill values are NaN. `attrs["satellite"]` is "GOES-15" or the
    like, "GOES" where the file does not say. Raises `UnreadableImage`.
    """
    from sunpy.timeseries import TimeSeries  # only for X-ray curves

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            series = TimeSeries(str(path), source="XRS")
            frame = series.to_dataframe()
    except Exception as error:  # sunpy, h5netcdf and astropy each have their own
        raise UnreadableImage(path, f"no GOES XRS file that sunpy.timeseries reads ({error})") from error
    curve = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(frame.index).astype("datetime64[ns]"),
            "xrsa_wm2": frame["xrsa"].to_numpy(float),
            "xrsb_wm2": frame["xrsb"].to_numpy(float),
        }
    ).reset_index(drop=True)
    curve.attrs["satellite"] = series.observatory or "GOES"
    return curve


def header_date(header: dict) -> str:
    """UTC date of the observation from a FITS header, "" if it has none; DATE (when the file was written) never counts.

    In order: the first of DATE-OBS, DATE_OBS, DATEOBS that carries a time of day, one of them with TIME-OBS, DATE-BEG
    and DATE-AVG, T_OBS (converted where it says TAI). Forms of SDO, SOHO, GONG and MDI ("28-Jul-2009", "31-MAY-96").
    """
    dates = [str(header.get(k) or "").strip() for k in ("DATE-OBS", "DATE_OBS", "DATEOBS")]
    clock = str(header.get("TIME-OBS") or header.get("TIME_OBS") or "").strip()
    later = [str(header.get(k) or "").strip() for k in ("DATE-BEG", "DATE-AVG", "T_OBS")]
    forms = dates + [f"{d} {clock}" for d in dates if clock] + later
    found = (_parse_date(form) for form in forms)
    return next((date for date in found if date), "")


def name_date(name: str) -> str:
    """UTC date in a file name ("2013_06_24__17_31_30", "20260313_000616"), "" if there is none with a time of day."""
    found = _NAME_DATE.search(name)
    return _date(**{k: found[k] for k in "ymdhis"}) if found else ""


def _parse_date(text: str) -> str:
    """ "2011-02-15T00:00:00.34Z", "2009/09/05 18:54:16", "31-MAY-96 05:23:46" or "2014.03.01_00:01:25_TAI" as ISO."""
    clock = r"[T _]\s*(?P<h>\d\d):(?P<i>\d\d)(?::(?P<s>\d\d)(?:\.\d*)?)?\s*(?P<scale>Z|_?TAI|_?UTC?)?"
    numeric = re.fullmatch(rf"(?P<y>\d{{4}})[-/.](?P<m>\d\d)[-/.](?P<d>\d\d){clock}", text.strip())
    named = re.fullmatch(rf"(?P<d>\d\d?)-(?P<m>[A-Za-z]{{3}})-(?P<y>\d{{4}}|\d\d){clock}", text.strip())
    part = (numeric or named) and (numeric or named).groupdict()
    if not part:
        return ""
    if named:
        part["m"] = _MONTHS.index(part["m"].lower()) + 1 if part["m"].lower() in _MONTHS else 0
        part["y"] = part["y"] if len(part["y"]) == 4 else ("19" if int(part["y"]) > 50 else "20") + part["y"]
    scale = (part.pop("scale") or "").strip("_")
    return _date(**part, tai=scale == "TAI")


def _date(y, m, d, h, i, s=None, tai: bool = False) -> str:
    """ISO text of the parts, "" where they are no date between 1970 and 2100."""
    try:
        moment = datetime(int(y), int(m), int(d), int(h), int(i), min(int(s or 0), 59))
    except ValueError:
        return ""
    if not 1970 <= moment.year < 2100:
        return ""
    return (moment - timedelta(seconds=_tai_minus_utc(moment.year, moment.month) if tai else 0)).isoformat()


@functools.cache
def _tai_minus_utc(year: int, month: int) -> int:
    """Leap seconds from astropy's built-in table."""
    from astropy.time import Time

    moment = Time(f"{year}-{month:02d}-01", scale="utc")
    return round(((moment.tai.jd1 - moment.jd1) + (moment.tai.jd2 - moment.jd2)) * 86400)


def _sidecar_date(path: Path) -> str:
    """Date in a JSON file of the same stem: the name of a downloaded "latest" picture carries the time of download."""
    sidecar = path.with_suffix(".json")
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
        text = str(record.get("observation_time") or record.get("date_obs") or "")
    except (OSError, ValueError, AttributeError):
        return ""
    return _parse_date(text) or name_date(text)
