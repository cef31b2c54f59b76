"""Boxes that a model draws around active regions, against those that the WCS gives: precision and recall at IoU .5.

Reads predictions of task `grounding` in memory (their targets are the right boxes, in the model's own pixels) and the
sizes of the pictures; writes nothing. Boxes are compared in pixels of the picture as the corpus stores it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from jwvl_lib import boxes, claims, metrics
from jwvl_lib.grounded_more import SAME_PLACE_IOU, iou, read_boxes

Box = tuple[float, ...]
MODELS = ("base", "tuned")
METRICS = {"box_precision": ("n_hit", "n_said"), "box_recall": ("n_hit", "n_true"), "all_right": ("right", "one")}
PROFILE = f"iou_{SAME_PLACE_IOU:g}"


def said(text: str, language: str, size: tuple[int, int], convention: str = "qwen2.5-vl") -> list[Box] | None:
    """The boxes of an answer in pixels of a picture of `size` (width, height); [] where it says that there is none.

    None for anything else: no list of boxes, a box whose corners are not in order, or a text that denies nothing.
    """
    found = read_boxes(text)
    if found is None:
        claimed = claims.extract(text, language)
        return [] if any(c.kind == "n_regions" and str(c.value) == "0" for c in claimed) else None
    if not all(len(b) == 4 and np.isfinite(b).all() and b[0] < b[2] and b[1] < b[3] for b in found):
        return None
    return [tuple(boxes.from_model(b, size, convention)) for b in found]


def matched(true: Sequence[Box], found: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs (true, found) with an IoU of at least .5, as many as there can be, each box in one pair at most."""
    if not true or not found:
        return []
    overlap = np.array([[iou(a, b) for b in found] for a in true])
    # the number of pairs counts first, how well they lie second
    worth = np.where(overlap >= SAME_PLACE_IOU, 1 + overlap / 1000, 0.0)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-worth), strict=True) if worth[i, j]]


def score(
    predictions: pd.DataFrame, sizes: Mapping[str, tuple[int, int]], convention: str = "qwen2.5-vl"
) -> pd.DataFrame:
    """The predictions of task `grounding` with `true_boxes`, `said_boxes`, n_true, n_said, n_hit, parsed and right.

    `sizes` maps image_id to (width, height). An answer that cannot be read is wrong: it counts as one box that lies
    nowhere (`n_said` 1, `n_hit` 0), else silence would be precise. `right`: every box found and none too many.
    """
    rows = predictions[predictions.task == "grounding"]
    scored = [_score(r, sizes[r.image_id], convention) for r in rows.itertuples()]
    where = np.where(rows.simulated.astype(bool), "simulated", "real")
    columns = ["true_boxes", "said_boxes", "n_true", "n_said", "n_hit", "parsed", "right"]
    return rows.assign(where=where, one=1.0).join(pd.DataFrame(scored, index=rows.index, columns=columns))


def _score(row, size: tuple[int, int], convention: str) -> tuple:
    true = said(row.target, row.language, size, convention)
    if true is None:
        raise ValueError(f"{row.annotation_id}: the right answer {row.target!r} is no list of boxes and no absence")
    found = said(row.prediction, row.language, size, convention)
    if found is None:
        return true, None, len(true), 1, 0, 0.0, 0.0
    n_hit = len(matched(true, found))
    return true, found, len(true), len(found), n_hit, 1.0, float(n_hit == len(true) == len(found))


def records(scored: pd.DataFrame, **options: float) -> list[dict]:
    """Records of `metrics.json` (task `grounding`, profile `iou_0.5`): precision, recall, and answers wholly right.

    Language `all`, zh and en; `n` counts boxes said, true boxes, or answers; `n_failed` answers that cannot be read.
    `floor` is what the most common answer scores whatever the image; tuned has its paired `difference` of `all_right`.
    """
    rows = []
    for where in ("simulated", "real"):
        for language in ("all", "zh", "en"):
            part = scored[(scored["where"] == where) & ((scored.language == language) | (language == "all"))]
            head = {"task": "grounding", "profile": PROFILE, "language": language, "group": where}
            for metric in METRICS if len(part) else ():
                rows += _records(part, head | {"metric": metric}, options)
    return rows


def _records(part: pd.DataFrame, head: dict, options: dict) -> Iterable[dict]:
    above, below = METRICS[head["metric"]]
    floor = part[part.model == "constant"]
    for model in MODELS:
        rows = part[part.model == model].sort_values("annotation_id")
        if rows.empty:
            continue
        low, high = metrics.interval(rows[above], rows.group_id, weights=rows[below], **options)
        total = rows[below].sum()
        record = head | {"model": model, "value": _number(rows[above].sum() / total) if total else None}
        record |= {"n": int(total), "n_failed": int((rows.parsed == 0).sum())}
        record |= {"ci_low": _number(low), "ci_high": _number(high), "chance": None}
        record |= {"floor": _number(floor[above].sum() / floor[below].sum()) if floor[below].sum() else None}
        record |= _difference(part, model, head["metric"], options)
        yield record if total else record | {"reason": "no box there"}


def _difference(part: pd.DataFrame, model: str, metric: str, options: dict) -> dict:
    names = ("difference", "difference_low", "difference_high")
    sides = [part[part.model == m].sort_values("annotation_id") for m in MODELS]
    if model != "tuned" or metric != "all_right" or not len(sides[0]) == len(sides[1]) > 0:
        return dict.fromkeys(names)
    base, tuned = (side.right.to_numpy(float) for side in sides)
    values = metrics.paired_difference(base, tuned, sides[1].group_id.to_numpy(), **options)
    return dict(zip(names, map(_number, values), strict=True))


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
