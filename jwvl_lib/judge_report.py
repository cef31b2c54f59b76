"""What judges said, as records of `metrics.json`, and whether they can be believed. Reads and writes nothing.

A judge is only as good as what exposes it: order flipped, repeated, put to answers whose worth is known, set beside
another judge and beside people. The limits are this project's assumptions.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from jwvl_lib import metrics
from jwvl_lib.facts import Fact

TASKS = {"interpretation_qa": ("qa", "description"), "ocr": ("ocr",), "overall": ("qa", "description", "ocr")}
MODELS = ("base", "tuned")
# measure: (worst value still believed, whether more is better)
LIMITS = {
    "flip_rate": (0.2, False),
    "repeat_change": (0.2, False),
    "malformed_rate": (0.1, False),
    "control_other": (0.9, True),
    "control_padded": (0.9, True),
    "control_mark_gap": (20.0, True),
}


def asked(scores: pd.DataFrame, facts: Mapping[str, Iterable[Fact]], *, n: int = 60, seed: int = 0) -> pd.DataFrame:
    """The questions for `judge.plan`: at most `n` of each task and group (`where`), drawn by `seed`, with both answers.

    `scores` are those of `bench.score`; the facts of an image are given to the judge as lines "kind: value".
    """
    parts = scores[scores["where"].isin(("simulated", "real")) & scores.task.isin(TASKS["overall"])]
    base, tuned = (parts[parts.model == m].set_index("annotation_id") for m in MODELS)
    rows = tuned.assign(base=base.prediction.reindex(tuned.index), tuned=tuned.prediction).dropna(subset="base")
    told = {image: "\n".join(f"{f.kind}: {f.value}" for f in found) for image, found in facts.items()}
    rows = rows.assign(facts=rows.image_id.map(told).fillna(""))
    order = np.random.default_rng(seed).permutation(len(rows))
    drawn = rows.iloc[order].groupby(["where", "task"]).head(n).sort_index().rename_axis("item_id").reset_index()
    return drawn["item_id group_id task language question target facts base tuned where".split()]


def instead(
    records_so_far: Sequence[Mapping], judged: pd.DataFrame, items: pd.DataFrame, human: pd.DataFrame | None, **options
) -> list[dict]:
    """All records with the judge's in place of the empty ones (`judge_score`); `items` are those of `asked`."""
    rows = [dict(r) for r in records_so_far if r["metric"] != "judge_score"]
    for where, part in items.groupby("where", sort=False):
        rows += records(judged[judged.item_id.isin(part.item_id)], group=where, human=human, **options)
    return rows


def names(judge_model: str) -> list[str]:
    """The judge models that a parameter names, comma-separated. Raises ValueError where it names none."""
    found = list(dict.fromkeys(name.strip() for name in judge_model.split(",") if name.strip()))
    if not found:
        raise ValueError("judge_base_url is set and judge_model is empty: name a model, better two, comma-separated")
    return found


def quality(judged: pd.DataFrame) -> pd.DataFrame:
    """A row a judge: `LIMITS`' measures and `first_rate`, the `n_` of each, `n_equal`, `exposed` (text).

    flip_rate: duels of base and tuned whose winner changes with the order; first_rate: share of decided verdicts for
    the answer shown first (0.5 without bias); repeat_change: duels whose winner changes on repetition; malformed_rate:
    trials never answered as asked; control_*: controls won by the reference in both orders; control_mark_gap: its mark
    less the other's, 0..100. `n_` counts items; verdicts of first_rate, duels of repeat_change, trials of
    malformed_rate. `n_equal` items have two equal answers: no duel. `exposed` names the measures beyond their limit,
    empty where none is; NaN (nothing to measure) is beyond it too.
    """
    rows = [{"judge": judge} | _measures(part) for judge, part in judged.groupby("judge")]
    for row in rows:
        row["exposed"] = ", ".join(name for name in LIMITS if not _within(name, row[name]))
    return pd.DataFrame(rows)


def _within(name: str, value: float) -> bool:
    limit, more = LIMITS[name]
    return value >= limit if more else value <= limit


def _measures(part: pd.DataFrame) -> dict:
    pairs, marks = part[part.kind == "pair"], part[part.kind == "mark"]
    both = pairs.pivot_table(
        index=["item_id", "candidate", "rival", "repeat"], columns="first", values="better", aggfunc="first"
    ).reindex(columns=[True, False])
    both = both.dropna().reset_index()
    told = pairs[pairs.better.notna() & (pairs.better != "tie")]
    shown_first = np.where(told["first"], told.candidate, told.rival)
    again = pairs[pairs.better.notna()].groupby(["item_id", "candidate", "rival", "first"]).better
    repeated = again.nunique()[again.size() > 1]
    mean = marks.astype({"score": float}).pivot_table(index="item_id", columns="candidate", values="score")
    mean = mean.reindex(columns=["reference", "other"])
    own = both[both.candidate == "base"]
    each = {
        "flip_rate": (own[True] != own[False]).groupby(own.item_id).mean(),
        "first_rate": told.better == shown_first,
        "repeat_change": repeated > 1,
        "malformed_rate": part.score.isna() & part.better.isna(),
        "control_other": _won(both, "other"),
        "control_padded": _won(both, "padded"),
        "control_mark_gap": (mean.reference - mean.other).dropna(),
    }
    n_equal = marks.item_id[marks.candidate == "base"].nunique() - pairs.item_id[pairs.candidate == "base"].nunique()
    found = {name: float(values.mean()) if len(values) else math.nan for name, values in each.items()}
    return found | {f"n_{name}": len(values) for name, values in each.items()} | {"n_equal": n_equal}


def _won(both: pd.DataFrame, rival: str) -> pd.Series:
    """Share of its repeats in which the reference won against the rival in both orders, a row a control item."""
    controls = both[(both.candidate == "reference") & (both.rival == rival)]
    won = (controls[True] == "reference") & (controls[False] == "reference")
    return won.groupby(controls.item_id).mean()


def item_marks(judged: pd.DataFrame) -> pd.DataFrame:
    """Mean mark of each answer over judges and repeats: item_id, group_id, task, candidate, score (NaN: none given)."""
    marks = judged[(judged.kind == "mark") & judged.candidate.isin(MODELS)]
    keys = ["item_id", "group_id", "task", "candidate"]
    return marks.astype({"score": float}).groupby(keys, as_index=False).score.mean()


def records(judged: pd.DataFrame, *, group: str, human: pd.DataFrame | None = None, **options: float) -> list[dict]:
    """Records of the judge: the paper's rows, who wins, and the judges' own quality (section `judge`).

    Items without any valid mark are left out of the mean and counted in `n_failed`; `strict` counts them as zero. The
    `reason` of a score names what its judges are exposed for. `human` has item_id, candidate, mark.
    """
    found = quality(judged)
    exposed = "; ".join(f"{r.judge}: {r.exposed}" for r in found.itertuples() if r.exposed)
    head = {"language": "all", "group": group, "profile": "judge"}
    rows = []
    for task, parts in TASKS.items():
        marks = item_marks(judged[judged.task.isin(parts)])
        for model in MODELS:
            rows.append({"task": task, "metric": "judge_score", **head, "model": model} | _score(marks, model, options))
            if exposed:
                rows[-1]["reading"] = f"not to be believed: {exposed}"
    for row in rows[1::2]:
        row |= _paired(item_marks(judged[judged.task.isin(TASKS[row["task"]])]), options)
    return rows + _quality_records(found, judged, head, human)


def _record(value: float, n: int, n_failed: int = 0, low: float = math.nan, high: float = math.nan) -> dict:
    numbers = {"value": value, "ci_low": low, "ci_high": high}
    shown = {k: round(float(v), 6) if math.isfinite(v) else None for k, v in numbers.items()}
    empty = dict.fromkeys(("floor", "chance", "difference", "difference_low", "difference_high"))
    return shown | {"n": int(n), "n_failed": int(n_failed)} | empty


def _score(marks: pd.DataFrame, model: str, options: dict) -> dict:
    scores = marks[marks.candidate == model]
    kept = scores[scores.score.notna()]
    if kept.empty:
        return _record(math.nan, 0, len(scores)) | {"reason": "no valid mark" if len(scores) else "nothing to judge"}
    low, high = metrics.interval(kept.score, kept.group_id, **options)
    found = _record(kept.score.mean(), len(kept), len(scores) - len(kept), low, high)
    return found | {"strict": round(float(scores.score.fillna(0).mean()), 6)}


def _paired(marks: pd.DataFrame, options: dict) -> dict:
    wide = marks.pivot_table(index=["item_id", "group_id"], columns="candidate", values="score", dropna=False)
    wide = wide.reindex(columns=list(MODELS)).reset_index()
    values = metrics.paired_difference(wide.base, wide.tuned, wide.group_id, **options)
    names = ("difference", "difference_low", "difference_high")
    found = {k: round(v, 6) if math.isfinite(v) else None for k, v in zip(names, values, strict=True)}
    return found | {"difference_n": len(wide.dropna())}


def _quality_records(found: pd.DataFrame, judged: pd.DataFrame, head: dict, human: pd.DataFrame | None) -> list[dict]:
    base = {"task": "judge", **head, "model": "tuned", "section": "judge"}
    rows = []
    for judge in found.to_dict("records"):
        for name in (*LIMITS, "first_rate"):
            row = base | {"metric": name, "profile": judge["judge"]} | _record(judge[name], judge[f"n_{name}"])
            rows.append(row | {"reading": _reading(name, judge)})
    marks = judged[(judged.kind == "mark") & judged.candidate.isin(MODELS)].astype({"score": float})
    wide = marks.pivot_table(index=["item_id", "candidate"], columns="judge", values="score")
    for a, b in itertools.combinations(wide.columns, 2):
        rows.append(base | {"metric": "spearman", "profile": f"{a} | {b}"} | _rank_agreement(wide[a], wide[b]))
    if len(wide.columns) < 2:
        reason = {"reason": "one judge model: agreement not measured"}
        rows.append(base | {"metric": "spearman"} | _record(math.nan, 0) | reason)
    if human is not None:
        given = human.set_index(["item_id", "candidate"]).mark
        for judge in wide.columns:
            both = wide[judge].to_frame("ours").join(given.rename("theirs"))
            found_here = _rank_agreement(both.ours, both.theirs)
            rows.append(base | {"metric": "spearman_with_people", "profile": judge} | found_here)
    for row in rows:
        if row["value"] is None:
            row.setdefault("reason", "nothing to measure")
    return rows


def _reading(name: str, judge: Mapping) -> str:
    """What is said of one measure of a judge: within its limit or not, and how many items are no part of it."""
    said = ("within its limit" if _within(name, judge[name]) else "exposed") if name in LIMITS else ""
    left_out = name == "flip_rate" and judge["n_equal"]
    return said + (f"; {judge['n_equal']} items left out: both answers are the same" if left_out else "")


def _rank_agreement(ours: pd.Series, theirs: pd.Series) -> dict:
    kept = ours.notna() & theirs.notna()
    if kept.sum() < 3 or ours[kept].nunique() < 2 or theirs[kept].nunique() < 2:
        return _record(math.nan, int(kept.sum())) | {"reason": "fewer than three answers, or all marks the same"}
    return _record(float(spearmanr(ours[kept], theirs[kept]).statistic), int(kept.sum()))
