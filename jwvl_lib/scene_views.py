"""A simulated Sun as six instruments would see it: pixel arrays in their units, with their noise.

Reads and writes nothing. `VIEW_PICTURES` maps a measurement to the function that draws it from a `Scene` on a `Disk`.
Sizes follow the sphere, so foreshortening is exact; brightness and contrast were set by eye against real images of the
same instruments.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from jwvl_lib.scene import TEXTURE_PX, Scene

TEXTURE_STEP_DEG = 0.25


@dataclass(frozen=True)
class Disk:
    """Pixel grid of an image: x, y in solar radii, distance `r`, cosine `mu`, latitude (0 off disk), texture index."""

    x: np.ndarray
    y: np.ndarray
    r: np.ndarray
    mu: np.ndarray
    on_disk: np.ndarray
    lat_deg: np.ndarray
    texture_index: np.ndarray
    rsun_px: float


# --------------------------------------------------------------------------------------------------------------------
# geometry


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    return np.meshgrid(axis, axis)


def disk_grid(size: int, pixel_arcsec: float, rsun_arcsec: float, scene: Scene) -> Disk:
    """Grid of a size x size image centred on the Sun, north up, row 0 at the bottom (FITS order)."""
    rsun_px = rsun_arcsec / pixel_arcsec
    x, y = (axis / np.float32(rsun_px) for axis in _grid(size))
    r2 = x * x + y * y
    mu = np.sqrt(np.maximum(1 - r2, 0))
    on_disk = r2 < 1
    sine, cosine = np.sin(np.radians(np.float32(scene.b0_deg))), np.cos(np.radians(np.float32(scene.b0_deg)))
    lat = np.degrees(np.arcsin(np.clip(y * cosine + mu * sine, -1, 1))) * on_disk
    lon = np.degrees(np.arctan2(x, mu * cosine - y * sine))
    row = (lat / TEXTURE_STEP_DEG + scene.texture_shift[0]).astype(np.int32) % TEXTURE_PX
    column = (lon / TEXTURE_STEP_DEG + scene.texture_shift[1]).astype(np.int32) % TEXTURE_PX
    return Disk(x, y, np.sqrt(r2), mu, on_disk, lat, row * TEXTURE_PX + column, rsun_px)


def _window(disk: Disk, vector: np.ndarray, reach: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """The square of pixels within `reach` radians of a place, and 1 - cos(angle) there."""
    size = disk.x.shape[0]
    half = reach * disk.rsun_px + 2
    centres = [(size - 1) / 2 + vector[axis] * disk.rsun_px for axis in (1, 0)]
    where = tuple(slice(max(0, int(c - half)), max(0, int(c + half) + 1)) for c in centres)
    cosine = disk.x[where] * vector[0] + disk.y[where] * vector[1] + disk.mu[where] * vector[2]
    return where, np.maximum(1 - cosine, 0)


def _patches(disk: Disk, rows: np.ndarray, clip: bool = False) -> np.ndarray:
    """Sum of Gaussian patches on the sphere (exp(-angle^2 / 2 radius^2)); `clip` stops the sum at 1."""
    image = np.zeros_like(disk.x)
    for *vector, radius, strength in rows:
        if vector[2] > -0.1:
            where, versine = _window(disk, vector, 3.2 * radius)
            image[where] += strength * np.exp(versine / -(radius**2))
    image *= disk.on_disk
    return np.minimum(image, 1) if clip else image


# --------------------------------------------------------------------------------------------------------------------
# textures: one 90-degree tile each, shifted from day to day


@lru_cache(maxsize=1)
def _textures() -> dict[str, np.ndarray]:
    """Periodic tiles of 0.25 degree: cell borders of the network (0..1), its signed field, and smooth clouds."""
    rng, n = np.random.default_rng(20100501), TEXTURE_PX
    centres = rng.uniform(0, n, (900, 2))
    rows, columns = np.mgrid[0:n, 0:n]
    near, _ = cKDTree(centres, boxsize=n).query(np.stack([rows, columns], -1).reshape(-1, 2), k=2)
    border = np.exp(-(((near[:, 1] - near[:, 0]) / 2.2) ** 2)).reshape(n, n)
    patchy = _unit(gaussian_filter(rng.standard_normal((n, n)), 4, mode="wrap"))
    signs = _unit(gaussian_filter(rng.standard_normal((n, n)), 2.5, mode="wrap"))
    broad, middle = (_unit(gaussian_filter(rng.standard_normal((n, n)), s, mode="wrap")) for s in (20, 7))
    fine = _unit(gaussian_filter(rng.standard_normal((n, n)), 1.6, mode="wrap"))
    network = border * np.clip(0.55 + 0.4 * patchy, 0, 1.5)
    tiles = {"network": network, "signed": network * signs, "clouds": 0.75 * broad + 0.6 * middle, "fine": fine}
    return {name: tile.astype(np.float32) for name, tile in tiles.items()}


def _unit(tile: np.ndarray) -> np.ndarray:
    return (tile - tile.mean()) / tile.std()


def _texture(name: str, disk: Disk) -> np.ndarray:
    """A tile laid over the sphere; off the disk 0."""
    return _textures()[name].ravel()[disk.texture_index] * disk.on_disk


# --------------------------------------------------------------------------------------------------------------------
# the six pictures


def magnetogram(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """Line-of-sight field in gauss: region patches, network of both signs, noise; nan off the disk."""
    field = _patches(disk, scene.field) + 28 * _texture("signed", disk)
    image = field * disk.mu + 6 * rng.standard_normal(disk.x.shape, np.float32)
    return np.where(disk.r < 0.998, image, np.nan)


def continuum(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """Intensity near 6173 angstrom, DN/s: limb darkening (quadratic law), granulation, faculae near the limb, spots."""
    down = 1 - disk.mu
    image = 6.0e4 * (1 - 0.47 * down - 0.23 * down**2) * (1 + 0.008 * rng.standard_normal(disk.x.shape, np.float32))
    image *= 1 + 0.16 * down**1.5 * _patches(disk, scene.plage, clip=True)
    image *= _spot_shade(scene, disk)
    return np.where(disk.r < 1, image, np.nan)


def _spot_shade(scene: Scene, disk: Disk) -> np.ndarray:
    """1 on the quiet Sun, about 0.7 in a penumbra, about 0.2 in an umbra; edges one pixel wide."""
    shade, soft = np.ones_like(disk.x), 0.6 / disk.rsun_px
    for *vector, radius, umbra, penumbra in scene.spots:
        where, versine = _window(disk, vector, radius + 4 * soft)
        angle = np.sqrt(2 * versine)
        depth = penumbra * _edge(radius - angle, soft) + (0.8 - penumbra) * _edge(umbra - angle, soft)
        shade[where] = np.minimum(shade[where], 1 - depth)
    return shade


def _edge(distance: np.ndarray, width: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(distance / width))


def halpha(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """H-alpha line centre from the ground, DN: plage, filaments, spots, mottles; seeing and thin cloud."""
    down = 1 - disk.mu
    plage = _patches(disk, scene.plage, clip=True) * (0.75 + 0.2 * _texture("fine", disk))
    surface = 1 + 0.04 * _texture("fine", disk) + 0.14 * _texture("network", disk) + 0.9 * plage
    surface *= 1 - 0.6 * _patches(disk, scene.filaments, clip=True)
    surface *= 0.45 + 0.55 * _spot_shade(scene, disk)
    image = np.where(disk.r < 1, 2500 * (1 - 0.42 * down - 0.12 * down**2) * surface, 90 * np.exp(-(disk.r - 1) / 0.12))
    image += np.where(disk.r >= 1, 700 * _limb_clouds(scene, disk), 0)
    cloud = 1 + rng.uniform(-0.07, 0.07) * disk.x + rng.uniform(-0.07, 0.07) * disk.y
    image = gaussian_filter(image, rng.uniform(0.7, 1.2)) * cloud
    return image + 14 * rng.standard_normal(image.shape, np.float32)


def aia_171(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """171 angstrom, DN: plumes of quiet corona, bright limb, bright long loops, moss; exponential off the limb."""
    quiet = 190 * (1 + 0.35 * _texture("clouds", disk) + 0.4 * _texture("network", disk))
    surface = quiet * (1 - 0.6 * _hole_depth(scene, disk)) + 650 * _patches(disk, _wider(scene.plage, 1.5), clip=True)
    image = _corona(surface, disk, scale_height=0.07, limb=0.75) + 190 * _loop_light(scene.long_loops, disk, 0.85)
    return _counts(image * (1 - 0.25 * _patches(disk, scene.filaments, clip=True)), rng)


def aia_193(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """193 angstrom, DN: hot diffuse cores of regions, dark coronal holes, a high corona off the limb."""
    quiet = 280 * (1 + 0.22 * _texture("clouds", disk) + 0.12 * _texture("fine", disk))
    glow = _patches(disk, _wider(scene.plage, 3.0), clip=True) + _patches(disk, _wider(scene.plage, 1.6), clip=True)
    surface = np.clip(quiet, 120, None) * (1 - 0.8 * _hole_depth(scene, disk)) + 600 * glow
    image = _corona(surface, disk, scale_height=0.11, limb=0.9) + 260 * _loop_light(scene.core_loops, disk, 1.3)
    return _counts(image, rng)


def aia_304(scene: Scene, disk: Disk, rng: np.random.Generator) -> np.ndarray:
    """304 angstrom, DN: bright network and plage of the upper chromosphere, dark filaments, prominences."""
    network, fine = _texture("network", disk), _texture("fine", disk)
    quiet = 130 * (0.75 + 0.9 * network + 0.12 * fine) * (1 - 0.3 * _hole_depth(scene, disk))
    surface = quiet + 800 * _patches(disk, _wider(scene.plage, 1.25), clip=True) * (0.7 + 0.25 * fine)
    surface *= 1 - 0.75 * _patches(disk, scene.filaments, clip=True)
    image = _corona(surface, disk, scale_height=0.025, limb=0.45) + 160 * _limb_clouds(scene, disk) * (disk.r > 0.99)
    return _counts(image + 30 * _loop_light(scene.core_loops, disk, 0.8), rng)


def _wider(rows: np.ndarray, factor: float) -> np.ndarray:
    return rows * np.array([1, 1, 1, factor, 1 / factor], dtype=np.float32)


def _hole_depth(scene: Scene, disk: Disk) -> np.ndarray:
    """0 outside coronal holes, 1 inside: polar caps with ragged borders, and the low-latitude hole."""
    ragged = 7.0 * _texture("clouds", disk)
    latitude = disk.lat_deg
    south, north = scene.polar_hole_deg
    polar = _edge(latitude + ragged - north, 2.0) + _edge(-latitude + ragged - south, 2.0)
    low = _edge(_patches(disk, scene.holes) + 0.06 * ragged - 0.75, 0.12) if len(scene.holes) else 0
    return np.clip(polar + low, 0, 1) * disk.on_disk


def _corona(surface: np.ndarray, disk: Disk, scale_height: float, limb: float) -> np.ndarray:
    """Optically thin light: brighter towards the limb as the path lengthens, exponential beyond it."""
    bright = surface * (1 + limb * np.minimum(1 / np.clip(disk.mu, 0.18, None) - 1, 3.0) / 3.0)
    edge = 0.7 * float(np.mean(bright[(disk.r > 0.93) & (disk.r < 0.99)]))
    around = 1 + 0.25 * np.sin(3 * np.arctan2(disk.y, disk.x) + bright[0, 0])
    return np.where(disk.r < 1, bright, edge * around * np.exp(-(disk.r - 1) / scale_height))


def _limb_clouds(scene: Scene, disk: Disk) -> np.ndarray:
    image = np.zeros_like(disk.x)
    for x, y, size in scene.prominences:
        d2 = (disk.x - x * (1 + 0.6 * size)) ** 2 + (disk.y - y * (1 + 0.6 * size)) ** 2
        image += np.exp(-d2 / size**2)
    return image


def _loop_light(loops: np.ndarray, disk: Disk, blur_px: float) -> np.ndarray:
    """Visible points of arches counted per pixel and blurred; the far side is hidden by the disk."""
    points = loops.reshape(-1, 3)
    points = points[(points[:, 2] > 0) | (np.hypot(points[:, 0], points[:, 1]) > 1)]
    size = disk.x.shape[0]
    column, row = (np.rint((size - 1) / 2 + points[:, i] * disk.rsun_px).astype(int) for i in (0, 1))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    light = np.bincount(row[inside] * size + column[inside], minlength=size * size).reshape(size, size)
    return gaussian_filter(np.sqrt(light, dtype=np.float32) * 4, blur_px)


def _counts(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photon noise (gain 1 DN) and read noise of 1.2 DN."""
    image = np.clip(image, 0, None)
    return image + rng.standard_normal(image.shape, np.float32) * np.sqrt(image + 1.4)


VIEW_PICTURES = {
    "magnetogram": magnetogram,
    "continuum": continuum,
    "171": aia_171,
    "193": aia_193,
    "304": aia_304,
    "H-alpha": halpha,
}
