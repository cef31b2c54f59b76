"""Opening image files: the real ones of sunpy, damaged and hostile ones, and (where it is there) a real archive."""

import gzip
import json
import math
import shutil
import sys
import time
import zlib

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from jwvl_lib import image_files, map_sources, observations
from jwvl_lib.instruments import display_name
from jwvl_lib.observations import UnreadableImage, open_observation

SUNPY = observations.sunpy_data()
AIA = SUNPY / "aia_171_level1.fits"

SUNPY_TRUTH = {
    "2013_05_13__16_54_06_137__SOHO_LASCO_C3_white-light.jp2": ("SOHO/LASCO C3", "2013-05-13T16:54:06", (102, 102)),
    "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2": ("SDO/AIA 193", "2013-06-24T17:31:30", (410, 410)),
    "2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174.jp2": ("SolO/EUI 174", "2022-04-01T00:00:45", (3072, 3040)),
    "2023_01_31__03_39_23_200__SDO_HMI_HMI_continuum.jp2": ("SDO/HMI continuum", "2023-01-31T03:39:23", (512, 512)),
    "EIT/efz20040301.000010_s.fits": ("SOHO/EIT 195", "2004-03-01T00:00:10", (128, 128)),
    "EIT/efz20040301.010016_s.fits": ("SOHO/EIT 171", "2004-03-01T01:00:16", (128, 128)),
    "aia_171_level1.fits": ("SDO/AIA 171", "2011-02-15T00:00:00", (128, 128)),
    "hsi_image_20101016_191218.fits": ("RHESSI X-ray", "2010-10-16T19:12:18", (64, 64)),
    # CONTENT says continuum, whatever lists of these files say of a line-of-sight field
    "resampled_hmi.fits": ("SDO/HMI continuum", "2014-03-01T00:00:27", (100, 100)),
}


def name_of(obs) -> str:
    return display_name(obs.observatory, obs.instrument, obs.measurement)


def reason(path) -> str:
    """The reason for refusing a file: one line, naming no folder."""
    with pytest.raises(UnreadableImage) as caught:
        open_observation(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == str(path)
    assert str(path.parent) not in caught.value.reason
    return caught.value.reason


def write_fits(path, header=(), data=None, **options):
    data = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) if data is None else data
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(dict(header))
    hdu.writeto(path, **options)
    return path


# --------------------------------------------------------------------------------------------------------------------
# real files


@pytest.mark.parametrize("path", observations.sample_files(), ids=lambda p: p.name)
def test_real_files_of_sunpy(path):
    name, date_obs, shape = SUNPY_TRUTH[path.relative_to(SUNPY).as_posix()]
    obs = open_observation(path)
    assert (name_of(obs), obs.date_obs, obs.data.shape) == (name, date_obs, shape)
    assert obs.data.dtype == np.float32
    assert obs.prestretched == (path.suffix == ".jp2")
    assert obs.layer != observations.UNKNOWN


def test_sample_files_are_there():
    assert len(observations.sample_files()) == len(SUNPY_TRUTH)
    assert len(observations.sample_srs_files()) == 12


def test_a_map_of_sunpy_agrees():
    obs = open_observation(AIA)
    solar_map = map_sources.to_map(obs)
    assert solar_map.nickname == "AIA"
    assert solar_map.date.isot.startswith(obs.date_obs)
    assert solar_map.data.shape == obs.data.shape


def test_jp2_pixel_keywords_are_scaled_to_the_real_size():
    obs = open_observation(SUNPY / "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2")
    assert obs.header["CDELT1"] == pytest.approx(0.6 * 4096 / 410)
    assert obs.header["CRPIX1"] == pytest.approx(205.5, abs=0.1)


def test_real_archive(shared_data):
    """Instrument and date of every image FITS whose provenance gives both; nothing may be named wrongly."""
    truth = _provenance(shared_data / "PROVENANCE.md")
    named = {}
    for path, (map_name, date) in truth.items():
        obs = open_observation(path)
        named[path.name] = name_of(obs)
        assert named[path.name] == "unknown" or _agrees(named[path.name], map_name), (path, map_name)
        assert obs.date_obs[:16] == date[:16] or map_name.startswith("GONG"), path
    assert len(truth) > 50
    assert sum(n == "unknown" for n in named.values()) <= 4


def _provenance(path) -> dict:
    """Path -> (what sunpy called it, its date), for rows "EITMap 195.0 Angstrom 2004-03-01T00:00:10 128x128"."""
    folder, found = None, {}
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            folder = path.parent / line[3:].split(" ")[0]
        cells = [c.strip() for c in line.split("|")]
        if len(cells) > 5 and "Map " in cells[4] and "not a Map" not in cells[4]:
            words = cells[4].split()
            date = next((w for w in words if w[:2] in ("19", "20") and "T" in w), "")
            file = folder / cells[1]
            unfit = any(mark in file.name for mark in ("bitmap", "imagecube", "dkist"))
            if date and file.is_file() and not unfit and file.suffix != ".jp2":
                found[file] = (" ".join(words[: words.index(date)]), date)
    return found


def _agrees(name: str, map_name: str) -> bool:
    kind = map_name.split("Map")[0].upper()
    wave = map_name.split()[1].split(".")[0] if len(map_name.split()) > 1 else ""
    words = {"GONGSYNOPTIC": "GONG", "COR": "SECCHI", "GENERIC": ""}.get(kind, kind)
    channel = name.split()[-1]
    return words in name.upper() and (not channel.isdigit() or wave in ("None", "") or channel == wave)


def test_pictures_of_the_archive(shared_data):
    mask = shared_data / "aia193_png_coronal_holes/masks/sdo_aia193_2014_07_15T21_59_55.png"
    assert "2 distinct values" in reason(mask)
    picture = open_observation(shared_data / "aia193_png_coronal_holes/images/sdo_aia193_2014_07_15T21_59_55.png")
    assert (name_of(picture), picture.date_obs) == ("SDO/AIA 193", "2014-07-15T21:59:55")
    assert picture.rgb.shape == (1024, 1024, 3)
    gif = open_observation(shared_data / "hmi_gif/SDO_HMI_Magnetogram_20260313_000616.gif")
    assert (name_of(gif), gif.date_obs) == ("SDO/HMI magnetogram", "2026-03-12T23:40:38")  # not the time of download
    assert "a cube of 2x2x101x101" in reason(next((shared_data / "rhessi").glob("*imagecube*")))
    first = open_observation(next((shared_data / "iris").glob("*1400*")))  # a cube over time: its first plane
    assert (name_of(first), first.date_obs, first.data.shape) == ("IRIS/SJI 1400", "2014-03-29T14:09:38", (109, 110))


def test_jpeg2000_needs_no_system_library(monkeypatch):
    """glymur wants libopenjp2; Pillow's own decoder and the XML box are enough."""
    monkeypatch.setitem(sys.modules, "glymur", None)  # an import of it would now fail
    obs = open_observation(SUNPY / "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2")
    assert (obs.source_kind, obs.instrument, obs.header["WAVELNTH"]) == ("jp2", "AIA", 193)


def test_mdi_date_is_never_now(shared_data, tmp_path):
    path = shared_data / "soho_mdi_eit" / "smdi_maglc_fd_20090728_1741.fts"
    assert open_observation(path).date_obs == "2009-07-28T17:41:00"
    with fits.open(path) as hdus:
        for key in ("DATE-OBS", "DATEOBS", "TIME-OBS", "REFTIME"):
            del hdus[0].header[key]
        hdus.writeto(tmp_path / path.name)
        hdus.writeto(tmp_path / "renamed.fits")
    assert open_observation(tmp_path / path.name).date_obs == "2009-07-28T17:41:00"
    assert reason(tmp_path / "renamed.fits").startswith("no observation date")


# --------------------------------------------------------------------------------------------------------------------
# bad input


def test_empty_html_and_misnamed_files(tmp_path):
    for name, content, expected in (
        ("empty.fits", b"", "the file is empty"),
        ("page.fits", b"\n<!DOCTYPE html><html>404</html>", "the content is html"),
        ("text.jp2", b"not an image at all", "the content is something else"),
        ("notes.txt", b"hello", "suffix '.txt' is no image kind"),
        ("noise.fits.gz", b"\x1f\x8b" + bytes(100), "FITS cannot be decoded"),
        ("half.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "the picture cannot be decoded"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert expected in reason(path)
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    shutil.copy(tmp_path / "x.png", tmp_path / "picture.fits")
    assert "the content is png, its suffix .fits says fits" in reason(tmp_path / "picture.fits")
    with pytest.raises(FileNotFoundError):
        open_observation(tmp_path / "absent.fits")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_fits(tmp_path, keep):
    content = AIA.read_bytes()
    path = tmp_path / "short.fits"
    path.write_bytes(content[: int(len(content) * keep)])
    assert "FITS" in reason(path)
    packed = tmp_path / "short.fits.gz"
    packed.write_bytes(gzip.compress(content)[: int(40000 * keep)])
    assert "FITS" in reason(packed)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_pictures(tmp_path, keep):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 200), dtype=np.uint8)).save(tmp_path / "sdo_aia171_20140101_000000.png")
    jp2 = SUNPY / "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"
    for source in (tmp_path / "sdo_aia171_20140101_000000.png", jp2):
        content = source.read_bytes()
        path = tmp_path / f"short_20140101_000000{source.suffix}"
        path.write_bytes(content[: int(len(content) * keep)])
        assert "cannot be decoded" in reason(path)


def test_flipped_bytes_are_found_by_the_checksums(tmp_path):
    path = write_fits(tmp_path / "a.fits", {"DATE-OBS": "2014-01-01T00:00:00"}, checksum=True)
    assert open_observation(path).data[0, 1] == 1
    content = bytearray(path.read_bytes())
    content[2880 + 1234] ^= 0xFF
    path.write_bytes(content)
    assert "do not fit DATASUM" in reason(path)
    picture = tmp_path / "b_20140101_000000.png"
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(picture)
    content = bytearray(picture.read_bytes())
    content[-40] ^= 0xFF
    picture.write_bytes(content)
    assert "cannot be decoded" in reason(picture)


def test_sizes_are_checked_before_pixels_are_read(tmp_path):
    header = fits.Header()
    for key, value in (("SIMPLE", True), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", 200000), ("NAXIS2", 200000)):
        header[key] = value
    path = tmp_path / "huge.fits"
    path.write_bytes(header.tostring().encode())
    assert "above the limit" in reason(path) or "truncated" in reason(path)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(_png_header(30000, 30000))
    started = time.perf_counter()
    assert "above the limit" in reason(bomb)
    assert time.perf_counter() - started < 1


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = [len(b[4:]).to_bytes(4, "big") + b + zlib.crc32(b).to_bytes(4, "big") for b in (body, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_no_image_a_cube_a_mask_and_an_empty_frame(tmp_path):
    date = {"DATE-OBS": "2014-01-01T00:00:00"}
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "table.fits")
    assert "no 2-D image" in reason(tmp_path / "table.fits")
    assert "a cube of 3x64x64" in reason(write_fits(tmp_path / "cube.fits", date, np.zeros((3, 64, 64))))
    assert "distinct values" in reason(write_fits(tmp_path / "flat.fits", date, np.zeros((64, 64))))
    assert "are finite" in reason(write_fits(tmp_path / "nan.fits", date, np.full((64, 64), np.nan)))
    assert "too few" in reason(write_fits(tmp_path / "small.fits", date, np.ones((4, 4))))


def test_single_plane_and_second_extension_are_images(tmp_path):
    data = np.arange(4096, dtype=np.int16).reshape(1, 64, 64)
    path = write_fits(tmp_path / "plane.fits", {"DATE-OBS": "2014-01-01T00:00:00"}, data)
    assert open_observation(path).data.shape == (64, 64)
    primary = fits.PrimaryHDU()
    primary.header["DATE-OBS"] = "2014-01-01T00:00:00"
    packed = fits.CompImageHDU(data[0])
    fits.HDUList([primary, packed]).writeto(tmp_path / "packed.fits")
    obs = open_observation(tmp_path / "packed.fits")
    assert obs.date_obs == "2014-01-01T00:00:00"
    assert np.array_equal(obs.data, data[0])


def test_unparsable_card_does_not_stop_a_file(tmp_path):
    path = write_fits(tmp_path / "card.fits", {"DATE-OBS": "2014-01-01T00:00:00", "R_VALUE": 1.0})
    good = b"R_VALUE =                  1.0"
    assert good in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(good, b"R_VALUE =                  nan"))
    obs = open_observation(path)
    assert obs.date_obs == "2014-01-01T00:00:00"
    assert obs.header.get("R_VALUE", "nan") == "nan"  # astropy may mend it as text


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=0, max_size=600))
def test_no_bytes_crash_the_readers(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for name, start in (("a.fits", b"SIMPLE  ="), ("a.png", b"\x89PNG\r\n\x1a\n"), ("a.jp2", b"\x00\x00\x00\x0cjP  ")):
        path = folder / name
        path.write_bytes(start + content)
        assert reason(path)


def test_xml_with_entities_is_not_expanded(tmp_path):
    xml = b'<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">]><meta><fits><DATE-OBS>&a;</DATE-OBS></fits></meta>'
    content = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + (len(xml) + 8).to_bytes(4, "big") + b"xml " + xml
    assert image_files._xml_box(content) == xml
    path = tmp_path / "a.jp2"
    path.write_bytes(content)
    assert image_files._jp2_header(path, (64, 64)) == {}


# --------------------------------------------------------------------------------------------------------------------
# dates


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"DATE-OBS": "2011-02-15T00:00:00.34"}, "2011-02-15T00:00:00"),
        ({"DATE-OBS": "31-MAY-96", "DATE_OBS": "1996-05-31T05:23:46.397Z"}, "1996-05-31T05:23:46"),
        ({"DATE-OBS": "28-Jul-2009", "TIME-OBS": "17:41:00"}, "2009-07-28T17:41:00"),
        ({"DATE-OBS": "2009/09/05", "TIME-OBS": "18:54:16.000023"}, "2009-09-05T18:54:16"),
        ({"DATE-OBS": "01-May-23 13:07:58.713"}, "2023-05-01T13:07:58"),
        ({"T_OBS": "2014.03.01_00:01:25_TAI"}, "2014-03-01T00:00:50"),
        ({"DATE-BEG": "2025-03-12T03:10:00"}, "2025-03-12T03:10:00"),
        ({"DATE": "2014-03-05T17:58:38"}, ""),
        ({"DATE-OBS": "2009-02-30T00:00:00"}, ""),
        ({"DATE-OBS": "2009-02-28"}, ""),
        ({"DATE-OBS": "1858-11-17T00:00:00"}, ""),
        ({}, ""),
    ],
)
def test_header_dates(header, expected):
    assert observations.header_date(header) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2", "2013-06-24T17:31:30"),
        ("sdo_aia193_2014_07_15T21_59_55.png", "2014-07-15T21:59:55"),
        ("20110215_000000_1024_0193.jpg", "2011-02-15T00:00:00"),
        ("smdi_maglc_fd_20090728_1741.fts", "2009-07-28T17:41:00"),
        ("sun_20110215.png", ""),
        ("AIA20111301_000000.png", ""),
        ("5397a56aa57caf04c6000001.jpg", ""),
    ],
)
def test_name_dates(name, expected):
    assert observations.name_date(name) == expected


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_date_or_nothing(text):
    for date in (observations.header_date({"DATE-OBS": text}), observations.name_date(text)):
        assert date == "" or pd.Timestamp(date)


def test_sidecar_outranks_the_file_name_only_when_it_has_a_date(tmp_path):
    picture = tmp_path / "SDO_HMI_Magnetogram_20260313_000616.png"
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(picture)
    assert open_observation(picture).date_obs == "2026-03-13T00:06:16"
    for content, expected in (("[]", "2026-03-13T00:06:16"), ("{oops", "2026-03-13T00:06:16")):
        picture.with_suffix(".json").write_text(content)
        assert open_observation(picture).date_obs == expected
    picture.with_suffix(".json").write_text(json.dumps({"observation_time": "20260312_234038"}))
    assert open_observation(picture).date_obs == "2026-03-12T23:40:38"


def test_a_picture_is_named_by_its_own_text_before_its_name(tmp_path):
    """PNG chunks and comment lines with FITS keywords count; the time a picture was made does not."""
    picture = Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64))
    info = PngImagePlugin.PngInfo()
    for key, value in (("TELESCOP", "SDO/AIA"), ("INSTRUME", "AIA_3"), ("WAVELNTH", "171")):
        info.add_text(key, value)
    info.add_text("Description", "DATE-OBS= '2014-02-03T05:00:00' / start\nother = 5")
    info.add_text("Creation Time", "2020-01-01T00:00:00")
    picture.save(tmp_path / "hmi_mag_20190101_000000.png", pnginfo=info)
    obs = open_observation(tmp_path / "hmi_mag_20190101_000000.png")
    assert (name_of(obs), obs.date_obs) == ("SDO/AIA 171", "2014-02-03T05:00:00")
    exif = Image.Exif()
    exif[306] = "2020:01:01 00:00:00"  # DateTime: when the file was written
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert reason(tmp_path / "a.jpg").startswith("no observation date")
    exif[270] = "TELESCOP=NSO-GONG\nIMTYPE=H-ALPHA\nDATE-OBS=2014-02-03T05:00:00"
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert name_of(open_observation(tmp_path / "a.jpg")) == "GONG H-alpha"


def test_a_header_that_names_nobody_leaves_it_to_the_file_name(tmp_path):
    date = {"DATE-OBS": "2014-01-01T00:00:00"}
    named = write_fits(tmp_path / "hmi_continuum.fits", date)
    assert name_of(open_observation(named)) == "SDO/HMI continuum"
    other = write_fits(tmp_path / "sdo_aia171.fits", {**date, "TELESCOP": "Other"})
    assert name_of(open_observation(other)) == "unknown"


# --------------------------------------------------------------------------------------------------------------------
# X-rays


@pytest.mark.parametrize(
    ("name", "day"),
    [("go1520110607.fits", "2011-06-07"), ("sci_xrsf-l2-avg1m_g16_d20210101_truncated.nc", "2021-01-01")],
)
def test_goes_xrs(name, day):
    frame = observations.open_xrs(SUNPY / name)
    assert list(frame.columns) == ["time", "xrsa_wm2", "xrsb_wm2"]
    assert str(frame["time"][0].round("s"))[:10] == day
    assert frame["time"].is_monotonic_increasing
    assert 1e-9 < frame["xrsb_wm2"].median() < 1e-4


def test_goes_xrs_refuses_other_files(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"not netcdf")
    with pytest.raises(UnreadableImage):
        observations.open_xrs(tmp_path / "a.nc")


def test_opening_a_small_fits_is_fast(tmp_path):
    header = {"DATE-OBS": "2014-01-01T00:00:00", "TELESCOP": "SDO/AIA", "INSTRUME": "AIA_3", "WAVELNTH": 171}
    path = write_fits(tmp_path / "a.fits", header, np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32))
    open_observation(path)
    started = time.process_time()
    for _ in range(10):
        obs = open_observation(path)
    assert (time.process_time() - started) / 10 < 0.05  # about 8 ms on a free core
    assert name_of(obs) == "SDO/AIA 171"
    assert math.isfinite(obs.wavelength_angstrom)
