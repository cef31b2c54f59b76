"""Whether an image shows the Sun well enough to be learnt from; if not, one line why not.

Reads an opened observation, writes nothing. Judged where the Sun is: on the disk where the header places it, else in
the middle half of the picture, so that a black sky or a white margin counts for nothing.
"""

import numpy as np

from jwvl_lib.geometry import DiskGeometry, disk_geometry, is_full_disk
from jwvl_lib.observations import Observation

MOST_MISSING = 0.3  # share of the disk
MOST_SATURATED = 0.15  # share of the disk at its very maximum
LEAST_SPREAD = 1e-3  # of 1st to 99th percentile, against the median magnitude
MOST_LOST_ROWS = 0.03  # share of the rows of the disk that carry one value each
FARTHEST_RSUN = 1.3  # from the disk centre to the nearest pixel
LEAST_OF_DISK = 0.6  # of a disk that would fit into the frame
SIDE = 512  # an image is looked at in so many rows at most


def defect(obs: Observation) -> str:
    """ "" for a usable image, else one line: off-disk, blank, torn or saturated, with the figures that say so."""
    geometry = disk_geometry(obs)
    looks_at_corona = obs.row is not None and obs.row.ion == "white light"
    if geometry is not None and not looks_at_corona and (words := _off_disk(geometry, obs.data.shape)):
        return f"off-disk: {words}"
    step = max(1, min(obs.data.shape) // SIDE)
    disk = _disk(geometry if not looks_at_corona else None, obs.data.shape, step)
    values = obs.data[::step, ::step]
    # what is reconstructed or scanned (X-rays, a slit) may well have rows of one value; those are cutouts
    whole = geometry is None or is_full_disk(geometry, obs.data.shape)
    for name, find in (("blank", _blank), *([("torn", _torn)] if whole else []), ("saturated", _saturated)):
        if words := find(values, disk, looks_at_corona):
            return f"{name}: {words}"
    return ""


def _disk(geometry: DiskGeometry | None, shape: tuple[int, int], step: int) -> np.ndarray:
    """Where the Sun should be, of every `step`th pixel: within .95 solar radii, or the middle half of the picture."""
    rows, columns = np.ogrid[: shape[0] : step, : shape[1] : step]
    if geometry is not None:
        inside = np.hypot(columns - geometry.x, rows - geometry.y) < 0.95 * geometry.radius_px
        if inside.mean() > 0.02:
            return inside
    middle = [(axis >= n // 4) & (axis < n - n // 4) for axis, n in ((rows, shape[0]), (columns, shape[1]))]
    return middle[0] & middle[1]


def _off_disk(geometry: DiskGeometry, shape: tuple[int, int]) -> str:
    """Words where the frame misses the Sun, or holds little of a disk that would fit into it."""
    size = np.array(shape[::-1])
    centre = np.array([geometry.x, geometry.y])
    nearest = np.hypot(*(np.clip(centre, 0, size - 1) - centre)) / geometry.radius_px
    if nearest > FARTHEST_RSUN:
        return f"the nearest pixel is {nearest:.1f} solar radii from the disk centre; at most {FARTHEST_RSUN}"
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    ring = np.sqrt(np.linspace(0.05, 0.95, 10))[:, None, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    points = centre + geometry.radius_px * ring
    share = float(((points >= -0.5) & (points <= size - 0.5)).all(axis=-1).mean())
    if min(size) >= 1.8 * geometry.radius_px and share < LEAST_OF_DISK:
        return f"{share:.0%} of the disk is in a frame that could hold it; at least {LEAST_OF_DISK:.0%}"
    return ""


def _blank(values: np.ndarray, disk: np.ndarray, corona: bool) -> str:
    found = values[disk & np.isfinite(values)]
    share = 1 - found.size / max(1, disk.sum())
    if share > MOST_MISSING and not corona:
        return f"{share:.0%} of the disk is missing; at most {MOST_MISSING:.0%}"
    shown = values[np.isfinite(values)] if corona else found
    low, middle, high = np.percentile(shown, (1, 50, 99)) if shown.size else (0, 0, 0)
    if high - low <= LEAST_SPREAD * max(abs(low), abs(middle), abs(high), 1e-30):
        return f"the disk is one value, {low:.4g} to {high:.4g} from its 1st to its 99th percentile"
    return ""


def _torn(values: np.ndarray, disk: np.ndarray, corona: bool) -> str:
    """Rows or columns lost in transmission: all of one value across the disk, beside others that are not."""
    if corona:
        return ""
    seen = disk & np.isfinite(values)
    for axis, name in ((1, "rows"), (0, "columns")):
        counts = disk.sum(axis=axis)
        wide = counts > 0.3 * counts.max()
        low = np.where(seen, values, np.inf).min(axis=axis)
        high = np.where(seen, values, -np.inf).max(axis=axis)
        lost = ~(high > low) & wide
        share = lost.sum() / max(1, wide.sum())
        if MOST_LOST_ROWS < share:
            return f"{share:.0%} of the {name} of the disk carry one value or none; at most {MOST_LOST_ROWS:.0%}"
    return ""


def _saturated(values: np.ndarray, disk: np.ndarray, corona: bool) -> str:
    found = values[disk & np.isfinite(values)]
    if corona or not found.size:
        return ""
    top = found.max()
    share = float((found >= top).mean())
    if share > MOST_SATURATED:
        return f"{share:.0%} of the disk is at the maximum of {top:.4g}; at most {MOST_SATURATED:.0%}"
    return ""
