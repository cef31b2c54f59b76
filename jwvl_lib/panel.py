"""The review panel: one annotation at a time, decided by keys, each decision durable before the next is shown.

Reads the ledger, the annotations, the corpus and its pictures; writes events and leases to the ledger, and only once
somebody has begun under a name. Text that a teacher wrote reaches the browser as data and is shown as text, never as
HTML (`data/panel.js`). Everything works without a browser through `begin` and `handle_key`, and so it is tested.
"""

import json
import sqlite3
import time
from collections import deque
from datetime import datetime
from pathlib import Path
from statistics import median

import anywidget
import pandas as pd
import traitlets

from jwvl_lib import facts, review, review_ledger
from jwvl_lib.agreement import agreement
from jwvl_lib.review_ledger import REASONS, Decision

DATA = Path(__file__).parent / "data"
VERDICT_KEYS = {"a": "accept", " ": "skip", "f": "flag"}
PHASE_AFTER = {("review", "x"): "reasons", ("review", "e"): "edit"} | {
    (p, "Escape"): "review" for p in ("reasons", "edit")
}


class ReviewPanel(anywidget.AnyWidget):
    """Keyboard panel over a ledger. Keys: a accept, x then 1-9 reject, space skip, z undo, f flag, e edit, arrows move.

    `phase` is start, review, reasons, edit or done. `images_dir` is the folder the corpus paths are relative to;
    `overlap` the share a second person decides too. Building and showing the panel writes nothing.
    """

    _esm = DATA / "panel.js"
    _css = DATA / "panel.css"
    phase = traitlets.Unicode("start").tag(sync=True)
    item = traitlets.Dict().tag(sync=True)
    image = traitlets.Bytes().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    reasons = traitlets.List().tag(sync=True)

    def __init__(
        self,
        ledger: Path,
        annotations: pd.DataFrame,
        corpus: pd.DataFrame,
        images_dir: Path,
        *,
        reviewer: str = "",
        overlap: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(reasons=list(REASONS.values()))
        self._ledger, self._images_dir = Path(ledger), Path(images_dir)
        self._overlap, self._seed = review.require_share("overlap", overlap), seed
        self._table, self._annotations = annotations, annotations.set_index("annotation_id", drop=False)
        self._corpus = corpus.set_index("image_id", drop=False)
        self.reviewer = reviewer if review_ledger.is_person(reviewer) else ""
        self._queue, self._seen, self._position = deque(), [], -1
        self._mine, self._pace, self._shown_at = {}, [], 0.0
        self._n_total, self._agreement = 0, ""
        self._say("")
        self.on_msg(lambda _, content, buffers: self._on_message(content))

    # what the browser sends; a key names the annotation it was meant for, lest a late one decide the next

    def _on_message(self, content: dict) -> None:
        if content.get("type") == "begin":
            self.begin(str(content.get("reviewer", "")))
        elif self.item.get("annotation_id") != content.get("annotation_id"):
            self._say("")
        elif content.get("type") == "edit":
            self.save_edit(str(content.get("text", "")))
        else:
            self.handle_key(str(content.get("key", "")), str(content.get("comment", "")))

    def begin(self, reviewer: str) -> None:
        """Open the queue of a person and show its first annotation; a program's name is refused."""
        reviewer = reviewer.strip()
        if not reviewer or not review_ledger.is_person(reviewer):
            self._say("Give your own name: decisions are recorded under it.")
            return
        self.reviewer = reviewer
        state = review_ledger.current(self._ledger, self._table)
        state = state[state["reviewer"] == reviewer]
        self._mine = dict(zip(state["annotation_id"], state["verdict"], strict=True))
        self._queue = self._read_queue()
        self._n_total = len(self._queue) + len(self._mine)
        self._agreement = self._agreement_line()
        self._seen, self._position = [], -1
        self._move(+1)

    def handle_key(self, key: str, comment: str = "") -> None:
        """Act on one key as the browser names it ("a", " ", "ArrowRight", "Escape"); other keys do nothing."""
        try:
            if self.phase == "reasons" and key.isdigit() and 1 <= int(key) <= len(REASONS):
                self._decide("reject", reasons=(list(REASONS)[int(key) - 1],), comment=comment)
            elif self.phase == "review" and key in VERDICT_KEYS:
                self._decide(VERDICT_KEYS[key])
            elif self.phase in ("review", "done") and key == "z":
                self._undo()
            elif self.phase in ("review", "done") and key in ("ArrowLeft", "ArrowRight"):
                self._move(-1 if key == "ArrowLeft" else +1)
            else:
                self.phase = PHASE_AFTER.get((self.phase, key), self.phase)
                self._say("")
        except (ValueError, sqlite3.OperationalError) as error:
            self._say(f"Not saved: {error}")

    def save_edit(self, text: str) -> None:
        """Accept the annotation with the text as edited (a plain acceptance where nothing was changed)."""
        try:
            self._decide("accept", edit_text=text if text != self.item["answer"] else None)
        except (ValueError, sqlite3.OperationalError) as error:
            self._say(f"Not saved: {error}")

    def _decide(self, verdict: str, **fields) -> None:
        key, seconds = self.item["annotation_id"], round(time.monotonic() - self._shown_at, 1)
        decision = Decision(key, self.reviewer, verdict, seconds=seconds, **fields)
        review_ledger.append(self._ledger, [decision], self._annotations.loc[[key]], client="panel")
        self._mine[key] = verdict
        self._pace = [*self._pace[-19:], seconds]
        self._move(+1, saved=True)

    def _undo(self) -> None:
        key = review_ledger.undo(self._ledger, self.reviewer)
        if key is None or key not in self._annotations.index:
            self._say("Nothing to undo." if key is None else "Undone: a decision on an annotation not in this run.")
            return
        self._mine.pop(key, None)
        standing = review_ledger.standing(self._ledger, self.reviewer, key)
        if standing:
            self._mine[key] = standing
        if key not in self._seen:
            self._seen.insert(max(self._position, 0), key)
        self._position = self._seen.index(key)
        self._show("Undone.", saved=True)

    def _move(self, step: int, saved: bool = False) -> None:
        self._position = max(self._position + step, 0)
        if self._position >= len(self._seen):
            self._position = len(self._seen)
            self._seen += self._lease_next()
        self._show("", saved)

    def _lease_next(self) -> list[str]:
        self._queue = self._queue or self._read_queue()  # at its end, what was passed over comes round again
        while self._queue:
            key, n_persons = self._queue.popleft()
            if review_ledger.take_lease(self._ledger, self._annotations.loc[key], self.reviewer, n_persons):
                return [key]
        return []

    def _read_queue(self) -> deque[tuple[str, int]]:
        return deque(review.queue(self._ledger, self._table, self.reviewer, self._overlap, self._seed))

    # what the browser shows

    def _show(self, message: str, saved: bool = False) -> None:
        with self.hold_sync():
            if self._position < len(self._seen):
                row = self._annotations.loc[self._seen[self._position]]
                picture = self._corpus.loc[row["image_id"]]
                self.item, self.image, self.phase = self._describe(row, picture), self._read_image(picture), "review"
            else:
                self.item, self.image, self.phase = {}, b"", "done"
            self._say(message, saved)
        self._shown_at = time.monotonic()

    def _describe(self, row: pd.Series, picture: pd.Series) -> dict:
        same = self._annotations[self._annotations["image_id"] == row["image_id"]]
        other = same[(same["prompt_id"] == row["prompt_id"]) & (same["language"] != row["language"])]
        texts = ["annotation_id", "task", "language", "prompt_id", "prompt_version", "teacher", "question", "answer"]
        return {name: str(row[name]) for name in texts} | {
            "claims": json.loads(row["claims"]),
            "steps": [str(step) for step in json.loads(row["steps"])],
            "other": {n: str(other.iloc[0][n]) for n in ("language", "question", "answer")} if len(other) else None,
            "title": str(picture["banner_text"]).replace("\n", " · ")
            + (" · simulated" if picture["simulated"] else ""),
            "facts": [[f.kind, str(f.value), f.noaa_ar, f.origin] for f in facts.from_json(picture["facts"])],
            "boxes": json.loads(picture["boxes"]),
            "size": [int(picture["width"]), int(picture["height"])],
            "verdict": self._mine.get(row["annotation_id"], ""),
        }

    def _read_image(self, picture: pd.Series) -> bytes:
        try:
            return (self._images_dir / picture["path"]).read_bytes()
        except OSError:
            return b""  # shown as unreadable, which is one of the reasons to reject

    def _say(self, message: str, saved: bool = False) -> None:
        status = {"reviewer": self.reviewer, "message": message, "answered": self.status.get("answered", 0) + 1}
        if self._n_total:
            status |= {"n_done": len(self._mine), "n_total": self._n_total, "agreement": self._agreement}
            status["seconds_each"] = median(self._pace) if self._pace else None
        status["saved"] = datetime.now().strftime("%H:%M:%S") if saved else self.status.get("saved", "")
        self.status = status

    def _agreement_line(self) -> str:
        pairs = agreement(self._ledger, self._table, seed=self._seed, profile="")["pairs"]
        with_persons = [p for p in pairs if p["n"] and all(map(review_ledger.is_person, p["reviewers"]))]
        mine = [p for p in with_persons if self.reviewer in p["reviewers"]]
        return f"agreement {mine[0]['raw_agreement']['value']:.0%} of {mine[0]['n']}" if mine else ""
