"""Features measured on drawn disks whose truth is known: places, areas, what must not be found."""

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from jwvl_lib import facts, measured_facts
from jwvl_lib.geometry import disk_geometry, disk_of_picture, heliographic_to_pixel, patch_geometry
from jwvl_lib.heliographic import place_text, places, unit_vectors
from jwvl_lib.observations import open_observation

N, RADIUS = 512, 220.0
CARDS = {
    "DATE-OBS": "2014-02-03T05:00:00", "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec",
    "CUNIT2": "arcsec", "CRPIX1": 256.5, "CRPIX2": 256.5, "CDELT1": 960 / RADIUS, "CDELT2": 960 / RADIUS,
    "RSUN_OBS": 960.0, "HGLT_OBS": -6.0,
}  # fmt: skip
KINDS = {
    "continuum": {"TELESCOP": "SDO/HMI", "INSTRUME": "HMI_SIDE1", "CONTENT": "CONTINUUM INTENSITY", "BUNIT": "DN/s"},
    "magnetogram": {"TELESCOP": "SDO/HMI", "INSTRUME": "HMI_SIDE1", "CONTENT": "MAGNETOGRAM", "BUNIT": "Gauss"},
    "193": {"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2", "WAVELNTH": 193, "EXPTIME": 2.0, "BUNIT": "DN"},
    "H-alpha": {"TELESCOP": "NSO-GONG", "IMTYPE": "H-ALPHA"},
}
Y, X = np.mgrid[:N, :N] - 255.5
R = np.hypot(X, Y) / RADIUS


def observe(tmp_path, kind: str, levels: np.ndarray):
    """An observation of that kind; `levels` where the disk is, noise of half a per cent of the level."""
    noise = 1 + 0.005 * np.random.default_rng(0).normal(size=levels.shape)
    data = np.where(R < 1, levels * noise, 0.0).astype(np.float32)
    hdu = fits.PrimaryHDU(data)
    hdu.header.update({**CARDS, **KINDS[kind]})
    hdu.writeto(tmp_path / f"{kind}.fits")
    return open_observation(tmp_path / f"{kind}.fits")


def quiet() -> np.ndarray:
    """Limb-darkened photosphere."""
    return 1000 * (0.4 + 0.6 * np.sqrt(np.clip(1 - R**2, 0, 1)))


def patch(obs, lat: float, lon: float, radius_px: float) -> np.ndarray:
    (x, y), _ = heliographic_to_pixel(disk_geometry(obs), lat, lon)
    return np.hypot(X + 255.5 - x, Y + 255.5 - y) < radius_px


def test_a_spot_has_its_place_and_area(tmp_path):
    (tmp_path / "empty").mkdir()
    obs = observe(tmp_path / "empty", "continuum", quiet())
    assert measured_facts.measure(obs)[0].features == []
    spot = patch(obs, 15, -30, 6)
    (found,) = measured_facts.measure(observe(tmp_path, "continuum", np.where(spot, 0.5, 1) * quiet()))
    (feature,) = found.features
    assert feature["lat_deg"] == pytest.approx(15, abs=1)
    assert feature["lon_deg"] == pytest.approx(-30, abs=1)
    mu = unit_vectors(15, -30, -6.0)[2]
    assert found.area_msh == pytest.approx(1e6 * 36 / 2 / RADIUS**2 / mu, rel=0.35)
    assert found.mask[spot].mean() > 0.8


def test_a_bad_row_is_no_spot(tmp_path):
    levels = quiet()
    levels[300:303] *= 0.6
    assert measured_facts.measure(observe(tmp_path, "continuum", levels))[0].features == []


def test_strong_field_is_a_spot_and_weak_field_is_none(tmp_path):
    weak = observe(tmp_path, "magnetogram", np.full((N, N), 50.0))
    spot = patch(weak, -20, 20, 5)
    (tmp_path / "s").mkdir()
    (found,) = measured_facts.measure(observe(tmp_path / "s", "magnetogram", np.where(spot, -1500.0, 50.0)))
    assert measured_facts.measure(weak)[0].features == []
    assert place_text(found.features[0]["lat_deg"], found.features[0]["lon_deg"]) == "S20W20"


def test_a_hole_is_found_and_a_dim_channel_is_not(tmp_path):
    obs = observe(tmp_path, "193", np.full((N, N), 400.0))
    hole, channel = patch(obs, 30, 10, 40), patch(obs, -30, 0, 30)
    levels = np.where(hole, 80.0, np.where(channel, 220.0, 400.0))
    (tmp_path / "h").mkdir()
    (found,) = measured_facts.measure(observe(tmp_path / "h", "193", levels))
    assert len(found.features) == 1
    assert (found.mask & hole).sum() / (found.mask | hole).sum() > 0.8
    assert not found.mask[channel].any()


def test_filament_is_long_and_plage_is_bright(tmp_path):
    levels = quiet()
    levels[300:306, 200:300] *= 0.7
    levels[180:200, 280:310] *= 1.4
    found = {m.kind: m for m in measured_facts.measure(observe(tmp_path, "H-alpha", levels))}
    assert [len(found[k].features) for k in ("filament", "plage")] == [1, 1]
    assert found["filament"].mask[300:306, 210:290].mean() > 0.9
    assert found["plage"].mask[183:197, 285:305].mean() > 0.9


def test_facts_name_their_method_and_say_nought(tmp_path):
    found = measured_facts.measure(observe(tmp_path, "continuum", quiet()))
    stated = measured_facts.measured_facts(found, "a.fits")
    assert {f.kind: f.value for f in stated} == {"n_sunspots": 0, "sunspot_area_msh": 0.0}
    assert all(f.origin.startswith("measured:") for f in stated)
    assert facts.from_json(facts.to_json(stated)) == stated


def test_small_disks_and_other_instruments_are_not_measured(tmp_path):
    obs = observe(tmp_path, "continuum", quiet())
    small = fits.PrimaryHDU(obs.data[::4, ::4])
    small.header.update({**CARDS, **KINDS["continuum"], "CDELT1": 17.5, "CDELT2": 17.5, "CRPIX1": 64.5, "CRPIX2": 64.5})
    small.writeto(tmp_path / "small.fits")
    assert measured_facts.measure(open_observation(tmp_path / "small.fits")) == []


def test_the_limb_of_a_plain_picture_is_its_disk(tmp_path):
    grey = np.where(R < 1, 80 + 60 * R**8, 120 * np.exp(-6 * np.clip(R - 1, 0, None)))
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "sdo_aia193_2014_02_03T05_00_00.png")
    obs = open_observation(tmp_path / "sdo_aia193_2014_02_03T05_00_00.png")
    assert disk_geometry(obs) is None
    assert disk_of_picture(obs).radius_px == pytest.approx(RADIUS, abs=2)


def test_places_are_the_inverse_of_unit_vectors():
    lat, lon = np.mgrid[-70:71:20, -60:61:15]
    back = places(unit_vectors(lat, lon, 5.0)[..., :2], 5.0)
    assert np.allclose(back[0], lat, atol=1e-6)
    assert np.allclose(back[1], lon, atol=1e-6)


def test_patch_maps_agree_with_their_own_flux_weighted_place(shared_data):
    """LAT_FWT and LON_FWT of HMI's patch 377 (NOAA 11158) against the field in the map."""
    obs = open_observation(next((shared_data / "hmi_sharp_ar11158").glob("*magnetogram*")))
    geometry = patch_geometry(obs)
    flux = np.where(np.abs(obs.data) > 100, np.abs(np.nan_to_num(obs.data)), 0)
    rows, columns = np.indices(flux.shape)
    centre = np.array([(flux * columns).sum(), (flux * rows).sum()]) / flux.sum()
    wanted, near = heliographic_to_pixel(geometry, obs.header["LAT_FWT"], obs.header["LON_FWT"])
    assert near
    assert np.hypot(*(centre - wanted)) * geometry.deg_px < 1.0  # degrees
