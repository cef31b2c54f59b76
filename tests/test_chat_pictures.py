"""Pictures of the day in the chat: real images of the report are offered, drawn, told of, and held against the day."""

import io
import json
import shutil

import pytest
from chat_server import scripted
from PIL import Image

from jwvl_lib import chat, chat_endpoint, chat_pictures, chat_sentences, report_agent
from jwvl_lib.chat_panel import ChatPanel
from jwvl_lib.facts import Fact


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


# --------------------------------------------------------------------------------------------------------------------
# the text in a picture

TIME = "2013-01-01 07:23 UT"
READINGS = {
    "en": ("Read the text in the image.", "What text is written in the image?", "What does the banner say?"),
    "zh": ("读出图中的文字。", "图中写着什么文字？", "转录横幅上的文字。", "横幅上的文字是什么？"),
}
ASKED = [(language, question) for language, questions in READINGS.items() for question in questions]


def of_gong(name="GONG H-alpha"):
    """Facts of a picture of GONG, with its banner."""
    return [Fact("observatory", "GONG"), Fact("instrument", "GONG"), Fact("banner_text", f"{name}\n{TIME}", source="a")]


def read(text, question, language, *facts_by_image):
    """A model's words in answer to a question about pictures, judged."""
    known = chat_sentences.of_image(text, question, facts_by_image or (of_gong(),))
    day = [Fact("noaa_ar", 9169, 9169)]  # the facts of the day stand behind those of the picture
    return chat_sentences.judged(chat_sentences.Sentence(text, "model"), [*known, *day], language)


@pytest.mark.parametrize(("language", "question"), ASKED)
def test_what_is_read_is_held_against_the_banner(language, question):
    named = {"en": f"banner: GONG H-alpha · {TIME}", "zh": f"横幅：GONG H-alpha · {TIME}"}[language]
    for text in ("GONG H-alpha", TIME, f" GONG H-alpha {TIME} ", "ＧＯＮＧ H-alpha", "- “GONG H-alpha”"):
        one = read(text, question, language)
        assert (one.verdict, one.instead) == ("supported", ""), text
        assert one.evidence == ({"source": "a", "line": 0, "text": f"GONG H-alpha · {TIME}"},)
    for text in ("GONG H/19", "GONG XQ-77 burnt toast", "GONG", "gong h-ALPHA", TIME.replace("23", "28")):
        one = read(text, question, language)
        assert (one.verdict, one.instead) == ("contradicted", named), text
        assert [c["verdict"] for c in one.claims] == ["contradicted"]


@pytest.mark.parametrize(
    ("language", "right", "wrong"),
    [
        ("en", "The banner reads: GONG H-alpha", "The banner reads: GONG H/19"),
        ("en", f'It says "GONG H-alpha" and "{TIME}".', f'It says "GONG H/19" and "{TIME}".'),
        ("zh", "图中文字为：GONG H-alpha", "图中文字为：GONG H/19"),
        ("zh", f"横幅写着“GONG H-alpha”和“{TIME}”。", f"横幅写着“GONG H/19”和“{TIME}”。"),
    ],
)
def test_the_transcription_in_a_sentence_is_what_is_read(language, right, wrong):
    question = READINGS[language][0]
    assert read(right, question, language).verdict == "supported"
    assert read(wrong, question, language).verdict == "contradicted"


@pytest.mark.parametrize("text", ["The banner reads:", "GONG took it.", "横幅上的文字如下：", "这是GONG的图像。"])
@pytest.mark.parametrize("question", [questions[0] for questions in READINGS.values()])
def test_words_about_the_text_are_no_reading_of_it(text, question):
    assert read(text, question, "en").verdict == "unsupported"


def test_a_picture_whose_text_is_not_known_supports_no_reading():
    for language, question in ASKED:
        one = read("GONG XQ-77 burnt toast", question, language, [Fact("observatory", "GONG")])
        assert one.verdict == "unsupported"


def test_of_two_pictures_the_one_that_is_named_is_read():
    both = (of_gong(), of_gong("SDO/AIA 171"))
    assert read("SDO/AIA 171", "读出图中的文字。", "zh", *both).verdict == "supported"
    assert read("SDO/AIA 171", "读出第一幅图中的文字。", "zh", *both).verdict == "contradicted"
    one = read("GONG H/19", "读出图中的文字。", "zh", *both)
    assert one.instead == f"横幅：GONG H-alpha · {TIME}; 横幅：SDO/AIA 171 · {TIME}"


@pytest.mark.parametrize(
    "question", ["Which instrument took the image?", "What instrument does the banner say?", "横幅显示的仪器是什么？"]
)
def test_another_question_is_answered_by_what_the_words_claim(question):
    assert read("GONG", question, "en").verdict == "supported"


def test_who_also_describes_may_do_so_and_still_reads_letter_by_letter():
    for language, question in (("en", "Describe the image and read its text."), ("zh", "描述图像并读出文字。")):
        said = ("It was taken by GONG.", "GONG H/19", "GONG H-alpha")
        verdicts = [read(text, question, language).verdict for text in said]
        assert verdicts == ["supported", "contradicted", "supported"]
