"""Scores of the seven solar tasks: macro-F1 with intervals over days, reference rows, and the gap to a specialist.

Reads answers in the form of `solar_tasks.answers`; writes nothing. Everything follows from counts of (day, class):
true positives, answers and truths, so that a resample of days is one matrix product. Classes are those present among
the truths; an answer that is none of the options is a miss of its class and a hit of none.
"""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jwvl_lib import metrics, solar_tasks

MEASURES = ("macro_f1", "accuracy", "balanced_accuracy", "parse_coverage")
N_GUESSES = 200  # guesses a question, of which `chance` is the mean
KEY = ["solar_task", "image_id", "language", "shuffle"]
Counts = np.ndarray  # (..., 4, n_classes): hits, answers, truths; last row, in its first column: readable answers


# --------------------------------------------------------------------------------------------------------------------
# counts and measures


def day_counts(rows: pd.DataFrame, days: Sequence[str], classes: Sequence[str]) -> Counts:
    """(n_days, 4, n_classes) of the answers of one task and model; days without an item count nothing."""
    day = {name: k for k, name in enumerate(days)}
    column = {name: k for k, name in enumerate(classes)}
    counts = np.zeros((len(days), 4, len(classes)))
    for group, said, true in zip(rows.group_id, rows.answer, rows.code, strict=True):
        at = day[group]
        counts[at, 2, column[true]] += 1
        counts[at, 3, 0] += said != ""
        if said in column:
            counts[at, 1, column[said]] += 1
            counts[at, 0, column[said]] += said == true
    return counts


def measured(counts: Counts) -> dict[str, np.ndarray]:
    """Each measure of summed counts (..., 4, n_classes); NaN where there is no item."""
    hits, said, true, readable = np.moveaxis(counts, -2, 0)
    present = true > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(present, 2 * hits / np.maximum(said + true, 1), 0.0).sum(-1) / present.sum(-1)
        recall = np.where(present, hits / np.maximum(true, 1), 0.0).sum(-1) / present.sum(-1)
        n = true.sum(-1)
        return dict(zip(MEASURES, (f1, hits.sum(-1) / n, recall, readable.sum(-1) / n), strict=True))


def _resampled(counts: Counts, n_resamples: int, seed: int) -> Counts:
    drawn = metrics.resample_counts(len(counts), n_resamples, seed)
    return np.einsum("rd,dkc->rkc", drawn, counts)


# --------------------------------------------------------------------------------------------------------------------
# rows


def records(answered: pd.DataFrame, *, n_bootstrap: int = 1000, seed: int = 0) -> list[dict]:
    """One record a task, measure, model and group (simulated, real): value, 95 % interval over days, n, n_failed.

    Beside the models stand `majority` where it was put among them and `chance`, the mean of `N_GUESSES` guesses a
    question, which has no interval. `n` are items; images and days are counted besides.
    """
    parts = solar_tasks.scored_parts(answered)
    found = []
    for (simulated, task), rows in parts.groupby(["simulated", "solar_task"], sort=False):
        head = {"section": "solar", "group": "simulated" if simulated else "real", "task": task, "language": "all"}
        days, classes = sorted(rows.group_id.unique()), sorted(rows.code.unique())
        for model, of_model in rows.groupby("model", sort=False):
            counts = day_counts(of_model, days, classes)
            values, spread = measured(counts.sum(0)), {}
            if len(days) > 1:
                spread = measured(_resampled(counts, n_bootstrap, seed))
            about = {"model": model, "n_images": of_model.image_id.nunique(), "n_days": of_model.group_id.nunique()}
            about |= {"n": len(of_model), "n_failed": int((of_model.answer == "").sum()), "n_classes": len(classes)}
            for name in MEASURES:
                low, high = metrics.percentile_interval(spread.get(name, np.array([])), 0.95)
                interval = {"ci_low": _number(low), "ci_high": _number(high)}
                found.append(head | {"metric": name, "profile": "options"} | about | _value(values[name]) | interval)
        found += [head | {"profile": "options"} | record for record in _chance(rows, classes, seed)]
    return found


def _chance(rows: pd.DataFrame, classes: Sequence[str], seed: int) -> list[dict]:
    """Guessing among the options offered, on the items of one model (they are the same for all)."""
    rows = rows[rows.model == rows.model.iloc[0]]
    column = {name: k for k, name in enumerate(classes)}
    options = [[column.get(code, len(classes)) for code in json.loads(text)] for text in rows.codes]
    true = rows.code.map(column).to_numpy()
    draws = np.random.default_rng(seed).random((N_GUESSES, len(rows)))
    said = np.stack(
        [np.take(listed, (draw * len(listed)).astype(int)) for listed, draw in zip(options, draws.T, strict=True)]
    )
    counts = np.zeros((N_GUESSES, 4, len(classes) + 1))
    guess = np.broadcast_to(np.arange(N_GUESSES), said.shape)
    np.add.at(counts, (guess, 1, said), 1)
    np.add.at(counts, (guess, 0, said), said == true[:, None])
    np.add.at(counts, (guess, 2, np.broadcast_to(true[:, None], said.shape)), 1)
    counts[:, 3, 0] = len(rows)
    values = measured(counts)
    about = {"model": "chance", "n": len(rows), "n_failed": 0, "n_classes": len(classes)}
    about |= {"n_images": rows.image_id.nunique(), "n_days": rows.group_id.nunique(), "ci_low": None, "ci_high": None}
    return [about | {"metric": name} | _value(values[name].mean()) for name in MEASURES]


def spread_over_shuffles(answered: pd.DataFrame) -> list[dict]:
    """What the order of the options does, a record a task and model: macro-F1 of each order, its standard deviation,
    and `flip_rate`, the share of questions whose answer is not the same in every order. Asked once only: None."""
    found = []
    for (task, model), rows in answered.groupby(["solar_task", "model"], sort=False):
        rows = rows.assign(orders=rows.groupby(["image_id", "language"])["shuffle"].transform("nunique"))
        rows = rows[rows.orders > 1]
        record = {"task": task, "model": model, "n_questions": len(rows.drop_duplicates(["image_id", "language"]))}
        if rows.empty:
            found.append(record | {"macro_f1": [], "std": None, "flip_rate": None, "reason": "asked in one order"})
            continue
        by_order = [metrics.macro_f1(part.answer, part.code) for _, part in rows.groupby("shuffle")]
        flips = rows.groupby(["image_id", "language"]).answer.nunique() > 1
        record |= {"macro_f1": [round(v, 4) for v in by_order], "std": _number(np.std(by_order, ddof=1))}
        found.append(record | {"flip_rate": _number(flips.mean())})
    return found


# --------------------------------------------------------------------------------------------------------------------
# the gap


def gaps(
    answered: pd.DataFrame,
    vlm: str,
    baselines: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    chosen: Mapping[str, str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[dict]:
    """Macro-F1 of `vlm` minus that of the best of `baselines` over the same items of simulated days, and their mean.

    The best is chosen by its value here, which favours the baselines: of several that are equally good, one is lucky
    on these items. `chosen` names it for each task instead, as `best_of` found it on other days (validation). Days are
    resampled once for both sides and, in the last record (`task` "mean"), once for all tasks. Raises ValueError where
    the two were not asked the same items.
    """
    rows = answered[answered.simulated]
    days, best_by_task = sorted(rows.group_id.unique()), chosen or best_of(rows, baselines)
    found, samples = [], []
    for task in tasks or [t for t in solar_tasks.scored_tasks() if (rows.solar_task == t).any()]:
        of_task = rows[rows.solar_task == task]
        classes = sorted(of_task.code.unique())
        sides = {m: of_task[of_task.model == m] for m in (vlm, *baselines)}
        sides = {m: side for m, side in sides.items() if len(side)}
        if vlm not in sides or len(sides) < 2:
            continue
        _check_paired(task, sides)
        best = best_by_task[task]
        counts = {m: day_counts(sides[m], days, classes) for m in (vlm, best)}
        value = {m: float(measured(c.sum(0))["macro_f1"]) for m, c in counts.items()}
        ours, theirs = (measured(_resampled(counts[m], n_bootstrap, seed))["macro_f1"] for m in (vlm, best))
        samples.append(ours - theirs)
        record = {
            "task": task,
            "vlm": vlm,
            "macro_f1": _number(value[vlm]),
            "best_baseline": best,
            "n": len(sides[vlm]),
        }
        record |= {"baseline_macro_f1": _number(value[best]), "gap": _number(value[vlm] - value[best])}
        found.append(record | _bounds(samples[-1]))
    if found:
        mean = np.mean([r["gap"] for r in found])
        record = {"task": "mean", "vlm": vlm, "macro_f1": None, "best_baseline": "", "n": sum(r["n"] for r in found)}
        record |= {"baseline_macro_f1": None, "gap": _number(mean)}
        found.append(record | _bounds(_mean_sample(samples)))
    return found


def best_of(answered: pd.DataFrame, models: Sequence[str]) -> dict[str, str]:
    """The model of highest macro-F1 a task, over the items of simulated days; the first of equals."""
    rows = answered[answered.simulated & answered.model.isin(list(models))]
    found = {}
    for task, of_task in rows.groupby("solar_task", sort=False):
        value = {m: metrics.macro_f1(part.answer, part.code) for m, part in of_task.groupby("model")}
        found[task] = max((m for m in models if m in value), key=value.__getitem__)
    return found


def _mean_sample(samples: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over tasks of each resample; a resample that lacks a task says nothing about the mean of all."""
    return np.mean(samples, axis=0)


def _bounds(sample: np.ndarray) -> dict:
    low, high = metrics.percentile_interval(sample, 0.95)
    return {"gap_low": _number(low), "gap_high": _number(high)}


def _check_paired(task: str, sides: Mapping[str, pd.DataFrame]) -> None:
    keys = {m: set(map(tuple, side[KEY].to_numpy().tolist())) for m, side in sides.items()}
    first, *others = keys.values()
    if any(other != first for other in others):
        sizes = ", ".join(f"{m} {len(k)}" for m, k in keys.items())
        raise ValueError(f"{task}: the models answered different items ({sizes}); ask all of them the same questions")


# --------------------------------------------------------------------------------------------------------------------
# tables


def table(found: Sequence[Mapping], group: str = "simulated", metric: str = "macro_f1") -> pd.DataFrame:
    """A row a task, a column a model: `value [low, high]`, and n; the form in which notebook and `table.md` show it."""
    rows: dict[str, dict] = {}
    for r in (r for r in found if r["group"] == group and r["metric"] == metric):
        bounds = f" [{r['ci_low']:.2f}, {r['ci_high']:.2f}]" if r["ci_low"] is not None else ""
        rows.setdefault(r["task"], {"n": r["n"], "n_days": r["n_days"], "classes": r["n_classes"]})
        rows[r["task"]][r["model"]] = f"{r['value']:.3f}{bounds}"
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.reindex([t for t in solar_tasks.scored_tasks() if t in frame.index]).fillna("not asked")


def table_md(found: Sequence[Mapping], stamp: str) -> str:
    """The tables of both groups as a section of `table.md`."""
    lines = [f"## Seven solar tasks\n\n**{stamp}**\n"]
    for group in ("simulated", "real"):
        frame = table(found, group)
        if frame.empty:
            continue
        lines.append(f"Macro-F1 over the classes present, {group} images, 95 % over days.\n")
        lines.append("| task | " + " | ".join(frame.columns) + " |\n" + "|---" * (len(frame.columns) + 1) + "|")
        lines += [f"| {task} | " + " | ".join(map(str, row)) + " |" for task, *row in frame.itertuples()]
        lines.append("")
    names = "; ".join(f"{task} {entry['name']}" for task, entry in solar_tasks.load_tasks().items())
    return (
        "\n".join([*lines, f"{names}. Unreadable answers are wrong; `chance` guesses among the options offered."])
        + "\n"
    )


def _value(value: float) -> dict:
    number = _number(value)
    return {"value": number} if number is not None else {"value": None, "reason": "nothing to score"}


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
