"""Images of the day: regions are where the spots are, what cannot be placed says why, simulated ones are marked."""

import base64
import io
import json
import shutil
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hostile_texts import fits_disk
from PIL import Image

from jwvl_lib import report, report_agent, report_images, report_numbers, report_sources, swpc


@pytest.fixture(scope="module")
def mdi_day(shared_data, tmp_path_factory):
    """The report of a day with two real full disks of SOHO/MDI, from the files alone."""
    folder = tmp_path_factory.mktemp("mdi")
    images = folder / "images_20101016"
    images.mkdir()
    for path in (shared_data / "soho_mdi_eit").glob("mdi.fd_*20101015*"):
        shutil.copy(path, images)
    for path in (shared_data / "swpc_text_image_dates").rglob("201010*.txt"):
        shutil.copy(path, folder)
    if not (folder / "20101016SRS.txt").exists():
        (folder / "20101016SRS.txt").write_bytes((folder / "20101015SRS.txt").read_bytes())
    return report_agent.make_report(_day_of(folder), folder, tmp_path_factory.mktemp("out"), image_dir=images)[0]


def _day_of(folder) -> str:
    newest = max(p for p in folder.glob("*SRS.txt") if swpc.srs_times(p.read_bytes(), p.name))
    return f"{swpc.srs_times(newest.read_bytes(), newest.name)[0]:%Y-%m-%d}"


def _json(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_boxes_hold_the_spots_of_a_real_continuum(mdi_day):
    made = _json(mdi_day)
    figure = next(f for f in made["images"] if "continuum" in f["title"])
    assert figure["date_obs"] == "2010-10-15T23:00:11"
    raw = next(mdi_day.glob("sources/mdi.fd_ic*.fits")).read_bytes()
    picture = report_images.pictures([report_sources.Source("image_1", "mdi.fd_ic.20101015_230100_TAI.data.fits", raw)])
    jpeg = picture["image_1"]["data"].partition("base64,")[2]
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))).convert("L"), dtype=float)
    areas = {r["noaa_ar"]: r["area_msh"] for r in made["regions"]}
    big = [r for r in figure["regions"] if areas[r["noaa_ar"]] >= 50]
    assert big
    for region in big:
        x0, y0, x1, y1 = (round(v) for v in region["box"])
        inside = grey[y0:y1, x0:x1]
        assert inside.min() < 0.6 * np.median(inside), region["noaa_ar"]  # a spot, not the limb alone


def test_every_number_of_a_report_with_images_resolves_and_a_moved_box_does_not(mdi_day, tmp_path):
    assert report.check(mdi_day) == []
    assert [n for n in report_numbers.resolve(mdi_day) if not n.how] == []
    folder = shutil.copytree(mdi_day, tmp_path / mdi_day.name)
    made = _json(folder)
    made["images"][0]["regions"][0]["box"][0] += 90
    made["images"][0]["regions"][0]["box"][2] += 90
    (folder / "report.json").write_text(json.dumps(made))
    assert any("box" in p for p in report.check(folder))
    assert any("box" in n.where for n in report_numbers.resolve(folder) if not n.how)


def test_labels_stand_clear_of_each_other_and_inside(mdi_day):
    made = _json(mdi_day)
    figure = report_images.labelled(made["images"][0], made["regions"])
    around = [report_images._around(m["x"], m["y"]) for m in figure["marks"]]
    pairs = [(a, b) for i, a in enumerate(around) for b in around[i + 1 :]]
    assert len(around) >= 3
    assert all(report_images._overlap(a, b) == 0 for a, b in pairs)
    assert all(0 <= a[0] and a[2] <= figure["width"] and 0 <= a[1] and a[3] <= figure["height"] for a in around)
    assert report_images.LABEL_PX[1] * 358 / report_images.PICTURE_PX > 12  # px on a phone 390 wide


def test_the_page_shows_the_real_disk_and_no_drawn_map(mdi_day):
    page = (mdi_day / "report.html").read_text(encoding="utf-8")
    assert "SOHO/MDI continuum" in page
    assert "map of the numbered regions" not in page
    assert page.count("<image ") == 2
    assert "SIMULATED" not in page


def _figures(raw: bytes, name: str, about: bytes = b"", valid: str = "2025-12-24"):
    sources = [report_sources.Source("image_1", name, raw)]
    sources += [report_sources.Source("image_1_about", "a.json", about)] if about else []
    sources = report_images.with_headers(sources)
    row = {"noaa_ar": 14317, "section": "I", "lat_deg": 10.0, "lon_deg": 20.0, "area_msh": 300, "extent_deg": 8}
    row |= {"valid": datetime.fromisoformat(valid), "source": "srs_20251224", "line": 14, "text": "4317 N10W20"}
    return report_images.figures(sources, [row], row["valid"])


def _png() -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((80, 80)).convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def test_a_fits_disk_is_placed_by_its_header():
    (figure,), warnings = _figures(fits_disk({}), "disk.fits")
    assert warnings == []
    x0, y0, x1, y1 = figure["regions"][0]["box"]
    disk = figure["disk"]
    assert (x0 + x1) / 2 > disk["x"]  # west is right
    assert (y0 + y1) / 2 < disk["y"]  # north is up
    assert (figure["title"], figure["simulated"], figure["note"]) == ("SDO/HMI continuum", False, None)


@pytest.mark.parametrize(
    ("raw", "name", "note"),
    [
        (fits_disk({}, "2025-12-20T22:00:00"), "old.fits", "taken on 2025-12-20"),
        (fits_disk({"HGLN_OBS": 60.0}), "stereo.fits", "not seen from the Earth"),
        (_png(), "sun.png", "cannot be placed"),
        (_png(), "20251223_221500_hmi_continuum.png", "not a full disk"),
    ],
)
def test_what_cannot_be_placed_says_why(raw, name, note):
    (figure,), _ = _figures(raw, name)
    assert figure["regions"] == []
    assert figure["note"][0].startswith(note)
    assert report_images.main_figure([figure]) is None


@pytest.mark.parametrize(
    "raw", [b"", fits_disk({})[:3000], b"\x00\x00\x00\x0cjP  \r\n\x87\n torn", b"\x1f\x8b nothing"]
)
def test_a_torn_image_is_a_warning_and_never_an_error(raw):
    made, warnings = _figures(raw, "torn.fits")
    assert made == []
    assert len(warnings) == 1
    assert "\n" not in warnings[0][0]
    assert "/tmp" not in warnings[0][0]


def test_simulated_pictures_are_marked(tmp_path, shared_data):
    (figure,), _ = _figures(fits_disk({"HIERARCH SIMULATED": True}), "sim.fits")
    assert figure["simulated"]
    corpus = tmp_path / "01_corpus_curation"
    (corpus / "images").mkdir(parents=True)
    (corpus / "images" / "a_20251223T220000_x.png").write_bytes(_png())
    row = {"path": "images/a_20251223T220000_x.png", "image_id": "x", "observatory": "SDO", "instrument": "AIA"}
    row |= {"measurement": "171", "date_obs": "2025-12-23T22:00:00", "simulated": True, "banner_text": "SDO/AIA 171"}
    pd.DataFrame([row]).to_parquet(corpus / "corpus.parquet")
    swpc_dir = shutil.copytree(shared_data / "swpc_2025_dec", tmp_path / "swpc")
    folder, _ = report_agent.make_report("2025-12-24", swpc_dir, tmp_path / "out", image_dir=corpus / "images")
    assert _json(folder)["images"][0]["simulated"]
    assert (folder / "report.html").read_text(encoding="utf-8").count("SIMULATED 模拟") == 2
    assert report.check(folder) == []


def test_images_of_the_archive_folder_are_found_and_an_empty_one_is_said(tmp_path, shared_data):
    swpc_dir = shutil.copytree(shared_data / "swpc_2025_dec", tmp_path / "swpc")
    (swpc_dir / "images_20251224").mkdir()
    (swpc_dir / "images_20251224" / "disk.fits").write_bytes(fits_disk({}))
    folder, _ = report_agent.make_report("2025-12-24", swpc_dir, tmp_path / "out")
    assert [f["name"] for f in _json(folder)["images"]] == ["disk.fits"]
    (tmp_path / "none").mkdir()
    folder, _ = report_agent.make_report("2025-12-24", swpc_dir, tmp_path / "out2", image_dir=tmp_path / "none")
    assert "no images" in _json(folder)["warnings"][0]
    assert "map of the numbered regions" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_picture_in_a_real_browser(mdi_day, chromium):
    """Phone and desktop, evidence by tap and by hover, print, accessibility, and nothing said on the console."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for width in (390, 1280):
        page, said = chromium.new_context(bypass_csp=True, viewport={"width": width, "height": 900}).new_page(), []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto((mdi_day / "report.html").as_uri())
        page.click("label[for=show-en]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        label = page.locator("figure.picture text.tag").first
        assert label.bounding_box()["height"] >= 11
        assert label.locator("xpath=..").locator("title").text_content().startswith(label.text_content())  # on hover
        label.locator("xpath=..").focus()
        page.keyboard.press("Enter")
        assert page.url.endswith(f"#region-{label.text_content()}")
        time = page.locator("figure.picture figcaption a.n").nth(1)
        assert "date_obs = 2010-10-15" in time.get_attribute("title")
        time.click()
        assert "date_obs = 2010-10-15" in page.locator("li:target").inner_text()
        assert said == []
        found = axe.Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")] == []
        page.emulate_media(media="print")
        assert not page.locator(".toggle").is_visible()
        assert page.locator("figure.picture image").first.is_visible()
        assert len(page.pdf()) > 50_000
