"""A simulated Sun as instruments would see it: pixel arrays in their units, with their noise.

Reads and writes nothing. Each picture is drawn from a `Scene` on a `Disk`, whole or a cutout; the numbers that make the
look of an instrument come from data/simulated_views.yaml. Sizes follow the sphere, so foreshortening is exact.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from jwvl_lib.scene import TEXTURE_PX, Scene

TEXTURE_STEP_DEG = 0.25
CLOSE_UP_RSUN_PX = 400
PYLON_RAD = np.radians(55)  # where the occulter's arm stands, or opposite where the spacecraft has rolled


@dataclass(frozen=True)
class Disk:
    """Pixel grid of an image: x, y in solar radii, distance `r`, cosine `mu`, latitude (0 off disk), texture index.

    `middle` is the place (x, y) of the image's middle: (0, 0) but for cutouts.
    """

    x: np.ndarray
    y: np.ndarray
    r: np.ndarray
    mu: np.ndarray
    on_disk: np.ndarray
    lat_deg: np.ndarray
    texture_index: np.ndarray
    rsun_px: float
    middle: tuple[float, float] = (0.0, 0.0)

    def column_row(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel column and row of unit vectors (..., 3), as numbers with fractions."""
        half = (self.x.shape[0] - 1) / 2
        return tuple(half + (vectors[..., axis] - self.middle[axis]) * self.rsun_px for axis in (0, 1))


# --------------------------------------------------------------------------------------------------------------------
# geometry


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    return np.meshgrid(axis, axis)


def disk_grid(size: int, pixel_arcsec: float, rsun_arcsec: float, scene: Scene, middle=(0.0, 0.0)) -> Disk:
    """Grid of a size x size image about `middle` (solar radii), north up, row 0 at the bottom (FITS order)."""
    rsun_px = rsun_arcsec / pixel_arcsec
    x, y = (axis / np.float32(rsun_px) + np.float32(m) for axis, m in zip(_grid(size), middle, strict=True))
    r2 = x * x + y * y
    mu = np.sqrt(np.maximum(1 - r2, 0))
    on_disk = r2 < 1
    sine, cosine = np.sin(np.radians(np.float32(scene.b0_deg))), np.cos(np.radians(np.float32(scene.b0_deg)))
    lat = np.degrees(np.arcsin(np.clip(y * cosine + mu * sine, -1, 1))) * on_disk
    lon = np.degrees(np.arctan2(x, mu * cosine - y * sine))
    row = (lat / TEXTURE_STEP_DEG + scene.texture_shift[0]).astype(np.int32) % TEXTURE_PX
    column = (lon / TEXTURE_STEP_DEG + scene.texture_shift[1]).astype(np.int32) % TEXTURE_PX
    return Disk(x, y, np.sqrt(r2), mu, on_disk, lat, row * TEXTURE_PX + column, rsun_px, middle)


def _window(disk: Disk, vector: np.ndarray, reach: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """The square of pixels within `reach` radians of a place, and 1 - cos(angle) there."""
    half = reach * disk.rsun_px + 2
    column, row = disk.column_row(vector)
    where = tuple(slice(max(0, int(c - half)), max(0, int(c + half) + 1)) for c in (row, column))
    cosine = disk.x[where] * vector[0] + disk.y[where] * vector[1] + disk.mu[where] * vector[2]
    return where, np.maximum(1 - cosine, 0)


def _patches(disk: Disk, rows: np.ndarray, clip: bool = False) -> np.ndarray:
    """Sum of Gaussian patches on the sphere (exp(-angle^2 / 2 radius^2)); `clip` stops the sum at 1."""
    image = np.zeros_like(disk.x)
    for row in rows:
        vector, radius, strength = row[:3], row[3], row[4]
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
# the pictures


def magnetogram(scene: Scene, disk: Disk, rng: np.random.Generator, noise: float = 6, gain: float = 1) -> np.ndarray:
    """Line-of-sight field in gauss: region patches, network of both signs, noise; nan off the disk."""
    patches = _patches(disk, scene.field)
    network = _texture("signed", disk)
    if disk.rsun_px > CLOSE_UP_RSUN_PX:  # seen closely, the field breaks up into tubes
        patches = 2.5 * patches * np.clip(0.5 + 0.9 * _texture("fine", disk), 0, None)
        network = 2 * network * np.abs(network)
    image = gain * (patches + 28 * network) * disk.mu
    return np.where(disk.r < 0.998, image + noise * rng.standard_normal(disk.x.shape, np.float32), np.nan)


def continuum(scene: Scene, disk: Disk, rng: np.random.Generator, grain: float = 0.008) -> np.ndarray:
    """Visible light: limb darkening (quadratic law), granulation, faculae near the limb, spots; nan off the disk."""
    down = 1 - disk.mu
    grains = rng.standard_normal(disk.x.shape, np.float32)
    if disk.rsun_px > CLOSE_UP_RSUN_PX:
        grains = 3 * gaussian_filter(grains, 1.2)
    image = 6.0e4 * (1 - 0.47 * down - 0.23 * down**2) * (1 + grain * grains)
    image *= 1 + 0.16 * down**1.5 * _patches(disk, scene.plage, clip=True)
    image *= _spot_shade(scene, disk)
    return np.where(disk.r < 1, image, np.nan)


def _spot_shade(scene: Scene, disk: Disk) -> np.ndarray:
    """1 on the quiet Sun, about 0.7 in a penumbra, about 0.2 in an umbra; edges one pixel wide."""
    shade, soft = np.ones_like(disk.x), 0.6 / disk.rsun_px
    for row in scene.spots:
        vector, radius, umbra, penumbra = row[:3], *row[3:]
        where, versine = _window(disk, vector, radius + 4 * soft)
        angle = np.sqrt(2 * versine)
        depth = penumbra * _edge(radius - angle, soft) + (0.8 - penumbra) * _edge(umbra - angle, soft)
        shade[where] = np.minimum(shade[where], 1 - depth)
    return shade


def _edge(distance: np.ndarray, width: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(distance / width))


def halpha(scene: Scene, disk: Disk, rng: np.random.Generator, contrast: float = 1) -> np.ndarray:
    """H-alpha line centre from the ground: plage, filaments, spots, mottles; seeing and thin cloud."""
    down = 1 - disk.mu
    plage = _patches(disk, scene.plage, clip=True) * (0.75 + 0.2 * _texture("fine", disk))
    surface = 1 + contrast * (0.04 * _texture("fine", disk) + 0.14 * _texture("network", disk)) + 0.9 * plage
    surface *= 1 - 0.6 * _patches(disk, scene.filaments, clip=True)
    surface *= 0.45 + 0.55 * _spot_shade(scene, disk)
    image = np.where(disk.r < 1, 2500 * (1 - 0.42 * down - 0.12 * down**2) * surface, 90 * np.exp(-(disk.r - 1) / 0.12))
    image += np.where(disk.r >= 1, 700 * _limb_clouds(scene, disk), 0)
    cloud = 1 + rng.uniform(-0.07, 0.07) * disk.x + rng.uniform(-0.07, 0.07) * disk.y
    image = gaussian_filter(image, rng.uniform(0.7, 1.2)) * cloud
    return image + 14 * rng.standard_normal(image.shape, np.float32)


def ultraviolet(scene: Scene, disk: Disk, rng, network: float = 0.45, plage: float = 1.6) -> np.ndarray:
    """1330 to 1700 angstrom: bright network and plage on a disk that fades towards its limb, dark spots."""
    bright = _patches(disk, _wider(scene.plage, 0.9), clip=True) * (0.7 + 0.3 * _texture("fine", disk))
    surface = 190 * (0.75 + network * _texture("network", disk) + 0.06 * _texture("fine", disk) + plage * bright)
    surface *= (1 - 0.35 * (1 - disk.mu)) * (0.4 + 0.6 * _spot_shade(scene, disk))
    return _counts(np.where(disk.r < 1, surface, 12 * np.exp(-(disk.r - 1) / 0.03)), rng)


def corona(
    scene: Scene, disk: Disk, rng, *, quiet, clouds, network, fine, hole, filament, glow, loops, limb, scale_height
) -> np.ndarray:
    """Extreme ultraviolet or soft X-rays: a quiet Sun with texture and holes, glowing regions, loops, a bright limb.

    The numbers are those of a look in data/simulated_views.yaml. Counts, with photon noise.
    """
    surface = quiet * (1 + clouds * _texture("clouds", disk) + fine * _texture("fine", disk))
    surface = np.clip(surface + quiet * network * (_texture("network", disk) - 0.25), 0.25 * quiet, None)
    surface *= 1 - hole * _hole_depth(scene, disk)
    for width, counts in glow:
        surface += counts * _patches(disk, _wider(scene.plage, width), clip=True)
    surface *= 1 - filament * _patches(disk, scene.filaments, clip=True)
    bright = surface * (1 + limb * np.minimum(1 / np.clip(disk.mu, 0.18, None) - 1, 3.0) / 3.0)
    ring = bright[(disk.r > 0.93) & (disk.r < 0.99)]
    edge = 0.7 * float(ring.mean()) if ring.size else quiet
    around = 1 + 0.25 * np.sin(3 * np.arctan2(disk.y, disk.x) + rng.uniform(0, 2 * np.pi))
    image = np.where(disk.r < 1, bright, edge * around * np.exp(-(disk.r - 1) / scale_height))
    which, counts, blur_px = loops
    arches = scene.long_loops if which == "long" else scene.core_loops
    image += counts * _loop_light(arches, disk, blur_px)
    return _counts(image + 1.2 * quiet * _limb_clouds(scene, disk) * (disk.r > 0.99) * (filament > 0.5), rng)


def coronagraph(scene: Scene, disk: Disk, rng, *, inner_rsun: float, outer_rsun: float, pylon: float) -> np.ndarray:
    """White light beyond an occulter: streamers on a falling background, stars; nan outside the field."""
    angle = np.arctan2(disk.y, disk.x)
    falling = (disk.r / inner_rsun).clip(1) ** -rng.uniform(0.3, 4.5)  # with and without stray light taken off
    sky = rng.uniform(0, 2.5)
    rays = np.ones_like(disk.x)
    for _ in range(rng.integers(5, 12)):
        side, width = rng.choice([0, np.pi]) + rng.normal(0, 0.7), rng.uniform(0.03, 0.2)
        away = np.angle(np.exp(1j * (angle - side)))
        rays += rng.uniform(0.3, 1.8) * np.exp(-((away / width) ** 2) / 2)
    image = 4000 * (falling * rays + sky)
    stars = rng.integers(0, disk.x.shape[0], (2, 40))
    image[stars[0], stars[1]] += rng.uniform(300, 3000, 40)
    cosine, sine = np.cos(PYLON_RAD), np.sin(PYLON_RAD)
    outwards = (disk.x * cosine + disk.y * sine) * rng.choice([-1, 1]) > 0
    image *= 1 - 0.95 * pylon * _edge(0.35 * inner_rsun - np.abs(disk.x * sine - disk.y * cosine), 0.1) * outwards
    behind = 0.0 if rng.random() < 0.7 else np.nan  # the occulter is dark in most files, and masked in some
    image = np.where(disk.r > inner_rsun, image, behind) + 15 * rng.standard_normal(image.shape, np.float32)
    return np.where(disk.r < outer_rsun, image, np.nan)


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
    column, row = (np.rint(axis).astype(int) for axis in disk.column_row(points))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    light = np.bincount(row[inside] * size + column[inside], minlength=size * size).reshape(size, size)
    return gaussian_filter(np.sqrt(light, dtype=np.float32) * 4, blur_px)


def _counts(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photon noise (gain 1 DN) and read noise of 1.2 DN."""
    image = np.clip(image, 0, None)
    return image + rng.standard_normal(image.shape, np.float32) * np.sqrt(image + 1.4)


PICTURES = {p.__name__: p for p in (magnetogram, continuum, halpha, ultraviolet, corona, coronagraph)}
