"""The simulator: its summaries are real SRS texts, its pictures hold the truth that its headers claim."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from sunpy.coordinates import HeliographicStonyhurst, RotatedSunFrame, sun
from sunpy.io.special.srs import read_srs as sunpy_read_srs
from sunpy.sun.models import differential_rotation

from jwvl_lib import observations, scene, simulate, swpc
from jwvl_lib.geometry import disk_geometry
from jwvl_lib.heliographic import rotation_deg, unit_vectors
from jwvl_lib.image_facts import regions_in_field, regions_seen
from jwvl_lib.render import render


@pytest.fixture(scope="module")
def days():
    return simulate.plan_days(40, "2013-01-01", "2014-12-31", seed=3)


@pytest.fixture(scope="module")
def written(days, tmp_path_factory):
    """Three simulated days: a spotless one and the first two with regions."""
    folder = tmp_path_factory.mktemp("raw")
    chosen = [d for d in days if d.n_regions == 0][:1] + [d for d in days if d.n_regions > 1][:2]
    return {day: simulate.simulate_day(day, folder / day.name) for day in chosen}


def _regions(day):
    return simulate.draw_regions(day, np.random.default_rng([day.seed, 2, day.index]))


def test_sunpy_reads_every_summary(written):
    for day, (srs, *_) in written.items():
        table = sunpy_read_srs(srs)
        assert sorted(int(n) for n in table["Number"]) == sorted(r.noaa_ar for r in _regions(day))
        assert table.meta["issued"].strftime("%Y%m%dT%H%M") == f"{srs.name[:8]}T0030"


def test_summary_gives_the_regions_back(written):
    for day, (srs, *_) in written.items():
        table = swpc.read_srs(srs).set_index("noaa_ar")
        assert len(table) == day.n_regions
        for region in _regions(day):
            row = table.loc[region.noaa_ar]
            assert (row.lat_deg, row.lon_deg) == (region.lat_deg, region.lon_deg)
            assert (row.area_msh, row.n_spots, row.extent_deg) == (region.area_msh, region.n_spots, region.extent_deg)
            assert (row.mcintosh_class, row.hale_class) == (region.mcintosh_class, region.hale_class)
            carrington = (sun.L0(Time(row.valid)).deg + region.lon_deg) % 360
            assert abs((row.carrington_lon_deg - carrington + 180) % 360 - 180) <= 0.5


def test_numbers_are_simulated_ones_and_never_come_twice(days):
    numbers = [r.noaa_ar for day in days for r in _regions(day)]
    assert len(numbers) == len(set(numbers)) == sum(day.n_regions for day in days)
    assert min(numbers) == 19000


def test_the_largest_region_is_clearly_the_largest(days):
    for day in days:
        areas = [r.area_msh for r in _regions(day)]
        assert all(area <= areas[0] / 2 for area in areas[1:])
        assert not areas or areas[0] >= 180


def test_classes_keep_their_real_areas_and_extents(days):
    table = {(r.mcintosh_class, r.hale_class): r for r in simulate.region_classes()}
    for region in (r for day in days for r in _regions(day)):
        row = table[region.mcintosh_class, region.hale_class]
        assert simulate.SMALLEST_AREA_MSH <= region.area_msh <= row.area_msh_p90
        assert row.extent_deg_p10 <= region.extent_deg <= row.extent_deg_p90


def test_hale_and_joy(days):
    """Nearly all leading fields follow the cycle's sign by hemisphere."""
    signs = [r.leading_sign * np.sign(r.lat_deg) * day.cycle_sign for day in days for r in _regions(day)]
    assert np.mean(np.array(signs) > 0) > 0.85


def test_same_day_same_bytes(written, tmp_path):
    day, paths = list(written.items())[1]
    again = simulate.simulate_day(day, tmp_path)
    assert [p.name for p in again] == [p.name for p in paths]
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


VIEWS = [view for group in simulate.load_views().values() for view in group]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.stem)
def test_every_view_is_recognised_and_drawn(view, days, tmp_path, monkeypatch):
    """Its header names the instrument of its row, and the picture is no plain field."""
    monkeypatch.setattr(simulate, "draw_views", lambda rng, rare: [view])
    day = next(d for d in days if d.n_regions > 1)
    _, path = simulate.simulate_day(day, tmp_path)
    seen = observations.open_observation(path)
    assert seen.row is not None
    assert seen.instrument.casefold().split("/")[0] in str(view.cards).casefold()
    assert view.stem.split("_")[0] in (seen.instrument + seen.measurement + seen.observatory).casefold()
    assert seen.header["SIMULATED"]
    assert np.asarray(render(seen, 168).image).std() > 5


def test_a_day_has_one_view_of_each_group(written):
    for _, (_, *images) in written.items():
        stems = [path.name.rpartition("_")[0] for path in images]
        groups = simulate.load_views()
        assert stems == ["hmi_m", "hmi_ic", "aia_171", "aia_193", "aia_304", "gong_ha"]
        assert [stem in {view.stem for view in views} for stem, views in zip(stems, groups.values(), strict=True)]
        assert len(stems) == len(groups) == 6


def test_rare_views_are_drawn_only_where_asked_for():
    rng = np.random.default_rng(0)
    usual = {view.stem for _ in range(300) for view in simulate.draw_views(rng)}
    every = {view.stem for _ in range(600) for view in simulate.draw_views(rng, rare=True)}
    assert usual == {view.stem for view in VIEWS if not view.rare}
    assert every == {view.stem for view in VIEWS}


def test_a_cutout_shows_its_region(days, tmp_path, monkeypatch):
    """The largest region's place lies in the middle of a cutout, by the header alone."""
    cutout = next(v for v in VIEWS if v.stem == "hmi_m_cutout")
    monkeypatch.setattr(simulate, "draw_views", lambda rng, rare: [cutout])
    day = next(d for d in days if d.n_regions > 1)
    srs, path = simulate.simulate_day(day, tmp_path)
    seen = observations.open_observation(path)
    geometry = disk_geometry(seen)
    regions = regions_seen(swpc.parse_srs(srs.read_bytes(), srs.name), seen.date_obs, day.b0_deg)
    assert regions[0].record["noaa_ar"] in [
        r.record["noaa_ar"] for r in regions_in_field(regions, geometry, (256, 256))
    ]
    assert np.allclose(geometry.to_pixel(regions[0].vector[:2]), 127.5, atol=8)


def test_field_has_the_polarity_of_the_header(written):
    """West of a region's middle the flux has the sign that card LPnnnnn claims, east of it the other."""
    for day, (_, magnetogram, *_) in written.items():
        header, field = fits.getheader(magnetogram), np.nan_to_num(fits.getdata(magnetogram).astype(float))
        field = field[::-1, ::-1] if header["CROTA2"] == 180 else field
        hours = 24 - day.observed.hour - day.observed.minute / 60
        for region in _regions(day)[:1]:
            lon = region.lon_deg - rotation_deg(region.lat_deg, hours)
            x, y, _ = unit_vectors(region.lat_deg, lon, day.b0_deg) * day.rsun_arcsec / abs(header["CDELT1"])
            row, column = int(round(127.5 + y)), int(round(127.5 + x))
            west = field[row - 8 : row + 9, column : column + 16].sum()
            east = field[row - 8 : row + 9, column - 15 : column + 1].sum()
            assert np.sign(west - east) == {"positive": 1, "negative": -1}[header[f"LP{region.noaa_ar}"]]


def test_spots_are_dark_and_enlargement_is_named(written):
    day, (_, _, continuum, *_) = list(written.items())[1]
    assert f"{scene.SPOT_ENLARGEMENT:g} times" in " ".join(fits.getheader(continuum)["COMMENT"])
    image = fits.getdata(continuum).astype(float)
    quiet = np.nanmedian(image[96:160, 96:160])
    assert np.nanmin(image[image > 0]) < 0.65 * quiet


def test_rotation_is_sunpys():
    for lat in (0, 12, 25, 40):
        expected = differential_rotation(20 * u.hour, lat * u.deg, model="howard", frame_time="synodic")
        assert rotation_deg(lat, 20) == pytest.approx(expected.to_value(u.deg), abs=1e-3)


@pytest.mark.parametrize("date", ["2013-03-01T00:00", "2014-07-01T00:00"])
def test_rotation_agrees_with_sunpys_rotated_frame(date):
    """The Earth's orbit is eccentric: the mean motion is good to 0.05 degrees a day."""
    spot = SkyCoord(-30 * u.deg, 15 * u.deg, frame=HeliographicStonyhurst(obstime=date))
    rotated = SkyCoord(RotatedSunFrame(base=spot, duration=-20 * u.hour))
    moved = rotated.transform_to(HeliographicStonyhurst(obstime=Time(date) - 20 * u.hour))
    assert moved.lon.deg == pytest.approx(-30 + rotation_deg(15, -20), abs=0.1)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 60))
def test_any_seed_gives_days_inside_the_range(seed, n_days):
    days = simulate.plan_days(n_days, "2013-01-01", "2013-03-01", seed)
    assert len({day.name for day in days}) == n_days
    assert all("20130101" <= day.name <= "20130301" for day in days)


@pytest.mark.parametrize(
    ("n_days", "start", "end", "word"),
    [
        (400, "2013-01-01", "2013-12-31", "365 days"),
        (1, "2013-13-01", "2013-12-31", "YYYY-MM-DD"),
        (1, "2001-01-01", "2001-12-31", "2003"),
        (2500, "2003-01-01", "2012-12-31", "region numbers"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(n_days, start, end, word):
    with pytest.raises(ValueError, match=word) as error:
        simulate.plan_days(n_days, start, end, seed=0)
    assert "\n" not in str(error.value)


@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-7.25, 7.25))
def test_unit_vectors_have_unit_length_and_the_right_sides(lat, lon, b0):
    west, north, near = unit_vectors(lat, lon, b0)
    assert west**2 + north**2 + near**2 == pytest.approx(1)
    assert west * lon >= 0
    assert unit_vectors(b0, 0.0, b0) == pytest.approx([0, 0, 1], abs=1e-9)


def test_every_region_is_large_and_near_enough_to_be_seen(days):
    """At the time of the image: within 55 degrees of the meridian, but for the rounding of a summary."""
    for day in days:
        hours = 24 - day.observed.hour - day.observed.minute / 60
        for region in _regions(day):
            assert region.area_msh >= simulate.SMALLEST_AREA_MSH
            assert abs(region.lon_deg - rotation_deg(region.lat_deg, hours)) <= simulate.FARTHEST_LON_DEG + 0.5
