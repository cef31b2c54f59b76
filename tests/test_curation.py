"""What keeps a corpus honest: defects with a reason, near duplicates, crops, X-ray curves, silent sources."""

import io
import json
import shutil
import socket

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image, ImageEnhance

from jwvl_lib import corpus, duplicates, facts, fetching, light_curves, observations, quality, splits

DAYS = {"n_simulated_days": 5, "tstart": "2014-01-01", "tend": "2014-12-31"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a")
    return folder, *corpus.build_corpus(folder, "simulated", workers=1, **DAYS)


# --------------------------------------------------------------------------------------------------------------------
# quality

SIZE = 200
Y, X = np.mgrid[:SIZE, :SIZE]
MU = np.sqrt(np.clip(1 - ((X - 99.5) ** 2 + (Y - 99.5) ** 2) / 80**2, 0, 1))
SUN = np.where(MU > 0, 1000 * (0.4 + 0.6 * MU), 0) + np.random.default_rng(0).normal(0, 5, MU.shape)
CARDS = {
    "TELESCOP": "SDO/HMI", "INSTRUME": "HMI_SIDE1", "CONTENT": "CONTINUUM INTENSITY", "BUNIT": "DN/s",
    "DATE-OBS": "2014-05-05T10:00:00", "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec",
    "CUNIT2": "arcsec", "CDELT1": 12.0, "CDELT2": 12.0, "CRPIX1": 100.5, "CRPIX2": 100.5, "RSUN_OBS": 960.0,
}  # fmt: skip


def defect(tmp_path, data, **cards) -> str:
    fits.writeto(tmp_path / "a.fits", data.astype("f4"), fits.Header({**CARDS, **cards}), overwrite=True)
    return quality.defect(observations.open_observation(tmp_path / "a.fits"))


def test_a_good_image_has_no_defect(tmp_path):
    assert defect(tmp_path, SUN) == ""


@pytest.mark.parametrize(
    ("change", "cards", "words"),
    [
        (lambda d: d * 1e-6 + 500 + 1e-3 * np.random.default_rng(1).normal(size=d.shape), {}, "blank: the disk is one"),
        (lambda d: np.where(X < 90, np.nan, d), {}, "blank: 42% of the disk is missing"),
        (lambda d: np.minimum(d, 700), {}, "saturated: .* at the maximum of 700"),
        (lambda d: np.where(Y < 60, 128.0, d), {}, "torn: .* of the rows"),
        (lambda d: np.where((X > 100) & (X < 110), np.nan, d), {}, "torn: .* of the columns"),
        (lambda d: d, {"CRVAL1": 4000.0}, "off-disk: the nearest pixel is"),
        (lambda d: d, {"CRVAL1": 1300.0}, "off-disk: .* of the disk is in a frame that could hold it"),
    ],
)
def test_defects_have_their_reason(tmp_path, change, cards, words):
    import re

    found = defect(tmp_path, change(SUN), **cards)
    assert re.match(words, found), found
    assert "\n" not in found


def test_a_bright_region_and_a_dark_sky_are_no_defects(tmp_path):
    flare = np.where((X - 120) ** 2 + (Y - 90) ** 2 < 100, 16383, SUN)
    assert defect(tmp_path, flare) == ""
    assert defect(tmp_path, np.where(MU > 0, SUN, np.nan)) == ""


def test_real_files_are_sound_but_one_that_is_torn(shared_data):
    """MDI lost the southern rows of its intensity image 5871; the others of that folder are whole."""
    found = {}
    for path in sorted((shared_data / "sunpy_2_1_5_wheel").glob("*.f*ts")) + observations.sample_files():
        try:
            found[path.name] = quality.defect(observations.open_observation(path))
        except observations.UnreadableImage:
            continue
    assert found.pop("mdi_fd_Ic_6h_01d.5871.0000_s.fits").startswith("torn: 27% of the rows")
    assert set(found.values()) == {""}
    assert len(found) >= 9


def test_simulated_days_stay_whole(built):
    _, table, rejects = built
    assert len(table) == 30
    assert rejects.empty


# --------------------------------------------------------------------------------------------------------------------
# near duplicates


def changed(picture: Image.Image, how: str) -> Image.Image:
    if how == "shifted":
        return Image.fromarray(np.roll(np.asarray(picture), (1, -1), (0, 1)))
    if how == "brighter":
        return ImageEnhance.Brightness(picture).enhance(1.2)
    if how == "darker":
        return ImageEnhance.Brightness(picture).enhance(0.8)
    if how == "all":
        picture = changed(changed(picture, "shifted"), "brighter")
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


@pytest.mark.parametrize("how", ["encoded again", "shifted", "brighter", "darker", "all"])
def test_the_audit_finds_a_planted_near_duplicate(built, tmp_path, how):
    """Another day, another split, other bytes: only the picture tells."""
    folder, table, _ = built
    assert duplicates.across_splits(table, folder).empty
    for measurement in ("magnetogram", "171", "H-alpha"):
        rows = table[(table["measurement"] == measurement) & (table["boxes"] != "[]")]
        original = rows[rows["split"] == "train"].iloc[0]
        shutil.copytree(folder / "images", tmp_path / measurement / "images")
        changed(Image.open(folder / original["path"]), how).save(tmp_path / measurement / "images" / "planted.png")
        planted = original.to_frame().T.assign(
            path="images/planted.png", image_id="planted", split="test", group_id="2014-02-03", sha256="x", facts="[]"
        )
        spoiled = pd.concat([table, planted], ignore_index=True)
        assert splits.audit_splits(spoiled)["pictures_crossing"] == 0
        found = duplicates.across_splits(spoiled, tmp_path / measurement)
        assert found[["image_id", "other_image_id"]].values.tolist() == [[original["image_id"], "planted"]]
        assert found["likeness"].iloc[0] >= 0.94


def test_consecutive_frames_are_one_picture_and_those_of_another_hour_are_not(built, tmp_path):
    folder, table, _ = built
    row = table[(table["measurement"] == "193")].iloc[0]
    raw = next((folder / "raw").rglob(row["source"].split("/")[-1]))
    root = tmp_path / "local"
    root.mkdir()
    for minute, hour in ((0, 10), (4, 10), (0, 14)):
        with fits.open(raw) as hdus:
            data = hdus[0].data + np.random.default_rng(60 * hour + minute).normal(0, 0.3, hdus[0].data.shape)
            header = hdus[0].header.copy()
            header["DATE-OBS"] = f"2014-05-05T{hour}:{minute:02d}:00"
            for key in ("CHECKSUM", "DATASUM"):
                header.remove(key, ignore_missing=True)
            fits.writeto(root / f"a_{hour}{minute:02d}.fits", data.astype("f4"), header)
    got, rejects = corpus.build_corpus(tmp_path / "out", "", local_dir=root, workers=1)
    assert got["source"].tolist() == ["local/a_1000.fits", "local/a_1400.fits"]
    assert rejects["path"].tolist() == ["local/a_1004.fits"]
    assert rejects["reason"].iloc[0].startswith("duplicate of local/a_1000.fits to the eye (likeness ")


# --------------------------------------------------------------------------------------------------------------------
# crops


def test_crops_carry_their_region_its_box_and_its_split(built, tmp_path):
    folder, plain, _ = built
    table, _ = corpus.build_corpus(tmp_path, "simulated", region_crops=True, workers=1, **DAYS)
    part = table["source"].str.contains("#AR")
    assert table.loc[~part, "sha256"].tolist() == plain["sha256"].tolist()
    assert part.sum() > 10
    assert splits.audit_splits(table)["days_crossing"] == 0
    assert duplicates.across_splits(table, tmp_path).empty
    for row in table[part].itertuples():
        number = int(row.source.split("#AR")[1])
        known = facts.from_json(row.facts)
        assert facts.find(known, "mcintosh_class", number) is not None
        assert facts.find(known, "n_regions") is None
        assert facts.find(known, "quadrant", number) is None
        (x0, y0, x1, y1) = next(b["box"] for b in json.loads(row.boxes) if b["noaa_ar"] == number)
        assert 40 < x1 - x0 < 168
        assert 20 < y1 - y0 < 140
    field = table[part & (table["measurement"] == "magnetogram")].iloc[0]
    (x0, y0, x1, y1) = (round(v) for v in json.loads(field["boxes"])[0]["box"])
    strong = np.abs(np.asarray(Image.open(tmp_path / field["path"]).convert("L"), int)[:140, 14:154] - 127) > 60
    assert strong[y0:y1, x0 - 14 : x1 - 14].sum() > 0.6 * strong.sum()


# --------------------------------------------------------------------------------------------------------------------
# X-ray curves


@pytest.mark.parametrize(
    ("name", "goes_class", "peak", "satellite"),
    [
        ("go1520110607.fits", "M2.5", "2011-06-07T06:41", "GOES-15"),
        ("sci_xrsf-l2-flx1s_g16_d20170910_v2-1-0_truncated.nc", "X12.9", "2017-09-10T16:06", "GOES-16"),
    ],
)
def test_curves_are_pictures_of_their_own(shared_data, tmp_path, name, goes_class, peak, satellite):
    (tmp_path / "in").mkdir()
    shutil.copy(shared_data / "goes_xrs" / name, tmp_path / "in")
    for run in ("a", "b"):
        table, rejects = corpus.build_corpus(tmp_path / run, "", local_dir=tmp_path / "in", workers=1)
    row, known = table.iloc[0], facts.from_json(table["facts"].iloc[0])
    assert rejects.empty
    assert (row["observatory"], row["instrument"], row["detector"]) == ("GOES", "XRS", satellite)
    measured = facts.find(known, "peak_goes_class")
    assert measured.value == goes_class
    assert measured.origin == "measured:highest one-minute mean of 1-8 angstrom"
    assert facts.find(known, "peak_time").value == peak
    assert facts.find(known, "time_end").value > row["date_obs"]
    picture = np.asarray(Image.open(tmp_path / "b" / row["path"]).convert("RGB"), int)[:140]
    red = (picture[..., 0] > 150) & (picture[..., 2] < 120)
    assert red.sum() > 80
    assert (tmp_path / "a" / row["path"]).read_bytes() == (tmp_path / "b" / row["path"]).read_bytes()


@pytest.mark.parametrize(
    ("flux", "expected"),
    [(2.5e-5, "M2.5"), (1e-4, "X1.0"), (1.29e-3, "X12.9"), (9.99e-6, "C9.9"), (7e-8, "A7.0"), (1e-10, "A0.1")],
)
def test_flare_classes(flux, expected):
    assert light_curves.goes_class(flux) == expected


def test_other_tables_are_no_curves(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("A", "E", array=[1.0])])])
    hdus[0].header["TELESCOP"] = "GOES 15"
    hdus.writeto(tmp_path / "x.fits")
    (tmp_path / "y.nc").write_bytes(b"CDF\x01 no more")
    with pytest.raises(ValueError, match="none of 2 files could be read"):
        corpus.build_corpus(tmp_path / "out", "", local_dir=tmp_path, workers=1)


# --------------------------------------------------------------------------------------------------------------------
# online sources in the corpus


def test_sources_that_do_not_answer_are_rejects_and_the_rest_goes_on(tmp_path, monkeypatch):
    def nobody(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr(fetching, "FIRST_WAIT_S", 0.01)
    table, rejects = corpus.build_corpus(
        tmp_path, "simulated,helioviewer,swpc,solarmonitor,fido", n_simulated_days=1, workers=1, image_px=84
    )
    assert len(table) == 6
    assert sorted(rejects["path"].str.split("/").str[0]) == ["fido", "helioviewer", "solarmonitor", "swpc"]
    assert rejects["reason"].str.contains("did not answer").all()
    with pytest.raises(ValueError, match="give no image; .* not fetched: .* did not answer"):
        corpus.build_corpus(tmp_path / "b", "helioviewer", workers=1)
    with pytest.raises(ValueError, match="'AIA 195' is not known"):
        corpus.build_corpus(tmp_path / "b", "helioviewer", channels="AIA 195", workers=1)


def test_fetched_images_and_summaries_reach_the_corpus(tmp_path, monkeypatch, built):
    """Helioviewer and the archive of summaries as they would have answered: the image gets the boxes of its day."""
    folder, plain, _ = built
    own = plain[(plain["measurement"] == "193") & (plain["boxes"] != "[]")].iloc[0]
    raw = next((folder / "raw").rglob(own["source"].split("/")[-1]))
    srs = next(raw.parent.glob("*SRS.txt"))

    def acquire(to, wanted, *span):
        for source, path in (("fido", raw), ("swpc", srs)):
            (to / source).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to / source)
        return [fetching.Fetched(f"fido/{raw.name}", "u", "s"), fetching.Fetched(f"swpc/{srs.name}", "u", "s")]

    monkeypatch.setattr(corpus.online_sources, "acquire", acquire)
    table, rejects = corpus.build_corpus(tmp_path, "fido,swpc", workers=1)
    assert rejects.empty
    assert table["source"].tolist() == [f"fetched/fido/{raw.name}"]
    assert json.loads(table["boxes"].iloc[0]) == json.loads(own["boxes"])
    assert f"fetched/swpc/{srs.name}" in table["facts"].iloc[0]
