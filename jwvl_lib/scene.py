"""A simulated Sun: the detail of one day, which all its views share.

Reads and writes nothing. A `Scene` holds field patches, spots, plage, loops, filaments and coronal holes around the
regions of a day; `jwvl_lib.scene_views` draws it. Positions are unit vectors in the observer's frame: x west, y north,
z to the observer. What is drawn larger than life is named by SPOT_ENLARGEMENT.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jwvl_lib.heliographic import unit_vectors

# A spot of 60 MSH is 0.7 px wide on a disk of 66 px radius: drawn to scale it would be lost in a 168 px picture.
SPOT_ENLARGEMENT = 1.8
TEXTURE_PX = 360  # side of the texture tile that `scene_views` lays over the sphere, shifted from day to day


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
        texture_shift=(int(rng.integers(TEXTURE_PX)), int(rng.integers(TEXTURE_PX))),
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
