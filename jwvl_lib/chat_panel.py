"""The chat as a page: an anywidget over `chat`, for JupyterLab and Voilà. Needs no browser to be built or tested.

Reads what its room holds and the conversations of one folder; writes through `chat` only. Whatever a person, a model or
a file wrote reaches the browser as data and is shown as text, never as HTML (`data/shown.js`). An answer is written in
a thread of its own, so that it can be stopped.
"""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import traitlets

from jwvl_lib import chat, chat_pictures, chat_suggestions
from jwvl_lib.review_item import clip

DATA = Path(__file__).parent / "data"
STEP_S = 0.06  # between two pictures of a growing answer: more is not seen, and each is a message
MOST_TURNS = 200  # of a conversation that the page shows
MOST_CHARACTERS = 20_000  # of one sentence, evidence line or question


class ChatPanel(anywidget.AnyWidget):
    """The chat page over a `chat.Room`; conversations are kept in `folder`, one file each.

    The browser opens a conversation by its name (kept in the browser, so that a reload resumes it) and sends questions.
    """

    _esm = "".join((DATA / name).read_text(encoding="utf-8") for name in ("shown.js", "chat.js"))
    _css = DATA / "chat.css"
    about = traitlets.Dict().tag(sync=True)
    turns = traitlets.List().tag(sync=True)
    live = traitlets.Dict().tag(sync=True)  # the turn under way
    chosen = traitlets.List().tag(sync=True)
    gallery = traitlets.Dict().tag(sync=True)
    suggestions = traitlets.List().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)

    def __init__(self, room: chat.Room, folder: Path, *, language: str = "en", name: str = ""):
        super().__init__()
        self._room, self._folder, self._language = room, Path(folder), language
        self._stop, self._worker, self._sent = threading.Event(), None, set()
        self.about = _about(room, language)
        self.find("")
        self.resume(name or _new_name())
        self.on_msg(lambda _, content, buffers: self._on_message(content))

    # what the browser sends

    def _on_message(self, content: Mapping) -> None:
        kind = content.get("type")
        try:
            if kind == "ask":
                self.ask(str(content.get("question", "")))
            elif kind == "stop":
                self._stop.set()
            elif kind == "open":
                self.resume(str(content.get("name", "")))
            elif kind == "new":
                self.resume(_new_name())
            elif kind == "choose":
                self.choose([str(i) for i in content.get("ids", [])])
            elif kind == "find":
                self.find(str(content.get("query", "")))
            elif kind == "language":
                self.speak(str(content.get("language", "")))
            elif kind == "pictures":
                self._send_pictures([str(i) for i in content.get("ids", [])])
        except (ValueError, OSError) as error:
            self._say(str(error))

    def resume(self, name: str) -> None:
        """Show the conversation of a name, from disk; an empty one where there is none yet."""
        if self.busy:
            raise ValueError("an answer is being written; stop it before another conversation is opened")
        self._conversation = chat.Conversation.resumed(self._folder, name)
        with self.hold_sync():
            self.turns = [shown(t) for t in self._conversation.turns[-MOST_TURNS:]]
            last = self._conversation.turns[-1] if self._conversation.turns else {}
            self.choose([i for i in last.get("images", []) if i in self._room.pictures])
            self.live = {}
            self._say("")

    def choose(self, image_ids: Sequence[str]) -> None:
        """The pictures that the next question is about."""
        self.chosen = [_card(p) for p in chat_pictures.chosen(self._room.pictures, image_ids)]
        self._suggest()

    def find(self, query: str) -> None:
        """Fill the gallery with the pictures whose label holds the words of a query."""
        found = chat_pictures.matching(self._room.pictures, query[:200])
        shown_now = [_card(p) for p in found[: chat_pictures.MOST_SHOWN]]
        self.gallery = {"query": query[:200], "n_found": len(found), "items": shown_now}

    def speak(self, language: str) -> None:
        """The language of the page, and of answers to questions that have none."""
        if language in ("en", "zh"):
            self._language = language
            self.about = _about(self._room, language)
            self._suggest()

    @property
    def busy(self) -> bool:
        """Whether an answer is being written."""
        return self._worker is not None and self._worker.is_alive()

    def ask(self, question: str, wait: bool = False) -> None:
        """Answer a question about the chosen pictures, or none, in a thread; `wait` comes back when it is done."""
        if self.busy:
            raise ValueError("an answer is being written; stop it or wait for it")
        self._stop.clear()
        image_ids = [card["id"] for card in self.chosen]
        steps = chat.ask(self._room, self._conversation, question, image_ids, self._language, self._stop)
        first = next(steps)  # here, so that a question that cannot be asked is refused at once
        self.live = shown(first)
        self._say("", busy=True)
        self._worker = threading.Thread(target=self._follow, args=(steps,), daemon=True)
        self._worker.start()
        if wait:
            self._worker.join()

    def _follow(self, steps) -> None:
        last, sent = {}, 0.0
        try:
            for last in steps:
                if time.monotonic() - sent >= STEP_S:
                    self.live, sent = shown(last), time.monotonic()
        except Exception as error:  # a full disk, say: the page must not wait for ever
            self._say(f"Not saved: {' '.join(str(error).split())[:200]}")
        with self.hold_sync():
            self.turns = [*self.turns, shown(last)][-MOST_TURNS:] if last else self.turns
            self.live = {}
            self._suggest()
            self._say(self.status.get("message", "") if not last else "")

    # what the browser shows

    def _suggest(self) -> None:
        pictures = [self._room.pictures[card["id"]] for card in self.chosen]
        last = self._conversation.turns[-1] if self._conversation.turns else {}
        self.suggestions = chat_suggestions.suggest(self._room, pictures, last, self._language)

    def _send_pictures(self, image_ids: Sequence[str]) -> None:
        """The bytes of pictures, as the browser asks for them; one that cannot be read comes empty."""
        for image_id in image_ids[: chat_pictures.MOST_SHOWN]:
            if picture := self._room.pictures.get(image_id):
                try:
                    data = chat_pictures.data(picture)
                except (OSError, ValueError):
                    data = b""
                self.send({"type": "picture", "id": image_id}, buffers=[data])

    def _say(self, message: str, busy: bool = False) -> None:
        n = self.status.get("n", 0) + 1
        name = self._conversation.path.stem
        self.status = {"message": clip(message, 300), "busy": busy, "conversation": name, "n": n}


def shown(turn: Mapping) -> dict:
    """A turn as the browser gets it: text of bounded length that can be sent, evidence as it is."""
    kept = ("turn", "asked_utc", "language", "images", "model", "state", "reason", "report_date", "report_sha256")
    return {
        **{k: turn.get(k, "") for k in kept},
        "question": clip(turn["question"], MOST_CHARACTERS),
        "partial": clip(turn.get("partial", ""), MOST_CHARACTERS),
        "sentences": [_sentence(s) for s in turn["sentences"]],
    }


def _sentence(s: Mapping) -> dict:
    claims = [
        {k: clip(c[k]) for k in ("kind", "value", "text", "verdict")} | {"evidence": [_line(e) for e in c["evidence"]]}
        for c in s["claims"]
    ]
    return {
        "text": clip(s["text"], MOST_CHARACTERS),
        "origin": s["origin"],
        "verdict": s["verdict"],
        "instead": clip(s["instead"]),
        "claims": claims,
        "evidence": [_line(e) for e in s["evidence"]],
    }


def _line(evidence: Mapping) -> dict:
    texts = {k: clip(evidence[k]) for k in ("source", "text", "reference") if k in evidence}
    return texts | {"line": int(evidence["line"])}


def _card(picture: chat_pictures.Picture) -> dict:
    label = clip(picture.label, 120)
    return {"id": picture.image_id, "label": label, "simulated": picture.simulated, "of_day": picture.of_day}


def _about(room: chat.Room, language: str) -> dict:
    """The head of the page: the day, its level, what answers beside the facts, and the files behind the evidence."""
    report = room.report
    return {
        "report_date": report["report_date"],
        "level": report["activity_level"]["value"],
        "n_regions": len(report["regions"]),
        "watch": [w["noaa_ar"] for w in report["watch_list"]],
        "model": clip(room.model_name, 120),
        "profile": clip(report["profile"], 60),
        "language": language,
        "most_chosen": chat_pictures.MOST_CHOSEN,
        "sources": {
            s["id"]: {"name": s["path"].removeprefix("sources/"), "sha256": s["sha256"]} for s in report["sources"]
        },
    }


def _new_name() -> str:
    return f"c-{uuid.uuid4().hex[:16]}"
