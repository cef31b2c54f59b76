"""Questions beyond one look at one picture: where regions are, two images, a conversation; and how answers are judged.

Reads and writes nothing. Like everything grounded, an answer can be recomputed from the facts and boxes of its images.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jwvl_lib import claims, grounded, knowledge
from jwvl_lib.facts import Fact, find
from jwvl_lib.instruments import LAYERS
from jwvl_lib.prompts import Prompt

MOST_BOXES = 4  # of a question for all of them
SAME_PLACE_IOU = 0.5  # a box counts as right from here, as in PASCAL VOC
LABEL = "active region"


@dataclass(frozen=True)
class View:
    """One image as the teacher's plan sees it: facts, and the boxes (noaa_ar, (x0, y0, x1, y1) in whole pixels)."""

    image_id: str
    facts: tuple[Fact, ...]
    boxes: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Turn:
    """One exchange of a conversation, and what the question after it is about."""

    question: str
    answer: str
    about: str
    family: str
    next_about: str = ""


def box_of(entry: Mapping) -> tuple[int, tuple[int, ...]]:
    """A box of `corpus.boxes` in whole pixels."""
    return int(entry["noaa_ar"]), tuple(round(v) for v in entry["box"])


def by_day(views: Iterable[View]) -> dict[str, list[View]]:
    """The images of each day of observation, in order; an image without a time belongs to none."""
    days: dict[str, list[View]] = {}
    for view in views:
        taken = find(view.facts, "date_obs")
        if taken is not None:
            days.setdefault(str(taken.value)[:10], []).append(view)
    return days


# --------------------------------------------------------------------------------------------------------------------
# where: boxes


def boxes_asked(prompt: Prompt, view: View) -> list[tuple[int, tuple[int, ...]]] | None:
    """The boxes that a grounding prompt asks for, the largest region's first; None where they are not decided.

    An empty list is an explicit absence: the facts say that the disk has no region.
    """
    n_regions = find(view.facts, "n_regions")
    if prompt.task != "grounding" or n_regions is None:
        return None
    if n_regions.value == 0:
        return []
    known = dict(view.boxes)
    if prompt.about == "box:largest":
        largest = claims.largest_region(view.facts)
        return [(largest, known[largest])] if largest in known else None
    return list(view.boxes) if len(view.boxes) == n_regions.value <= MOST_BOXES else None


def boxes_text(boxes: Sequence[tuple[int, Sequence[int]]]) -> str:
    """Boxes in the form in which Qwen2.5-VL writes them: JSON with absolute pixels, `bbox_2d` and `label`."""
    return json.dumps([{"bbox_2d": list(box), "label": LABEL} for _, box in boxes])


def read_boxes(text: str) -> list[tuple[float, ...]] | None:
    """The boxes of an answer; None where it is no list of them."""
    try:
        return [tuple(float(v) for v in entry["bbox_2d"]) for entry in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return None


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    wide, high = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return wide * high / (sum(areas) - wide * high) if sum(areas) - wide * high > 0 else 0.0


# --------------------------------------------------------------------------------------------------------------------
# two images


def compared(prompt: Prompt, views: Sequence[View]) -> str | None:
    """What a prompt about two images asks for, as their facts have it; None where they do not decide it."""
    if prompt.task != "multi_image" or len(views) != 2:
        return None
    kind = prompt.about.partition(":")[2]
    found = [find(v.facts, kind) for v in views]
    if None in found or (kind == "date_obs" and not all(find(v.facts, "banner_text") for v in views)):
        return None  # a date is read off the banner, or not at all
    first, second = (f.value for f in found)
    if kind == "date_obs":
        return "yes" if str(first)[:10] == str(second)[:10] else "no"
    if kind == "instrument":
        return "yes" if first == second else "no"
    if kind == "layer" and first != second and {first, second} <= set(LAYERS):
        return "first" if LAYERS.index(first) > LAYERS.index(second) else "second"
    return None


# --------------------------------------------------------------------------------------------------------------------
# several turns


def turns_of(
    prompt: Prompt, prompts: Mapping[str, Prompt], facts: Sequence[Fact], language: str, rng: np.random.Generator
) -> tuple[tuple[Turn, ...], Turn | None]:
    """The turns before the last, answered from the facts, and the last one (its answer is what is asked).

    The families are those of the prompt's `follow_ups`, in that order, as far as the facts answer them; fewer than two
    make no conversation.
    """
    turns = []
    for family_id, wordings in prompt.text["follow_ups"].items():
        family = prompts.get(family_id)
        value = grounded.truth(family, facts) if family is not None else None
        if value is None:
            continue
        options = wordings[language]
        answer = grounded.called(family, family.about.rpartition(":")[2], value, language)
        turns.append(Turn(options[rng.integers(len(options))], answer, family.about, family_id))
    if len(turns) < 2:
        return (), None
    n = int(rng.integers(2, len(turns) + 1))  # at least two, and not always the same last question
    kept = turns[:n]
    earlier = tuple(
        Turn(t.question, t.answer, t.about, t.family, after.about) for t, after in zip(kept, kept[1:], strict=False)
    )
    return earlier, kept[-1]


# --------------------------------------------------------------------------------------------------------------------
# answers, and their recomputation


def answer(prompt: Prompt, language: str, views: Sequence[View], expected: str, rng: np.random.Generator) -> str:
    """The grounded answer to a question of these kinds; `expected` is that of a conversation's last question."""
    if prompt.task == "multi_turn":
        return expected
    if prompt.task == "multi_image":
        return grounded.called(prompt, prompt.about.partition(":")[2], compared(prompt, views), language)
    boxes = boxes_asked(prompt, views[0])
    absent = prompt.text["absent"][language]
    return boxes_text(boxes) if boxes else absent[rng.integers(len(absent))]


def recompute(row: Mapping, prompts: Mapping[str, Prompt], views: Sequence[View]) -> bool:
    """Whether an annotation's answer follows from the facts and boxes of its images alone; see `grounded.recompute`."""
    prompt, language = prompts[row["prompt_id"]], row["language"]
    if prompt.task == "grounding":
        boxes = boxes_asked(prompt, views[0])
        allowed = prompt.text["absent"][language] if boxes == [] else [boxes_text(boxes)] if boxes else []
        return row["answer"] in allowed and row["question"] in prompt.text["questions"][language]
    if prompt.task == "multi_image":
        value = compared(prompt, views)
        right = value and grounded.called(prompt, prompt.about.partition(":")[2], value, language)
        return row["answer"] == right and grounded.offered(row, prompt, prompt.text["questions"][language])
    if prompt.task == "multi_turn":
        return _recompute_turns(row, prompt, prompts, views[0].facts)
    return grounded.recompute(row, prompt, views[0].facts)


def _recompute_turns(row: Mapping, prompt: Prompt, prompts: Mapping[str, Prompt], facts: Sequence[Fact]) -> bool:
    language, left = row["language"], list(prompt.text["follow_ups"].items())
    for turn in json.loads(row["turns"]):
        while left and prompts[left[0][0]].about != turn["about"]:
            left.pop(0)
        if not left or turn["question"] not in left[0][1][language]:
            return False
        if turn["answer"] != _called_truth(prompts[left.pop(0)[0]], facts, language):
            return False
    last = [(f, w[language]) for f, w in left if grounded.offered(row, prompts[f], w[language])]
    return any(row["answer"] == _called_truth(prompts[family], facts, language) for family, _ in last)


def _called_truth(family: Prompt, facts: Sequence[Fact], language: str) -> str | None:
    value = grounded.truth(family, facts)
    return value and grounded.called(family, family.about.rpartition(":")[2], value, language)


# --------------------------------------------------------------------------------------------------------------------
# judging


def judge(item: Mapping, answer: str, views: Sequence[View]) -> list[dict]:
    """The claims of an answer with their verdicts, in the form of `claims.check`; of a conversation, of every turn.

    `item` holds about and turns. No language is given to `claims.check`: a teacher may answer in the
    wrong one, and what it claims counts all the same.
    """
    facts = views[0].facts
    checked = []
    for number, turn in enumerate(item["turns"], start=1):
        checked += [{**c, "turn": number} for c in claims.check(turn["answer"], facts, about=turn["about"])]
    scope, _, kind = item["about"].partition(":")
    if scope == "box":
        return checked + _judged_boxes(answer, views[0])
    if scope == "compare":
        return checked + _judged_comparison(answer, kind, views)
    if scope == "untold" and answer in ANSWERS[grounded.UNTOLD]:
        return checked + [_judged_untold(answer, kind, facts)]
    about = f"largest:{kind}" if scope == "untold" else item["about"]
    return checked + claims.check(answer, facts, about=about)


ANSWERS = knowledge.names("answer")


def _claim(kind: str, text: str, verdict: str, facts: Iterable[Fact | None], noaa_ar: int | None = None) -> dict:
    ids = [f.fact_id for f in facts if f is not None]
    claim = {"kind": kind, "value": text, "noaa_ar": noaa_ar, "text": text, "verdict": verdict}
    return claim | {"fact_id": ids[0] if ids else ""}


def _judged_boxes(answer: str, view: View) -> list[dict]:
    """Each box of an answer is right where it lies on a region's box; an absence is judged as any text."""
    boxes = read_boxes(answer)
    if boxes is None:
        return claims.check(answer, view.facts)
    judged = []
    for box in boxes:
        number, overlap = max(((n, iou(box, known)) for n, known in view.boxes), key=lambda x: x[1], default=(None, 0))
        text = json.dumps([round(v) for v in box])
        place = find(view.facts, "location", number) or find(view.facts, "noaa_ar", number)
        right = number is not None and overlap >= SAME_PLACE_IOU
        verdict = "supported" if right else "contradicted"
        judged.append(_claim("box", text, verdict, [place if right else find(view.facts, "n_regions")], number))
    return judged


def _judged_comparison(answer: str, kind: str, views: Sequence[View]) -> list[dict]:
    facts = [find(v.facts, kind) for v in views]
    if None in facts:
        return [_claim(f"compare:{kind}", answer, "unsupported", [])]
    first, second = (f.value for f in facts)
    if kind == "layer":
        right = (answer in ANSWERS["first"]) == (LAYERS.index(first) > LAYERS.index(second))
    else:
        cut = 10 if kind == "date_obs" else None
        right = (answer in ANSWERS["yes"]) == (str(first)[:cut] == str(second)[:cut])
    return [_claim(f"compare:{kind}", answer, "supported" if right else "contradicted", facts)]


def _judged_untold(answer: str, kind: str, facts: Sequence[Fact]) -> dict:
    """To say that something cannot be told is right unless the picture shows it: a polarity, on a magnetogram."""
    measurement = find(facts, "measurement")
    shown = kind == "leading_polarity" and measurement is not None and measurement.value == "magnetogram"
    return _claim(f"untold:{kind}", answer, "contradicted" if shown else "supported", [measurement])
