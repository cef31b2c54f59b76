"""Frames whose activity is known: flare in progress, coronal hole, filament, corrupted frame, or quiet (task S6).

The other simulated days cannot say which of their pictures are quiet: their facts name regions, and each of them has
filaments and polar holes. So these frames are drawn for the question, by the same simulator, on days of their own after
the others. All classes are drawn as the same four views, so that the banner does not give the class away. Writes one
FITS file a frame; the corpus reads it like any other and takes the class from its card ACTIVITY. Beside it stands the
day's SRS, but not beside a corrupted frame: what is left of that does not show every region.

quiet      no region, no filament, no coronal hole
filament   one chain of dark patches; drawn where it shows, in H-alpha and 304
hole       one coronal hole away from the poles, and polar ones; drawn where they show best, in 193
flare      a region, and in it a kernel 25 times as bright as the brightest plage, whose light bleeds along its column
corrupted  any of the others, as a bad transmission leaves it: blocks lost, rows torn, half a frame or snow

quiet, flare and corrupted frames come as all four views.
"""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from jwvl_lib import knowledge, scene, simulate
from jwvl_lib.scene_views import Disk

CLASSES = knowledge.values("activity")
STEMS = ("aia_171", "aia_193", "aia_304", "gong_ha")
SHOWN_IN = {"filament": ("gong_ha", "aia_304"), "hole": ("aia_193",)}
FLARE_GAIN, FLARE_RADIUS_PX, BLEEDING = 25.0, 3.0, 0.35
LEAST_FILAMENT = 25  # patches of filaments well on the disk: some 18 degrees
POLAR_HOLES_NONE = (99.0, 99.0)  # latitudes that no pixel has
DAMAGES = ("blocks", "torn", "half", "snow")


def plan(n_frames: int, tstart: str, tend: str, seed: int = 0) -> list[tuple[simulate.SimulatedDay, str]]:
    """(day, class) of `n_frames` frames, the classes in turn, each on a day of its own in as long a span after `tend`.

    Raises ValueError where the span from `tstart` to `tend` has fewer days.
    """
    end = date.fromisoformat(tend)
    n_days = (end - date.fromisoformat(tstart)).days + 1
    if n_frames > n_days:
        raise ValueError(f"n_activity_frames={n_frames} does not fit into the {n_days} days after {tend}; give fewer")
    first, last = end + timedelta(days=1), end + timedelta(days=n_days)
    days = simulate.plan_days(n_frames, first.isoformat(), last.isoformat(), seed)
    return [(day, CLASSES[k % len(CLASSES)]) for k, day in enumerate(days)]


def write_frame(day: simulate.SimulatedDay, activity: str, folder: str | Path) -> list[Path]:
    """Draw the frame of a day and write its SRS, where it has one, and its FITS file into `folder`.

    Returns the paths in this order. The same call gives the same bytes.
    """
    folder = Path(folder)
    rng = np.random.default_rng([day.seed, 6, day.index, int(day.name)])
    damage = str(rng.choice(DAMAGES)) if activity == "corrupted" else ""
    shown = str(rng.choice([c for c in CLASSES if c != "corrupted"])) if damage else activity
    day = dataclasses.replace(day, n_regions={"flare": max(1, day.n_regions), "quiet": 0}.get(shown, day.n_regions))
    regions = simulate.draw_regions(day, rng)
    hours_left = 24 - day.observed.hour - day.observed.minute / 60
    seen = [simulate.as_seen(region, hours_left) for region in regions]
    view = _view(str(rng.choice(SHOWN_IN.get(shown, STEMS))))
    drawn = _scene(shown, seen, day.b0_deg, rng)
    changes: list[Callable] = [partial(_flare, where=drawn.spots[0, :3])] if shown == "flare" else []
    changes += [partial(_damaged, damage=damage, rng=rng)] if damage else []
    change = (lambda image, disk: _applied(changes, image, disk)) if changes else None
    folder.mkdir(parents=True, exist_ok=True)
    truth = [("ACTIVITY", activity), *([("DAMAGE", damage)] if damage else [])]
    image = simulate.write_view(view, drawn, seen, regions, day, folder, rng, change=change, truth=truth)
    return [image] if damage else [simulate.write_summary(regions, day, folder), image]


def _view(stem: str) -> simulate.View:
    return next(view for views in simulate.load_views().values() for view in views if view.stem == stem)


def _scene(shown: str, seen: Sequence[scene.SceneRegion], b0_deg: float, rng: np.random.Generator) -> scene.Scene:
    """A scene that holds what its class says and nothing of the other classes; drawn anew until it does."""
    while True:
        drawn = scene.draw_scene(seen, b0_deg, rng)
        if shown == "filament" and not (drawn.filaments[:, 2] > 0.5).sum() > LEAST_FILAMENT:
            continue
        if shown == "hole" and not len(drawn.holes):
            continue
        break
    none = {"filaments": drawn.filaments[:0], "prominences": drawn.prominences[:0]} if shown != "filament" else {}
    none |= {"holes": drawn.holes[:0], "polar_hole_deg": POLAR_HOLES_NONE} if shown != "hole" else {}
    return dataclasses.replace(drawn, **none)


def _applied(changes: Sequence[Callable], image: np.ndarray, disk: Disk) -> np.ndarray:
    for change in changes:
        image = change(image, disk)
    return image


def _flare(image: np.ndarray, disk: Disk, where: np.ndarray) -> np.ndarray:
    """A kernel at a place on the Sun, and charge that bleeds along its column, as on a saturated camera."""
    column, row = disk.column_row(where)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    distance2 = (rows - row) ** 2 + (columns - column) ** 2
    light = FLARE_GAIN * np.nanquantile(image, 0.999)
    kernel = np.exp(-distance2 / (2 * FLARE_RADIUS_PX**2))
    bleed = BLEEDING * np.exp(-np.abs(rows - row) / 14) * (np.abs(columns - column) < 1.2)
    return np.minimum(image + light * (kernel + bleed), 30_000)


def _damaged(image: np.ndarray, disk: Disk, damage: str, rng: np.random.Generator) -> np.ndarray:
    """What a bad transmission leaves of an image (the disk is not used: damage knows no Sun)."""
    image, (height, width) = image.copy(), image.shape
    if damage == "blocks":
        for row, column in zip(rng.integers(0, height - 24, 12), rng.integers(0, width - 24, 12), strict=True):
            image[row : row + 24, column : column + 24] = 0
    elif damage == "torn":
        for row in rng.integers(0, height - 16, 7):
            image[row : row + 16] = np.roll(image[row : row + 16], int(rng.integers(20, width - 20)), axis=1)
    elif damage == "half":
        cut = int(rng.integers(height // 4, 3 * height // 4))
        image[slice(0, cut) if rng.random() < 0.5 else slice(cut, None)] = 0
    else:
        hit = rng.random(image.shape) < 0.12
        image[hit] = rng.choice([0.0, float(np.nanquantile(image, 0.995))], int(hit.sum()))
    return image
