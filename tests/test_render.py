"""The picture of an observation: same bytes, north up, the disk in its place, the stretch as it says."""

import dataclasses
import hashlib

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from sunpy.coordinates import frames, sun

from jwvl_lib import map_sources, observations, plots, render
from jwvl_lib.geometry import disk_geometry, heliographic_to_pixel, is_full_disk, sun_from_earth

SUNPY = observations.sunpy_data()
BANNER = ("SDO/HMI magnetogram", "2014-12-23 05:38 UT")
N, SCALE, DSUN = 256, 8.0, 1.475e11  # test frames: pixels, arcsec per pixel, metres
RSUN = np.degrees(np.arcsin(695.7e6 / DSUN)) * 3600


def observe(tmp_path, data, crota=0.0, name="a", **cards):
    """A FITS frame with the disk in the middle, turned by `crota` degrees, opened again."""
    header = {
        "TELESCOP": "SDO/HMI", "INSTRUME": "HMI_SIDE1", "CONTENT": "MAGNETOGRAM", "BUNIT": "Gauss",
        "DATE-OBS": "2014-02-03T05:00:00", "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec",
        "CUNIT2": "arcsec", "CRPIX1": (data.shape[1] + 1) / 2, "CRPIX2": (data.shape[0] + 1) / 2, "CRVAL1": 0.0,
        "CRVAL2": 0.0, "CDELT1": SCALE, "CDELT2": SCALE, "CROTA2": crota, "RSUN_OBS": RSUN, "HGLT_OBS": -6.2,
        "HGLN_OBS": 0.0, "DSUN_OBS": DSUN,
    }  # fmt: skip
    hdu = fits.PrimaryHDU(data.astype(np.float32))
    hdu.header.update({**header, **cards})
    hdu.writeto(tmp_path / f"{name}.fits", overwrite=True)
    return observations.open_observation(tmp_path / f"{name}.fits")


def spot_frame(x: float, y: float, radius: float = 5.0, value: float = 1000.0) -> np.ndarray:
    """Weak noise with a strong round field at pixel (x, y)."""
    rows, columns = np.mgrid[:N, :N]
    noise = np.random.default_rng(0).normal(0, 5, (N, N))
    return np.where(np.hypot(columns - x, rows - y) < radius, value, noise)


def brightest(image: Image.Image) -> np.ndarray:
    """Centre (x, y) of what is white above the banner."""
    grey = np.asarray(image.convert("L"), float)[: image.height - render.banner_height(image.width)]
    y, x = np.nonzero(grey > 250)
    return np.array([x.mean(), y.mean()])


# --------------------------------------------------------------------------------------------------------------------
# determinism and form


@pytest.mark.parametrize("path", observations.sample_files(), ids=lambda p: p.name)
def test_same_file_same_bytes(path):
    pictures = [render.render(observations.open_observation(path), banner=BANNER) for _ in range(2)]
    hashes = {hashlib.sha256(render.png_bytes(p.image)).hexdigest() for p in pictures}
    assert len(hashes) == 1
    assert pictures[0].stretch == pictures[1].stretch
    assert pictures[0].image.size == (168, 168)
    assert pictures[0].image.mode == "RGB"
    assert len(np.unique(np.asarray(pictures[0].image)[:140])) > 40


def test_png_carries_no_time_and_no_software():
    content = render.png_bytes(Image.new("RGB", (10, 10)))
    assert [content[i : i + 4] for i in (12,)] == [b"IHDR"]
    assert not any(chunk in content for chunk in (b"tEXt", b"tIME", b"iTXt", b"zTXt"))


@pytest.mark.parametrize("image_px", [56, 168, 224, 448])
def test_layout_for_other_sizes(tmp_path, image_px):
    obs = observe(tmp_path, spot_frame(128, 128))
    picture = render.render(obs, image_px, x_offset=2)
    pixels = np.asarray(picture.image)
    assert pixels.shape == (image_px, image_px, 3)
    assert not pixels[-render.banner_height(image_px) :].any()
    with pytest.raises(ValueError, match="image_px=4"):
        render.render(obs, 4)


# --------------------------------------------------------------------------------------------------------------------
# place and orientation


@pytest.mark.parametrize("crota", [0.0, 180.0, 33.0, -90.0])
def test_north_is_up_and_west_is_right_whatever_the_roll(tmp_path, crota):
    obs = observe(tmp_path, np.zeros((N, N)) + spot_frame(128, 128), crota)
    place, visible = heliographic_to_pixel(disk_geometry(obs), 30.0, 40.0)
    assert visible
    obs = observe(tmp_path, spot_frame(*place), crota, name="b")
    picture = render.render(obs)
    assert picture.full_disk
    expected = picture.to_png(place)
    assert np.allclose(brightest(picture.image), expected, atol=0.8)
    assert expected[0] > 84 + 15
    assert expected[1] < 70 - 15


def test_the_disk_has_one_place_and_size_for_all_instruments(tmp_path):
    for crota, scale in ((0.0, 8.0), (180.0, 9.6), (10.0, 10.5)):
        obs = observe(tmp_path, spot_frame(128, 128), crota, CDELT1=scale, CDELT2=scale)
        picture = render.render(obs)
        geometry = disk_geometry(obs)
        assert np.allclose(picture.to_png((geometry.x, geometry.y)), (83.5, 69.5), atol=1e-6)
        north = picture.to_png(geometry.to_pixel((0, 1)))
        assert np.allclose(north, (83.5, 69.5 - 0.92 * 70), atol=1e-6)
        seen = np.asarray(picture.image).any(axis=-1)
        assert seen.sum() == pytest.approx(np.pi * 64.4**2, rel=0.02)  # black beyond the limb


@pytest.mark.parametrize("crota", [0.0, 179.9, 33.0])
def test_places_agree_with_the_world_coordinates_of_sunpy(tmp_path, crota):
    obs = observe(tmp_path, spot_frame(128, 128), crota)
    lat, lon = (grid.ravel() for grid in np.mgrid[-80:81:20, -85:86:17])
    pixels, visible = heliographic_to_pixel(disk_geometry(obs), lat, lon)
    solar_map = map_sources.to_map(obs)
    place = SkyCoord(lon * u.deg, lat * u.deg, frame=frames.HeliographicStonyhurst, obstime=solar_map.date)
    wanted = np.column_stack([axis.value for axis in solar_map.world_to_pixel(place)])
    front = place.transform_to(solar_map.coordinate_frame).is_visible()
    assert np.abs(pixels - wanted).max() < 0.02
    assert np.array_equal(visible, front)


def test_ephemeris_agrees_with_sunpy():
    for date in ("1996-05-31T05:23:46", "2014-02-03T05:00:00", "2025-12-20T00:00:00"):
        distance, b0 = sun_from_earth(date)
        assert b0 == pytest.approx(sun.B0(date).to_value("deg"), abs=0.02)
        assert distance == pytest.approx(sun.earth_distance(date).to_value("AU"), abs=2e-4)


def test_geometry_of_real_headers():
    hmi = disk_geometry(observations.open_observation(SUNPY / "resampled_hmi.fits"))
    assert hmi.crota_deg == pytest.approx(179.929779)
    assert hmi.radius_px == pytest.approx(968.660583 / 20.65575936)
    eit = disk_geometry(observations.open_observation(SUNPY / "EIT" / "efz20040301.000010_s.fits"))
    assert eit.radius_px == pytest.approx(372.27 / 8, rel=0.005)  # binned by 8, CDELT left as it was
    aia = disk_geometry(observations.open_observation(SUNPY / "aia_171_level1.fits"))
    assert aia.b0_deg == pytest.approx(-6.8, abs=0.1)


def test_real_regions_lie_where_the_srs_says(shared_data):
    """AR 10718 on MDI's continuum of 2005-01-11: dark there, not at its mirror images."""
    path = next((shared_data / "helioviewer_jp2").glob("2005_01_11*MDI*"))
    obs = observations.open_observation(path)
    assert _darkest(obs, -6.0, -30.0) < 0.75 < _darkest(obs, -6.0, 30.0)


def _darkest(obs, lat: float, lon: float, reach: int = 40) -> float:
    """Least value around a place, as a share of the median there."""
    (x, y), _ = heliographic_to_pixel(disk_geometry(obs), lat, lon)
    patch = obs.data[int(y) - reach : int(y) + reach, int(x) - reach : int(x) + reach]
    inside = patch[patch > 40]
    return float(np.percentile(inside, 0.05) / np.median(inside))


def test_cutouts_are_shown_whole(tmp_path):
    obs = observe(tmp_path, spot_frame(20, 20)[:100, :200], CRPIX1=-100.0, CRPIX2=-50.0)
    assert not is_full_disk(disk_geometry(obs), obs.data.shape)
    picture = render.render(obs)
    corners = picture.to_png([(0, 0), (199, 0), (0, 99), (199, 99)])
    assert (corners > -1).all()
    assert (corners < (168, 140)).all()
    assert not picture.full_disk
    assert np.allclose(brightest(picture.image), picture.to_png((20, 20)), atol=0.8)


def test_a_plain_picture_keeps_its_colours_and_its_top(tmp_path):
    pixels = np.zeros((140, 168, 3), np.uint8)
    pixels[:20] = (255, 0, 0)
    pixels[20:] = np.arange(168, dtype=np.uint8)[:, None]
    Image.fromarray(pixels).save(tmp_path / "x_20140101_000000.png")
    picture = render.render(observations.open_observation(tmp_path / "x_20140101_000000.png"))
    assert picture.stretch == "none: colours as published"
    assert np.array_equal(np.asarray(picture.image)[:140], pixels)


# --------------------------------------------------------------------------------------------------------------------
# stretch


def test_magnetogram_levels_are_physical(tmp_path):
    data = np.full((N, N), 0.0)
    data[:, 128:] = 150.0
    data[:100] = -1e4
    data[0, :20] = np.linspace(0, 1, 20)
    picture = render.render(observe(tmp_path, data))
    assert picture.stretch == "linear, -300 to 300 Gauss, colormap gray, black beyond the limb"
    grey = np.asarray(picture.image)[..., 0]
    assert (grey[40, 60], grey[40, 110], grey[110, 84]) == (128, 191, 0)


def test_missing_pixels_are_black_and_stay_out_of_the_means(tmp_path):
    data = np.full((N, N), 300.0)
    data[:, ::2] = np.nan
    data[100:150, 100:150] = np.nan
    data[0, 1::2] = np.arange(128)
    picture = render.render(observe(tmp_path, data))
    pixels = np.asarray(picture.image)[..., 0]
    assert pixels[69, 83] == 0
    assert pixels[20, 83] in (0, 255)
    assert set(np.unique(pixels[20:40, 60:110])) <= {0, 255}


def test_exposure_is_taken_out(tmp_path):
    cards = {"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_3", "WAVELNTH": 171, "BUNIT": "DN"}
    data = spot_frame(128, 128, value=900.0) + 100
    one = render.render(observe(tmp_path, data, EXPTIME=1.0, name="one", **cards))
    two = render.render(observe(tmp_path, data * 2, EXPTIME=2.0, name="two", **cards))
    assert one.stretch == "sqrt, 2 to 1200 DN/s (data / EXPTIME), colormap sdoaia171"
    assert render.png_bytes(one.image) == render.png_bytes(two.image)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["linear", "sqrt", "log", "asinh"]), st.floats(0.1, 100), st.floats(0.5, 1e4))
def test_curves_rise_from_nought_to_one(kind, low, span):
    levels = render._curve(kind, np.linspace(low, low + span, 50), low, low + span)
    assert levels[0] == pytest.approx(0, abs=1e-6)
    assert levels[-1] == pytest.approx(1)
    assert (np.diff(levels) > 0).all()


# --------------------------------------------------------------------------------------------------------------------
# banner, boxes, figures


def test_banner_is_white_text_in_the_band_and_nowhere_else():
    plain = Image.new("RGB", (168, 168), (9, 9, 9))
    image = render.draw_banner(plain, BANNER, 6)
    pixels = np.asarray(image)
    assert (pixels[:140] == 9).all()
    rows = np.nonzero((pixels[140:] > 200).any(axis=(1, 2)))[0]
    assert rows.min() < 6
    assert rows.max() > 22
    assert not pixels[140:, :5].any()
    assert np.array_equal(np.asarray(plain), np.full((168, 168, 3), 9))
    assert not np.array_equal(pixels, np.asarray(render.draw_banner(plain, BANNER, 2)))


def test_banner_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="wider than the picture"):
        render.draw_banner(Image.new("RGB", (168, 168)), ("x" * 30,))
    with pytest.raises(ValueError, match="3 banner lines"):
        render.draw_banner(Image.new("RGB", (168, 168)), ("a", "b", "c"))


def test_boxes_are_drawn_on_a_copy():
    plain = Image.new("RGB", (168, 168))
    marked = render.draw_boxes(plain, [{"noaa_ar": 11967, "box": [50, 60, 80, 90]}])
    assert marked.getpixel((50, 75)) == render.BOX_COLOUR
    assert plain.getbbox() is None


def test_figures_repeat_byte_for_byte(tmp_path):
    frame = observations.open_xrs(SUNPY / "sci_xrsf-l2-avg1m_g16_d20210101_truncated.nc")
    table = pd.DataFrame([[3, 1], [0, 0]], index=["a", "b"], columns=["a", "b"])
    hashes = set()
    for name in ("one", "two"):
        fig = Figure()
        plots.plot_xrs(fig.add_subplot(121), frame)
        plots.plot_confusion(fig.add_subplot(122), table)
        sheet = plots.contact_sheet([Image.new("RGB", (8, 8))] * 3, ["x", "y", "z"], columns=2)
        for i, figure in enumerate((fig, sheet)):
            for kind in ("png", "svg"):
                path = plots.save_figure(figure, tmp_path / name / f"{i}.{kind}")
                hashes.add((i, kind, hashlib.sha256(path.read_bytes()).hexdigest()))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("cards", "without"),
    [
        ({}, ("CUNIT1", "CUNIT2")),
        ({"CUNIT1": "arcsecs", "CUNIT2": "arcsecs"}, ()),
        ({"CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 1 / 3600, "CDELT2": 1 / 3600}, ()),
    ],
)
def test_units_missing_misspelt_or_in_degrees_change_nothing(tmp_path, cards, without):
    """GONG and BBSO leave CUNIT out, HXI writes "arcsecs", some headers count in degrees."""
    obs = observe(tmp_path, spot_frame(60, 40))
    expected = disk_geometry(obs)
    factor = {k: v * obs.header[k] if k.startswith("CDELT") else v for k, v in cards.items()}
    header = {k: v for k, v in {**obs.header, **factor}.items() if k not in without}
    got = disk_geometry(dataclasses.replace(obs, header=header))
    assert np.allclose([got.x, got.y, got.radius_px], [expected.x, expected.y, expected.radius_px])
    assert np.allclose(got.matrix, expected.matrix)


def test_limb_and_grid_stand_where_the_header_puts_them(tmp_path):
    """The limb at the disk's radius all round; the equator where B0 lifts it; turned cameras change nothing."""
    frames_seen = []
    for crota in (0.0, 180.0):
        obs = observe(
            tmp_path,
            np.random.default_rng(0).normal(0, 50, (N, N)),
            crota=crota,
            name=f"turned{crota:g}",
            HGLT_OBS=-6.2,
        )
        geometry, picture = disk_geometry(obs), render.render(obs, 336)
        black = Image.new("RGB", picture.image.size)
        drawn = np.asarray(render.draw_grid(black, picture, geometry, step_deg=30))
        rows, columns = np.nonzero((drawn == render.LIMB_COLOUR).all(axis=-1))
        x0, y0 = picture.to_png(geometry.to_pixel([0.0, 0.0]))
        radius = np.hypot(columns - x0, rows - y0)
        assert np.allclose(radius, render.DISK_FILLS * 280 / 2, atol=3)
        equator = picture.to_png(heliographic_to_pixel(geometry, np.array([0.0]), np.array([0.0]))[0])[0]
        assert equator[1] < y0  # the observer stands south of it: it lies above the middle
        column, row = np.rint(equator).astype(int)
        assert drawn[row - 1 : row + 2, column - 1 : column + 2].any()
        frames_seen.append(drawn)
    assert np.abs(frames_seen[0].astype(int) - frames_seen[1]).mean() < 1
