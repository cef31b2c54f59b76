"""The review panel's controller, without a browser; `test_panel_browser.py` has it in one."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import artifacts, review, review_leases, review_ledger
from jwvl_lib.chat_panel import ChatPanel
from jwvl_lib.facts import Fact, to_json
from jwvl_lib.panel import SLOTS, ReviewPanel

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>日面 & "quotes" \u202e'


@pytest.fixture
def run(tmp_path):
    return small_run(tmp_path)


def small_run(tmp_path: Path) -> tuple:
    """A small run: ledger, annotations (zh and en, one of them hostile), corpus, pictures."""
    corpus, rows = [], []
    for i in range(3):
        pixels = np.full((168, 168, 3), 40 * (i + 1), np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"img{i}.png")
        banner = f"SDO/AIA 171\n2014-02-0{i + 1} 00:00 UT"
        known = [Fact("instrument", "AIA"), Fact("banner_text", banner), Fact("area_msh", 210, noaa_ar=11967)]
        corpus.append(
            {"image_id": f"img{i}", "path": f"images/img{i}.png", "width": 168, "height": 168, "simulated": True}
            | {"instrument": "AIA" if i else "HMI"}
            | {
                "banner_text": banner,
                "facts": to_json(known),
                "boxes": '[{"noaa_ar": 11967, "box": [90, 50, 120, 70]}]',
            }
        )
        for language, answer in (("en", HOSTILE if i == 0 else "SDO/AIA 171 shows AR 11967."), ("zh", "日冕图像。")):
            claims = [{"kind": "noaa_ar", "value": 11967, "text": "AR 11967", "verdict": "supported"}]
            claims.append({"kind": "layer", "value": HOSTILE, "text": HOSTILE, "verdict": "unsupported"})
            rows.append(
                {"annotation_id": f"a{i}{language}", "image_id": f"img{i}", "task": "description", "language": language}
                | {"question": f"Describe it. {HOSTILE}", "answer": answer, "steps": json.dumps([HOSTILE])}
                | {"prompt_id": "description.plain", "prompt_version": "1", "teacher": "simulated", "round": 0}
                | {"claims": json.dumps(claims), "choices": "[]"}
            )
    ledger = review_ledger.open_ledger(tmp_path / "review.sqlite")
    return ledger, pd.DataFrame(rows), pd.DataFrame(corpus), tmp_path


def open_panel(run, reviewer="li.wei", **parameters) -> ReviewPanel:
    panel = ReviewPanel(*run, **parameters)
    panel.begin(reviewer)
    return panel


def press(panel, *keys):
    for key in keys:
        panel.handle_key(key)


def states(run) -> dict:
    frame = review_ledger.current(run[0], run[1])
    return dict(zip(frame["annotation_id"], frame["verdict"], strict=True))


def test_showing_a_panel_writes_nothing(run):
    before = artifacts.sha256(run[0])
    panel = ReviewPanel(*run, reviewer="auto:facts")
    press(panel, "a", "x", "1", "z")
    assert panel.phase == "start"
    assert panel.reviewer == ""  # a program's name is not offered to a person
    assert artifacts.sha256(run[0]) == before


def test_an_overlap_that_is_no_share_is_refused(run):
    with pytest.raises(ValueError, match="overlap 5 is no share"):
        ReviewPanel(*run, overlap=5)


def test_a_program_cannot_decide_in_the_panel(run):
    panel = open_panel(run, "auto:facts")
    assert panel.phase == "start"
    assert "your own name" in panel.status["message"]


def test_keys_decide_and_move_on(run):
    panel = open_panel(run)
    shown = [panel.item["annotation_id"]]
    for keys in ("a", ("x", "3"), " ", "f"):
        press(panel, *keys)
        shown.append(panel.item["annotation_id"])
    assert len(set(shown)) == 5
    assert [states(run)[key] for key in shown[:4]] == ["accept", "reject", "skip", "flag"]
    events = review_ledger.events(run[0])
    assert json.loads(events["reasons"][1]) == ["hallucination"]
    assert set(events["client"]) == {"panel"}
    assert (events["seconds"] >= 0).all()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", panel.status["saved"])
    assert (panel.status["n_done"], panel.status["n_total"]) == (4, 6)


def test_undo_walks_back_through_the_decisions(run):
    panel = open_panel(run)
    first = panel.item["annotation_id"]
    press(panel, "a", "a", "z", "z")
    assert panel.item["annotation_id"] == first
    assert states(run) == {}
    press(panel, "z")
    assert panel.status["message"] == "Nothing to undo."
    assert review_ledger.events(run[0])["verdict"].tolist() == ["accept", "accept", "undo", "undo"]


def test_rejecting_can_be_called_off_and_other_keys_do_nothing(run):
    panel = open_panel(run)
    press(panel, "1", "x", "0", "q", "a", "Escape")
    assert panel.phase == "review"
    assert states(run) == {}


def test_an_edit_is_an_acceptance_of_the_new_text(run):
    panel = open_panel(run)
    key = panel.item["annotation_id"]
    press(panel, "e")
    panel.save_edit("")
    assert panel.status["message"].startswith("Not saved: ")
    assert panel.phase == "edit"
    panel.save_edit("The corona at 171 Å.")
    assert review.accepted(run[0], run[1])["answer"].tolist() == ["The corona at 171 Å."]
    assert states(run) == {key: "accept"}


def test_arrows_move_without_deciding_and_a_decision_can_be_changed(run):
    panel = open_panel(run)
    first = panel.item["annotation_id"]
    press(panel, "ArrowRight", "ArrowLeft", "ArrowLeft")
    assert panel.item["annotation_id"] == first
    press(panel, "a", "ArrowLeft")
    assert panel.item["verdict"] == "accept"
    press(panel, "x", "1")
    assert states(run) == {first: "reject"}
    press(panel, "z")
    assert panel.item["verdict"] == "accept"


def test_the_end_of_the_queue_says_so_and_can_be_left_again(run):
    panel = open_panel(run)
    press(panel, *"aaaaaa")
    assert panel.phase == "done"
    assert panel.item == {}
    press(panel, "a")
    assert len(states(run)) == 6
    press(panel, "z")
    assert panel.phase == "review"


def test_two_people_are_not_shown_the_same_annotation(run):
    one, two = open_panel(run, "li.wei"), open_panel(run, "m.okafor")
    for _ in range(3):
        assert one.item["annotation_id"] != two.item["annotation_id"]
        press(one, "a")
        press(two, "a")
    assert len(states(run)) == 6
    assert one.phase == two.phase == "done"


def test_what_is_undone_stays_with_its_reviewer(run):
    one = open_panel(run, "li.wei")
    key = one.item["annotation_id"]
    press(one, "a", "z")
    two = open_panel(run, "m.okafor")
    shown = []
    while two.phase == "review":
        shown.append(two.item["annotation_id"])
        press(two, "a")
    assert key not in shown
    press(one, "a")
    assert states(run)[key] == "accept"


def test_a_skip_undone_after_another_has_taken_it_is_not_shown_again(run):
    one = open_panel(run, "li.wei")
    key = one.item["annotation_id"]
    press(one, " ")
    two = open_panel(run, "m.okafor")
    assert two.item["annotation_id"] == key
    press(one, "z")
    assert one.item["annotation_id"] != key
    assert one.status["message"] == "Undone; another reviewer has that one now."


def test_a_second_person_sees_no_trace_of_the_first_verdict(run):
    press(open_panel(run, "li.wei", overlap=1.0), *"aaaaaa")
    second = open_panel(run, "m.okafor", overlap=1.0)
    assert second.item["verdict"] == ""
    press(second, *"aaaa", "x", "1")
    assert second.status["agreement"] == ""
    assert open_panel(run, "m.okafor").status["agreement"] == "agreement 80% of 5"


def test_a_key_meant_for_another_annotation_is_dropped(run):
    panel = open_panel(run)
    first = panel.item["annotation_id"]
    for _ in range(2):  # two quick presses of the same key, both sent for the first annotation
        panel._on_message({"type": "key", "key": "a", "annotation_id": first})
    assert states(run) == {first: "accept"}


def test_a_ledger_held_by_another_does_not_lose_the_place(run, monkeypatch):
    panel = open_panel(run)
    first = panel.item["annotation_id"]
    monkeypatch.setattr(review_ledger, "BUSY_TIMEOUT_MS", 50)
    with review_ledger.transaction(run[0]):
        press(panel, "a")
        assert panel.status["message"] == "Not saved: database is locked"
        assert panel.item["annotation_id"] == first
    press(panel, "a")
    assert states(run) == {first: "accept"}


def pictures(panel) -> dict[str, bytes]:
    held = [getattr(panel, slot) for slot in SLOTS]
    return {entry["id"]: entry["data"] for entry in held if entry}


def test_the_next_pictures_are_there_before_they_are_needed(run):
    panel = open_panel(run)
    files = {f"img{i}": (run[3] / "images" / f"img{i}.png").read_bytes() for i in range(3)}
    assert pictures(panel) == files
    sent = []
    panel.observe(lambda change: sent.append(change["name"]), names=list(SLOTS))
    press(panel, *"aaaa")
    assert panel.item["image_id"] == "img2"
    assert sent == []  # none is sent twice


def test_pictures_that_have_passed_make_room_for_those_to_come(run):
    ledger, annotations, corpus, folder = run
    many = [
        annotations.assign(image_id=f"m{i}", annotation_id=annotations["annotation_id"] + f"-{i}") for i in range(9)
    ]
    corpus = pd.concat([corpus.iloc[:1].assign(image_id=f"m{i}") for i in range(9)])
    panel = open_panel((ledger, pd.concat(many, ignore_index=True), corpus, folder))
    for _ in range(30):
        press(panel, "a")
        assert panel.item["image_id"] in pictures(panel)
        assert len(pictures(panel)) <= len(SLOTS)


def test_filters_narrow_the_queue_and_its_count(run):
    panel = open_panel(run)
    assert panel.filters["choices"] == {"task": ["description"], "language": ["en", "zh"], "instrument": ["AIA", "HMI"]}
    panel.set_filter(language="zh")
    assert (panel.item["language"], panel.status["n_total"]) == ("zh", 3)
    press(panel, *"aaa")
    assert panel.phase == "done"
    assert {key[-2:] for key in states(run)} == {"zh"}
    panel.set_filter(instrument="HMI", task="description")
    assert (panel.item["image_id"], panel.status["n_done"], panel.status["n_total"]) == ("img0", 1, 2)
    panel.set_filter(task="no such task")
    assert panel.phase == "done"
    panel.set_filter()
    assert (panel.status["n_done"], panel.status["n_total"]) == (3, 6)


def test_the_filter_for_flags_brings_ones_own_back_and_those_of_others(run):
    one = open_panel(run, "li.wei")
    flagged = one.item["annotation_id"]
    press(one, "f", "a")
    one.set_filter(flagged=True)
    assert (one.item["annotation_id"], one.status["n_done"], one.status["n_total"]) == (flagged, 0, 1)
    review_leases.drop(run[0], "li.wei")
    two = open_panel(run, "m.okafor")
    two.set_filter(flagged=True)
    assert two.item["annotation_id"] == flagged
    press(two, "a")
    assert two.phase == "done"
    press(one, "a")
    assert states(run)[flagged] == "accept"


def test_progress_tells_pace_and_what_is_left(run):
    panel = open_panel(run)
    for _ in range(3):
        panel._shown_at -= 4
        press(panel, "a")
    assert panel.status["seconds_each"] == pytest.approx(4, abs=0.3)
    assert (panel.status["n_done"], panel.status["n_total"]) == (3, 6)


def test_a_lease_is_renewed_while_its_holder_is_active_and_its_loss_is_said(run, monkeypatch):
    panel = open_panel(run)
    key = panel.item["annotation_id"]
    now = time.time()
    monkeypatch.setattr(review_leases.time, "time", lambda: now + 400)
    panel._on_message({"type": "hold", "annotation_id": key})
    monkeypatch.setattr(review_leases.time, "time", lambda: now + 900)
    assert open_panel(run, "m.okafor").item["annotation_id"] != key
    monkeypatch.setattr(review_leases.time, "time", lambda: now + 1100)
    assert open_panel(run, "t.mori").item["annotation_id"] == key
    panel._on_message({"type": "hold", "annotation_id": key})
    assert "another reviewer has this one" in panel.status["message"]


def test_a_text_too_long_to_read_cannot_be_accepted(run):
    run[1]["answer"] = "x" * 1_000_000
    panel = open_panel(run)
    assert panel.item["answer"].endswith("[… 980,000 more characters]")
    press(panel, "a")
    assert "only part of this text fits" in panel.status["message"]
    panel.save_edit("shorter")
    assert states(run) == {}
    press(panel, "x", "6")
    assert list(states(run).values()) == ["reject"]


def test_half_characters_and_endless_lists_can_be_sent(run):
    run[1]["claims"] = json.dumps([{"kind": "layer", "value": 1, "text": "\ud800", "verdict": "supported"}] * 999)
    panel = open_panel(run)
    json.dumps(panel.item, ensure_ascii=False).encode("utf-8")
    assert len(panel.item["claims"]) == 201
    assert panel.item["claims"][-1]["value"] == "… 799 more claims"


def test_a_name_without_end_is_refused(run):
    assert open_panel(run, "x" * 1_000_000).phase == "start"


def test_the_end_names_what_others_hold(run):
    open_panel(run, "li.wei")
    panel = open_panel(run, "m.okafor")
    press(panel, *"aaaaa")
    assert (panel.phase, panel.status["message"]) == ("done", "1 are with other reviewers just now.")


def test_both_pictures_what_was_said_before_and_the_boxes_of_an_answer_are_shown(run):
    ledger, annotations, corpus, folder = run
    more = {"more_images": '["img2"]', "turns": '[{"question": "Which layer?", "answer": "corona", "about": "layer"}]'}
    annotations = annotations.assign(**more, answer='[{"bbox_2d": [1, 2, 30, 40], "label": "active region"}]')
    panel = open_panel((ledger, annotations[annotations["image_id"] == "img0"], corpus, folder))
    assert [p["image_id"] for p in panel.item["pictures"]] == ["img0", "img2"]
    assert panel.item["pictures"][1]["title"] == "SDO/AIA 171 · 2014-02-03 00:00 UT · simulated"
    assert {"img0", "img2"} <= set(pictures(panel))
    assert panel.item["turns"] == [{"question": "Which layer?", "answer": "corona"}]
    assert panel.item["said_boxes"] == [(1, 2, 30, 40)]


def test_a_missing_picture_is_shown_as_unreadable(run):
    (run[3] / "images" / "img0.png").unlink()
    panel = open_panel(run)
    assert panel.item["image_id"] == "img0"
    assert pictures(panel)["img0"] == b""


@pytest.mark.parametrize("path", sorted((artifacts.LIBRARY / "data").glob("*.js")), ids=lambda p: p.name)
def test_the_browser_code_parses_no_html(path):
    source = path.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org/2000)", source
    )


def test_only_the_shared_file_sets_text_of_others():
    """Both widgets carry it whole, and neither makes signs visible in a way of its own."""
    data = artifacts.LIBRARY / "data"
    shown = (data / "shown.js").read_text(encoding="utf-8")
    for widget, name in ((ReviewPanel, "panel.js"), (ChatPanel, "chat.js")):
        own = (data / name).read_text(encoding="utf-8")
        assert widget._esm == shown + own
        assert not re.search(r"(const|function) (SIGNS|UNSEEN|visible|make|languageTag)\b|createElement\(", own)
