"""What each variant of `recipes` cost, measures and forgets, and how two of them differ.

Reads manifests, `preflight.json` of 04, `metrics.json`, `solar_tasks.json` and `predictions.parquet` of 05 of each
variant; writes nothing. Values and intervals are the benchmark's. Differences are paired: two variants were asked the
same items, days are resampled. Where single answers are not kept (cosine), two intervals must not overlap.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import bench, metrics, solar_tasks
from jwvl_lib.artifacts import read_manifest
from jwvl_lib.parameters import notebook_parameters


@dataclass(frozen=True)
class Measure:
    """A record of `metrics.json`; `item` is the column of single answers' scores, "" where none is kept."""

    title: str
    task: str
    metric: str
    profile: str
    item: str = ""
    language: str = "all"
    group: str = "simulated"


COMPARED = {
    "questions": Measure("closed questions, as written", "qa", "accuracy", "greedy", "correct"),
    "choices": Measure("closed questions, by likeliest choice", "qa", "accuracy", "choice", "choice_correct"),
    "channel": Measure("instrument and channel", "qa.measurement", "accuracy", "greedy", "correct"),
    "banner": Measure("banner read exactly (OCR)", "ocr", "exact_match", "nfkc", "correct"),
    "characters": Measure("banner, characters (OCR)", "ocr", "char_accuracy", "levenshtein", "characters"),
    "facts": Measure("claims of descriptions supported", "description", "fact_precision", "claims"),
    "cosine": Measure("cosine, en", "description", "cosine", "", language="en"),
    "general": Measure("general task, as written", "general", "accuracy", "greedy", "correct", group="general"),
    "general choices": Measure(
        "general task, by choice", "general", "accuracy", "choice", "choice_correct", group="general"
    ),
    "specialists": Measure("lead of the best specialist, mean of S1, S2, S3, S7", "", "", ""),
}
SPENT = ("n_epochs", "n_trainable", "n_steps", "n_samples_seen", "replay_share_seen")
OF_A_MACHINE = ("run_id", "outputs_dir", "progress", "encoder_dir", "profile")  # no part of a recipe
TAUGHT = tuple(f"S{k}" for k in (1, 2, 3, 7))  # by every sweep; S4 to S6 only of late

# --------------------------------------------------------------------------------------------------------------------
# one variant


def measured(run_dir: Path) -> dict:
    """What one variant's files say: `spent`, `values` of base and tuned, `solar`, and the single `answers`."""
    benchmark = run_dir / "05_benchmark"
    records, solar = (json.loads((benchmark / name).read_text()) for name in ("metrics.json", "solar_tasks.json"))
    manifests = {stage: read_manifest(run_dir / stage) for stage in ("04_training", "05_benchmark")}
    plan = json.loads((run_dir / "04_training" / "preflight.json").read_text())
    plan |= {"n_epochs": manifests["04_training"]["parameters"]["n_epochs"]}
    values = {name: _values(records, measure) for name, measure in COMPARED.items() if measure.task}
    leads = [g for g in solar["gaps"] if g["task"] in TAUGHT and g["vlm"] == "tuned choice"]
    if len(leads) == len(TAUGHT):  # the mean of the tasks' bounds is wider than bounds of the mean
        lead, high, low = (-float(np.mean([g[name] for g in leads])) for name in ("gap", "gap_low", "gap_high"))
        values["specialists"] = {"tuned": _record(lead, sum(g["n"] for g in leads), low, high)}
    forgotten = bench.find(
        records, task="general", metric="accuracy", profile="greedy", group="general", language="all", model="tuned"
    )
    return {
        "parameters": _changed(manifests),
        "spent": {name: plan[name] for name in SPENT},
        "values": values,
        "forgetting": _record(*(forgotten[k] for k in ("difference", "n", "difference_low", "difference_high"))),
        "solar": _solar(solar["scores"]),
        "answers": _answers(benchmark / "predictions.parquet"),
    }


def _changed(manifests: Mapping[str, Mapping]) -> dict:
    """The parameters that are not the notebooks' defaults, whoever changed them."""
    told = {}
    for stage, manifest in manifests.items():
        own = manifest["parameters"]
        told |= {n: own[n] for n, p in notebook_parameters(stage).items() if n in own and own[n] != p.default}
    return {name: value for name, value in told.items() if name not in OF_A_MACHINE}


def _record(value: float | None, n: int, low: float | None, high: float | None) -> dict:
    """Rounded to four places: a table holds no more, and -0.0 is 0."""
    numbers = [None if x is None or not math.isfinite(x) else round(x, 4) + 0.0 for x in (value, low, high)]
    return {"value": numbers[0], "n": int(n), "low": numbers[1], "high": numbers[2]}


def _values(records: Sequence[Mapping], measure: Measure) -> dict[str, dict]:
    wanted = {"task": measure.task, "metric": measure.metric, "group": measure.group, "language": measure.language}
    wanted |= {"profile": measure.profile} if measure.profile else {}  # a cosine's profile is its encoder
    found = {model: bench.find(records, **wanted, model=model) for model in bench.MODELS}
    return {m: _record(r["value"], r["n"], r["ci_low"], r["ci_high"]) for m, r in found.items() if r}


def _solar(scores: Sequence[Mapping]) -> dict[str, dict[str, dict]]:
    kept = [
        r
        for r in scores
        if r["group"] == "simulated" and r["metric"] == "macro_f1" and r["task"] in solar_tasks.load_tasks()
    ]
    told: dict[str, dict[str, dict]] = {}
    for r in sorted(kept, key=lambda r: r["task"]):
        told.setdefault(r["task"], {})[r["model"]] = _record(r["value"], r["n"], r["ci_low"], r["ci_high"])
    return told


def _answers(path: Path) -> pd.DataFrame:
    """A row an item and model that `COMPARED` scores, by annotation_id: its scores, task, prompt and day."""
    columns = "annotation_id task prompt_id split group_id simulated model target prediction correct choice_correct"
    rows = pd.read_parquet(path, columns=columns.split())
    general = rows.split == "general"
    rows = rows[rows.model.isin(bench.MODELS) & (general | rows.simulated) & rows.task.isin(["qa", "ocr", "general"])]
    return rows.assign(
        characters=metrics.char_accuracy(rows.prediction, rows.target),
        correct=rows.correct.astype(float),
        choice_correct=rows.choice_correct.astype(float),
    ).drop(columns=["target", "prediction"])


# --------------------------------------------------------------------------------------------------------------------
# two variants


def difference(measure: Measure, higher: pd.DataFrame, lower: pd.DataFrame, seed: int = 0) -> dict:
    """Mean of higher - lower over the same items (rows of `_answers` of one model each), its n and 95 % interval.

    Raises ValueError where the two were not asked the same items.
    """
    sides = []
    for rows in (higher, lower):
        own = rows[(rows.prompt_id if measure.task.startswith("qa.") else rows.task) == measure.task]
        sides.append(own.set_index("annotation_id").sort_index())
    above, below = sides
    if not above.index.equals(below.index):
        raise ValueError(f"{measure.title}: asked {len(above)} and {len(below)} items, not the same; measure both anew")
    pair = below[measure.item].to_numpy(), above[measure.item].to_numpy()
    value, low, high = metrics.paired_difference(*pair, above.group_id, seed=seed)
    return _record(value, int(np.isfinite(pair[0] + pair[1]).sum()), low, high)


def compare(name: str, higher: str, lower: str, found: Mapping[str, Mapping]) -> dict | None:
    """The difference of two sides (variants, or `base`) under a measure of `COMPARED`; None where one did not run."""
    if name == "specialists":
        variant = found.get(lower)
        return variant and variant["values"].get("specialists", {}).get("tuned")
    beside = {"base": lower} if higher == "base" else {"base": higher}  # the base as that variant's benchmark asked it
    if any(beside.get(side, side) not in found for side in (higher, lower)):
        return None
    models = ["base" if side == "base" else "tuned" for side in (higher, lower)]
    variants = [found[beside.get(side, side)] for side in (higher, lower)]
    if COMPARED[name].item:
        return difference(
            COMPARED[name], *(v["answers"][v["answers"].model == m] for v, m in zip(variants, models, strict=True))
        )
    above, below = (v["values"][name].get(m) for v, m in zip(variants, models, strict=True))
    if not (above and below) or above["value"] is None or below["value"] is None:
        return None
    bounds = above["low"] - below["high"], above["high"] - below["low"]  # wider than a paired interval
    return _record(above["value"] - below["value"], min(above["n"], below["n"]), *bounds)


def verdict(found: Mapping | None) -> str:
    """What the interval of a difference that was said to be above 0 comes to."""
    if found is None or found["low"] is None:
        return "not measured"
    if found["low"] > 0:
        return "confirmed"
    return "refuted" if found["high"] < 0 else "cannot be told"
