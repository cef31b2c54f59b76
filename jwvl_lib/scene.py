"""A simulated Sun: what one day's regions would look like in six views, as pixel arrays.

Reads and writes nothing. A `Scene` holds one day's random detail (field patches, spots, loops, filaments, holes), so
that all views of a day show the same Sun; `VIEW_PICTURES` turns it into arrays in the units of the real instruments.
Positions are unit vectors in the observer's frame: x west, y north, z to the observer. Sizes follow the sphere, so
foreshortening is exact; what is drawn larger than life is named by SPOT_ENLARGEMENT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from jwvl_lib.heliographic import unit_vectors

# A spot of 60 MSH is 0.7 px wide on a disk of 66 px radius: drawn to scale it would be lost in a 168 px picture.
SPOT_ENLARGEMENT = 1.8
_TEXTURE_PX, _TEXTURE_STEP_DEG = 360, 0.25


@dataclass(frozen=True)
class SceneRegion:
    """A spotted region at the time of the picture: degrees (west positive), millionths of the hemisphere, +1 or -1."""

    lat_deg: float
    lon_deg: float
    area_msh: float
    mcintosh_class: str
    hale_class: str
    extent_deg: float
    n_spots: int
    leading_sign: int


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


@dataclass(frozen=True)
class Scene:
    """One day's detail. Patches are rows (unit vector 3, radius in radians, strength); loops (n, points, 3)."""

    b0_deg: float
    field: np.ndarray
    spots: np.ndarray
    plage: np.ndarray
    filaments: np.ndarray
    holes: np.ndarray
    prominences: np.ndarray
    long_loops: np.ndarray
    core_loops: np.ndarray
    texture_shift: tuple[int, int]
    polar_hole_deg: tuple[float, float]


# --------------------------------------------------------------------------------------------------------------------
# geometry


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    return np.meshgrid(axis, axis)


def disk_grid(size: int, pixel_arcsec: float, rsun_arcsec: float, scene: "Scene") -> Disk:
    """Grid of a size x size image centred on the Sun, north up, row 0 at the bottom (FITS order)."""
    rsun_px = rsun_arcsec / pixel_arcsec
    x, y = (axis / np.float32(rsun_px) for axis in _grid(size))
    r2 = x * x + y * y
    mu = np.sqrt(np.maximum(1 - r2, 0))
    on_disk = r2 < 1
    sine, cosine = np.sin(np.radians(np.float32(scene.b0_deg))), np.cos(np.radians(np.float32(scene.b0_deg)))
    lat = np.degrees(np.arcsin(np.clip(y * cosine + mu * sine, -1, 1))) * on_disk
    lon = np.degrees(np.arctan2(x, mu * cosine - y * sine))
    row = (lat / _TEXTURE_STEP_DEG + scene.texture_shift[0]).astype(np.int32) % _TEXTURE_PX
    column = (lon / _TEXTURE_STEP_DEG + scene.texture_shift[1]).astype(np.int32) % _TEXTURE_PX
    return Disk(x, y, np.sqrt(r2), mu, on_disk, lat, row * _TEXTURE_PX + column, rsun_px)


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
    rng, n = np.random.default_rng(20100501), _TEXTURE_PX
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
# the day's detail


def draw_scene(regions: Sequence[SceneRegion], b0_deg: float, rng: np.random.Generator) -> Scene:
    """Random detail of one day around the given regions; quiet-Sun features are drawn where no region is."""
    parts = [_region_parts(region, b0_deg, rng) for region in regions]
    filaments, prominences = _filaments(regions, b0_deg, rng)
    return Scene(
        b0_deg=b0_deg,
        field=_stack([p["field"] for p in parts], 5),
        spots=_stack([p["spots"] for p in parts], 6),
        plage=_stack([p["plage"] for p in parts], 5),
        filaments=filaments,
        holes=_holes(regions, b0_deg, rng),
        prominences=prominences,
        long_loops=_stack([p["long_loops"] for p in parts], 60, 3),
        core_loops=_stack([p["core_loops"] for p in parts], 60, 3),
        texture_shift=(int(rng.integers(_TEXTURE_PX)), int(rng.integers(_TEXTURE_PX))),
        polar_hole_deg=tuple(rng.uniform(60, 80, 2)),
    )


def _stack(parts: list[np.ndarray], *shape: int) -> np.ndarray:
    return np.concatenate([np.zeros((0, *shape)), *parts]).astype(np.float32)


def _region_parts(region: SceneRegion, b0_deg: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Field, spots, plage and loops of one region. Joy: the leading side, westward, lies nearer the equator."""
    size = np.clip(np.sqrt(region.area_msh / 200), 0.55, 1.9)
    half = 0.5 * max(0.75 * region.extent_deg, 3.0 * size + 1)
    tilt = np.radians(np.clip(rng.normal(0.45 * abs(region.lat_deg), 4), -8, 30)) * -np.sign(region.lat_deg)
    stretch = 1 / np.cos(np.radians(region.lat_deg))

    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        lon = region.lon_deg + stretch * (u * np.cos(tilt) - v * np.sin(tilt))
        return unit_vectors(region.lat_deg + u * np.sin(tilt) + v * np.cos(tilt), lon, b0_deg)

    field = _bipole(region, half, size, place, rng)
    spots = _spots(region, half, place, rng)
    plage = np.column_stack([field[:, :3], field[:, 3] * 1.15, np.clip(np.abs(field[:, 4]) / 500, 0.15, 0.8)])
    lead, follow = field[field[:, 4] * region.leading_sign > 0], field[field[:, 4] * region.leading_sign < 0]
    n_loops = int(10 + 10 * size)
    return {
        "field": field,
        "spots": spots,
        "plage": plage,
        "long_loops": _loops(lead, follow, n_loops, (0.5, 1.1), 0.035 * size, rng),
        "core_loops": _loops(lead, follow, n_loops, (0.25, 0.5), 0.015 * size, rng),
    }


def _bipole(region: SceneRegion, half: float, size: float, place, rng: np.random.Generator) -> np.ndarray:
    """Leading polarity compact, following spread; equal flux of both; mixed where the Hale class says so."""
    sign, n = region.leading_sign, int(5 + 4 * size)
    spread = 0.55 * half
    groups = [
        (half + rng.normal(0, 0.25 * spread, n), rng.normal(0, 0.45 * spread, n), 0.75 * size, 520.0, sign),
        (-half + rng.normal(0, 0.6 * spread, n), rng.normal(0, 0.75 * spread, n), 0.95 * size, 330.0, -sign),
    ]
    if "Gamma" in region.hale_class:
        groups.append((rng.normal(0, half, 5), rng.normal(0, 0.6 * spread, 5), 0.5 * size, 450.0, None))
    if "Delta" in region.hale_class:
        groups.append((np.full(2, 0.55 * half), rng.normal(0, 0.5 * spread, 2), 0.55 * size, 700.0, -sign))
    rows = []
    for u, v, radius, strength, polarity in groups:
        signs = rng.choice([-1, 1], len(u)) if polarity is None else np.full(len(u), polarity)
        radii = np.radians(radius * rng.uniform(0.75, 1.3, len(u)))
        rows.append(np.column_stack([place(u, v), radii, signs * strength * rng.uniform(0.6, 1.3, len(u))]))
    field = np.concatenate(rows)
    flux = field[:, 4] * field[:, 3] ** 2
    field[flux * sign < 0, 4] *= flux[flux * sign > 0].sum() / -flux[flux * sign < 0].sum()
    return field


def _spots(region: SceneRegion, half: float, place, rng: np.random.Generator) -> np.ndarray:
    """Rows (vector 3, spot radius, umbra radius, depth of the penumbra): the area shared out, the leader largest."""
    n = int(np.clip(region.n_spots, 1, 10))
    share = np.sort(rng.dirichlet(np.full(n, 0.6)))[::-1] * 0.45
    share[0] += 0.55
    leads = np.arange(n) % 2 == 0
    alone = region.hale_class == "Alpha"
    u = np.where(leads | alone, half, -half) * rng.uniform(0.6, 1.05, n)
    v = rng.normal(0, 0.25 * half, n)
    u[0], v[0] = half, 0.0
    radius = SPOT_ENLARGEMENT * np.sqrt(2e-6 * region.area_msh * share)
    penumbra = np.where(np.isin(list(region.mcintosh_class)[1], ["x", "r"]) | (share < 0.05), 0.12, 0.28)
    return np.column_stack([place(u, v), radius, 0.5 * radius, penumbra])


def _loops(lead, follow, n: int, rise: tuple, sway: float, rng: np.random.Generator) -> np.ndarray:
    """Arches (n, 60, 3) between patches of opposite sign; `rise` is the height in units of the foot distance."""
    first = lead[rng.integers(len(lead), size=n), :3] + rng.normal(0, sway, (n, 3))
    second = follow[rng.integers(len(follow), size=n), :3] + rng.normal(0, sway, (n, 3))
    t = np.linspace(0, 1, 60)[None, :, None]
    path = first[:, None] * (1 - t) + second[:, None] * t
    path /= np.linalg.norm(path, axis=-1, keepdims=True)
    distance = np.linalg.norm(first - second, axis=-1)[:, None, None]
    height = distance * rng.uniform(*rise, (n, 1, 1))
    lean = rng.uniform(-0.3, 0.3, (n, 1, 3)) * distance
    arch = np.sin(np.pi * t)
    return path * (1 + height * arch) + lean * arch


def _filaments(regions, b0_deg: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Quiet filaments: chains of small patches along curved lines; where a chain crosses the limb, a prominence."""
    chains = []
    for _ in range(rng.integers(1, 5)):
        lat, lon = rng.choice([-1, 1]) * rng.uniform(15, 52), rng.uniform(-80, 80)
        if any(np.hypot(lat - r.lat_deg, lon - r.lon_deg) < 16 for r in regions):
            continue
        length, slope, bend = rng.uniform(8, 28), rng.uniform(-0.6, 0.6), rng.normal(0, 0.012)
        s = np.arange(-length / 2, length / 2, 0.7)
        wiggle = np.cumsum(rng.normal(0, 0.12, len(s)))
        vectors = unit_vectors(lat + slope * s + bend * s**2 + wiggle, lon + s, b0_deg)
        width = np.radians(rng.uniform(0.5, 0.8)) * rng.uniform(0.7, 1.2, len(s))
        chains.append(np.column_stack([vectors, width, np.full(len(s), rng.uniform(0.5, 0.8))]))
    angle = rng.uniform(0, 2 * np.pi, rng.integers(0, 4))
    limb = np.column_stack([np.cos(angle), np.sin(angle), rng.uniform(0.015, 0.045, len(angle))])
    return _stack(chains, 5), limb.astype(np.float32)


def _holes(regions, b0_deg: float, rng: np.random.Generator) -> np.ndarray:
    """At most one low-latitude coronal hole, away from the regions."""
    lat, lon = rng.uniform(-35, 35), rng.uniform(-50, 50)
    near = any(np.hypot(lat - r.lat_deg, lon - r.lon_deg) < 30 for r in regions)
    if near or rng.random() < 0.4:
        return _stack([], 5)
    lats, lons = lat + rng.normal(0, 7, 6), lon + rng.normal(0, 5, 6)
    return np.column_stack([unit_vectors(lats, lons, b0_deg), np.radians(rng.uniform(3, 7, 6)), np.full(6, 1.0)])


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
