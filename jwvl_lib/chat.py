"""The chat about a day: a question is answered from the facts, the knowledge base or a model, and judged by the facts.

Reads what its `Room` holds (`report.json`, pictures, a model) and the conversation's file; appends to that file before
anything is given out. What neither facts nor knowledge base nor model can say is said to be unknown, with the reason.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from jwvl_lib import artifacts, chat_endpoint, chat_facts, chat_glossary, chat_log, chat_pictures, chat_sentences
from jwvl_lib.chat_pictures import Picture
from jwvl_lib.chat_sentences import Sentence, unknown
from jwvl_lib.chat_words import Asked, understand
from jwvl_lib.facts import Fact

LONGEST_QUESTION = 2_000
UNASKED = {
    "no_picture": ("no picture is chosen; choose one and ask again.", "没有选择图像；请先选择一幅再提问。"),
    "no_model": ("no model is loaded that could look at pictures.", "没有加载能看图的模型。"),
    "nothing": (
        "neither the facts of the day nor the knowledge base answer this, and no model is there to ask.",
        "当日事实和知识库都没有答案，也没有可询问的模型。",
    ),
    "pictures_only": (
        "neither the facts of the day nor the knowledge base answer this; choose a picture to ask the model about it.",
        "当日事实和知识库都没有答案；可选择一幅图像询问模型。",
    ),
    "silent": ("the model gave no answer.", "模型没有给出回答。"),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """What a chat draws on. `local` is a `chat_local.LocalModel` or None; with `base_url` an endpoint is asked."""

    report: dict
    pictures: Mapping[str, Picture]
    local: object | None = None
    base_url: str = ""
    model: str = ""
    history_turns: int = 4  # earlier turns that the model is given
    report_sha256: str = ""

    @property
    def model_name(self) -> str:
        """What answers beside the facts, "" where nothing does."""
        return self.model if self.base_url else self.local.name if self.local else ""

    @cached_property
    def facts(self) -> list[Fact]:
        """Facts of the day that a model's sentences are held against."""
        return chat_sentences.day_facts(self.report)

    @cached_property
    def all_facts(self) -> list[Fact]:
        """Those of the days before too, for sentences that are made from facts."""
        return chat_sentences.day_facts(self.report, past=True)

    def facts_for(self, text: str, question: str, pictures: Sequence[Picture]) -> list[Fact]:
        """What a sentence about some pictures is held against: theirs, and the day's where they are of the day."""
        if not pictures:
            return self.facts
        of_day = self.facts if all(p.of_day for p in pictures) else []
        return [*chat_sentences.of_image(text, question, [p.facts for p in pictures]), *of_day]


@dataclass
class Conversation:
    """Turns so far, oldest first, and the file they are kept in."""

    path: Path
    turns: list[dict] = field(default_factory=list)

    @classmethod
    def resumed(cls, folder: Path, name: str) -> "Conversation":
        """The conversation of a name as it stands on disk; ValueError for a name that is none."""
        path = chat_log.path_of(folder, name)
        return cls(path, chat_log.read(path))


def ask(
    room: Room,
    conversation: Conversation,
    question: str,
    image_ids: Sequence[str] = (),
    language: str = "en",
    stop: threading.Event | None = None,
) -> Iterator[dict]:
    """Answer a question; yields the growing turn, `partial` being the sentence under way, and last the whole turn.

    Question, every judged sentence and the end are on disk before they are yielded. Raises ValueError, before anything
    is written, for an empty or over-long question and for pictures that cannot be chosen.
    """
    stop = stop or threading.Event()
    pictures = chat_pictures.chosen(room.pictures, image_ids)
    asked = understand(_checked(question), language)
    turn = {
        "turn": uuid.uuid4().hex[:12],
        "asked_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "question": asked.text,
        "language": asked.language,
        "images": [p.image_id for p in pictures],
        "report_date": room.report["report_date"],
        "report_sha256": room.report_sha256,
        "model": "",
    }
    chat_log.append(conversation.path, {"event": "question", **turn})
    turn |= {"sentences": [], "state": "answering", "partial": ""}
    conversation.turns.append(turn)
    yield dict(turn)
    yield from _answered(room, conversation, turn, asked, pictures, stop)


def _checked(question: str) -> str:
    text = question.strip()
    if not text:
        raise ValueError("the question is empty; type one")
    if len(text) > LONGEST_QUESTION:
        raise ValueError(f"the question has {len(text):,} characters, at most {LONGEST_QUESTION:,}; make it shorter")
    return text


def _answered(
    room: Room, conversation: Conversation, turn: dict, asked: Asked, pictures: Sequence[Picture], stop: threading.Event
) -> Iterator[dict]:
    started, end = time.monotonic(), {"state": "done", "reason": "", "regions": []}
    try:
        for piece in _pieces(room, conversation, turn, asked, pictures, stop, end):
            if isinstance(piece, str):
                turn["partial"] = piece
            else:
                sentence = piece.as_json()
                chat_log.append(conversation.path, {"event": "sentence", "turn": turn["turn"], **sentence})
                turn["sentences"].append(sentence)
                turn["partial"] = ""
            yield dict(turn)
        end["state"] = "stopped" if stop.is_set() else "done"
    except (chat_endpoint.EndpointError, OSError, ValueError, RuntimeError) as error:
        log.warning("turn %s: %s", turn["turn"], error)
        end |= {"state": "failed", "reason": " ".join(str(error).split())[:300]}
    end |= {"seconds": round(time.monotonic() - started, 2), "model": turn["model"]}
    chat_log.append(conversation.path, {"event": "end", "turn": turn["turn"], **end})
    turn |= {**end, "partial": ""}
    yield dict(turn)


def _pieces(
    room: Room,
    conversation: Conversation,
    turn: dict,
    asked: Asked,
    pictures: Sequence[Picture],
    stop: threading.Event,
    end: dict,
) -> Iterator[str | Sentence]:
    """Sentences of the answer, and between them the text of the one a model is writing."""
    before = conversation.turns[-2] if len(conversation.turns) > 1 else {}
    sentences, regions = known(room, asked, pictures, tuple(before.get("regions", ())))
    end["regions"] = list(regions) or (before.get("regions", []) if asked.it else [])
    if sentences:
        for s in sentences:
            yield chat_sentences.judged(s, room.all_facts, asked.language) if s.origin == "facts" else s
        return
    reason = _cannot_ask(room, asked, pictures)
    if reason:
        yield unknown(asked.language, *UNASKED[reason])
        return
    turn["model"], silent = room.model_name, True
    for piece in _spoken(room, conversation, asked, pictures, stop):
        silent = silent and not isinstance(piece, Sentence)
        yield piece
    if silent and not stop.is_set():
        yield unknown(asked.language, *UNASKED["silent"])


def known(
    room: Room, asked: Asked, pictures: Sequence[Picture], focus: tuple[int, ...] = ()
) -> tuple[list[Sentence], tuple[int, ...]]:
    """(sentences, regions) from the facts of the day and the knowledge base; none where the question is the model's."""
    meanings = chat_glossary.answer(asked)
    if asked.meaning and meanings and not asked.regions:
        return meanings, ()
    if pictures and (asked.picture or not (asked.topics or asked.regions)):
        return [], ()
    sentences, regions = chat_facts.answer(asked, room.report, focus)
    if all(s.origin == "none" for s in sentences) and not asked.regions:
        sentences += meanings
    return sentences, regions


def _cannot_ask(room: Room, asked: Asked, pictures: Sequence[Picture]) -> str:
    """Why no model is asked; "" where one is."""
    if not room.model_name:
        return "no_model" if pictures else "nothing"
    if room.base_url or pictures:
        return ""
    return "no_picture" if asked.picture else "pictures_only"


def _spoken(
    room: Room, conversation: Conversation, asked: Asked, pictures: Sequence[Picture], stop: threading.Event
) -> Iterator[str | Sentence]:
    """What the model says, sentence by sentence, judged; the sentence under way as it grows."""
    text = ""
    for piece in _stream(room, conversation, asked, pictures, stop):
        whole, text = chat_sentences.complete(text + piece)
        yield from (_judged(room, s, asked, pictures) for s in whole)
        yield text
    if text.strip():
        yield _judged(room, text.strip(), asked, pictures)


def _judged(room: Room, text: str, asked: Asked, pictures: Sequence[Picture]) -> Sentence:
    facts = room.facts_for(text, asked.text, pictures)
    return chat_sentences.judged(Sentence(text, "model"), facts, asked.language)


def _stream(
    room: Room, conversation: Conversation, asked: Asked, pictures: Sequence[Picture], stop: threading.Event
) -> Iterator[str]:
    """The model's words. A picture is told in the turn that first speaks of it, an earlier answer in its own words."""
    names = [p.image_id for p in pictures]
    if room.base_url:
        earlier = _last([t for t in conversation.turns[:-1] if t["sentences"]], room.history_turns)
        turns = [
            (t["question"], [room.pictures[i] for i in t["images"] if i in room.pictures], _text(t)) for t in earlier
        ]
        messages = chat_endpoint.messages([*turns, (asked.text, pictures, "")], room.report)
        yield from chat_endpoint.stream(messages, room.base_url, room.model, stop)
        return
    from jwvl_lib import chat_local  # here: it loads torch, which facts and endpoints need not

    own = [t for t in conversation.turns[:-1] if t["model"] and t["sentences"] and set(t["images"]) <= set(names)]
    turns = [(t["question"], t["images"], _text(t)) for t in _last(own, room.history_turns)]
    messages, order = chat_local.messages([*turns, (asked.text, names, "")])
    images = [chat_pictures.opened(room.pictures[i]) for i in order]
    yield from chat_local.stream(room.local, messages, images, stop)


def _last(turns: list[dict], n: int) -> list[dict]:
    return turns[max(0, len(turns) - n) :]


def _text(turn: Mapping) -> str:
    return " ".join(s["text"] for s in turn["sentences"])


def whole(turns: Iterator[dict]) -> dict:
    """The finished turn of `ask`."""
    return list(turns)[-1]


def transcript(room: Room, turns: Sequence[Mapping]) -> dict:
    """A conversation as it is kept with a run: without times and random names, so that reruns are byte-equal."""
    left_out = ("turn", "asked_utc", "seconds", "partial")
    return {
        "report_date": room.report["report_date"],
        "model": room.model_name,
        "turns": [{k: v for k, v in t.items() if k not in left_out} for t in turns],
    }


def room_of(report_dir: Path, pictures: Mapping[str, Picture], report: dict, **model) -> Room:
    """A room on a written report; `model` are the fields of `Room` that name one."""
    return replace(Room(report, pictures, **model), report_sha256=artifacts.sha256(report_dir / "report.json"))
