"""The corpus: facts that lead to their lines, boxes that hold their regions, the same bytes twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jwvl_lib import artifacts, banner_styles, corpus, facts, grounded, observations, splits, swpc, teacher_plan
from jwvl_lib.geometry import disk_geometry
from jwvl_lib.prompts import load_prompts
from jwvl_lib.render import render

COLUMNS = (
    "image_id path sha256 source observatory instrument detector measurement wavelength_angstrom layer date_obs width "
    "height simulated stretch split group_id banner_text facts boxes"
).split()
SMALL = {"n_simulated_days": 4, "tstart": "2014-01-01", "tend": "2014-12-31", "workers": 1}
SPOTLESS_SEED = 4  # one of its five days has no region


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a")
    return folder, *corpus.build_corpus(folder, **SMALL)


def _raw(folder, source):
    return folder / source.replace("simulated/", "raw/")


def test_columns_and_vocabulary(built):
    folder, table, rejects = built
    assert list(table.columns) == COLUMNS
    assert list(rejects.columns) == ["path", "reason"]
    simulated = table[table["simulated"]]
    assert len(simulated) == 24
    assert set(simulated["measurement"]) == {"magnetogram", "continuum", "171", "193", "304", "H-alpha"}
    assert table["image_id"].is_unique
    for row in table.itertuples():
        assert artifacts.sha256(folder / row.path) == row.sha256
        assert Image.open(folder / row.path).size == (168, 168)
        assert row.banner_text.split("\n")[1] == f"{row.date_obs[:16].replace('T', ' ')} UT"
    assert set(table.loc[~table["simulated"], "split"]) == {"test"}
    assert simulated["stretch"].str.contains("simulated, sunspots 1.8 times").all()


def test_facts_follow_from_their_source_lines(built):
    """Each SRS fact stands in the line it names; each region of the summary has its facts."""
    folder, table, _ = built
    for row in table[table["simulated"]].itertuples():
        found = facts.from_json(row.facts)
        srs = {f.source for f in found if f.origin == "srs"}
        if row.layer == "corona" and not srs or not facts.find(found, "n_regions"):
            continue  # a coronagraph shows no region, a cutout not all of them
        assert len(srs) == 1
        path = _raw(folder, srs.pop())
        lines, records = swpc.text_lines(path.read_bytes()), swpc.parse_srs(path.read_bytes())
        assert all(lines[f.line - 1] == f.text for f in found if f.origin == "srs")
        for record in records:
            for kind in ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots"):
                assert facts.find(found, kind, record["noaa_ar"]).value == record[kind]
        assert facts.find(found, "n_regions").value == len(records)
        assert path.name[:8] == f"{pd.Timestamp(row.group_id) + pd.Timedelta(days=1):%Y%m%d}"


def test_a_spotless_day_says_zero(tmp_path):
    table, _ = corpus.build_corpus(tmp_path, "simulated", n_simulated_days=5, workers=1, seed=SPOTLESS_SEED)
    found = table["facts"].map(lambda text: facts.find(facts.from_json(text), "n_regions"))
    counts = found[found.notna()].map(lambda fact: fact.value)
    table = table[found.notna()]
    assert 0 in set(counts)
    assert set(table.loc[counts == 0, "boxes"]) == {"[]"}


def test_polarity_is_told_on_magnetograms_only_and_as_truth_of_the_simulator(built):
    _, table, _ = built
    for row in table.itertuples():
        told = [f for f in facts.from_json(row.facts) if f.kind == "leading_polarity"]
        regions = json.loads(row.boxes)
        assert len(told) == (len(regions) if row.simulated and row.measurement == "magnetogram" else 0)
        assert all(f.origin == "simulator" and f.value in ("positive", "negative") for f in told)


def test_boxes_hold_the_flux_of_their_regions(built):
    """The centre of |B| over 150 G around each box lies inside that box."""
    folder, table, _ = built
    tried = 0
    for row in table[table["simulated"] & (table["measurement"] == "magnetogram")].itertuples():
        obs = observations.open_observation(_raw(folder, row.source))
        picture, data = render(obs, 168), np.abs(np.nan_to_num(obs.data))
        y, x = np.nonzero(data > 150)
        places = picture.to_png(np.column_stack([x, y]))
        for entry in json.loads(row.boxes):
            x0, y0, x1, y1 = entry["box"]
            assert min(x1 - x0, y1 - y0) >= 6 - 0.1
            near = (places > (x0 - 3, y0 - 3)).all(1) & (places < (x1 + 3, y1 + 3)).all(1)
            centre = np.average(places[near], axis=0, weights=data[y[near], x[near]])
            assert x0 < centre[0] < x1
            assert y0 < centre[1] < y1
            tried += 1
    assert tried >= 4


def test_quadrants_agree_with_the_picture(built):
    folder, table, _ = built
    for row in table[table["simulated"]].itertuples():
        geometry_obs = observations.open_observation(_raw(folder, row.source))
        geometry = disk_geometry(geometry_obs)
        cx, cy = render(geometry_obs, 168).to_png(np.array([geometry.x, geometry.y]))
        boxes = {b["noaa_ar"]: b["box"] for b in json.loads(row.boxes)}
        for fact in (f for f in facts.from_json(row.facts) if f.kind == "quadrant"):
            x0, y0, x1, y1 = boxes[fact.noaa_ar]
            side = ("N" if (y0 + y1) / 2 < cy else "S") + ("W" if (x0 + x1) / 2 > cx else "E")
            assert fact.value == side


def test_two_builds_give_the_same_bytes(built, tmp_path):
    folder, table, _ = built
    corpus.build_corpus(tmp_path, **SMALL | {"workers": 2})
    assert artifacts.sha256(tmp_path / "corpus.parquet") == artifacts.sha256(folder / "corpus.parquet")
    assert artifacts.sha256(tmp_path / "images") == artifacts.sha256(folder / "images")


def test_resumes_after_loss_and_prunes_what_is_stale(built, tmp_path):
    folder, table, _ = built
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    (copy / table["path"][3]).write_bytes(b"torn")
    (copy / table["path"][20]).unlink()
    sorted((copy / "work").iterdir())[0].write_text("{")
    (copy / "images" / "stale.png").write_bytes(b"x")
    (copy / "corpus.parquet").unlink()
    corpus.build_corpus(copy, **SMALL)
    assert artifacts.sha256(copy / "corpus.parquet") == artifacts.sha256(folder / "corpus.parquet")
    assert artifacts.sha256(copy / "images") == artifacts.sha256(folder / "images")


@pytest.fixture
def local(tmp_path, built):
    """A local folder: one good file, its copy, a truncated FITS, a PNG named .fits, an unknown instrument, a text."""
    folder, table, _ = built
    root = tmp_path / "local"
    (root / "deep").mkdir(parents=True)
    good = _raw(folder, table[table["measurement"] == "193"]["source"].iloc[-1]).read_bytes()
    (root / "a_good.fits").write_bytes(good)
    (root / "deep" / "copy.fits").write_bytes(good)
    (root / "cut.fits").write_bytes(good[: len(good) // 2])
    Image.new("RGB", (64, 64)).save(root / "picture.png")
    (root / "picture.png").rename(root / "picture.fits")
    header = fits.Header({"DATE-OBS": "2014-05-05T10:00:00", "TELESCOP": "backyard"})
    fits.writeto(root / "own.fits", np.random.default_rng(0).normal(size=(64, 64)).astype("f4"), header)
    (root / "README.md").write_text("not an image")
    return root


def test_a_full_disk_is_no_fault_of_the_files(tmp_path, monkeypatch):
    """Else every image it met would be a reject, and stay one in the finished work when there is room again."""
    local, original = tmp_path / "local", Path.write_bytes
    local.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(local / "sdo_aia171_20140101_000000.png")

    def full(path, data):
        if path.parent.name == "images":
            raise OSError(28, "No space left on device", str(path))
        return original(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="sdo_aia171_20140101_000000.png could not be written .*free disk space"):
        corpus.build_corpus(tmp_path / "out", "", local, n_simulated_days=0, workers=1)
    monkeypatch.setattr(Path, "write_bytes", original)
    table, rejects = corpus.build_corpus(tmp_path / "out", "", local, n_simulated_days=0, workers=1)
    assert (len(table), len(rejects)) == (1, 0)


def test_bad_local_files_are_rows_of_the_rejects_and_stop_nothing(local, tmp_path):
    table, rejects = corpus.build_corpus(tmp_path / "out", "", local_dir=local, n_simulated_days=0, workers=1)
    assert list(table["source"]) == ["local/a_good.fits", "local/own.fits"]
    assert list(table["instrument"]) == ["AIA", "unknown"]
    assert sorted(rejects["path"]) == ["local/cut.fits", "local/deep/copy.fits", "local/picture.fits"]
    assert rejects["reason"].str.len().gt(10).all()
    assert not rejects["reason"].str.contains("\n").any()
    assert rejects.set_index("path")["reason"]["local/deep/copy.fits"].startswith("same pixels as local/a_good.fits")


def test_real_summary_of_the_following_day_is_used(local, built, tmp_path):
    """With swpc_dir, a local image gets the facts of the SRS issued on the day after."""
    folder, table, _ = built
    row = table[table["measurement"] == "193"].iloc[-1]
    srs = next((_raw(folder, row["source"]).parent).glob("*SRS.txt"))
    (tmp_path / "swpc" / "2014").mkdir(parents=True)
    shutil.copy(srs, tmp_path / "swpc" / "2014")
    got, _ = corpus.build_corpus(tmp_path / "out", "", local, tmp_path / "swpc", 0, workers=1)
    assert json.loads(got["boxes"][0]) == json.loads(row["boxes"])
    assert {f.source for f in facts.from_json(got["facts"][0]) if f.origin == "srs"} == {f"swpc/2014/{srs.name}"}
    (tmp_path / "swpc" / "2014" / srs.name).write_text("")
    got, rejects = corpus.build_corpus(tmp_path / "out", "", local, tmp_path / "swpc", 0, workers=1)
    assert json.loads(got["boxes"][0]) == []
    assert f"swpc/2014/{srs.name}" in set(rejects["path"])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sources": "simulatd"}, ValueError, "'simulatd' is not known; did you mean 'simulated'"),
        ({"sources": "sunpy", "local_dir": "/no/such"}, FileNotFoundError, "is no folder"),
        ({"sources": "sunpy", "swpc_dir": "/no/such"}, FileNotFoundError, "is no folder"),
        ({"sources": "simulated", "n_simulated_days": 0}, ValueError, "give no image"),
        ({"sources": "sunpy", "real_split": "dev"}, ValueError, "real_split='dev'"),
    ],
)
def test_wrong_parameters_are_one_clear_line(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        corpus.build_corpus(tmp_path / "out", workers=1, **arguments)
    assert "\n" not in str(caught.value)


def test_empty_local_folder_is_one_clear_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image file"):
        corpus.build_corpus(tmp_path / "out", "", local_dir=tmp_path / "empty", workers=1)


def test_real_magnetogram_gets_boxes_on_its_regions(shared_data, tmp_path):
    """MDI, 2010-10-15: the boxes of the four regions of the next day's summary gather the strong field."""
    summary = next(shared_data.rglob("20101016SRS.txt"))
    name = "mdi.fd_m_96m_lev182.20101015_000000_TAI.data.fits"
    (tmp_path / "images").mkdir()
    shutil.copy(shared_data / "soho_mdi_eit" / name, tmp_path / "images")
    table, _ = corpus.build_corpus(tmp_path / "out", "", tmp_path / "images", summary.parent, 0, workers=1)
    boxes = [entry["box"] for entry in json.loads(table["boxes"][0])]
    assert [entry["noaa_ar"] for entry in json.loads(table["boxes"][0])] == [11115, 11113, 11112, 11114]
    obs = observations.open_observation(tmp_path / "images" / name)
    field = np.abs(np.nan_to_num(obs.data))
    y, x = np.nonzero(field > 400)
    places = render(obs, 168).to_png(np.column_stack([x, y]))
    inside = np.zeros(len(places), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= (places > (x0, y0)).all(1) & (places < (x1, y1)).all(1)
    share_of_disk = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) / (np.pi * 64**2)
    assert share_of_disk < 0.05
    assert inside.mean() > 0.6


def test_the_code_key_covers_every_module_that_shapes_an_image():
    """A finished job is reused only while these are unchanged, so the list must be complete."""
    seen, queue = set(), ["corpus"]
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += artifacts._library_imports((artifacts.LIBRARY / f"{name}.py").read_text(encoding="utf-8"))
    after = {"artifacts", "corpus_table", "parameters", "splits", "workers"}  # they only carry and order what is made
    after |= {"duplicates", "fetching", "online_archives", "online_channels", "online_sources"}
    assert seen - after == set(corpus.WORKED_BY)


@pytest.mark.slow
def test_killed_at_any_time_and_run_again_it_ends_with_the_same_bytes(built, tmp_path):
    """SIGKILL of the whole process group in mid-run, twice."""
    folder, _, _ = built
    arguments = SMALL | {"folder": str(tmp_path / "run"), "workers": 2}
    code = f"from jwvl_lib.corpus import build_corpus; build_corpus(**{arguments!r})"
    for seconds in (6, 9):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=artifacts.REPO, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    corpus.build_corpus(**arguments)
    for name in ("corpus.parquet", "images", "rejects.parquet"):
        assert artifacts.sha256(tmp_path / "run" / name) == artifacts.sha256(folder / name)


def test_nothing_readable_is_one_clear_line(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.fits").write_text("no")
    with pytest.raises(ValueError, match=r"none of 1 files could be read as an image; the first: local/a\.fits"):
        corpus.build_corpus(tmp_path / "out", "", local_dir=tmp_path / "in", workers=1)


def test_varied_banners_say_what_their_facts_say_and_boxes_stay_on_their_regions(tmp_path):
    sizes = {"n_simulated_days": 1, "workers": 1}
    fixed, _ = corpus.build_corpus(tmp_path / "fixed", "simulated", **sizes)
    varied, _ = corpus.build_corpus(tmp_path / "varied", "simulated", **sizes, vary_banners=True)
    assert list(varied.image_id) == list(fixed.image_id)
    moved = set()
    for old, new in zip(fixed.itertuples(), varied.itertuples(), strict=True):
        look = banner_styles.style(new.source)
        name, date = old.banner_text.split("\n")
        expected = banner_styles.lines(name, date.removesuffix(" UT").replace(" ", "T"), look)
        assert new.banner_text == "\n".join(expected)
        shown = {f.kind: f.value for f in facts.from_json(new.facts)}
        assert shown["banner_text"] == new.banner_text
        before, after = (np.asarray(Image.open(tmp_path / n / r.path)) for n, r in (("fixed", old), ("varied", new)))
        top = 28 if look.place.startswith("top") else 0
        assert (after[top : top + 140] == before[:140]).all()
        for a, b in zip(json.loads(old.boxes), json.loads(new.boxes), strict=True):
            assert b["box"] == pytest.approx([v + (0, top)[i % 2] for i, v in enumerate(a["box"])], abs=0.11)
        moved.add(top)
    assert moved == {0, 28}


def test_a_picture_without_banner_has_no_fact_of_one(tmp_path):
    """The share is of the simulated pictures; nothing asked or said about a bare one speaks of a banner."""
    table, _ = corpus.build_corpus(tmp_path, "simulated", n_simulated_days=2, workers=1, bare_share=0.5)
    bare = table[table["banner_text"] == ""]
    assert 2 <= len(bare) <= len(table) - 2
    for row in table.itertuples():
        band = np.asarray(Image.open(tmp_path / row.path))[-26:]
        kinds = {fact.kind for fact in facts.from_json(row.facts)}
        assert (band.max() == 0) == (row.banner_text == "") == ("banner_text" not in kinds)
        assert {"instrument", "measurement", "layer", "date_obs"} <= kinds
    prompts = load_prompts(artifacts.REPO / "params" / "prompts")
    asked = [q for q in teacher_plan.plan(table, prompts, qa_per_image=9) if q.image_id in set(bare["image_id"])]
    assert {q.prompt.task for q in asked} == {"description", "qa"}
    views, rng = teacher_plan.views_of(table), np.random.default_rng(0)
    for q in asked:
        said = grounded.reply(q.prompt, q.language, views[q.image_id].facts, rng)
        assert all(said.values())
        assert not re.search("banner|横幅|UT", " ".join(said.values()), re.I)
    with pytest.raises(ValueError, match="bare_share=2"):
        corpus.build_corpus(tmp_path, bare_share=2)


# --------------------------------------------------------------------------------------------------------------------
# splits

_DAYS = st.lists(st.tuples(st.integers(1, 28), st.lists(st.integers(1, 40), max_size=3)), min_size=1, max_size=40)


@given(_DAYS, st.integers(0, 1000))
def test_no_day_and_no_region_ever_crosses_a_split(images, seed):
    days = [f"2014-01-{day:02d}" for day, _ in images]
    regions = [numbers for _, numbers in images]
    got = splits.assign_splits(days, regions, {}, seed)
    for keys in ([[d] for d in days], regions):
        seen = {}
        for split, names in zip(got, keys, strict=True):
            assert all(seen.setdefault(name, split) == split for name in names)


@given(st.integers(3, 60), st.integers(0, 1000))
def test_no_split_is_empty_with_three_free_days(n_days, seed):
    days = [str(np.datetime64("2014-01-01") + i) for i in range(n_days)]
    assert set(splits.assign_splits(days, [[]] * n_days, {}, seed)) == {"train", "val", "test"}


def test_shares_are_about_70_10_20():
    days = [str(np.datetime64("2013-01-01") + i) for i in range(700)]
    got = pd.Series(splits.assign_splits(days, [[]] * 700, {}, 0)).value_counts(normalize=True)
    assert got["train"] == pytest.approx(0.7, abs=0.06)
    assert got["test"] == pytest.approx(0.2, abs=0.05)


def test_audit_finds_what_crosses(built):
    _, table, _ = built
    assert splits.audit_splits(table) == {
        "days_crossing": 0, "regions_crossing": 0, "pictures_crossing": 0, "pictures_twice": 0,
    }  # fmt: skip
    first = table.index[table["simulated"]][0]
    spoiled = table.assign(split=table["split"].where(table.index != first, "other"))
    assert splits.audit_splits(spoiled)["days_crossing"] == 1
    doubled = pd.concat([table, table.iloc[[first]].assign(split="other", group_id="x")], ignore_index=True)
    assert splits.audit_splits(doubled)["pictures_crossing"] == 1
