"""Pictures of one camera differ in exposure, contrast and field, and still lie where their headers say."""

import numpy as np
import pytest
from astropy.io import fits

from jwvl_lib import image_rows, simulate, view_variety
from jwvl_lib.geometry import disk_geometry
from jwvl_lib.observations import open_observation

VIEWS = {view.stem: view for views in simulate.load_views().values() for view in views}


def test_a_view_is_another_one_each_time_but_the_same_camera():
    rng = np.random.default_rng(0)
    row = VIEWS["trace_171"]
    drawn = [view_variety.vary(row, rng) for _ in range(20)]
    assert len({view.pixel_arcsec for view in drawn}) == len({view.gain for view in drawn}) == 20
    assert all(
        view.cards == VIEWS["trace_171"].cards and view.look.keys() == VIEWS["trace_171"].look.keys() for view in drawn
    )
    assert all(0.8 <= view.pixel_arcsec / VIEWS["trace_171"].pixel_arcsec <= 3.0 for view in drawn)
    assert view_variety.vary(VIEWS["hmi_ic"], rng) == VIEWS["hmi_ic"]


def test_compression_keeps_the_order_of_brightness():
    image = np.random.default_rng(1).uniform(1, 900, (30, 30))
    for seed in range(6):
        changed = view_variety.compressed(image, np.random.default_rng(seed))
        assert (np.argsort(changed, axis=None) == np.argsort(image, axis=None)).all()
        assert np.median(changed) == pytest.approx(np.median(image), rel=0.01)


@pytest.mark.parametrize("field", ["disk", "region"])
def test_what_a_file_keeps_stays_at_its_place(field):
    """A bright block is found where CRPIX and CDELT say, however the picture was cut and binned."""
    shapes = set()
    for seed in range(30):
        header = fits.Header({"CRPIX1": 128.5, "CRPIX2": 128.5, "CDELT1": 2.0, "CDELT2": 2.0})
        image = np.zeros((256, 256))
        image[132:140, 120:128] = 1.0
        kept = view_variety.taken(image, header, field, np.random.default_rng(seed))
        rows, columns = np.nonzero(kept)
        x = (columns.mean() + 1 - header["CRPIX1"]) * header["CDELT1"]
        y = (rows.mean() + 1 - header["CRPIX2"]) * header["CDELT2"]
        assert (x, y) == (pytest.approx(-8, abs=header["CDELT1"] / 2), pytest.approx(16, abs=header["CDELT1"] / 2))
        shapes.add(kept.shape)
    assert len(shapes) > 2


def test_varied_days_are_drawn_and_the_usual_ones_left_alone(tmp_path):
    """The usual looks keep their pixels; a disk of the varied ones lies in the middle of its file."""
    for rare in (False, True):
        day = simulate.plan_days(3, "2013-01-01", "2014-12-31", seed=3, rare_views=rare)[1]
        for path in simulate.simulate_day(day, tmp_path / str(rare))[1:]:
            seen = open_observation(path)
            if not rare:
                assert seen.data.shape == (256, 256)
                continue
            view = next(v for v in VIEWS.values() if path.name.startswith(f"{v.stem}_2"))
            if view.field == "disk":
                geometry, middle = disk_geometry(seen), (seen.data.shape[0] - 1) / 2
                assert np.allclose((geometry.x, geometry.y), middle, atol=0.01)


def test_a_share_of_the_pictures_is_bare():
    names = [f"simulated/hmi_m_{k}.fits" for k in range(2000)]
    assert not any(image_rows.is_bare(name, 0.0) for name in names)
    assert all(image_rows.is_bare(name, 1.0) for name in names)
    some, more = ({n for n in names if image_rows.is_bare(n, share)} for share in (0.3, 0.6))
    assert some < more
    assert abs(len(some) - 600) < 90
