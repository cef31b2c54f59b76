"""sunpy.map.Map of every row of the instrument table: nobody claims a header twice, the table's words reach the map."""

import re

import astropy.units as u
import numpy as np
import pytest
import sunpy.map

from jwvl_lib import instruments, map_sources, observations

WCS = {
    "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CDELT1": 20.0, "CDELT2": 20.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
    "CRVAL1": 0.0, "CRVAL2": 0.0, "CUNIT1": "arcsec", "CUNIT2": "arcsec", "DATE-OBS": "2014-05-05T10:00:00",
    "HGLN_OBS": 0.0, "HGLT_OBS": -3.5, "DSUN_OBS": 1.5e11,
}  # fmt: skip
DATA = np.random.default_rng(0).normal(100, 9, (64, 64)).astype("f4")
FILE = map_sources.FILE_CARD.upper()


def simple(text: str) -> str:
    """A word that a pattern of the table fits, made by leaving its operators out."""
    text = re.sub(r"\(([^()|]*)[^()]*\)\?", "", text.split("|")[0])
    return re.sub(r"\[(.)[^\]]*\][?+]?", r"\1", text).replace(".*", "").replace("?", "").replace("\\", "")


def header_of(row: instruments.Instrument) -> dict:
    """A header that fits the first condition of a row."""
    cards = {}
    for key, want in row.conditions[0]:
        if want is not None:
            cards[key.split("|")[0].replace("FILE", FILE)] = simple(want) if isinstance(want, str) else want
    return cards


FITTING = {f"{r.observatory} {r.instrument} {r.detector} {r.measurement}": r for r in instruments.load_instruments()}
FITTING = {k: r for k, r in FITTING.items() if instruments.identify(h := header_of(r), str(h.get(FILE, ""))) == r}


def test_most_rows_are_tried():
    assert len(FITTING) >= 0.75 * len(instruments.load_instruments())


@pytest.mark.parametrize("name", FITTING)
def test_every_row_gives_one_map(name):
    row = FITTING[name]
    if row.measurement == "synoptic":
        pytest.skip("a Carrington chart has other coordinates than this header")
    header = {**WCS, **header_of(row)}
    if sum(claims(DATA, sunpy.util.MetaDict(header)) for claims in sunpy.map.GenericMap._registry.values()) != 1:
        pytest.fail("claimed by several sources, or by none")
    made = sunpy.map.Map(DATA, header) if map_sources.TableMap.is_datasource_for(DATA, header) else None
    if made is not None:
        assert isinstance(made, map_sources.TableMap)
        assert (made.observatory, made.instrument, made.detector) == (row.observatory, row.instrument, row.detector)
        assert made.plot_settings["cmap"].name == row.colormap
        assert made.date.isot == "2014-05-05T10:00:00.000"
        if row.wavelength_angstrom == row.wavelength_angstrom:
            assert made.wavelength == row.wavelength_angstrom * u.AA


BBSO = {**WCS, "ORIGIN": "BBSO", "WAVELNTH": "H-ALPHA"}


def test_a_map_without_units_or_with_arcsecs_has_arcsec():
    header = {k: v for k, v in BBSO.items() if not k.startswith("CUNIT")}
    assert sunpy.map.Map(DATA, header).scale.axis1 == 20 * u.arcsec / u.pix
    assert sunpy.map.Map(DATA, {**BBSO, "CUNIT1": "arcsecs", "CUNIT2": "arcsecs"}).spatial_units[0] == u.arcsec


def test_a_date_is_never_now():
    header = {k: v for k, v in BBSO.items() if k != "DATE-OBS"}
    with pytest.raises(ValueError, match="BBSO H-alpha: no date of observation"):
        sunpy.map.Map(DATA, header)
    assert sunpy.map.Map(DATA, {**header, "DATE_OBS": "28-Jul-2009 17:00:00"}).date.isot[:16] == "2009-07-28T17:00"


def test_what_no_row_fits_stays_generic():
    assert type(sunpy.map.Map(DATA, {**WCS, "TELESCOP": "backyard"})) is sunpy.map.GenericMap


def test_what_sunpy_has_a_source_for_keeps_it():
    made = map_sources.to_map(observations.open_observation(observations.sunpy_data() / "aia_171_level1.fits"))
    assert type(made).__name__ == "AIAMap"


def test_a_real_file_that_sunpy_has_no_source_for(shared_data):
    path = next((shared_data / "gong").rglob("*.fits*"))
    obs = observations.open_observation(path)
    made = map_sources.to_map(obs)
    assert type(made).__name__ in ("TableMap", "GONGSynopticMap")
    assert made.date.isot[:19] == obs.date_obs


def test_a_map_is_drawn_with_the_colours_of_the_table(tmp_path):
    import matplotlib.pyplot as plt

    fig = plt.figure()
    made = sunpy.map.Map(DATA, BBSO)
    axes = fig.add_subplot(projection=made)
    image = made.plot(axes=axes)
    assert image.get_cmap().name == "gray"
    assert "BBSO" in axes.get_title()
    plt.close(fig)
