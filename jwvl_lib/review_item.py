"""What the review panel shows of one annotation, as plain data for the browser.

Reads rows of `annotations.parquet` and `corpus.parquet`; writes nothing. Whatever a teacher or a header holds comes out
as text of bounded length that can be sent: half characters are replaced, a text too long to be read says how much is
left out, and such an item cannot be accepted (`clipped`). How it is drawn is in `data/panel.js`.
"""

import json
from collections.abc import Mapping, Sequence

from jwvl_lib import facts, grounded_more

MAX_CHARACTERS = 20_000  # of one text; the longest description of the paper's kind has some 3,000
MAX_ENTRIES = 200  # of claims, steps, facts
_SHORT = 2_000  # of one claim, step or fact
_TEXTS = ("annotation_id", "image_id", "task", "language", "prompt_id", "prompt_version", "teacher")


def clip(value: object, limit: int = _SHORT) -> str:
    """A value as text the browser can be sent, with a note of what is left out beyond `limit` characters."""
    text = str(value).encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[:limit]} [… {len(text) - limit:,} more characters]"


def images_of(row: Mapping) -> list[str]:
    """The ids of the pictures an annotation is about, its own first."""
    return [row["image_id"], *json.loads(row.get("more_images") or "[]")]


def describe(row: Mapping, other: Mapping | None, pictures: Sequence[Mapping], verdict: str = "") -> dict:
    """One annotation with the facts, boxes and claims of its pictures, JSON-ready.

    `other` is the same prompt's annotation in the other language, where there is one; `pictures` the corpus rows of
    `images_of`; `verdict` the reviewer's own. `clipped` is true where question or answer did not fit; `turns` is what
    was said before in a conversation; `said_boxes` are the boxes that the answer gives, to be drawn over the picture.
    """
    claims, steps = json.loads(row["claims"]), json.loads(row["steps"])
    turns = json.loads(row.get("turns") or "[]")
    return {name: clip(row[name]) for name in _TEXTS} | {
        "question": clip(row["question"], MAX_CHARACTERS),
        "answer": clip(row["answer"], MAX_CHARACTERS),
        "clipped": max(len(str(row["question"])), len(str(row["answer"]))) > MAX_CHARACTERS,
        "claims": [_claim(claim) for claim in claims[:MAX_ENTRIES]] + _more(len(claims), "claims", _claim_note),
        "steps": [clip(step) for step in steps[:MAX_ENTRIES]] + _more(len(steps), "steps", str),
        "turns": [{n: clip(turn[n]) for n in ("question", "answer")} for turn in turns[:MAX_ENTRIES]],
        "other": other and {n: clip(other[n], MAX_CHARACTERS) for n in ("language", "question", "answer")},
        "pictures": [_picture(picture) for picture in pictures],
        "said_boxes": (grounded_more.read_boxes(str(row["answer"])) or [])[:MAX_ENTRIES],
        "verdict": verdict,
    }


def _picture(picture: Mapping) -> dict:
    known = facts.from_json(picture["facts"])
    return {
        "image_id": clip(picture["image_id"]),
        "title": clip(picture["banner_text"]).replace("\n", " · ") + (" · simulated" if picture["simulated"] else ""),
        "facts": [_fact(f) for f in known[:MAX_ENTRIES]]
        + _more(len(known), "facts", lambda note: [note, "", None, ""]),
        "boxes": json.loads(picture["boxes"]),
        "size": [int(picture["width"]), int(picture["height"])],
    }


def _claim(claim: Mapping) -> dict:
    return {name: clip(claim.get(name, "")) for name in ("kind", "value", "text", "verdict")}


def _claim_note(note: str) -> dict:
    return {"kind": "", "value": note, "text": "", "verdict": "unsupported"}


def _fact(fact: facts.Fact) -> list:
    value = f"{fact.value:g}" if isinstance(fact.value, float) else fact.value
    return [clip(fact.kind), clip(value), fact.noaa_ar, clip(fact.origin)]


def _more(n: int, what: str, make) -> list:
    return [make(f"… {n - MAX_ENTRIES:,} more {what}")] if n > MAX_ENTRIES else []
