"""ocr_peers: the same degraded banners for all, fields apart from characters; no program is needed to test it."""

import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import banner_styles, bench, bench_table, ocr_peers, render

TRUE = "SDO/AIA 171\n2014-02-03 07:05 UT"


def items(n=3):
    rows = [
        {"annotation_id": f"a{k}{language}", "image_id": f"i{k}", "task": "ocr", "language": language}
        | {"simulated": True, "group_id": f"day-{k}", "target": TRUE}
        for k in range(n)
        for language in ("zh", "en")
    ]
    return pd.DataFrame([*rows, rows[0] | {"task": "qa"}, rows[0] | {"simulated": False, "image_id": "real"}])


def picture(image_id):
    return render.draw_banner(Image.new("RGB", (168, 168), (90, 30, 30)), TRUE.split("\n"))


def test_every_degradation_changes_the_picture_and_keeps_its_size():
    image = picture("i0")
    for how in ocr_peers.DEGRADATIONS[1:]:
        changed = ocr_peers.degraded(image, how)
        assert (changed.size, changed.mode) == (image.size, "RGB")
        assert changed.tobytes() != image.tobytes()
    assert ocr_peers.degraded(image, "clean") is image
    with pytest.raises(ValueError, match="'smear' is not known; one of clean"):
        ocr_peers.degraded(image, "smear")


def test_the_band_is_the_banner_and_nothing_else():
    band = ocr_peers.band(picture("i0"))
    assert band.size == (168, render.banner_height(168))
    assert {c for _, c in band.getcolors(1 << 16)} >= {(0, 0, 0), (255, 255, 255)}
    assert all(r == g == b for _, (r, g, b) in band.getcolors(1 << 16))  # no pixel of the Sun


def test_the_peers_read_what_the_model_is_asked_about_once_a_picture():
    asked = ocr_peers.degraded_items(items(), 2, ocr_peers.DEGRADATIONS)
    assert len(asked) == 2 * 2 * 4
    assert asked.annotation_id.is_unique
    seen = []

    def both(image):
        seen.append(image.size)
        return TRUE

    def one(image):
        return "SD0/AIA171\n2014-02-03 07:05 UT"

    peers = {("both", "en"): both, ("both", "zh"): both, ("one", "en"): one}
    read = ocr_peers.read(asked, ocr_peers.opener(picture, asked), peers)
    assert len(seen) == 2 * 4
    assert read.model.value_counts().to_dict() == {"both": 16, "one": 8}
    table = ocr_peers.scores(read, n_resamples=20).set_index(["model", "degradation", "language"])
    assert table.loc["both", "blur", "all"][["exact", "n", "field_accuracy"]].tolist() == [1, 4, 1]
    short = table.loc["one", "clean", "en"]
    assert (short.exact, short.instrument, short.date, short.time) == (0, 0, 1, 1)
    assert 0.9 < short.char_accuracy < 1


def test_fields_forgive_blanks_and_nothing_else():
    assert ocr_peers.fields("SDO/ AIA171\n2014-02-03 07:05") == ocr_peers.fields("SDO/AIA 171\n2014-02-03 07:05 UT")
    assert ocr_peers.fields("太阳磁图\n2014年2月3日 07:05")["date"] == "2014年2月3日"
    assert ocr_peers.fields("") == {"instrument": "", "date": "", "time": ""}


def test_a_varied_banner_is_the_same_on_every_run_and_another_for_every_picture():
    asked = ocr_peers.degraded_items(items(40), 40, ("varied",))
    again = ocr_peers.degraded_items(items(40), 40, ("varied",))
    assert list(asked.target) == list(again.target)
    open_varied = ocr_peers.opener(picture, asked)
    pictures = {i: open_varied(i) for i in asked.image_id.unique()}
    assert pictures["i0|varied"].tobytes() == open_varied("i0|varied").tobytes()
    assert len({p.tobytes() for p in pictures.values()}) > 35
    looks = [banner_styles.style(i) for i in pictures]
    for part, options in (("font", 5), ("size", 4), ("place", 4), ("date", 5), ("order", 3)):
        assert len({getattr(look, part) for look in looks}) == options
    for image_id, image in pictures.items():
        band = banner_styles.band(image, banner_styles.style(image_id))
        assert sum(n for n, c in band.getcolors(1 << 16) if c != (0, 0, 0)) > 50  # the text is in the band,
        rest = image.size[0] * (image.size[1] - band.size[1])
        assert sum(n for n, c in image.getcolors(1 << 16) if c == (90, 30, 30)) == rest  # the Sun whole beside it


def test_every_style_writes_the_date_and_time_that_a_reader_finds():
    for date in banner_styles.DATES:
        for order in banner_styles.ORDERS:
            look = banner_styles.Style("DejaVuSans", 12, "top left", date, order)
            found = ocr_peers.fields("\n".join(banner_styles.lines("SDO/AIA 171", "2014-02-03T07:05", look)))
            assert found["date"] in {"2014-02-03", "2014/02/03", "03-Feb-2014", "2014.02.03"}
            assert found["time"] == "07:05"
            assert found["instrument"] == ("" if order == "date alone" else "sdo/aia171")
    with pytest.raises(ValueError, match="does not fit"):
        banner_styles.redrawn(picture("i"), ["x" * 80], look)


def test_records_set_the_peers_beside_the_model_or_say_why_not():
    asked = ocr_peers.degraded_items(items(), 3, ("clean", "blur"))
    own = asked.assign(model="tuned", prediction=asked.target)
    peer = asked.assign(model="tesseract", prediction="")
    table = ocr_peers.scores(pd.concat([own, peer]), n_resamples=20)
    rows = ocr_peers.records(table, {"rapidocr": "not run: no wheel"})
    record = bench.find(rows, metric="exact", profile="ocr.blur", language="zh", model="tuned")
    assert (record["value"], record["n"], record["peers"]) == (1, 3, {"tesseract": 0})
    assert record["reading"] == "tesseract 0.000; rapidocr not run: no wheel"
    shown = bench_table.table_md([r | {"run_profile": "tiny"} for r in rows])
    assert "## The banner, clean and degraded, beside programs made for reading" in shown


def test_no_banners_are_one_row_that_says_why():
    nothing = ocr_peers.degraded_items(items(), 0)
    read = ocr_peers.read(nothing, ocr_peers.opener(picture, nothing), {})
    table = ocr_peers.scores(pd.concat([nothing.assign(model="", prediction=""), read]))
    rows = ocr_peers.records(table, {"peers": "not run: n_peer_banners is 0"})
    assert len(table) == 0
    assert {(r["model"], r["value"], r["reason"]) for r in rows} == {
        (m, None, "not run: n_peer_banners is 0") for m in ("base", "tuned")
    }


def test_a_program_that_is_absent_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(ocr_peers.shutil, "which", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "rapidocr", None)
    found, reasons = ocr_peers.readers()
    assert found == {}
    assert "apt install tesseract-ocr tesseract-ocr-eng" in reasons["tesseract"]
    assert "pip install '.[peers]'" in reasons["rapidocr"]
