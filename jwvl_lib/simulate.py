"""Simulated days: a NOAA Solar Region Summary and FITS images of six instruments a day whose truth is known.

Reads `data/region_classes.csv`: how often each McIntosh and Mount Wilson class occurred together, and the 10, 50, 90 %
points of area, extent and spot count, counted in 26,134 region-days of the NOAA/USAF Solar Region Summaries of
1998-2005 and 2008-2015 (|longitude| <= 70 degrees, legal classes, at least 3 region-days; public domain).
Writes per day `<folder>/<YYYYMMDD>/`: the SRS issued on the following day, and FITS files with the header cards
of the real instruments, `SIMULATED = T` and the leading polarities (cards LPnnnnn). Not a climatology: regions too
small to see at 168 px are not drawn, and the largest is made clearly the largest.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd
import yaml
from astropy.io import fits
from astropy.time import Time
from sunpy.coordinates import sun

from jwvl_lib import swpc, view_variety
from jwvl_lib.heliographic import rotation_deg, unit_vectors
from jwvl_lib.scene import SPOT_ENLARGEMENT, Scene, SceneRegion, draw_scene
from jwvl_lib.scene_views import PICTURES, Disk, disk_grid

REGION_CLASSES = Path(__file__).parent / "data" / "region_classes.csv"
VIEWS = Path(__file__).parent / "data" / "simulated_views.yaml"
# No real region has these numbers yet, and their last four digits still complete by +10000 as real ones do.
FIRST_NUMBER, LOWEST_NUMBER, N_NUMBERS = 19000, 15000, 5000
P_N_REGIONS = (0.15, 0.22, 0.22, 0.18, 0.13, 0.10)  # of 0..5 regions with spots on a day
SMALLEST_MEDIAN_AREA_MSH = 30
# a small network that has learnt from 3,800 pictures counts right in .95 of those where all regions are larger than 80
# and nearer to the meridian than 55 degrees, in .91 where they begin at 20 and go to the limb
SMALLEST_AREA_MSH, FARTHEST_LON_DEG = 80, 55
SMALLEST_LEADER_MSH = 180
SECOND_TO_FIRST_AREA = 0.5
RSUN_M, SIZE_PX = 6.96e8, 256
NOTE = (
    "Simulated, not observed: jwvl_lib.simulate. Sunspots are drawn "
    f"{SPOT_ENLARGEMENT:g} times their linear size so that they survive at 168 pixels."
)


@dataclass(frozen=True)
class View:
    """How one instrument is drawn: a row of data/simulated_views.yaml, where the fields are explained."""

    group: str
    stem: str
    picture: str
    pixel_arcsec: float
    step: float
    cards: dict = dataclasses.field(hash=False)
    look: dict = dataclasses.field(hash=False, default_factory=dict)
    weight: float = 1.0
    gain: float = 1.0
    field: str = "disk"
    rotated: bool = False
    rare: bool = False


@lru_cache(maxsize=1)
def load_views() -> dict[str, list[View]]:
    """The views of data/simulated_views.yaml by group, in its order."""
    groups: dict[str, list[View]] = {}
    for row in yaml.safe_load(VIEWS.read_text(encoding="utf-8"))["views"]:
        groups.setdefault(row["group"], []).append(View(**row))
    return groups


@dataclass(frozen=True)
class Region:
    """A simulated region: degrees at 2400 UT of the day (west positive), and +1 or -1 for the leading field."""

    noaa_ar: int
    lat_deg: int
    lon_deg: int
    carrington_lon_deg: int
    area_msh: int
    mcintosh_class: str
    hale_class: str
    extent_deg: int
    n_spots: int
    leading_sign: int


@dataclass(frozen=True)
class SimulatedDay:
    """A day to be simulated: its number in the run, observing time, ephemeris at that time, and its own seed."""

    index: int
    observed: datetime
    n_regions: int
    first_count: int
    l0_end_deg: float
    b0_deg: float
    l0_deg: float
    rsun_arcsec: float
    dsun_m: float
    cycle_sign: int
    seed: int
    rare_views: bool = False

    @property
    def name(self) -> str:
        return f"{self.observed:%Y%m%d}"


# --------------------------------------------------------------------------------------------------------------------
# which days


def plan_days(n_days: int, tstart: str, tend: str, seed: int, rare_views: bool = False) -> list[SimulatedDay]:
    """Draw `n_days` different days of [tstart, tend] (ISO dates, both included), in order of date.

    Each day is an episode of its own: its regions, numbered 19000 and up, appear on no other day. All days share one
    sign of the magnetic cycle (Hale's law). Raises ValueError where the range is too short or the numbers run out.
    """
    start, end = _iso_day(tstart, "tstart"), _iso_day(tend, "tend")
    available = (end - start).days + 1
    if n_days < 0 or n_days > available:
        raise ValueError(
            f"n_simulated_days={n_days} does not fit into the {max(available, 0)} days from {tstart} to"
            f" {tend}; give fewer days or a wider range"
        )
    if n_days and start.year < 2003:
        raise ValueError(f"tstart={tstart}: NOAA numbers complete by +10000 from 2003 on only; start later")
    rng = np.random.default_rng([seed, 1])
    cycle_sign = int(rng.choice([-1, 1]))
    offsets = np.sort(rng.choice(available, n_days, replace=False)) if n_days else []
    minutes = rng.integers(0, 24 * 60 - 6, n_days)
    n_regions = rng.choice(len(P_N_REGIONS), n_days, p=P_N_REGIONS)
    if n_regions.sum() > N_NUMBERS:
        raise ValueError(
            f"n_simulated_days={n_days} needs {n_regions.sum()} region numbers; there are {N_NUMBERS}"
            f" from {LOWEST_NUMBER} on: give fewer days"
        )
    observed = [start + timedelta(days=int(d), minutes=int(m)) for d, m in zip(offsets, minutes, strict=True)]
    counts = np.concatenate([[0], np.cumsum(n_regions)]).astype(int)
    return [
        SimulatedDay(i, time, int(n_regions[i]), int(counts[i]), *ephemeris, cycle_sign, seed, rare_views)
        for i, (time, ephemeris) in enumerate(zip(observed, _ephemerides(observed), strict=True))
    ]


def _iso_day(text: str, name: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a date; write it as YYYY-MM-DD") from None


def _ephemerides(observed: list[datetime]) -> list[tuple[float, ...]]:
    """L0 at 2400 UT, B0, L0, apparent radius (arcsec) and distance (m) for each time, from sunpy."""
    if not observed:
        return []
    times = Time(observed)
    midnight = Time([time.replace(hour=0, minute=0) + timedelta(days=1) for time in observed])
    distance = sun.earth_distance(times).to_value(u.m)
    columns = (sun.L0(midnight).deg, sun.B0(times).deg, sun.L0(times).deg, np.degrees(RSUN_M / distance) * 3600)
    return [tuple(float(value) for value in row) for row in zip(*columns, distance, strict=True)]


# --------------------------------------------------------------------------------------------------------------------
# which regions


@lru_cache(maxsize=1)
def region_classes() -> np.recarray:
    """The class table (see the module's head): a record a pair of McIntosh and Mount Wilson class."""
    return pd.read_csv(REGION_CLASSES).to_records(index=False)


def draw_regions(day: SimulatedDay, rng: np.random.Generator) -> list[Region]:
    """The day's spotted regions, largest first; classes by their real joint frequency, area by class.

    The largest is drawn with weight frequency times median area, and the others have at most half its area.
    """
    regions, placed = [], []
    limit = np.inf
    for i in range(day.n_regions):
        row, area = _class_and_area(i == 0, limit, rng)
        limit = area * SECOND_TO_FIRST_AREA if i == 0 else limit
        lat, lon, vector = _place(i == 0, day, placed, rng)
        placed.append(vector)
        cycle = day.cycle_sign if rng.random() > 0.04 else -day.cycle_sign  # a few per cent break Hale's law
        regions.append(
            Region(
                noaa_ar=_number(day.first_count + i),
                lat_deg=lat,
                lon_deg=lon,
                carrington_lon_deg=int(round(day.l0_end_deg + lon)) % 360,
                area_msh=area,
                mcintosh_class=str(row.mcintosh_class),
                hale_class=str(row.hale_class),
                extent_deg=_spread(row.extent_deg_p10, row.extent_deg_p50, row.extent_deg_p90, rng, 1),
                n_spots=_spread(row.n_spots_p10, row.n_spots_p50, row.n_spots_p90, rng, 1),
                leading_sign=cycle * (1 if lat > 0 else -1),
            )
        )
    return regions


def _number(count: int) -> int:
    """19000 … 19999, and where these run out 15000 … 18999."""
    return LOWEST_NUMBER + (FIRST_NUMBER - LOWEST_NUMBER + count) % N_NUMBERS


def _class_and_area(largest: bool, limit: float, rng: np.random.Generator):
    table = region_classes()
    table = table[table["area_msh_p50"] >= SMALLEST_MEDIAN_AREA_MSH]
    smallest = SMALLEST_LEADER_MSH if largest else SMALLEST_AREA_MSH
    table = table[(table["area_msh_p90"] >= smallest) & (largest | (table["area_msh_p10"] <= limit))]
    weight = table.n_region_days * (table.area_msh_p50 if largest else 1)
    row = table[rng.choice(len(table), p=weight / weight.sum())]
    floor = max(row.area_msh_p10, smallest)
    area = _spread(row.area_msh_p10, row.area_msh_p50, row.area_msh_p90, rng, 10)
    return row, int(np.clip(area, floor, min(row.area_msh_p90, limit)) // 10 * 10)


def _spread(low: float, middle: float, high: float, rng: np.random.Generator, step: int) -> int:
    """A value between the 10 % and 90 % points, log-normal about the median, rounded to `step`."""
    width = max(np.log(max(high, 1) / max(low, 1)) / 2.563, 0.05)
    value = np.clip(middle * np.exp(rng.normal(0, width)), low, high)
    return max(step, int(round(value / step) * step))


def _place(largest: bool, day: SimulatedDay, placed: list, rng: np.random.Generator) -> tuple[int, int, np.ndarray]:
    """Whole degrees at 2400 UT, such that at the time of the image the region stands free of the others.

    All keep 8 to 55 degrees from the meridian, the largest also keeps clear of the axes as seen from the disk centre.
    """
    hours_left = 24 - day.observed.hour - day.observed.minute / 60
    for attempt in range(400):
        lat = int(round(rng.choice([-1, 1]) * np.clip(rng.normal(17, 6), 6, 34)))
        lon_seen = rng.choice([-1, 1]) * rng.uniform(8, FARTHEST_LON_DEG)
        lon = int(round(lon_seen + rotation_deg(lat, hours_left)))
        vector = unit_vectors(lat, lon - rotation_deg(lat, hours_left), day.b0_deg)
        clear = not largest or (vector[1] * np.sign(lat) > 0.14 and abs(vector[0]) > 0.12)
        apart = min((np.hypot(*(vector - other)[:2]) for other in placed), default=9)
        if clear and apart > 0.34 - 0.0005 * attempt:
            break
    return lat, lon, vector


def srs_frame(regions: list[Region], day: SimulatedDay) -> pd.DataFrame:
    """The day's regions as `swpc.write_srs` takes them, ordered by number."""
    rows = [
        {
            "section": "I",
            "noaa_ar": r.noaa_ar,
            "location": f"{'NS'[r.lat_deg < 0]}{abs(r.lat_deg):02d}{'EW'[r.lon_deg >= 0]}{abs(r.lon_deg):02d}",
            "lat_deg": r.lat_deg,
            "lon_deg": r.lon_deg,
            "carrington_lon_deg": r.carrington_lon_deg,
            "area_msh": r.area_msh,
            "mcintosh_class": r.mcintosh_class,
            "extent_deg": r.extent_deg,
            "n_spots": r.n_spots,
            "hale_class": r.hale_class,
        }
        for r in sorted(regions, key=lambda r: r.noaa_ar)
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "section",
            "noaa_ar",
            "location",
            "lat_deg",
            "lon_deg",
            "carrington_lon_deg",
            "area_msh",
            "mcintosh_class",
            "extent_deg",
            "n_spots",
            "hale_class",
        ],
    )


# --------------------------------------------------------------------------------------------------------------------
# files


def simulate_day(day: SimulatedDay, folder: str | Path) -> list[Path]:
    """Write the day's SRS (issued at 0030 UT of the next day) and a FITS image of each group of views into `folder`.

    Returns the paths, the SRS first. The same day gives the same bytes on every call.
    """
    folder = Path(folder)
    rng = np.random.default_rng([day.seed, 2, day.index])
    regions = draw_regions(day, rng)
    folder.mkdir(parents=True, exist_ok=True)
    srs = write_summary(regions, day, folder)
    hours_left = 24 - day.observed.hour - day.observed.minute / 60
    seen = [as_seen(region, hours_left) for region in regions]
    scene = draw_scene(seen, day.b0_deg, rng)
    variety = np.random.default_rng([day.seed, 3, day.index]) if day.rare_views else None
    views = draw_views(rng, day.rare_views)
    return [srs, *(write_view(view, scene, seen, regions, day, folder, rng, variety) for view in views)]


def draw_views(rng: np.random.Generator, rare: bool = False) -> list[View]:
    """One view of each group by weight; the rare ones only where asked for."""
    drawn = []
    for views in load_views().values():
        weights = np.array([view.weight * (rare or not view.rare) for view in views])
        drawn.append(views[rng.choice(len(views), p=weights / weights.sum())])
    return drawn


def as_seen(region: Region, hours_left: float) -> SceneRegion:
    """A region as the scene draws it, `hours_left` before the 2400 UT for which it was drawn."""
    lon = region.lon_deg - rotation_deg(region.lat_deg, hours_left)
    return SceneRegion(
        region.lat_deg,
        lon,
        region.area_msh,
        region.mcintosh_class,
        region.hale_class,
        region.extent_deg,
        region.n_spots,
        region.leading_sign,
    )


def write_summary(regions: list[Region], day: SimulatedDay, folder: Path) -> Path:
    """Write the SRS of a day, issued at 0030 UT of the next one, into `folder`."""
    issued = day.observed.replace(hour=0, minute=30, second=0) + timedelta(days=1)
    srs = folder / f"{issued:%Y%m%d}SRS.txt"
    srs.write_text(swpc.write_srs(srs_frame(regions, day), issued), encoding="utf-8")
    return srs


def write_view(
    view: View,
    scene: Scene,
    seen: list,
    regions: list,
    day: SimulatedDay,
    folder: Path,
    rng,
    variety=None,
    change=None,
    truth=(),
) -> Path:
    """Draw one view of a scene and write its FITS file.

    `change` (image, disk -> image) alters what the camera saw; `truth` are further header cards (keyword, value).
    """
    view = view_variety.vary(view, variety) if variety else view
    disk = disk_grid(SIZE_PX, view.pixel_arcsec, day.rsun_arcsec, scene, _middle(view, seen, day))
    image = view.gain * PICTURES[view.picture](scene, disk, rng, **view.look)
    if variety and view.picture in view_variety.EMISSION:
        image = view_variety.compressed(image, variety)
    if change is not None:
        image = change(image, disk)
    if view.rotated:
        image = image[::-1, ::-1]
    seconds = float(np.round(rng.uniform(0, 59), 2))
    time = day.observed + timedelta(seconds=seconds)
    header = _header(view, disk, regions, day, time)
    for keyword, value in truth:
        header[keyword] = (value, "truth of the simulator")
    if variety:
        image = view_variety.taken(image, header, view.field, variety)
    blank = -32768
    counts = np.where(np.isnan(image), blank, np.clip(np.rint(image / view.step), -32767, 32767)).astype(">i2")
    hdu = fits.PrimaryHDU(counts, header)
    hdu.header["BLANK"] = blank
    hdu.header["BSCALE"], hdu.header["BZERO"] = view.step, 0.0
    path = folder / f"{view.stem}_{time:%Y%m%dT%H%M%S}.fits"
    hdu.writeto(path, overwrite=True)
    return path


def _middle(view: View, seen: list[SceneRegion], day: SimulatedDay) -> tuple[float, float]:
    """Place of the image's middle in solar radii: a cutout stands about the largest region."""
    if view.field == "disk" or not seen:
        return 0.0, 0.0
    west, north, _ = unit_vectors(seen[0].lat_deg, seen[0].lon_deg, day.b0_deg)
    return float(west), float(north)


def _header(view: View, disk: Disk, regions: list[Region], day: SimulatedDay, time: datetime) -> fits.Header:
    header = fits.Header()
    header.update(view.cards)
    header["DATE-OBS"] = time.isoformat(timespec="milliseconds")[:-1]
    for axis, kind in ((1, "HPLN-TAN"), (2, "HPLT-TAN")):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, "arcsec"
        middle_arcsec = disk.middle[axis - 1] * day.rsun_arcsec
        header[f"CRPIX{axis}"], header[f"CRVAL{axis}"] = (SIZE_PX + 1) / 2, round(middle_arcsec, 3)
        header[f"CDELT{axis}"] = view.pixel_arcsec
    header["CROTA2"] = 180.0 if view.rotated else 0.0
    header["RSUN_OBS"], header["RSUN_REF"] = round(day.rsun_arcsec, 6), RSUN_M
    header["DSUN_OBS"], header["DSUN_REF"] = round(day.dsun_m, 2), 149597870691.0
    header["HGLN_OBS"], header["HGLT_OBS"] = 0.0, round(day.b0_deg, 6)
    header["CRLN_OBS"], header["CRLT_OBS"] = round(day.l0_deg, 6), round(day.b0_deg, 6)
    header["HIERARCH SIMULATED"] = (True, "not an observation")
    if view.picture == "magnetogram":
        for region in sorted(regions, key=lambda r: r.noaa_ar):
            polarity = "positive" if region.leading_sign > 0 else "negative"
            header[f"LP{region.noaa_ar}"] = (polarity, "leading polarity, truth of the simulator")
    header["COMMENT"] = NOTE
    return header
