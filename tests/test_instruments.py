"""The instrument table: whole, consistent, and right about real headers."""

import math
import re

import matplotlib
import pytest
import sunpy.visualization.colormaps  # noqa: F401  (registers the colormaps that the table names)
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from jwvl_lib import instruments, observations

ROWS = instruments.load_instruments()

# headers without pixels that sunpy carries for its own tests -> display name
SUNPY_HEADERS = {
    "EIT_header/SOHO_EIT_284_20070601T120607_L1.header": "SOHO/EIT 284",
    "EIT_header/SOHO_EIT_304_20070601T121937_L1.header": "SOHO/EIT 304",
    "EIT_header/efz20040301.010016_s.header": "SOHO/EIT 171",
    "HinodeXRT.header": "Hinode/XRT X-ray",
    "SWAP/resampled0_swap.header": "PROBA2/SWAP 174",
    "cor1_20090615_000500_s4c1A.header": "STEREO-A/SECCHI COR1",
    "euvi_20090615_000900_n4euA_s.header": "STEREO-A/EUVI 171",
    "gong_halpha.header": "GONG H-alpha",
    "gong_magnetogram.header": "GONG magnetogram",
    "gong_synoptic.header": "GONG synoptic",
    "hmi_bharp_vlos_mag.header": "SDO/HMI Dopplergram",
    "hmi_cea_sharp_magnetogram.header": "SDO/HMI magnetogram",
    "hmi_sharp_magnetogram.header": "SDO/HMI magnetogram",
    "hmi_synoptic.header": "SDO/HMI synoptic",
    "lasco_c2_25299383_s.header": "SOHO/LASCO C2",
    "lasco_c3.header": "SOHO/LASCO C3",
    "mdi.fd_Ic.20101015_230100_TAI.data.header": "SOHO/MDI continuum",
    "mdi.fd_M_96m_lev182.20101015_191200_TAI.data.header": "SOHO/MDI magnetogram",
    "seit_00171_fd_19961211_1900.header": "SOHO/EIT 171",
    "solo_L1_eui-fsi304-image_20201021T145510206_V03.header": "SolO/EUI 304",
    "YohkohSXT.header": "Yohkoh/SXT X-ray",
    "hi_20110910_114721_s7h2A.header": "STEREO-A/SECCHI HI2",
    "HinodeSOT.header": "Hinode/SOT 3968",
    "punch.header": None,
    "SUT_T24_0847_000444_Lev1.0_2024-06-28T18.21.33.178_0971NB03.header": None,
    "dr_suvi-l2-ci195_g16_s20190403T093200Z_e20190403T093600Z_v1-0-0_rebinned.header": "GOES/SUVI 195",
}


def test_rows_are_complete_and_consistent():
    for row in ROWS:
        assert row.layer in instruments.LAYERS, row
        assert row.stretch.kind in instruments.STRETCHES, row
        assert row.stretch.scale in instruments.SCALES, row
        assert row.stretch.low < row.stretch.high, row
        assert row.status in instruments.STATUSES, row
        assert row.colormap in matplotlib.colormaps, row
        assert row.credit, row
        assert any(condition for condition in row.conditions), row
        assert "{" not in "".join([row.colormap, row.file_name, row.measurement]), row
        assert not row.measurement.isdigit() or float(row.measurement) == row.wavelength_angstrom, row


def test_banner_names_fit_and_keep_the_measurement():
    short = {row.name: instruments.banner_name(row.observatory, row.instrument, row.measurement) for row in ROWS}
    assert all(len(name) <= 20 and name.isascii() for name in short.values())
    assert all(short[row.name].endswith(row.measurement) for row in ROWS)
    assert short["HSOS/SMFT magnetogram"] == "SMFT magnetogram"
    assert short["SDO/HMI magnetogram"] == "SDO/HMI magnetogram"


def test_rows_are_distinct_but_for_detectors():
    keys = [(r.observatory, r.instrument, r.detector, r.measurement) for r in ROWS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("channel", [94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500])
def test_every_aia_channel(channel):
    row = instruments.identify({"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2", "WAVELNTH": channel})
    assert (row.name, row.wavelength_angstrom) == (f"SDO/AIA {channel}", channel)
    assert instruments.identify_name(f"sdo_aia{channel}_2014_07_15T21_59_55.png") is row
    assert instruments.find_instrument("SDO", "AIA", str(channel)) is row


@pytest.mark.parametrize(("name", "expected"), SUNPY_HEADERS.items())
def test_real_headers_of_sunpy(name, expected):
    path = observations.sunpy_data() / name
    if not path.is_file():
        pytest.skip(f"this sunpy has no {name}")
    header = dict(fits.Header.fromtextfile(path))
    row = instruments.identify(header, path.name)
    assert (row and row.name) == expected


@pytest.mark.parametrize(
    ("content", "unit", "name", "expected"),
    [
        ("MAGNETOGRAM", "Gauss", "x.fits", "magnetogram"),
        ("CONTINUUM INTENSITY", "DN/s", "x.fits", "continuum"),
        ("HMI observable", "Mx/cm^2", "hmi.sharp_cea_720s.1.T.magnetogram.fits", "magnetogram"),
        ("HMI observable", "Mx/cm^2", "hmi.sharp_cea_720s.1.T.Br.fits", "Br"),
        ("HMI observable", "", "hmi.sharp_cea_720s.1.T.bitmap.fits", None),
        ("HMI observable", "Mx/cm^2", "renamed.fits", None),
    ],
)
def test_hmi_segments_are_told_apart_or_not_named(content, unit, name, expected):
    header = {"TELESCOP": "SDO/HMI", "INSTRUME": "HMI_SIDE1", "CONTENT": content, "BUNIT": unit}
    row = instruments.identify(header, name)
    assert (row and row.measurement) == expected


def test_what_no_row_fits_is_not_guessed():
    assert instruments.identify({}) is None
    assert instruments.identify({"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2", "WAVELNTH": 170}) is None
    assert instruments.identify({"TELESCOP": "SDO/AIA", "INSTRUME": "AIA_2"}) is None
    assert instruments.identify_name("malaia171x.png") is None
    assert instruments.identify_name("sdo_aia1930.png") is None
    assert instruments.display_name("unknown", "unknown", "unknown") == "unknown"


def test_display_names():
    assert instruments.display_name("SDO", "AIA", "171") == "SDO/AIA 171"
    assert instruments.display_name("GONG", "GONG", "H-alpha") == "GONG H-alpha"


@given(st.dictionaries(st.sampled_from(["TELESCOP", "INSTRUME", "WAVELNTH", "BUNIT"]), st.text() | st.floats()))
def test_any_header_gives_a_row_or_none(header):
    row = instruments.identify(header)
    assert row is None or row in ROWS


def test_table_has_a_wavelength_wherever_the_channel_is_one():
    assert [r.name for r in ROWS if re.fullmatch(r"\d+", r.measurement) and math.isnan(r.wavelength_angstrom)] == []
