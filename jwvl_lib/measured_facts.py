"""Facts measured on the pixels: sunspots, coronal holes, filaments and plage, each with its method, mask and areas.

Reads and writes nothing. What is found here is a measurement, marked `measured:<method>`, never a label by an observer:
it stands beside the regions of the Solar Region Summary and is not mixed with them. Areas are corrected for
foreshortening and given in millionths of the solar hemisphere (msh).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import sunpy.visualization.colormaps  # noqa: F401  (registers sdoaia193 with matplotlib)
from scipy import ndimage
from skimage import filters, morphology

from jwvl_lib.facts import Fact
from jwvl_lib.geometry import DiskGeometry, disk_geometry, disk_of_picture, is_full_disk
from jwvl_lib.heliographic import place_text, places
from jwvl_lib.observations import Observation

WORKING_RADIUS_PX = 480.0  # detectors run on a disk of at most this radius: 2 arcsec a pixel
SMALLEST_RADIUS_PX = 150.0  # below it (6 arcsec a pixel) a spot or a filament is no pixel wide
SMALLEST_PX = 8  # of working size: granulation and noise make smaller ones
LIMB_MU = 0.17  # within 80 degrees of the disk centre: nearer to the limb, areas are no measurement
LUMA = np.float32([0.299, 0.587, 0.114])
QUIET_TO_BLACK = 4.6  # quiet Sun over the lower end of the 193 display range, in which the thresholds were set
HOLE_THRESHOLD = (0.35, 0.70, 6)  # at disk centre, at the limb, power of the radius between them
HOLE_SEED = 0.5  # of the threshold: a hole has a core, a dim channel between loops has none
STARA_DEPTH = 0.10  # of the quiet photosphere; sunkit-image's 6000 of the 60000 counts of HMI
STRONG_FIELD_GAUSS = {"SDO": 500.0, "SOHO": 400.0}  # the line-of-sight field of spots; MDI's saturates and is coarser
FILAMENT_DEPTH, FILAMENT_CORE, PLAGE_HEIGHT = 0.10, 0.20, 0.14  # of the local quiet chromosphere


@dataclass(frozen=True, eq=False)
class Measurement:
    """One kind of feature on one image: `mask` (rows, columns) as `Observation.data`, and a record a feature, largest
    first: `lat_deg`, `lon_deg` (Stonyhurst, west positive), `area_msh`, `x`, `y` (pixels), `box` [x0, y0, x1, y1]."""

    kind: str
    method: str
    mask: np.ndarray
    features: list[dict]

    @property
    def area_msh(self) -> float:
        """Area of all features, millionths of the hemisphere."""
        return float(sum(f["area_msh"] for f in self.features))


@dataclass(frozen=True, eq=False)
class _Disk:
    """An image brought down to working size: values, distance from disk centre (solar radii), cosine of the angle."""

    values: np.ndarray
    radius: np.ndarray
    mu: np.ndarray
    radius_px: float
    arcsec_px: float
    factor: int
    geometry: DiskGeometry
    shape: tuple[int, int]


def measure(obs: Observation) -> list[Measurement]:
    """Everything that this library can measure on the image; [] where the instrument or the field does not allow it.

    Sunspots on continuum images and magnetograms, coronal holes on AIA 193, filaments and plage in H-alpha: full disks
    of at least 150 pixels radius only.
    """
    detectors = DETECTORS.get((obs.measurement, None)) or DETECTORS.get((obs.measurement, obs.instrument), ())
    return [found for found in (detect(obs) for detect in detectors) if found is not None]


def sunspots(obs: Observation) -> Measurement | None:
    """Sunspots on a continuum image by STARA (Watson et al. 2009), as sunkit-image has it, on the flattened disk."""
    from sunkit_image.stara import stara  # here: it brings dask and scikit-image, a second that few callers need

    disk = _disk(obs)
    if disk is None:
        return None
    flat = np.where(disk.radius < 1, disk.values / _radial_median(disk), 1.0)
    # beyond the limb, and on it, nothing is darker than its surroundings
    flat = np.nan_to_num(np.clip(flat, 0, 1.2), nan=1.0).astype(np.float32)
    found = stara(_plain_map(flat, disk, obs.date_obs), median_box=2.2 * disk.arcsec_px * _u().arcsec,
                  threshold=STARA_DEPTH)  # fmt: skip
    found &= disk.mu > LIMB_MU
    return _measurement("sunspot", "sunkit-image stara, depth 0.10, flattened disk", found, disk, 3.0, _no_line)


def field_sunspots(obs: Observation) -> Measurement | None:
    """Spots on a magnetogram: line-of-sight field above 500 G (400 G for MDI)."""
    disk = _disk(obs)
    if disk is None:
        return None
    limit = STRONG_FIELD_GAUSS.get(obs.observatory, 500.0)
    strong = (np.abs(np.nan_to_num(disk.values)) > limit) & (disk.mu > LIMB_MU)
    strong = morphology.remove_small_objects(strong, max_size=2, connectivity=2)
    return _measurement("sunspot", f"line-of-sight field above {limit:g} G", strong, disk, smallest_msh=5.0)


def coronal_holes(obs: Observation) -> Measurement | None:
    """Coronal holes on AIA 193 by thresholds and region growing.

    As EZSEG does (Caplan et al. 2016, ApJ 823, 53): a dark core below one threshold grows to a higher one. The
    threshold is a share of the disk median and rises towards the limb, where foreground emission brightens holes.
    """
    disk = _disk(obs)
    if disk is None:
        return None
    smoothed = ndimage.gaussian_filter(_display_ratio(obs, disk), disk.radius_px / 100)
    centre, limb, power = HOLE_THRESHOLD
    share = smoothed / (centre + (limb - centre) * np.minimum(disk.radius, 1) ** power)
    low = (share < 1) & (disk.radius <= 1)
    labels, n = ndimage.label(low)
    darkest = ndimage.minimum(share, labels, np.arange(1, n + 1))
    holes = np.concatenate([[False], darkest < HOLE_SEED])[labels]
    return _measurement("coronal_hole", "193 threshold and growth, 0.35 to 0.70 of the disk median", holes, disk, 700.0)


def filaments(obs: Observation) -> Measurement | None:
    """Filaments in H-alpha: 10 per cent darker than the local quiet disk around a core of 20, elongated: no spots.

    Local threshold and shape as in Shih and Kowalski (2003, Solar Physics 218, 99).
    """
    disk = _disk(obs)
    if disk is None:
        return None
    contrast = ndimage.gaussian_filter(_local_contrast(disk), disk.radius_px / 250)
    dark = filters.apply_hysteresis_threshold(-contrast, FILAMENT_DEPTH, FILAMENT_CORE)
    dark = morphology.closing(dark & (disk.mu > 0.3), morphology.disk(max(1, round(disk.radius_px / 160))))
    return _measurement("filament", "H-alpha local threshold -0.10, core -0.20, length", dark, disk, 150.0, _elongated)


def plage(obs: Observation) -> Measurement | None:
    """Plage in H-alpha: brighter than the local quiet disk by 14 per cent, joined over its own fine structure."""
    disk = _disk(obs)
    if disk is None:
        return None
    bright = (_local_contrast(disk) > PLAGE_HEIGHT) & (disk.mu > 0.3)
    bright = morphology.closing(bright, morphology.disk(max(1, round(disk.radius_px / 80))))
    return _measurement("plage", "H-alpha local threshold +0.14", bright, disk, 200.0)


# measurement (and instrument, where only one was tried) -> what can be measured on it
DETECTORS: dict[tuple[str, str | None], tuple[Callable[[Observation], Measurement | None], ...]] = {
    ("continuum", None): (sunspots,),
    ("magnetogram", None): (field_sunspots,),
    ("193", "AIA"): (coronal_holes,),
    ("H-alpha", None): (filaments, plage),
}


def measured_facts(found: Sequence[Measurement], source: str) -> list[Fact]:
    """Number and area of each kind of feature (0 is said too), with the method in `origin` and the places in `text`."""
    facts = []
    for one in found:
        evidence = {"origin": f"measured:{one.method}", "source": source}
        places_told = ", ".join(place_text(f["lat_deg"], f["lon_deg"]) for f in one.features[:5])
        facts.append(Fact(f"n_{one.kind}s", len(one.features), text=places_told, **evidence))
        facts.append(Fact(f"{one.kind}_area_msh", round(one.area_msh, 1), text=places_told, **evidence))
    return facts


# --------------------------------------------------------------------------------------------------------------------
# the disk


def _disk(obs: Observation) -> _Disk | None:
    """The image at working size, None where the whole disk does not show or is too small."""
    geometry = disk_geometry(obs) or disk_of_picture(obs)
    if not is_full_disk(geometry, obs.data.shape) or geometry.radius_px < SMALLEST_RADIUS_PX:
        return None
    values = obs.data if obs.rgb is None else _levels(obs)
    factor = max(1, math.ceil(geometry.radius_px / WORKING_RADIUS_PX))
    rows, columns = (n // factor * factor for n in values.shape)
    values = np.nan_to_num(values[:rows, :columns]).reshape(rows // factor, factor, columns // factor, factor)
    values = values.mean(axis=(1, 3), dtype=np.float32)
    y, x = (np.arange(n) * factor + (factor - 1) / 2 for n in values.shape)
    radius = np.hypot(x[None] - geometry.x, y[:, None] - geometry.y) / geometry.radius_px
    mu = np.sqrt(np.clip(1 - radius**2, 0, 1))
    scale = geometry.radius_arcsec / geometry.radius_px * factor
    return _Disk(values, radius, mu, geometry.radius_px / factor, scale, factor, geometry, obs.data.shape)


def _levels(obs: Observation) -> np.ndarray:
    """Display levels 0 to 255 of a coloured picture: its brightness looked up along the instrument's colormap."""
    brightness = obs.rgb @ LUMA
    if obs.row is None:
        return brightness.astype(np.float32)
    table = matplotlib.colormaps[obs.row.colormap](np.arange(256), bytes=True)[:, :3] @ LUMA
    return np.interp(brightness, np.maximum.accumulate(table), np.arange(256)).astype(np.float32)


def _radial_median(disk: _Disk, rings: int = 60) -> np.ndarray:
    """Median of the values at the same distance from the disk centre: limb darkening, or brightening."""
    ring = np.minimum((disk.radius * rings).astype(int), rings - 1)
    inside = disk.radius < 1
    order = np.argsort(ring[inside], kind="stable")
    parts = np.split(disk.values[inside][order], np.searchsorted(ring[inside][order], np.arange(1, rings)))
    medians = np.array([np.median(p) if p.size else np.nan for p in parts])
    medians = np.where(np.isfinite(medians) & (medians > 0), medians, np.nanmedian(medians))
    return np.interp(disk.radius * rings - 0.5, np.arange(rings), medians)


def _display_ratio(obs: Observation, disk: _Disk) -> np.ndarray:
    """Display levels over their median on the disk, the brightening of the limb (beyond 0.8 radii) taken out.

    Physical values are put on the logarithmic scale in which such pictures are published first.
    """
    inside = disk.radius < 0.95
    values = disk.values
    if not obs.prestretched:
        ratio = np.clip(values / max(float(np.median(values[inside])), 1e-6), 1 / QUIET_TO_BLACK, None)
        values = 1 + np.log(ratio) / math.log(QUIET_TO_BLACK)
    profile = _radial_median(_with(disk, values))
    base = float(np.median(profile[disk.radius < 0.83]))
    expected = np.where(disk.radius < 0.8, base, np.maximum(profile, base))
    return np.where(disk.radius <= 1.05, values / expected, 9.0)


def _with(disk: _Disk, values: np.ndarray) -> _Disk:
    return _Disk(values, disk.radius, disk.mu, disk.radius_px, disk.arcsec_px, disk.factor, disk.geometry, disk.shape)


def _local_contrast(disk: _Disk) -> np.ndarray:
    """Contrast of every pixel to the quiet disk around it (a tenth of the radius), limb darkening taken out."""
    inside = disk.radius < 0.98
    flat = np.where(inside, disk.values / _radial_median(disk), np.nan)
    flat = np.where(inside & (flat > 0), flat, 1.0)
    # a broad mean of what is neither dark nor bright follows vignetting and clouds, not filaments
    quiet = inside & (np.abs(flat - 1) < FILAMENT_DEPTH)
    width = disk.radius_px / 10
    weight = ndimage.gaussian_filter(quiet.astype(np.float32), width)
    mean = ndimage.gaussian_filter(np.where(quiet, flat, 0).astype(np.float32), width) / np.maximum(weight, 1e-3)
    fine = ndimage.gaussian_filter(flat, disk.radius_px / 400)
    return np.where(inside & (weight > 1e-3), fine / np.maximum(mean, 0.1) - 1, 0.0)


def _plain_map(values: np.ndarray, disk: _Disk, date_obs: str):
    """A sunpy map with a scale and nothing else: what STARA asks of it."""
    import sunpy.map

    header = {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "DATE-OBS": date_obs}
    return sunpy.map.Map(values, {**header, "CDELT1": disk.arcsec_px, "CDELT2": disk.arcsec_px})


def _u():
    import astropy.units

    return astropy.units


# --------------------------------------------------------------------------------------------------------------------
# features


def _elongated(area_px: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Longer than three times their mean width: filaments, not spots."""
    length = np.hypot(spans[:, 0], spans[:, 1])
    return length**2 > 3 * area_px


def _no_line(area_px: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Not a bad row or column of the detector: spots, foreshortened too, are never six times as long as wide."""
    return spans.max(axis=1) < 6 * spans.min(axis=1)


def _measurement(kind: str, method: str, found: np.ndarray, disk: _Disk, smallest_msh: float, keep=None) -> Measurement:
    """Label what was found, drop what is too small, give the rest its place and area."""
    labels, n = ndimage.label(found & (disk.radius < 1), structure=np.ones((3, 3)))
    index = np.arange(1, n + 1)
    # a pixel covers 1 / mu of its own area on the sphere; on the limb itself that has no bound
    msh = 1e6 / (2 * math.pi * disk.radius_px**2) / np.maximum(disk.mu, LIMB_MU)
    areas = ndimage.sum_labels(msh, labels, index)
    boxes = ndimage.find_objects(labels)
    good = areas >= max(smallest_msh, SMALLEST_PX * 1e6 / (2 * math.pi * disk.radius_px**2))
    if keep is not None and n:
        spans = np.array([[s.stop - s.start for s in box] for box in boxes])
        good &= keep(ndimage.sum_labels(np.ones(labels.shape), labels, index), spans)
    centres = np.array(ndimage.center_of_mass(msh * (labels > 0), labels, index)).reshape(n, 2)
    features = [_feature(centres[i], boxes[i], areas[i], disk) for i in np.flatnonzero(good)]
    mask = np.concatenate([[False], good])[labels]
    mask = mask.repeat(disk.factor, axis=0).repeat(disk.factor, axis=1)
    whole = np.zeros(disk.shape, bool)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    return Measurement(kind, method, whole, sorted(features, key=lambda f: -f["area_msh"]))


def _feature(centre: np.ndarray, box: tuple[slice, slice], area_msh: float, disk: _Disk) -> dict:
    """Record of one feature, pixels in those of the original image."""
    shift = (disk.factor - 1) / 2
    y, x = centre * disk.factor + shift
    lat, lon = places(disk.geometry.to_sky((x, y)), disk.geometry.b0_deg)
    rows, columns = box
    corners = [columns.start, rows.start, columns.stop, rows.stop]
    return {
        "lat_deg": round(float(lat), 1),
        "lon_deg": round(float(lon) + disk.geometry.lon_deg, 1),
        "area_msh": round(float(area_msh), 1),
        "x": round(float(x), 1),
        "y": round(float(y), 1),
        "box": [c * disk.factor for c in corners],
    }
