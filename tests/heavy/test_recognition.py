"""Instrument, measurement and date of every real image of the archive against its provenance table; hostile files."""

import re

import pytest

from jwvl_lib.instruments import UNKNOWN, display_name
from jwvl_lib.observations import UnreadableImage, open_observation

pytestmark = pytest.mark.heavy

# what the provenance table and the source say, by path; dates come from the table where it has one
NAMES = [
    (r"aso_s_hxi/", "ASO-S/HXI X-ray"),
    (r"dkist/", "DKIST/VBI 4504"),
    (r"gong/19", "GONG synoptic"),
    (r"gong/..bq", "GONG magnetogram"),
    (r"gong/..iq", "GONG continuum"),
    (r"halpha/.*bbso", "BBSO H-alpha"),
    (r"LASCO_C3|api_test_lasco|comet_", "SOHO/LASCO C3"),
    (r"MDI_continuum|igram|mdi[._]fd_[iI]c", "SOHO/MDI continuum"),
    (r"maglc|mdi[._]fd_[mM]|mdiB", "SOHO/MDI magnetogram"),
    (r"HMI_continuum|hmi_continuum|sharp.*continuum", "SDO/HMI continuum"),
    (r"AIA_193", "SDO/AIA 193"),
    (r"api_test_test", "SDO/AIA 304"),
    (r"COR2", "STEREO-A/SECCHI COR2"),
    (r"EIT_171", "SOHO/EIT 171"),
    (r"iris_1330", "IRIS/SJI 1330"),
    (r"SJI_1400", "IRIS/SJI 1400"),
    (r"SJI_2832", "IRIS/SJI 2832"),
    (r"eui-hrieuv174", "SolO/EUI 174"),
    (r"hinode/FG2011", "Hinode/SOT 5576"),
    (r"hinode/FGMG4", "Hinode/SOT Stokes V"),
    (r"hinode/.*XRT", "Hinode/XRT X-ray"),
    (r"sharp.*magnetogram", "SDO/HMI magnetogram"),
    (r"sharp.*Dopplergram", "SDO/HMI Dopplergram"),
    (r"\.Br\.", "SDO/HMI Br"),
    (r"\.Bp\.", "SDO/HMI Bp"),
    (r"\.Bt\.", "SDO/HMI Bt"),
    (r"proba2_swap/", "PROBA2/SWAP 174"),
    (r"rhessi/", "RHESSI X-ray"),
    (r"sdo_aia/.*(1600|0041)", "SDO/AIA 1600"),
    (r"aia_171", "SDO/AIA 171"),
    (r"efz", "SOHO/EIT 195"),
    (r"Venus|lasco_c2", "SOHO/LASCO C2"),
    (r"kcor", "MLSO/KCor K-corona"),
    (r"cor1", "STEREO-A/SECCHI COR1"),
    (r"euvi", "STEREO-A/EUVI 171"),
    (r"trace", "TRACE 171"),
]
DATES = {  # where the table has none, or sunpy's "now"
    "smdi_igram_fd_20090728_1914.fts": "2009-07-28T19:14",
    "smdi_maglc_fd_20090728_1741.fts": "2009-07-28T17:41",
    "api_test_lasco_image.jp2": "2023-12-01T00:06",
    "api_test_test.jp2": "2021-01-06T00:01",
    "hxi_imgcube_01e02t_20230501_130758_HXI_CLEAN.fits": "2023-05-01T13:07",
    "bbbqa090905t1854.fits.gz": "2009-09-05T18:54",
    "bbiqa090905t1854.fits.gz": "2009-09-05T18:54",
    "tdbqa090905t0924.fits.fz": "2009-09-05T09:24",
    "tdiqa090905t0934.fits.fz": "2009-09-05T09:34",
    "Example_bbso_cleaned.fits.gz": "2002-04-30T16:55",
    "20000101_1247_mdiB_1_8809.fits": "2000-01-01T12:47",
    "iris_l2_20140329_140938_3860258481_SJI_1400_t000.fits": "2014-03-29T14:09",
    "iris_l2_20140329_140938_3860258481_SJI_2832_t000.fits": "2014-03-29T14:09",
}
NO_IMAGES = re.compile(r"bitmap|goes_xrs/")  # region masks and light curves


def _dates(provenance) -> dict[str, str]:
    rows = (line.split("|") for line in provenance.read_text().splitlines() if line.startswith("| "))
    found = ((cells[1].strip(), re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d", cells[4])) for cells in rows if len(cells) > 5)
    return {name: date[0] for name, date in found if date} | DATES


def test_every_real_image_has_its_instrument_and_date(shared_data, record):
    """FITS and JPEG2000 that are images: at least 95 % right, the others unknown with a reason, none wrong."""
    dates = _dates(shared_data / "PROVENANCE.md")
    paths = [p for p in sorted(shared_data.rglob("*")) if re.search(r"\.(fits|fts|fz|jp2)(\.gz)?$", p.name)]
    paths = [p for p in paths if not NO_IMAGES.search(p.as_posix())]
    right, unknown, wrong = 0, [], []
    for path in paths:
        source = path.relative_to(shared_data).as_posix()
        want = next(name for pattern, name in NAMES if re.search(pattern, source))
        date = dates.get(path.name) or re.sub(r"(\d{4})_(\d\d)_(\d\d)__(\d\d)_(\d\d).*", r"\1-\2-\3T\4:\5", path.name)
        date = "2022-04-01T10:30" if "hrieuv174" in date else "2024-04-15T06:00" if "iris_1330" in date else date
        try:
            obs = open_observation(path)
        except UnreadableImage as error:
            unknown.append((source, error.reason))
            continue
        name = display_name(obs.observatory, obs.instrument, obs.measurement)
        if name == UNKNOWN:
            unknown.append((source, "no row of the instrument table fits"))
        elif (name, obs.date_obs[:16]) == (want, date):
            right += 1
        else:
            wrong.append((source, name, obs.date_obs, want, date))
    print(f"\nrecognition: {right} of {len(paths)} right, unknown {unknown}, wrong {wrong}")
    record("recognised", right / len(paths), 0.95, len(paths), note=f"{len(unknown)} refused with a reason")
    record("recognised_wrong", len(wrong), 0, len(paths))
    assert wrong == []
    assert len(paths) > 80
    assert right / len(paths) >= 0.95
    assert all(reason for _, reason in unknown)
