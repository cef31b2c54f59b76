"""Where the solar disk lies in an image: centre, radius and orientation from the header, places to pixels and back.

Reads and writes nothing. Pixels are 0-based (x right, y up: column and row of `Observation.data`), the centre of the
first pixel at (0, 0). Directions are west and north on the sky in solar radii, as in `jwvl_lib.heliographic`.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jwvl_lib.heliographic import unit_vectors
from jwvl_lib.observations import Observation

ARCSEC = {"": 1.0, "arcsec": 1.0, "arcsecs": 1.0, "deg": 3600.0, "degree": 3600.0}
SOLAR_AXES = ("HPLN", "SOLAR-X", "SOLAR_X", "ARCSEC", "GONGX")
EIT_DETECTOR_PX = 1024
SUN_RADIUS_M = 695.7e6
SOHO_DISTANCE = 0.99  # of the Earth's: SOHO is at the inner Lagrange point


@dataclass(frozen=True, eq=False)
class DiskGeometry:
    """The disk in an image: centre (x, y) and mean radius in pixels, and `matrix` (2, 2), (west, north) in solar radii
    to pixel offsets. `crota_deg` is the angle of CROTA2; `b0_deg` and `lon_deg` are the observer's Stonyhurst place."""

    x: float
    y: float
    radius_px: float
    crota_deg: float
    matrix: np.ndarray
    b0_deg: float
    lon_deg: float
    radius_arcsec: float

    def to_pixel(self, west_north: np.ndarray) -> np.ndarray:
        """(..., 2) west and north in solar radii -> (..., 2) pixels x, y."""
        return np.asarray(west_north) @ self.matrix.T + (self.x, self.y)

    def to_sky(self, pixels: np.ndarray) -> np.ndarray:
        """(..., 2) pixels x, y -> (..., 2) west and north in solar radii."""
        return (np.asarray(pixels) - (self.x, self.y)) @ np.linalg.inv(self.matrix).T


@dataclass(frozen=True)
class PatchGeometry:
    """A region mapped in cylindrical equal-area coordinates about its own centre, as HMI's SHARPs are.

    `x`, `y` is the pixel of the centre, `lat_deg` and `lon_deg` its Stonyhurst place, `deg_px` the scale there;
    `b0_deg` is the observer's latitude.
    """

    x: float
    y: float
    lat_deg: float
    lon_deg: float
    deg_px: float
    b0_deg: float


def patch_geometry(obs: Observation) -> PatchGeometry | None:
    """The map of a patch (CRLN-CEA with CRLN_OBS, Sun 2013, arXiv:1309.2392), None for all else, whole charts too."""
    header = obs.header
    keys = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CRLN_OBS")
    values = [_get(header, key) for key in keys]
    if str(header.get("CTYPE1", "")).upper() != "CRLN-CEA" or None in values or not values[4]:
        return None
    x, y, longitude, latitude, scale, centre = values
    if obs.data.shape[1] * abs(scale) > 180:
        return None
    from_meridian = (longitude - centre + 180) % 360 - 180
    return PatchGeometry(x - 1, y - 1, latitude, from_meridian, scale, _b0_deg(obs))


def disk_geometry(obs: Observation) -> DiskGeometry | None:
    """The disk by the header, None where the header does not say (a plain picture, a Carrington chart).

    CRPIX, CDELT, CRVAL, CUNIT with CD, PC or CROTA (FITS standard, Thompson 2006), the fitted limb of GONG
    (FNDLMBXC …), MDI's roll (P_ANGLE). Helioviewer's JPEG2000 are north up whatever CROTA says. The radius is
    RSUN_OBS, or follows from the distance, or from the date for the Earth and SOHO.
    """
    header = obs.header
    if not str(header.get("CTYPE1", "")).upper().startswith(SOLAR_AXES):
        return None
    radius_arcsec = _radius_arcsec(obs)
    if radius_arcsec is None:
        return None
    linear = _pixel_scale(header, obs.source_kind)
    if linear is not None:
        linear = linear * _binning(header, radius_arcsec)
        matrix = np.linalg.inv(linear) * radius_arcsec
        value = np.array([_get(header, "CRVAL1") or 0.0, _get(header, "CRVAL2") or 0.0])
        centre = np.array([_get(header, "CRPIX1") or 0.0, _get(header, "CRPIX2") or 0.0]) - 1
        centre = centre - matrix @ (value * _unit(header) / radius_arcsec)
    else:
        radius = _get(header, "FNDLMBMI", "SOLAR_R")
        if not radius:
            return None
        matrix = radius * np.eye(2)
        centre = np.array([_get(header, "FNDLMBXC", "CRPIX1") or 0.0, _get(header, "FNDLMBYC", "CRPIX2") or 0.0]) - 1
    # sign as in CROTA2: PC = [[cos, -sin], [sin, cos]]
    crota = math.degrees(math.atan2(-matrix[1, 0], matrix[0, 0]))
    return DiskGeometry(
        x=float(centre[0]),
        y=float(centre[1]),
        radius_px=float(math.sqrt(abs(np.linalg.det(matrix)))),
        crota_deg=crota,
        matrix=matrix,
        b0_deg=_b0_deg(obs),
        lon_deg=_get(header, "HGLN_OBS") or 0.0,
        radius_arcsec=radius_arcsec,
    )


def disk_of_picture(obs: Observation) -> DiskGeometry | None:
    """The disk by its limb in a full-disk picture without a header, north taken to be up as publishers have it.

    The centre is that of the picture; the radius is where the mean brightness on circles changes most (the limb of
    photosphere and H-alpha) or peaks (the bright limb of the corona). None where no ring stands out.
    """
    if obs.source_kind not in ("png", "jpeg", "gif") or obs.row is None or obs.row.ion == "white light":
        return None
    rows, columns = obs.data.shape
    x, y = (columns - 1) / 2, (rows - 1) / 2
    radius = np.hypot(np.arange(columns)[None] - x, np.arange(rows)[:, None] - y).astype(int)
    counts = np.bincount(radius.ravel())
    profile = np.bincount(radius.ravel(), obs.data.ravel()) / np.maximum(counts, 1)
    low, high = int(0.3 * min(x, y)), int(min(x, y))
    if high - low < 8:
        return None
    corona = obs.layer in ("corona", "transition region") or obs.measurement == "304"
    sought = profile[low:high] if corona else np.abs(np.gradient(profile))[low:high]
    peak = low + int(np.argmax(sought))
    if sought.max() < 1.15 * np.median(sought) or not low < peak < high - 1:
        return None
    radius_arcsec = math.degrees(math.asin(SUN_RADIUS_M / (sun_from_earth(obs.date_obs)[0] * 149597870700.0))) * 3600
    # the bright ring of the corona is the limb itself to half a per cent
    return DiskGeometry(x, y, float(peak), 0.0, peak * np.eye(2), sun_from_earth(obs.date_obs)[1], 0.0, radius_arcsec)


def heliographic_to_pixel(geometry: DiskGeometry | PatchGeometry, lat_deg, lon_deg) -> tuple[np.ndarray, np.ndarray]:
    """Stonyhurst degrees at the time of the image -> pixels (..., 2) and whether the place is on the visible side.

    With the perspective of an observer at finite distance (half a per cent of the radius at most).
    """
    if isinstance(geometry, PatchGeometry):
        return _patch_pixels(geometry, lat_deg, lon_deg)
    vectors = unit_vectors(lat_deg, np.asarray(lon_deg) - geometry.lon_deg, geometry.b0_deg)
    distance = 1 / math.sin(math.radians(geometry.radius_arcsec / 3600))
    # tangent of the angle from the disk centre, in units of the apparent radius
    depth = (distance - vectors[..., 2:]) * math.tan(math.radians(geometry.radius_arcsec / 3600))
    return geometry.to_pixel(vectors[..., :2] / depth), vectors[..., 2] > 1 / distance


def _patch_pixels(patch: PatchGeometry, lat_deg, lon_deg) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on the patch, whose own centre is the origin of the projection, and whether the place faces the Earth."""
    west, north, near = np.moveaxis(unit_vectors(lat_deg, np.asarray(lon_deg) - patch.lon_deg, patch.lat_deg), -1, 0)
    pixels = np.stack([np.arctan2(west, near), north], axis=-1) * np.degrees(1) / patch.deg_px + (patch.x, patch.y)
    return pixels, unit_vectors(lat_deg, lon_deg, patch.b0_deg)[..., 2] > 0


def is_full_disk(geometry: DiskGeometry | None, shape: tuple[int, int], tolerance: float = 0.08) -> bool:
    """Whether the whole disk lies in an array of that shape, but for `tolerance` solar radii."""
    if geometry is None:
        return False
    reach = 1 - tolerance
    limb = geometry.to_pixel(np.array([(reach, 0), (-reach, 0), (0, reach), (0, -reach)]))
    return bool((limb >= -0.5).all() and (limb <= np.array(shape[::-1]) - 0.5).all())


def sun_from_earth(date_obs: str) -> tuple[float, float]:
    """Distance (au) and heliographic latitude of the disk centre (degrees) for an ISO date.

    Low precision of the Astronomical Almanac and Meeus (Astronomical Algorithms, chapters 25 and 29): 0.01 degrees.
    """
    days = (datetime.fromisoformat(date_obs) - datetime(2000, 1, 1, 12)).total_seconds() / 86400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = 280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    node = 73.6667 + 1.3958333 * (days + 2451545.0 - 2396758.0) / 36525
    b0 = math.degrees(math.asin(math.sin(math.radians(longitude - node)) * math.sin(math.radians(7.25))))
    return 1.00014 - 0.01671 * math.cos(anomaly) - 0.00014 * math.cos(2 * anomaly), b0


def _pixel_scale(header: dict, source_kind: str) -> np.ndarray | None:
    """(2, 2) arcsec per pixel, or None where CDELT is absent or zero."""
    unit = _unit(header)
    if _get(header, "CD1_1"):
        rows = [[_get(header, f"CD{i}_{j}") or 0.0 for j in (1, 2)] for i in (1, 2)]
        return unit * np.array(rows)
    cdelt = [_get(header, "CDELT1"), _get(header, "CDELT2")]
    return unit * np.diag(cdelt) @ _turn(header, source_kind) if all(cdelt) else None


def _binning(header: dict, radius_arcsec: float) -> float:
    """Factor on CDELT for EIT frames that were binned without it: a full field cannot be smaller than the disk."""
    across, scale = _get(header, "NAXIS1"), _get(header, "CDELT1")
    if header.get("OBJECT") == "full FOV" and across and abs(scale or 1.0) * across < 2 * radius_arcsec:
        return EIT_DETECTOR_PX / across
    return 1.0


def _turn(header: dict, source_kind: str) -> np.ndarray:
    """PC matrix; Helioviewer has turned its pictures north up and kept the old angle in the header."""
    if header.get("HELIOVIEWER"):
        return np.eye(2)
    if _get(header, "PC1_1") is not None:
        return np.array([[_get(header, f"PC{i}_{j}") or 0.0 for j in (1, 2)] for i in (1, 2)])
    angle = _get(header, "CROTA2", "CROTA", "CROTA1")
    if angle is None and source_kind == "fits":
        # the roll of SOHO: MDI calls it P_ANGLE, EIT SC_ROLL; JPEG2000 copies are turned and keep the old value
        angle = _get(header, "P_ANGLE" if header.get("INSTRUME") == "MDI" else "SC_ROLL")
    angle = angle or 0.0
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    ratio = (_get(header, "CDELT2") or 1.0) / (_get(header, "CDELT1") or 1.0)
    return np.array([[cos, -sin * ratio], [sin / ratio, cos]])


def _radius_arcsec(obs: Observation) -> float | None:
    """Apparent radius; the plausible range keeps out keywords that other instruments give in pixels."""
    given = _get(obs.header, "RSUN_OBS", "RSUN_ARC", "RSUN", "SOLAR-R", "SOLAR_R")
    if given is not None and 850 < given < 1200:
        return given
    distance = _get(obs.header, "DSUN_OBS")
    # MDI writes it in astronomical units, or the unit itself as a placeholder
    if distance and distance > 1e10 and distance != 149597870691.0:
        return math.degrees(math.asin(SUN_RADIUS_M / distance)) * 3600
    if abs(_get(obs.header, "HGLN_OBS") or 0.0) > 5 or obs.observatory.startswith(("STEREO", "SolO")):
        return None
    au = sun_from_earth(obs.date_obs)[0] * (SOHO_DISTANCE if obs.observatory == "SOHO" else 1.0)
    return math.degrees(math.asin(SUN_RADIUS_M / (au * 149597870700.0))) * 3600


def _b0_deg(obs: Observation) -> float:
    """From the header; an exact zero is a placeholder unless it is the observer's latitude proper."""
    given = _get(obs.header, "HGLT_OBS", "CRLT_OBS")
    given = given if given is not None else _get(obs.header, "OBS_B0", "SOLAR_B0", "SOLAR-B0") or None
    return given if given is not None else sun_from_earth(obs.date_obs)[1]


def _get(header: dict, *keys: str) -> float | None:
    """First keyword that holds a finite number."""
    values = (header.get(key) for key in keys)
    return next((float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)), None)


def _unit(header: dict) -> float:
    return ARCSEC.get(str(header.get("CUNIT1", "")).lower(), 1.0)
