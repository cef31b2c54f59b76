"""Places on the solar disk: Stonyhurst degrees to the observer's frame, and how far spots turn in some hours.

Reads and writes nothing. Longitudes are positive west, as everywhere in this library.
"""

import numpy as np


def unit_vectors(lat_deg: np.ndarray, lon_deg: np.ndarray, b0_deg: float) -> np.ndarray:
    """Stonyhurst degrees -> vectors (..., 3) in solar radii: west, north, towards the observer.

    `b0_deg` is the heliographic latitude of the disk centre. A place is on the near side where the third is positive.
    """
    lat, lon, b0 = np.radians(lat_deg), np.radians(lon_deg), np.radians(b0_deg)
    west = np.cos(lat) * np.sin(lon)
    north = np.sin(lat) * np.cos(b0) - np.cos(lat) * np.cos(lon) * np.sin(b0)
    near = np.sin(lat) * np.sin(b0) + np.cos(lat) * np.cos(lon) * np.cos(b0)
    return np.stack(np.broadcast_arrays(west, north, near), axis=-1)


def rotation_deg(lat_deg: float, hours: float) -> float:
    """Degrees that magnetic features move west in `hours`, as seen from the Earth.

    Snodgrass rates fitted by Howard, Harvey and Forgach (1990, Solar Physics 130, 295), less 0.9856 degrees a day for
    the Earth's own motion: the numbers of `sunpy.sun.models.differential_rotation(model="howard")`.
    """
    sine2 = np.sin(np.radians(lat_deg)) ** 2
    microradian_per_second = 2.894 - 0.428 * sine2 - 0.370 * sine2**2
    return float(hours * (np.degrees(microradian_per_second * 1e-6) * 3600 - 0.9856 / 24))


def places(west_north: np.ndarray, b0_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """(..., 2) west and north in solar radii -> latitude and longitude from the central meridian, degrees.

    The inverse of `unit_vectors` on the near side, seen from infinity; points beyond the limb are put on it.
    """
    west, north = np.moveaxis(np.asarray(west_north, dtype=float), -1, 0)
    beyond = np.maximum(np.hypot(west, north), 1.0)
    west, north = west / beyond, north / beyond
    near = np.sqrt(np.clip(1 - west**2 - north**2, 0, 1))
    b0 = np.radians(b0_deg)
    lat = np.arcsin(np.clip(north * np.cos(b0) + near * np.sin(b0), -1, 1))
    return np.degrees(lat), np.degrees(np.arctan2(west, near * np.cos(b0) - north * np.sin(b0)))


def place_text(lat_deg: float, lon_deg: float) -> str:
    """Place as observers write it: (-14.2, 6.4) is S14W06."""
    lat, lon = round(lat_deg), round(lon_deg)
    return f"{'N' if lat >= 0 else 'S'}{abs(lat):02d}{'W' if lon >= 0 else 'E'}{abs(lon):02d}"
