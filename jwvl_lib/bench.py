"""Benchmark of a base and a tuned model: answers scored against truth and facts, as records, a table and bars.

Reads the predictions that `jwvl_lib.asking` gathers. Writes nothing: notebook 05 stores `predictions.parquet`,
`metrics.json` (`metrics_records`) and `table.md` (`table_md`).

Beside the two models stands a cheat named `constant`: it sees no image and gives the most common answer to each kind
of question. Its score is the `floor` of a record; a model has learned to see only by what it adds to that.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from jwvl_lib import claims, metrics
from jwvl_lib.asking import CONSTANT
from jwvl_lib.facts import Fact

MODELS = ("base", "tuned")
TINY_STAMP = "TINY PROFILE, no result, never to be set beside the paper's"
NO_JUDGE = "not run: no judge endpoint"
# columns of `score` that records are made of
SCORED = (
    *"model task prompt_id language where group_id target prediction correct choice_correct parsed guess blank".split(),
    *"char_accuracy n_claims n_supported hallucinated".split(),
    *metrics.NLG,
)
Rows = Mapping[str, np.ndarray]
TOGETHER = {"interpretation_qa": ("qa", "description"), "overall": ("qa", "ocr")}
TITLES = {"simulated": "Simulated days held out", "real": "Real images, never trained on", "general": "General task"}

# --------------------------------------------------------------------------------------------------------------------
# scores, a row a prediction


def score(predictions: pd.DataFrame, facts: Mapping[str, Iterable[Fact]]) -> pd.DataFrame:
    """`predictions` with what the records average: a column a score, NaN where it does not apply.

    `facts` maps image_id to the facts of the image, against which the claims of each description are checked.
    """
    frame = predictions.assign(
        where=np.where(predictions.split == "general", "general", np.where(predictions.simulated, "simulated", "real")),
        parsed=[_parsed(p, c) for p, c in zip(predictions.prediction, predictions.choices, strict=True)],
        char_accuracy=metrics.char_accuracy(predictions.prediction, predictions.target),
        blank=predictions.prediction.str.strip() == "",
    )
    frame["guess"] = [1 / len(json.loads(c)) if c != "[]" else math.nan for c in frame.choices]
    frame[["correct", "choice_correct"]] = frame[["correct", "choice_correct"]].astype(float)
    frame[list(metrics.NLG)] = metrics.nlg_pairs(frame.prediction, frame.target)
    verdicts = [
        _verdicts(p, facts.get(i, ()), language) if task == "description" else []
        for p, i, task, language in zip(frame.prediction, frame.image_id, frame.task, frame.language, strict=True)
    ]
    frame["n_claims"] = [len(v) for v in verdicts]
    frame["n_supported"] = [v.count("supported") for v in verdicts]
    frame["hallucinated"] = [float(len(v) > v.count("supported")) for v in verdicts]
    return frame


def _parsed(prediction: str, choices: str) -> float:
    options = json.loads(choices)
    return float(metrics.normalize(prediction) in {metrics.normalize(o) for o in options}) if options else math.nan


def _verdicts(text: str, facts: Iterable[Fact], language: str) -> list[str]:
    return [claim["verdict"] for claim in claims.check(text, list(facts), language)]


# --------------------------------------------------------------------------------------------------------------------
# records


def metrics_records(
    scores: pd.DataFrame, *, run_profile: str, n_bootstrap: int = 1000, seed: int = 0, no_judge: str = NO_JUDGE
) -> list[dict]:
    """Records of `metrics.json`: a row per task, metric, metric profile, language, group and model.

    `profile` is the definition of the metric, `run_profile` that of the run. `group` is `simulated`, `real` or
    `general`. Of `n` items (claims for fact_precision) `n_failed` gave nothing to score: they count as wrong or zero,
    but `swift_nlg` leaves them out. Intervals: 95 %, days resampled. `floor` is what the constant cheat scores,
    `chance` that of guessing. A tuned record holds `difference`, tuned - base over the same items, with its interval.
    BLEU and ROUGE are times 100, all else is in 0..1. A `value` of None has a `reason`.
    """
    options = {"n_resamples": n_bootstrap, "seed": seed}
    frame = scores.sort_values("annotation_id").assign(group_id=lambda f: pd.factorize(f.group_id)[0])
    # plain arrays from here on: some hundred small selections from a frame would cost seconds
    columns = {name: frame[name].to_numpy() for name in SCORED}
    records = []
    for where in TITLES:
        for language in ("all", "zh", "en"):
            part = columns["where"] == where
            part &= (columns["language"] == language) | (language == "all")
            for task, chosen in _tasks(columns, part):
                rows = {m: chosen & (columns["model"] == m) for m in np.unique(columns["model"][chosen])}
                by_model = {m: {name: c[picked] for name, c in columns.items()} for m, picked in rows.items()}
                records += _task_records(by_model, {"task": task, "language": language, "group": where}, options)
        if where != "general":
            records += _judge_records(where, no_judge)
    return [r | {"run_profile": run_profile} for r in records]


def _tasks(columns: Rows, part: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Masks by task, by family (prompt_id) of the closed tasks, and of the tasks that are taken together.

    Items taken together are averaged one by one, which is the mean of the tasks weighted by n.
    """
    tasks, families = columns["task"], columns["prompt_id"]
    closed = part & np.isin(tasks, ("qa", "general"))
    masks = [(task, part & (tasks == task)) for task in np.unique(tasks[part])]
    masks += [(family, closed & (families == family)) for family in np.unique(families[closed])]
    masks += [(task, part & np.isin(tasks, parts)) for task, parts in TOGETHER.items()]
    return [(task, mask) for task, mask in masks if mask.any()]


def _measures(task: str) -> list[tuple[str, str]]:
    """(metric, profile) of a task or family."""
    nlg = [(name, profile) for profile in ("swift_nlg", "strict") for name in metrics.NLG]
    if task == "ocr":
        return [("exact_match", "nfkc"), ("char_accuracy", "levenshtein")]
    if task == "description":
        return [*nlg, ("fact_precision", "claims"), ("hallucination_rate", "claims")]
    if task == "interpretation_qa":
        return nlg
    if task == "overall":
        return [("accuracy", "greedy")]
    closed = [("accuracy", "greedy"), ("accuracy", "choice"), ("parse_coverage", "greedy")]
    return [*closed, ("macro_f1", "greedy")] if task.startswith("qa.") else closed


def _task_records(by_model: Mapping[str, Rows], head: Mapping, options: dict) -> list[dict]:
    """One record a measure and model, `floor` and `chance` on each, the paired difference on that of `tuned`."""
    records = []
    for metric, profile in _measures(head["task"]):
        value = {m: _value(rows, metric, profile, options) for m, rows in by_model.items()}
        floor = value[CONSTANT]["value"] if CONSTANT in value else None
        for model in (m for m in MODELS if m in value):
            chance = _chance(by_model[model], profile) if metric == "accuracy" else None
            record = {"task": head["task"], "metric": metric, "profile": profile, **head, "model": model}
            record |= value[model] | {"floor": floor, "chance": chance}
            records.append(record | _difference(by_model, model, metric, profile, options))
    return records


def _column(rows: Rows, metric: str, profile: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numerator, denominator and failure of each item: a mean is sum(numerator) / sum(denominator)."""
    one = np.ones(len(rows["correct"]))
    if metric in metrics.NLG:
        failed = np.isnan(rows[metric])
        return np.nan_to_num(rows[metric]), one if profile == "strict" else one - failed, failed
    if metric == "fact_precision":
        return rows["n_supported"], rows["n_claims"], rows["n_claims"] == 0
    if metric == "hallucination_rate":
        return rows["hallucinated"], one, rows["n_claims"] == 0
    name = {"parse_coverage": "parsed", "char_accuracy": "char_accuracy"}.get(metric, "correct")
    value = rows["choice_correct" if profile == "choice" else name]
    failed = rows["blank"] if metric in ("exact_match", "char_accuracy") else rows["parsed"] == 0
    return np.nan_to_num(value), one - np.isnan(value), failed & (profile != "choice")


def _value(rows: Rows, metric: str, profile: str, options: dict) -> dict:
    """value, n, n_failed, ci_low, ci_high of one model's rows."""
    if metric == "macro_f1":
        texts = rows["prediction"], rows["target"]
        low, high = metrics.macro_f1_interval(*texts, rows["group_id"], **options)
        value, n, failed = metrics.macro_f1(*texts), len(rows["target"]), (rows["parsed"] == 0).sum()
    else:
        numerator, denominator, fails = _column(rows, metric, profile)
        n, failed = denominator.sum(), fails.sum()
        value = numerator.sum() / n if n else math.nan
        low, high = metrics.interval(numerator, rows["group_id"], weights=denominator, **options)
    record = {"value": _number(value), "n": int(n), "n_failed": int(failed)}
    record |= {"ci_low": _number(low), "ci_high": _number(high)}
    return record if record["value"] is not None else record | {"reason": "nothing to score"}


def _chance(rows: Rows, profile: str) -> float | None:
    """What guessing among the choices scores; None where an open question is among them."""
    asked = _column(rows, "accuracy", profile)[1] > 0
    return _number(rows["guess"][asked].mean()) if asked.any() else None


def _difference(by_model: Mapping[str, Rows], model: str, metric: str, profile: str, options: dict) -> dict:
    names = ("difference", "difference_low", "difference_high")
    if model != "tuned" or "base" not in by_model or metric in ("macro_f1", "fact_precision"):
        return dict.fromkeys(names)
    base, tuned = (
        np.where(denominator > 0, numerator, np.nan)
        for numerator, denominator, _ in (_column(by_model[m], metric, profile) for m in MODELS)
    )
    values = metrics.paired_difference(base, tuned, by_model["tuned"]["group_id"], **options)
    return dict(zip(names, map(_number, values), strict=True))


def _judge_records(where: str, reason: str) -> list[dict]:
    """The paper's judge scores, named and not computed: a missing row would look like an oversight."""
    empty = {"value": None, "n": 0, "n_failed": 0, "ci_low": None, "ci_high": None, "reason": reason, "floor": None}
    empty |= {"chance": None, "difference": None, "difference_low": None, "difference_high": None}
    return [
        {"task": task, "metric": "judge_score", "profile": "judge", "language": "all", "group": where, "model": model}
        | empty
        for task in ("interpretation_qa", "ocr", "overall")
        for model in MODELS
    ]


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


# --------------------------------------------------------------------------------------------------------------------
# table and bars


def find(records: Iterable[Mapping], **wanted: str) -> dict | None:
    """The first record whose fields are those wanted, or None."""
    return next((dict(r) for r in records if all(r.get(k) == v for k, v in wanted.items())), None)


def stamp(run_profile: str) -> str:
    """What stands above every table and figure: which run profile made the numbers, and what they are worth."""
    return TINY_STAMP if run_profile in ("tiny", "smoke") else f"profile {run_profile}"


def table_md(records: Sequence[Mapping]) -> str:
    """`table.md`: a table a group; base and tuned side by side with interval and n, floor and chance beside them."""
    lines = [f"# Benchmark\n\n**{stamp(records[0]['run_profile'])}**\n"]
    for where, title in TITLES.items():
        rows = [r for r in records if r["group"] == where]
        if not rows:
            continue
        lines.append(f"## {title}\n")
        lines.append("| task | metric @ profile | language | chance | sees nothing | base | tuned | tuned - base |")
        lines.append("|---|---|---|---|---|---|---|---|")
        keys = {(r["task"], r["metric"], r["profile"], r["language"]) for r in rows if _shown(r)}
        lines += [_table_row(rows, *key) for key in sorted(keys, key=_place)]
        lines.append("")
    lines.append(
        "`n` items; `failed`: no usable answer, counted as wrong or zero (left out by `swift_nlg`). Intervals: 95 %,"
        " days resampled. `sees nothing`: the most common answer to each kind of question. BLEU, ROUGE: times 100."
        " `strict` is shown where it differs from `swift_nlg`."
    )
    return "\n".join(lines) + "\n"


def _shown(record: Mapping) -> bool:
    """The table leaves to `metrics.json` what repeats itself."""
    if record["profile"] == "strict":
        return record["language"] == "all" and record["n_failed"] > 0
    if record["metric"] == "parse_coverage":
        return record["task"] in ("qa", "general") and record["language"] == "all"
    return record["language"] == "all" or record["task"] in ("qa", "ocr", "description")


def _place(key: tuple[str, str, str, str]) -> tuple:
    """The paper's rows first, then the parts of each task; a measure's languages together."""
    task, metric, profile, language = key
    whole, _, part = task.partition(".")
    order = ("interpretation_qa", "ocr", "overall", "qa", "description", "general").index(whole)
    measures = [("judge_score", "judge"), *_measures(task)]
    return order, part, measures.index((metric, profile)), ("all", "zh", "en").index(language)


def _table_row(rows: Sequence[Mapping], task: str, metric: str, profile: str, language: str) -> str:
    base, tuned = (
        find(rows, task=task, metric=metric, profile=profile, language=language, model=m) or {} for m in MODELS
    )
    floor, chance = ((tuned or base)[name] for name in ("floor", "chance"))
    digits = 1 if metric in metrics.NLG else 3
    cells = [_cell(digits, chance), _cell(digits, floor), _model_cell(digits, base), _model_cell(digits, tuned)]
    return "| " + " | ".join([task, f"{metric} @ {profile}", language, *cells, _difference_cell(digits, tuned)]) + " |"


def _cell(digits: int, *values: float | None) -> str:
    """A value, or a value with its interval; empty where there is none."""
    shown = [f"{v:.{digits}f}" for v in values if v is not None]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(shown) == 3 else shown[0] if shown else ""


def _model_cell(digits: int, record: Mapping) -> str:
    if not record:
        return "not asked"
    if record["value"] is None:
        return f"{record['reason']} (n={record['n']})"
    failed = f", failed={record['n_failed']}" if record["n_failed"] else ""
    return f"{_cell(digits, record['value'], record['ci_low'], record['ci_high'])} (n={record['n']}{failed})"


def _difference_cell(digits: int, record: Mapping) -> str:
    if record.get("difference") is None:
        return ""
    span = (record[name] for name in ("difference", "difference_low", "difference_high"))
    return f"{'+' * (record['difference'] > 0)}{_cell(digits, *span)} (n={record['n']})"


def bars(records: Sequence[Mapping]) -> dict[str, bool]:
    """The bars of the tiny profile on simulated days, True where held; a missing number holds nothing."""

    def value(task: str, metric: str, profile: str, field: str = "value", language: str = "all") -> float:
        where = "general" if task == "general" else "simulated"
        wanted = {"task": task, "metric": metric, "profile": profile, "language": language, "group": where}
        found = (find(records, **wanted, model="tuned") or {}).get(field)
        return -math.inf if found is None else found

    return {
        "measurement_accuracy >= 0.98": value("qa.measurement", "accuracy", "greedy") >= 0.98,
        "qa_tuned_minus_base_greedy >= 0.30": value("qa", "accuracy", "greedy", "difference") >= 0.30,
        "qa_tuned_minus_base_choice >= 0.30": value("qa", "accuracy", "choice", "difference") >= 0.30,
        "ocr_exact_zh >= 0.90": value("ocr", "exact_match", "nfkc", language="zh") >= 0.90,
        "ocr_exact_en >= 0.90": value("ocr", "exact_match", "nfkc", language="en") >= 0.90,
        "general_tuned_minus_base >= -0.05": value("general", "accuracy", "greedy", "difference") >= -0.05,
    }
