"""Pictures of the day in the chat: real images of the report are offered, drawn, told of, and held against the day."""

import io
import json
import shutil

import pytest
from chat_server import scripted
from PIL import Image

from jwvl_lib import chat, chat_endpoint, chat_pictures, report_agent
from jwvl_lib.chat_panel import ChatPanel


@pytest.fixture(scope="module")
def mdi_day(shared_data, tmp_path_factory):
    """(report folder, report): a day with two real full disks of SOHO/MDI and a file that is torn."""
    folder = tmp_path_factory.mktemp("mdi")
    for path in (shared_data / "soho_mdi_eit").glob("mdi.fd_*20101015*"):
        shutil.copy(path, folder)
    (folder / "torn.fits").write_bytes(next(folder.glob("mdi.fd_*")).read_bytes()[:3000])
    day = "2010-10-16" if any(shared_data.rglob("20101016SRS.txt")) else "2010-10-15"
    texts = next(shared_data.rglob(f"{day.replace('-', '')}SRS.txt")).parent
    written, _ = report_agent.make_report(day, texts, tmp_path_factory.mktemp("out"), image_dir=folder)
    return written, json.loads((written / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def pictures(mdi_day):
    return chat_pictures.pictures(None, mdi_day[0], mdi_day[1], mdi_day[0])


def test_real_images_of_the_report_are_offered_and_drawn(mdi_day, pictures):
    assert len(pictures) == len(mdi_day[1]["images"]) == 2
    for picture in pictures.values():
        assert picture.label.startswith("SOHO/MDI")
        assert picture.label.endswith("2010-10-15 23:00 UTC") or "2010-10-15" in picture.label
        assert (picture.of_day, picture.simulated, picture.path.suffix) == (True, False, ".fits")
        assert {f.kind for f in picture.facts} >= {"observatory", "instrument", "layer", "date_obs", "quadrant"}
        image = chat_pictures.opened(picture)
        assert image.width == 900
        assert image.getpixel((450, 430)) != image.getpixel((5, 5))  # a disk on a dark sky


def test_the_page_gets_them_as_pictures_it_can_show(mdi_day, pictures, tmp_path, monkeypatch):
    panel = ChatPanel(chat.room_of(mdi_day[0], pictures, mdi_day[1]), tmp_path, name="day")
    assert [card["of_day"] for card in panel.gallery["items"]] == [True, True]
    sent = {}
    monkeypatch.setattr(panel, "send", lambda content, buffers: sent.update({content["id"]: buffers[0]}))
    panel._on_message({"type": "pictures", "ids": list(pictures)})
    assert {Image.open(io.BytesIO(raw)).format for raw in sent.values()} == {"JPEG"}
    panel._on_message({"type": "find", "query": "magnetogram 2010-10-15"})
    assert panel.gallery["n_found"] == 1


def test_words_about_them_are_held_against_the_image_and_the_day(mdi_day, pictures, tmp_path):
    folder, made = mdi_day
    (image_id,) = (i for i, p in pictures.items() if "continuum" in p.label)
    region = made["regions"][0]
    said = f"SOHO/MDI shows the photosphere. AR {region['noaa_ar']} covers {region['area_msh']} millionths. "
    said += f"AR {region['noaa_ar']} covers {region['area_msh'] + 900} millionths. SDO/AIA shows the corona."
    with scripted(pieces=[said]) as (base_url, server):
        room = chat.room_of(folder, pictures, made, base_url=base_url, model="scripted")
        conversation = chat.Conversation(tmp_path / "c.jsonl")
        turn = chat.whole(chat.ask(room, conversation, "Describe the image.", [image_id]))
    verdicts = [s["verdict"] for s in turn["sentences"]]
    assert verdicts == ["supported", "supported", "contradicted", "contradicted"]
    assert turn["sentences"][0]["evidence"][0]["text"].startswith("instrument = SOHO/MDI")
    (url,) = (p["image_url"]["url"] for p in server.asked[0]["messages"][1]["content"] if p["type"] == "image_url")
    assert url.startswith("data:image/jpeg;base64,/9j/")
    assert '"measurement": "continuum"' in chat_endpoint.told(made, [pictures[image_id]])


def test_an_image_of_another_day_is_not_held_against_this_one(mdi_day):
    folder, made = mdi_day
    old = {**made["images"][0], "date_obs": "2009-01-01T00:00:00"}
    nameless = {**made["images"][0], "name": "x.png", "title": "", "date_obs": None, "known": {}, "evidence": []}
    first, second = chat_pictures.pictures(None, folder, {**made, "images": [old, nameless]}, folder).values()
    assert (first.of_day, second.of_day, second.label, second.facts) == (False, True, "x.png", ())


@pytest.mark.parametrize(
    "raw", [b"", b"SIMPLE  = torn", b"<svg/>", b"\x00\x00\x00\x0cjP  \r\n\x87\n torn", b"GIF89a torn"]
)
def test_a_file_that_is_no_picture_is_one_line(tmp_path, raw):
    (tmp_path / "a.fits").write_bytes(raw)
    with pytest.raises((OSError, ValueError)) as error:
        chat_pictures.opened(chat_pictures.Picture("a", "a", tmp_path / "a.fits"))
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_a_gif_is_a_picture_too(tmp_path):
    Image.new("P", (30, 20)).save(tmp_path / "a.gif")
    assert chat_pictures.opened(chat_pictures.Picture("a", "a", tmp_path / "a.gif")).size == (30, 20)
