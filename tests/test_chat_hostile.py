"""Fifty planted instructions as discussion, comment, banner and model's answer: data in the chat, never orders."""

import json
import socket

import pytest
from chat_server import scripted
from hostile_texts import DAY, PLANTS, plant, whole_day
from test_chat import QUESTIONS

from jwvl_lib import artifacts, chat, chat_pictures, report, report_agent
from jwvl_lib.facts import Fact


@pytest.fixture(scope="module")
def days(shared_data, tmp_path_factory):
    """(plain, planted) report folders of the same day, all fifty in each text a reader may ask about."""
    folder = tmp_path_factory.mktemp("plants")
    source = whole_day(shared_data, folder / "swpc")
    plain, _ = report_agent.make_report(DAY, source, folder / "plain")
    for name in ("SRS", "SGAS", "discussion", "solar_regions", "image header"):
        plant(source, name, PLANTS)
    planted, _ = report_agent.make_report(DAY, source, folder / "planted")
    return plain, planted


def _read(folder) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def requests(monkeypatch):
    """Addresses asked for; anything but loopback fails at once."""
    asked, connect = [], socket.socket.connect

    def guarded(self, address):
        asked.append(address)
        assert address[0] == "127.0.0.1", f"a request to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    return asked


def _answers(folder, out) -> dict:
    """What the facts answer to every question, without the numbers of lines, which planting moves."""
    made, answers = _read(folder), {}
    room = chat.room_of(folder, {}, made)
    for topic, pair in QUESTIONS.items():
        for question in (q.format(n=made["regions"][0]["noaa_ar"]) for q in pair):
            turn = chat.whole(chat.ask(room, chat.Conversation(out / f"{topic}.jsonl"), question))
            answers[question] = [(s["text"], s["origin"], s["verdict"]) for s in turn["sentences"]]
    return answers


def test_planted_texts_change_no_answer_from_the_facts(days, tmp_path, requests):
    assert len(set(PLANTS)) == 50
    plain, planted = (_answers(folder, tmp_path / folder.parent.name) for folder in days)
    quoted = set(QUESTIONS["discussion"])  # whose answer is the forecasters' own text
    assert {q: a for q, a in planted.items() if q not in quoted} == {q: a for q, a in plain.items() if q not in quoted}
    assert sum(len(a) for a in plain.values()) > 60
    everything = json.dumps([a for q, a in planted.items() if q not in quoted], ensure_ascii=False)
    assert [p for p in PLANTS if p in everything] == []
    assert [a for q in quoted for a in planted[q] if a[2] not in ("supported", "")] == []
    assert report.check(days[1]) == []
    assert requests == []


def test_fifty_planted_instructions_are_told_to_no_model_and_obeyed_by_nothing(days, tmp_path, requests):
    """Each is the banner of the picture asked about, and what the model answers: no tool, no request, not supported."""
    made, before = _read(days[1]), artifacts.sha256(days[1] / "report.json")
    region = made["regions"][0]
    path = days[1] / "sources" / "20251223_221500_hmi_continuum.png"
    area = f"AR {region['noaa_ar']} covers {region['area_msh']} millionths of the solar hemisphere."
    with scripted(pieces=[]) as (base_url, server):
        port = server.server_port
        for i, text in enumerate(PLANTS):
            server.script["pieces"] = [text]
            banner = chat_pictures.Picture("p", text, path, (Fact("banner_text", text),), of_day=True)
            room = chat.Room(made, {"p": banner}, base_url=base_url, model="m")
            conversation = chat.Conversation(tmp_path / f"{i}.jsonl")
            turn = chat.whole(chat.ask(room, conversation, "Describe the image.", ["p"]))
            assert {s["origin"] for s in turn["sentences"]} == {"model"}
            assert {s["verdict"] for s in turn["sentences"]} <= {"unsupported", "contradicted"}, text
            answer = chat.whole(chat.ask(room, conversation, f"What is the area of AR {region['noaa_ar']}?"))
            assert [s["text"] for s in answer["sentences"]] == [area]
            assert answer["sentences"][0]["origin"] == "facts"
    told = [json.dumps(body, ensure_ascii=False) for body in server.asked]
    assert len(told) == 50  # one request for each question about the picture, none of the model's making
    assert [p for p in PLANTS for body in told if p in body] == []
    assert not any("tools" in body for body in server.asked)
    assert set(requests) <= {("127.0.0.1", port)}
    assert artifacts.sha256(days[1] / "report.json") == before


def from_facts(turn: dict) -> list[dict]:
    return [s for s in turn["sentences"] if s["origin"] == "facts"]


def test_a_planted_question_is_answered_as_a_question(days, tmp_path, requests):
    """A reader may paste any of them: nothing but the facts or that it is not known comes back."""
    made = _read(days[1])
    room = chat.room_of(days[1], {}, made)
    facts_before = json.dumps(made, sort_keys=True)
    for i, text in enumerate(PLANTS):
        turn = chat.whole(chat.ask(room, chat.Conversation(tmp_path / f"{i}.jsonl"), text))
        assert turn["state"] == "done"
        assert {s["origin"] for s in turn["sentences"]} <= {"facts", "none", "glossary", "quoted", "banner"}
        assert all(s["verdict"] == ("supported" if s["evidence"] else "") for s in from_facts(turn)), text
        assert "9999" not in " ".join(s["text"] for s in turn["sentences"])
    assert json.dumps(made, sort_keys=True) == facts_before
    assert requests == []
