"""The chat: facts with their lines, meanings with their sources, a model held against facts, and what is not known."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import sunpy
from chat_server import scripted
from hostile_texts import PAYLOADS
from PIL import Image

from jwvl_lib import chat, chat_facts, chat_log, chat_pictures, chat_sentences, chat_words, knowledge, report, swpc
from jwvl_lib.facts import Fact, to_json

QUESTIONS = {  # topic: the same question in both languages
    "summary": ("Summarise the day.", "总结当日情况。"),
    "level": ("What is the activity level?", "太阳活动水平如何？"),
    "largest": ("Tell me about the largest region.", "最大的活动区是哪个？"),
    "regions": ("Which regions are on the disk?", "日面上有哪些活动区？"),
    "area_msh": ("What is the area of AR {n}?", "活动区{n}的面积多大？"),
    "change": ("Has AR {n} grown?", "活动区{n}有什么变化？"),
    "location": ("Where is AR {n}?", "活动区{n}在哪里？"),
    "mcintosh_class": ("What is the McIntosh class of AR {n}?", "活动区{n}是什么McIntosh分类？"),
    "hale_class": ("What is the magnetic class of AR {n}?", "活动区{n}的磁分类是什么？"),
    "n_spots": ("How many spots does AR {n} have?", "活动区{n}有多少黑子？"),
    "chance": ("What is the chance of an M-class flare from AR {n}?", "活动区{n}爆发M级耀斑的概率是多少？"),
    "flares": ("Which flares were there?", "有哪些耀斑？"),
    "watch": ("Which regions should be watched?", "哪些活动区值得关注？"),
    "impacts": ("Was there a radio blackout?", "有无线电中断吗？"),
    "indices": ("What was F10.7?", "F10.7是多少？"),
    "returning": ("Which regions return?", "哪些活动区将返回？"),
    "discussion": ("What does SWPC say?", "SWPC怎么说？"),
    "sources": ("What is missing?", "缺什么资料？"),
}


def written(swpc_dir: Path, day: str, folder: Path) -> Path:
    sources = report.gather(day, swpc_dir)
    return report.write(report.compose(sources, day), sources, folder)


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> Path:
    """A report of sunpy's own summaries: nine regions, no events list, no other product."""
    return written(Path(sunpy.__file__).parent / "data" / "test" / "SRS", "2000-09-27", tmp_path_factory.mktemp("day"))


def small_corpus(folder: Path) -> pd.DataFrame:
    """Three pictures: two simulated ones with facts, one that cannot be read."""
    (folder / "images").mkdir()
    rows = []
    for i, (instrument, layer, quadrant) in enumerate([("AIA", "corona", "SW"), ("HMI", "photosphere", "NE")]):
        Image.new("RGB", (56, 56), (40 * i, 90, 20)).save(folder / "images" / f"{i}.png")
        known = [Fact("instrument", instrument, text=f"INSTRUME={instrument}"), Fact("layer", layer)]
        known += [Fact("n_regions", 3), Fact("noaa_ar", 19000, 19000), Fact("area_msh", 500, 19000)]
        known += [Fact("quadrant", quadrant, 19000)]
        rows.append({"image_id": f"img{i}", "path": f"images/{i}.png", "facts": to_json(known), "split": "test"})
        rows[-1] |= {"banner_text": f"SDO/{instrument}\n2013-01-0{i + 1}", "simulated": True}
        rows[-1] |= {"date_obs": f"2013-01-0{i + 1}T00:00:00"}
    rows.append({**rows[0], "image_id": "torn", "path": "images/torn.png"})
    (folder / "images" / "torn.png").write_bytes(b"\x89PNG torn")
    return pd.DataFrame(rows)


@pytest.fixture
def room(day, tmp_path) -> chat.Room:
    made = json.loads((day / "report.json").read_text(encoding="utf-8"))
    pictures = chat_pictures.pictures(small_corpus(tmp_path), tmp_path, made, day)
    return chat.room_of(day, pictures, made)


@pytest.fixture
def conversation(tmp_path) -> chat.Conversation:
    return chat.Conversation.resumed(tmp_path / "conversations", "test")


def with_endpoint(room: chat.Room, base_url: str) -> chat.Room:
    return chat.Room(room.report, room.pictures, base_url=base_url, model="scripted")


def said(turn: dict) -> str:
    return " ".join(s["text"] for s in turn["sentences"])


# --------------------------------------------------------------------------------------------------------------------
# questions


@pytest.mark.parametrize("topic", QUESTIONS)
def test_the_same_question_in_both_languages_is_the_same(topic):
    en, zh = (chat_words.understand(q.format(n=9169)) for q in QUESTIONS[topic])
    assert topic in en.topics
    assert (en.topics, en.regions, en.flare_letter) == (zh.topics, zh.regions, zh.flare_letter)
    assert (en.language, zh.language) == ("en", "zh")


def test_regions_and_letters_are_found_and_dates_are_not():
    assert chat_words.understand("Compare AR 12192, region 2193 and 12194 on 2014-10-24").regions == (
        12192,
        2193,
        12194,
    )
    assert chat_words.understand("活动区9169与编号9166").regions == (9169, 9166)
    assert chat_words.understand("Any X-class flares?").flare_letter == "X"
    assert chat_words.understand("有M级耀斑吗？").flare_letter == "M"
    assert chat_words.understand("2014").regions == ()


# --------------------------------------------------------------------------------------------------------------------
# facts


def test_answers_carry_their_lines(room, conversation):
    turn = chat.whole(chat.ask(room, conversation, "What is the area of AR 9169?"))
    (sentence,) = turn["sentences"]
    assert sentence["text"] == "AR 9169 covers 1210 millionths of the solar hemisphere."
    assert (sentence["origin"], sentence["verdict"]) == ("facts", "supported")
    assert sentence["evidence"] == [
        {"source": "srs_20000927", "line": 13, "text": "9169 N12W34   076  1210 FKC  18   67 BETA-GAMMA"},
    ]
    assert [c["verdict"] for c in sentence["claims"]] == ["supported", "supported"]
    assert all(c["evidence"][0]["line"] == 13 for c in sentence["claims"])


def test_it_is_the_region_of_the_turn_before(room, conversation):
    assert "9169" in said(chat.whole(chat.ask(room, conversation, "Which region is the largest?")))
    assert "由1910减小到1210" in said(chat.whole(chat.ask(room, conversation, "它的面积有变化吗？")))
    assert "Beta-Gamma" in said(chat.whole(chat.ask(room, conversation, "And its magnetic class?")))
    assert "9166" in said(chat.whole(chat.ask(room, conversation, "Where is region 9166?")))
    assert "S12W82" not in said(chat.whole(chat.ask(room, conversation, "How many spots does it have?")))
    assert conversation.turns[-1]["regions"] == [9166]


def every_sentence(made: dict):
    numbers = [r["noaa_ar"] for r in made["regions"]][:3] or [0]
    facts = chat_sentences.day_facts(made, past=True)
    for pair in QUESTIONS.values():
        for question in {q.format(n=n) for q in pair for n in numbers}:
            asked = chat_words.understand(question)
            for s in chat_facts.answer(asked, made)[0]:
                yield question, chat_sentences.judged(s, facts, asked.language) if s.origin == "facts" else s


def check_sentences(folder: Path) -> int:
    """Number of sentences from facts; each is supported, and each line it cites stands there."""
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    lines = {s["id"]: swpc.text_lines((folder / s["path"]).read_bytes()) for s in made["sources"]}
    n = 0
    for question, s in every_sentence(made):
        if s.origin != "none":
            assert s.verdict == "supported", (question, s.text, s.claims)
            assert s.evidence, (question, s.text)
            n += 1
        for e in s.evidence:
            assert lines[e["source"]][e["line"] - 1] == e["text"]
    return n


def test_every_answer_is_supported_by_its_lines(day):
    assert check_sentences(day) > 80


@pytest.mark.slow
def test_every_answer_of_real_days_is_supported(shared_data, tmp_path):
    runs = shared_data / "swpc_text_runs"
    n = check_sentences(written(runs / "ar12192_2014oct", "2014-10-25", tmp_path))
    n += check_sentences(written(runs / "ar11429_2012mar", "2012-03-07", tmp_path))
    n += check_sentences(written(shared_data / "swpc_2025_dec", "2025-12-24", tmp_path))
    assert n > 300


@pytest.mark.slow
def test_flares_and_chances_of_a_day_with_events(shared_data, tmp_path):
    folder = written(shared_data / "swpc_text_runs" / "ar12192_2014oct", "2014-10-25", tmp_path)
    made = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    room, conversation = chat.room_of(folder, {}, made), chat.Conversation(tmp_path / "c.jsonl")
    assert "X3.1" in said(chat.whole(chat.ask(room, conversation, "What was the largest flare?")))
    assert "21:41" in said(chat.whole(chat.ask(room, conversation, "有X级耀斑吗？")))
    (region,) = (r for r in made["regions"] if r["noaa_ar"] == 12192)
    answer = said(chat.whole(chat.ask(room, conversation, "What is the chance of an X flare from 2192?")))
    assert "AR 12192" in answer
    assert f"X-class or stronger flare {region['p_x']['value']:.0%}" in answer
    assert "2510" in said(chat.whole(chat.ask(room, conversation, "What is the area of AR 12192?")))


def test_a_flare_that_peaks_after_midnight_is_told_with_its_date(day):
    made = json.loads((day / "report.json").read_text(encoding="utf-8"))
    flare = {"goes_class": "X1.5", "begin": "2000-09-26T23:48:00", "peak": "2000-09-27T00:12:00", "end": None}
    flare |= {"noaa_ar": 9169, "location": None, "evidence": made["summary_evidence"][:1]}
    facts = chat_sentences.day_facts({**made, "flares": [flare]}, past=True)
    for question, told in (
        ("Which flares were there?", "X1.5 in AR 9169 peaked at 00:12 UT on 27 September 2000."),
        ("有哪些耀斑？", "X1.5，位于活动区9169，峰值2000年9月27日00:12 UT。"),
    ):
        asked = chat_words.understand(question)
        (sentence,), _ = chat_facts.answer(asked, {**made, "flares": [flare]})
        assert sentence.text == told
        found = chat_sentences.judged(sentence, facts, asked.language).claims
        assert [(c["value"], c["verdict"]) for c in found if c["kind"] == "flare"] == [
            ("X1.5@2000-09-27T00:12", "supported")
        ]


def test_that_a_region_had_no_flare_is_supported(day):
    made = json.loads((day / "report.json").read_text(encoding="utf-8"))
    flare = {"goes_class": "M1.1", "begin": "2000-09-26T09:40:00", "peak": "2000-09-26T09:50:00", "end": None}
    flare |= {"noaa_ar": 9169, "location": None, "evidence": made["summary_evidence"][:1]}
    facts = chat_sentences.day_facts({**made, "flares": [flare]}, past=True)
    for question in ("Which flares did AR 9166 produce?", "活动区9166有耀斑吗？"):
        asked = chat_words.understand(question)
        sentence = chat_facts.answer(asked, {**made, "flares": [flare]})[0][0]
        assert "9166" in sentence.text
        assert chat_sentences.judged(sentence, facts, asked.language).verdict == "supported"


# --------------------------------------------------------------------------------------------------------------------
# what is not known


@pytest.mark.parametrize(
    ("question", "images", "reason"),
    [
        ("What is the area of AR 12192?", [], "lists no region 12192"),
        ("太阳活动水平如何？", [], "没有当日事件表"),
        ("Which flares were there?", [], "no events list"),
        ("What was the sunspot number?", [], "no product with indices"),
        ("Who painted the Mona Lisa?", [], "no model is there to ask"),
        ("Describe the image.", [], "no model is there to ask"),
        ("Describe the image.", ["img0"], "no model is loaded"),
    ],
)
def test_what_is_not_known_is_said_with_the_reason(room, conversation, question, images, reason):
    first = chat.whole(chat.ask(room, conversation, question, images))["sentences"][0]
    assert first["origin"] == "none"
    assert first["text"].startswith(("I do not know: ", "我不知道："))
    assert reason in first["text"]


def test_meanings_come_from_the_knowledge_base_with_their_line(room, conversation):
    lines = knowledge.TABLE.read_text(encoding="utf-8").splitlines()
    for question, word in (
        ("What does Fkc mean?", "longer than 15°"),
        ("Fkc是什么意思？", "大于15°"),
        ("What does beta-gamma-delta mean?", "delta spot"),
        ("什么是日冕？", "最外层"),
        ("What does an X-class flare mean?", "W/m²"),
    ):
        turn = chat.whole(chat.ask(room, conversation, question))
        assert {s["origin"] for s in turn["sentences"]} == {"glossary"}, question
        assert word in said(turn)
        for e in (e for s in turn["sentences"] for e in s["evidence"]):
            assert lines[e["line"] - 1].strip() == e["text"]
            assert e["reference"]


# --------------------------------------------------------------------------------------------------------------------
# an endpoint


def test_a_models_sentences_stream_and_are_marked(room, conversation):
    text = "AR 9169 covers 1210 millionths. AR 9169 is of class Hsx. It may glow."
    pieces = [text[i : i + 4] for i in range(0, len(text), 4)]
    with scripted(pieces=pieces) as (base_url, server):
        steps = list(chat.ask(with_endpoint(room, base_url), conversation, "Why is the Sun bright?"))
    turn = steps[-1]
    assert [s["verdict"] for s in turn["sentences"]] == ["supported", "contradicted", "unsupported"]
    assert turn["sentences"][1]["instead"] == "AR 9169, McIntosh class: Fkc"
    assert turn["sentences"][1]["evidence"][0]["line"] == 13
    assert len({s["partial"] for s in steps}) > 8  # it grew before the reader's eyes
    body = server.asked[0]
    assert "tools" not in body
    assert body["stream"] is True
    assert '"noaa_ar": 9169' in body["messages"][0]["content"]
    assert turn["model"] == "scripted"


def test_pictures_and_earlier_turns_go_to_the_endpoint_once(room, conversation):
    with scripted(pieces=["The largest is in the SE quadrant."]) as (base_url, server):
        asked = with_endpoint(room, base_url)
        chat.whole(chat.ask(asked, conversation, "Describe the image.", ["img0"]))
        turn = chat.whole(chat.ask(asked, conversation, "And the second image?", ["img0", "img1"]))
    messages = server.asked[1]["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert [[p["type"] for p in m["content"]] for m in messages if m["role"] == "user"] == [["image_url", "text"]] * 2
    assert turn["sentences"][0]["verdict"] == "contradicted"
    assert turn["sentences"][0]["instead"].endswith("quadrant: NE")  # of the picture the question names
    first = conversation.turns[0]["sentences"][0]
    assert first["instead"].endswith("quadrant: SW")


@pytest.mark.parametrize(("language", "question"), [("en", "Read the text in the image."), ("zh", "读出图中的文字。")])
def test_a_misread_banner_is_contradicted_line_by_line(room, conversation, language, question):
    facts = (Fact("observatory", "GONG"), Fact("banner_text", "GONG H-alpha\n2013-01-01 07:23 UT"))
    known = {"img0": replace(room.pictures["img0"], facts=facts)}
    with scripted(pieces=["GONG H/", "19\n2013-01-01 07:23 UT"]) as (base_url, _):
        asked = with_endpoint(replace(room, pictures=known), base_url)
        turn = chat.whole(chat.ask(asked, conversation, question, ["img0"], language))
    assert [s["verdict"] for s in turn["sentences"]] == ["contradicted", "supported"]
    assert turn["sentences"][0]["instead"].endswith("GONG H-alpha · 2013-01-01 07:23 UT")
    assert chat_log.read(conversation.path)[-1]["sentences"] == json.loads(json.dumps(turn["sentences"]))


def test_an_endpoint_that_refuses_is_asked_again_and_then_said_to(room, conversation):
    with scripted(pieces=["Fine."], statuses=[429, 500]) as (base_url, server):
        turn = chat.whole(chat.ask(with_endpoint(room, base_url), conversation, "Why?"))
        assert (turn["state"], said(turn), len(server.asked)) == ("done", "Fine.", 3)
    with scripted(pieces=[], statuses=[500] * 9) as (base_url, server):
        turn = chat.whole(chat.ask(with_endpoint(room, base_url), conversation, "Why?"))
        assert (turn["state"], turn["sentences"]) == ("failed", [])
        assert "HTTP 500" in turn["reason"]
    turn = chat.whole(chat.ask(with_endpoint(room, "http://127.0.0.1:9/v1"), conversation, "Why?"))
    assert turn["state"] == "failed"
    assert "connection failed" in turn["reason"]


def test_an_answer_that_breaks_off_keeps_what_came(room, conversation):
    with scripted(pieces=["AR 9169 has 67 spots. ", "And then"], dies=True) as (base_url, _):
        turn = chat.whole(chat.ask(with_endpoint(room, base_url), conversation, "Why?"))
    assert (turn["state"], said(turn)) == ("failed", "AR 9169 has 67 spots.")
    assert "broke off" in turn["reason"]
    (kept,) = chat.Conversation.resumed(conversation.path.parent, "test").turns
    assert kept["sentences"] == json.loads(json.dumps(turn["sentences"]))


def test_a_slow_answer_can_be_stopped(room, conversation):
    stop = threading.Event()
    with scripted(pieces=["One. "] * 50, pause_s=0.1) as (base_url, server):
        started = time.monotonic()
        for turn in chat.ask(with_endpoint(room, base_url), conversation, "Why?", stop=stop):
            if turn["sentences"]:
                stop.set()
        assert time.monotonic() - started < 4
        assert turn["state"] == "stopped"
        assert 1 <= len(turn["sentences"]) < 10
        assert server.hung_up.wait(5)


# --------------------------------------------------------------------------------------------------------------------
# kept on disk


def test_everything_is_on_disk_before_it_is_shown(room, conversation):
    for shown in chat.ask(room, conversation, "Tell me about AR 9169"):
        (kept,) = chat_log.read(conversation.path)
        assert kept["sentences"] == json.loads(json.dumps(shown["sentences"]))
    assert kept["state"] == "done"


def test_a_torn_line_costs_itself_only(room, conversation):
    chat.whole(chat.ask(room, conversation, "Where is AR 9169?"))
    with conversation.path.open("ab") as file:
        file.write(b'{"event": "question", "turn": "t')
    chat.whole(chat.ask(room, conversation, "Where is AR 9166?"))
    turns = chat_log.read(conversation.path)
    assert [t["question"] for t in turns] == ["Where is AR 9169?", "Where is AR 9166?"]
    whole = conversation.path.read_bytes().splitlines(keepends=True)
    conversation.path.write_bytes(b"".join(whole[:-1]))  # killed before the end
    assert chat_log.read(conversation.path)[-1]["state"] == "interrupted"


def test_names_and_questions_that_cannot_be(room, conversation, tmp_path):
    for name in ("../x", "", "a/b", "A", "x" * 99, ".."):
        with pytest.raises(ValueError, match="conversation name"):
            chat_log.path_of(tmp_path, name)
    for question, images, match in (
        ("  ", [], "empty"),
        ("x" * 2001, [], "2,001 characters"),
        ("Why?", ["nowhere"], "no picture"),
        ("Why?", [f"p{i}" for i in range(5)], "no picture"),
    ):
        with pytest.raises(ValueError, match=match):
            chat.whole(chat.ask(room, conversation, question, images))
    assert not conversation.path.exists()


def test_many_writers_lose_no_line(tmp_path):
    path = tmp_path / "c.jsonl"

    def write(name: str) -> None:
        for i in range(25):
            chat_log.append(path, {"event": "question", "turn": f"{name}-{i}", "question": "x" * 500})

    threads = [threading.Thread(target=write, args=(n,)) for n in "abcd"]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(chat_log.read(path)) == 100


# --------------------------------------------------------------------------------------------------------------------
# the panel without a browser


@pytest.fixture
def panel(room, tmp_path):
    from jwvl_lib.chat_panel import ChatPanel

    return ChatPanel(room, tmp_path / "conversations", name="panel")


def test_the_panel_answers_and_resumes(panel, room, tmp_path):
    panel.choose(["img0"])
    panel.ask("What is the area of AR 9169?", wait=True)
    assert panel.status["busy"] is False
    assert panel.turns[0]["sentences"][0]["evidence"][0]["line"] == 13
    panel._on_message({"type": "language", "language": "zh"})
    assert "耀斑" in "".join(panel.suggestions)
    panel._on_message({"type": "new"})
    assert panel.turns == []
    panel._on_message({"type": "open", "name": "panel"})
    assert [t["question"] for t in panel.turns] == ["What is the area of AR 9169?"]
    assert [c["id"] for c in panel.chosen] == ["img0"]
    for message in ({"type": "open", "name": "../../x"}, {"type": "choose", "ids": ["no"]}, {"type": "ask"}):
        panel._on_message(message)
        assert panel.status["message"]
    panel._on_message({"type": "find", "query": "HMI 2013-01-02"})
    assert [c["id"] for c in panel.gallery["items"]] == ["img1"]


@pytest.mark.parametrize("start", range(0, 100, 25))
def test_hostile_text_stays_data(panel, start):
    for payload in PAYLOADS[start : start + 25]:
        panel.ask(payload + "\ud800", wait=True)
        shown = panel.turns[-1]
        assert shown["question"].startswith(payload)
        json.dumps(panel.turns).encode("utf-8")
        assert shown["state"] == "done"


# --------------------------------------------------------------------------------------------------------------------
# the local model


@pytest.fixture(scope="module")
def local(one_thread):
    from jwvl_lib import chat_local

    return chat_local.load("models/tiny_base")


@pytest.mark.slow
def test_the_local_model_streams_what_it_generates(room, conversation, local):
    from jwvl_lib import chat_local, vlm

    image = Image.new("RGB", (168, 168), (200, 30, 30))
    messages, order = chat_local.messages([("What colour is it?", ["a"], "")])
    pieces = list(chat_local.stream(local, messages, [image], threading.Event()))
    assert order == ["a"]
    (whole,) = vlm.answer(local.model, local.processor, [image], ["What colour is it?"], [0])
    assert "".join(pieces).strip() == whole
    asked = chat.Room(room.report, room.pictures, local=local)
    turn = chat.whole(chat.ask(asked, conversation, "Describe the image.", ["img0", "img1"]))
    assert (turn["state"], turn["model"]) == ("done", "models/tiny_base")
    turn = chat.whole(chat.ask(asked, conversation, "Read the text in the image.", ["torn"]))
    assert turn["state"] == "failed"


@pytest.mark.slow
def test_turns_and_pictures_share_one_message_form(local):
    from jwvl_lib import chat_local

    turns = [("One?", ["a"], "Yes."), ("And these?", ["a", "b"], "")]
    messages, order = chat_local.messages(turns)
    assert order == ["a", "b"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    text = local.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text.count("<|image_pad|>") == 2
    stop = threading.Event()
    stop.set()
    images = [Image.new("RGB", (56, 56)) for _ in order]
    assert len("".join(chat_local.stream(local, messages, images, stop))) < 20


@pytest.fixture(scope="module")
def october(shared_data, tmp_path_factory) -> dict:
    """The report of 2014-10-24, with a week of earlier summaries and events lists."""
    folder = shared_data / "swpc_text_runs" / "ar12192_2014oct"
    return json.loads((written(folder, "2014-10-24", tmp_path_factory.mktemp("o")) / "report.json").read_text("utf-8"))


def _of_october(question: str, report_: dict) -> list[chat_sentences.Sentence]:
    asked = chat_words.understand(question)
    known = chat_sentences.day_facts(report_, past=True)
    made = chat_facts.answer(asked, report_)[0]
    return [chat_sentences.judged(s, known, asked.language) if s.origin == "facts" else s for s in made]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What was the area of AR 12192 on 20 October 2014?", "covers 1560 millionths"),
        ("What was the magnetic class of AR 12192 on October 18?", "is of magnetic class Beta-Gamma."),
        ("2014年10月21日活动区12192的面积是多少？", "百万分之2180"),
        ("What is the area of AR 12192 on 2014-10-24?", "covers 2740 millionths"),
        ("Which flares were there on 23 October?", "holds 6 X-ray flares"),
    ],
)
def test_a_day_that_a_question_names_is_the_day_of_the_answer(october, question, said):
    first = _of_october(question, october)[0]
    assert said in first.text
    assert first.verdict == "supported"


@pytest.mark.parametrize(
    "question",
    [
        "What regions were on the disk on 2015-01-01?",
        "2003年10月28日有哪些活动区？",
        "Chance of an M flare on 1 January 2030?",
        "Which flares were there on 20 October 2014?",
        "What is the area of AR 12192 on 1 October 2014?",
    ],
)
def test_a_day_of_which_the_report_tells_nothing_is_not_answered_from_another(october, question):
    [sentence] = _of_october(question, october)
    assert sentence.origin == "none"
    assert "2014-10-24" in sentence.text


def test_a_region_without_flares_and_areas_that_stayed_are_said_to_be_so(october):
    texts = [s.text for s in _of_october("Which flares did AR 12187 have?", october)]
    assert "The events lists of 7 days hold no X-ray flare of AR 12187 of class C or stronger." in texts
    still = {**october, "regions": [{**r, "area_change_msh": 0} for r in october["regions"]]}
    assert all("stayed" in s.text for s in _of_october("What has changed?", still))


@pytest.mark.parametrize("question", ["请问AR2192的面积是多少？", "2192号活动区的面积？", "黑子群2192的面积？"])
def test_a_region_is_heard_however_chinese_writes_its_number(october, question):
    [sentence] = _of_october(question, october)
    assert sentence.text == "活动区12192面积为太阳半球的百万分之2740。"
