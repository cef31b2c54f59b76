"""The review panel: one annotation at a time, decided by keys, each decision durable before the next is shown.

Reads the ledger, the annotations, the corpus and its pictures; writes events and leases to the ledger, and only once
somebody has begun under a name. Text that a teacher wrote reaches the browser as data and is shown as text, never as
HTML (`data/shown.js`). Everything works without a browser through `begin` and `handle_key`, and so it is tested.
"""

import sqlite3
import time
from collections import defaultdict, deque
from datetime import datetime
from pathlib import Path
from statistics import median

import anywidget
import pandas as pd
import traitlets

from jwvl_lib import review, review_item, review_leases, review_ledger
from jwvl_lib.review_ledger import REASONS, Decision

DATA = Path(__file__).parent / "data"
VERDICT_KEYS = {"a": "accept", " ": "skip", "f": "flag"}
PHASE_AFTER = {("review", "x"): "reasons", ("review", "e"): "edit"} | {
    (p, "Escape"): "review" for p in ("reasons", "edit")
}
N_AHEAD = 2  # pictures fetched before they are needed
SLOTS = tuple(f"picture_{i}" for i in range(N_AHEAD + 2))  # one more, so that stepping back needs no fetching either
NO_FILTER = {"task": "", "language": "", "instrument": "", "flagged": False}


class ReviewPanel(anywidget.AnyWidget):
    """Keyboard panel over a ledger. Keys: a accept, x then 1-9 reject, space skip, z undo, f flag, e edit, arrows move.

    `phase` is start, review, reasons, edit or done. `images_dir` is the folder the corpus paths are relative to;
    `overlap` the share a second person decides too. Building and showing the panel writes nothing.
    """

    _esm = "".join((DATA / name).read_text(encoding="utf-8") for name in ("shown.js", "panel.js"))
    _css = DATA / "panel.css"
    phase = traitlets.Unicode("start").tag(sync=True)
    item = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    filters = traitlets.Dict().tag(sync=True)
    reasons = traitlets.List().tag(sync=True)
    # {id, data}: the pictures the browser has at hand; a change of one resends that one only
    picture_0 = traitlets.Dict().tag(sync=True)
    picture_1 = traitlets.Dict().tag(sync=True)
    picture_2 = traitlets.Dict().tag(sync=True)
    picture_3 = traitlets.Dict().tag(sync=True)

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
        self._table, self._corpus = annotations, corpus.set_index("image_id", drop=False)
        # a row of a table takes a millisecond to get, a value of a column a microsecond
        self._columns = {name: annotations[name].array for name in annotations}
        self._of_picture = {name: corpus[name].array for name in corpus}
        self._picture_place = {key: i for i, key in enumerate(corpus["image_id"].tolist())}
        self._place = {key: i for i, key in enumerate(annotations["annotation_id"].tolist())}
        self._image_ids = annotations["image_id"].tolist()
        self._on_image = defaultdict(list)
        for i, image_id in enumerate(self._image_ids):
            self._on_image[image_id].append(i)
        self.reviewer = reviewer if review_ledger.is_person(reviewer) else ""
        self._queue, self._seen, self._position = deque(), [], -1
        self._mine, self._needed, self._pace, self._shown_at = {}, {}, [], 0.0
        self._allowed, self._n_total, self._agreement, self._sitting = None, 0, "", None
        self.filters = {"now": NO_FILTER, "choices": self._filter_choices()}
        self._say("")
        self.on_msg(lambda _, content, buffers: self._on_message(content))

    # what the browser sends; a key names the annotation it was meant for, lest a late one decide the next

    def _on_message(self, content: dict) -> None:
        kind = content.get("type")
        if kind == "begin":
            self.begin(str(content.get("reviewer", "")))
        elif kind == "filter":
            self.set_filter(**{name: content.get(name, default) for name, default in NO_FILTER.items()})
        elif self.item.get("annotation_id") != content.get("annotation_id"):
            self._say("")
        elif kind == "edit":
            self.save_edit(str(content.get("text", "")))
        elif kind == "hold":
            self._renew_lease()
        else:
            self.handle_key(str(content.get("key", "")), str(content.get("comment", "")))

    def begin(self, reviewer: str) -> None:
        """Open the queue of a person and show its first annotation; a program's name is refused."""
        reviewer = reviewer.strip()
        if not reviewer or len(reviewer) > 80 or not review_ledger.is_person(reviewer):
            self._say("Give your own name, 80 characters at most: decisions are recorded under it.")
            return
        self._sitting = self._sitting or review_ledger.hold_open(self._ledger)
        if self.reviewer and self.reviewer != reviewer:
            review_leases.drop(self._ledger, self.reviewer)
        self.reviewer = reviewer
        votes = review_ledger.persons_verdicts(self._ledger, self._table)
        self._mine = {key: by[reviewer] for key, by in votes.items() if reviewer in by}
        self._agreement = _agreement_line(votes, reviewer)
        self._open_queue(votes)

    def set_filter(self, task: str = "", language: str = "", instrument: str = "", flagged: bool = False) -> None:
        """Narrow the queue; an empty value means all. `flagged`: what anybody flagged, one's own included."""
        now = {"task": str(task), "language": str(language), "instrument": str(instrument), "flagged": bool(flagged)}
        self.filters = self.filters | {"now": now}
        self._open_queue()

    def _open_queue(self, votes: dict | None = None) -> None:
        self._allowed = self._matching()
        self._queue = self._read_queue(votes)
        self._n_total = len(self._queue) + self._n_done()
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
        except (ValueError, sqlite3.Error) as error:
            self._say(f"Not saved: {error}")

    def save_edit(self, text: str) -> None:
        """Accept the annotation with the text as edited (a plain acceptance where nothing was changed)."""
        try:
            self._decide("accept", edit_text=text if text != self.item["answer"] else None)
        except (ValueError, sqlite3.Error) as error:
            self._say(f"Not saved: {error}")

    def _decide(self, verdict: str, **fields) -> None:
        if verdict == "accept" and self.item["clipped"]:
            raise ValueError("only part of this text fits the panel; reject, skip or flag it")
        key, seconds = self.item["annotation_id"], round(time.monotonic() - self._shown_at, 1)
        decision = Decision(key, self.reviewer, verdict, seconds=seconds, **fields)
        review_ledger.append_rows(self._ledger, [decision], {key: self._row(key)}, client="panel")
        self._mine[key] = verdict
        self._pace = [*self._pace[-19:], seconds]
        self._move(+1, saved=True)

    def _undo(self) -> None:
        key = review_ledger.last_decided(self._ledger, self.reviewer)
        free = key in self._place and self._take(key)  # before it is undone: after that anybody might
        review_ledger.undo(self._ledger, self.reviewer, key) if key else None
        if key is None or key not in self._place:
            self._say("Nothing to undo." if key is None else "Undone: a decision on an annotation not in this run.")
            return
        self._mine.pop(key, None)
        standing = review_ledger.standing(self._ledger, self.reviewer, key)
        if standing:
            self._mine[key] = standing
        if not free:
            self._say("Undone; another reviewer has that one now.", saved=True)
            return
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
        entry = review_leases.take_next(self._ledger, self._queue, self._row, self.reviewer)
        self._needed |= dict([entry] if entry else [])
        return [entry[0]] if entry else []

    def _take(self, key: str) -> bool:
        return review_leases.take(self._ledger, self._row(key), self.reviewer, self._needed.get(key, 1))

    def _renew_lease(self) -> None:
        free = self._take(self.item["annotation_id"])
        self._say("" if free else "Your reservation ran out and another reviewer has this one now; → goes on.")

    def _read_queue(self, votes: dict | None = None) -> deque[tuple[str, int]]:
        entries = review.queue(self._ledger, self._table, self.reviewer, self._overlap, self._seed, votes)
        if self._allowed is not None:
            entries = [entry for entry in entries if entry[0] in self._allowed]
        if self.filters["now"]["flagged"]:
            own = [(key, 2) for key, v in self._mine.items() if v == "flag" and key in self._allowed]
            entries = sorted(own) + entries
        return deque(entries)

    # filters

    def _filter_choices(self) -> dict[str, list[str]]:
        columns = {"task": self._table["task"], "language": self._table["language"]}
        columns["instrument"] = self._corpus["instrument"]
        return {name: sorted({_label(value) for value in column.unique()}) for name, column in columns.items()}

    def _matching(self) -> set[str] | None:
        now = self.filters["now"]
        if now == NO_FILTER:
            return None
        keep = pd.Series(True, index=self._table.index)
        for name in ("task", "language"):
            if now[name]:
                keep &= _is(self._table[name], now[name])
        if now["instrument"]:
            of_instrument = self._corpus.index[_is(self._corpus["instrument"], now["instrument"])]
            keep &= self._table["image_id"].isin(of_instrument)
        allowed = set(self._table.loc[keep, "annotation_id"])
        if now["flagged"]:
            votes = review_ledger.persons_verdicts(self._ledger, self._table)
            allowed &= {key for key, by in votes.items() if "flag" in by.values()}
        return allowed

    def _n_done(self) -> int:
        if self._allowed is None:
            return len(self._mine)
        own_flags_wait = self.filters["now"]["flagged"]
        return sum(not (own_flags_wait and self._mine[k] == "flag") for k in self._mine.keys() & self._allowed)

    # what the browser shows

    def _row(self, key: str) -> dict:
        return {name: column[self._place[key]] for name, column in self._columns.items()}

    def _show(self, message: str, saved: bool = False) -> None:
        with self.hold_sync():
            if self._position < len(self._seen):
                key = self._seen[self._position]
                self.item, self.phase = self._describe(key), "review"
                for image_id in self._shown_images():
                    self._put_picture(image_id)
            else:
                self.item, self.phase = {}, "done"
                n_others = review_leases.n_with_others(self._ledger, self.reviewer)
                message = message or (f"{n_others} are with other reviewers just now." if n_others else "")
            self._say(message, saved)
        self._shown_at = time.monotonic()
        for image_id in self._next_images():  # after the answer: nobody waits for them
            self._put_picture(image_id)

    def _describe(self, key: str) -> dict:
        row = self._row(key)
        names = ("prompt_id", "language", "question", "answer")
        same = ({n: self._columns[n][i] for n in names} for i in self._on_image[row["image_id"]])
        other = (r for r in same if r["prompt_id"] == row["prompt_id"] and r["language"] != row["language"])
        pictures = [self._picture(i) for i in review_item.images_of(row) if i in self._picture_place]
        return review_item.describe(row, next(other, None), pictures, self._mine.get(key, ""))

    def _picture(self, image_id: str) -> dict:
        return {name: column[self._picture_place[image_id]] for name, column in self._of_picture.items()}

    def _shown_images(self) -> list[str]:
        return [picture["image_id"] for picture in self.item.get("pictures", [])][: len(SLOTS)]

    def _next_images(self) -> list[str]:
        keys = [*self._seen[self._position + 1 :], *(key for key, _ in list(self._queue)[:50])]
        now = self._shown_images()
        n_free = min(N_AHEAD, len(SLOTS) - len(now))
        following = dict.fromkeys(self._image_ids[self._place[key]] for key in keys)
        return [i for i in following if i not in now][:n_free] if now else []

    def _put_picture(self, image_id: str) -> None:
        held = {slot: getattr(self, slot) for slot in SLOTS}
        if any(entry.get("id") == image_id for entry in held.values()):
            return
        needed = {*self._shown_images(), *self._next_images()}
        free = next(slot for slot, entry in held.items() if entry.get("id") not in needed)
        setattr(self, free, {"id": image_id, "data": self._read_image(image_id)})

    def _read_image(self, image_id: str) -> bytes:
        try:
            return (self._images_dir / self._of_picture["path"][self._picture_place[image_id]]).read_bytes()
        except OSError:
            return b""  # shown as unreadable, which is one of the reasons to reject

    def _say(self, message: str, saved: bool = False) -> None:
        message = review_item.clip(message, 300)
        status = {"reviewer": self.reviewer, "message": message, "answered": self.status.get("answered", 0) + 1}
        if self._n_total:
            status |= {"n_done": self._n_done(), "n_total": self._n_total, "agreement": self._agreement}
            status["seconds_each"] = median(self._pace) if self._pace else None
        status["saved"] = datetime.now().strftime("%H:%M:%S") if saved else self.status.get("saved", "")
        self.status = status


def _label(value: object) -> str:
    return review_item.clip(value, 60)


def _is(column: pd.Series, label: str) -> pd.Series:
    return column.isin([value for value in column.unique() if _label(value) == label])


def _agreement_line(votes: dict[str, dict[str, str]], reviewer: str) -> str:
    # from earlier sittings only: said while deciding it would no longer be blind
    same = [
        by[reviewer] == verdict
        for by in votes.values()
        if by.get(reviewer) in ("accept", "reject")
        for name, verdict in by.items()
        if name != reviewer and verdict in ("accept", "reject")
    ]
    return f"agreement {sum(same) / len(same):.0%} of {len(same)}" if same else ""
