"""Benchmark of a base and a tuned model: answers scored against truth and facts, as records, a table and bars.

Reads the predictions that `jwvl_lib.asking` gathers. Writes nothing: notebook 05 stores `predictions.parquet`,
`metrics.json` (`metrics_records`) and `table.md` (`jwvl_lib.bench_table`).

Beside the two models stands a cheat named `constant`: it sees no image and gives the most common answer to each kind
of question. Its score is the `floor` of a record; a model has learned to see only by what it adds to that.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from jwvl_lib import claims, grounding_scores, metrics, nlg
from jwvl_lib.asking import CONSTANT
from jwvl_lib.facts import Fact

MODELS = ("base", "tuned")
TINY_STAMP = "TINY PROFILE, no result, never to be set beside the paper's"
NO_JUDGE = "not run: no judge endpoint"
BLEU_COUNTS = tuple(f"bleu_count_{k}" for k in range(10))
# columns of `score` that records are made of
SCORED = (
    *"model task prompt_id language where group_id target prediction correct choice_correct parsed guess blank".split(),
    *"char_accuracy n_claims n_supported hallucinated unscored".split(),
    *(f"{profile}.{name}" for profile in nlg.PAIR_PROFILES for name in nlg.NLG),
    *BLEU_COUNTS,
)
Rows = Mapping[str, np.ndarray]
TOGETHER = {"interpretation_qa": ("qa", "description"), "overall": ("qa", "ocr")}
TITLES = {"simulated": "Simulated days held out", "real": "Real images, never trained on", "general": "General task"}

# --------------------------------------------------------------------------------------------------------------------
# scores, a row a prediction


def score(predictions: pd.DataFrame, facts: Mapping[str, Iterable[Fact]]) -> pd.DataFrame:
    """`predictions` with what the records average: a column a score, NaN where it does not apply.

    `facts` maps image_id to the facts of the image, against which the claims of each description are checked. Boxes
    are left to `grounding_scores`.
    """
    predictions = predictions[predictions.task != "grounding"]
    frame = predictions.assign(
        where=np.where(predictions.split == "general", "general", np.where(predictions.simulated, "simulated", "real")),
        parsed=[_parsed(p, c) for p, c in zip(predictions.prediction, predictions.choices, strict=True)],
        char_accuracy=metrics.char_accuracy(predictions.prediction, predictions.target),
        blank=predictions.prediction.str.strip() == "",
        simulated=predictions.simulated.astype(bool),  # `object` after a concat with no rows: ~True would be -2
    )
    frame["guess"] = [1 / len(json.loads(c)) if c != "[]" else math.nan for c in frame.choices]
    for name in ("correct", "choice_correct"):  # `object` after a concat where nothing was chosen: NA is no float
        frame[name] = frame[name].astype("boolean").astype("Float64").to_numpy(float, na_value=math.nan)
    frame = frame.join(_text_scores(frame))
    verdicts = [
        _verdicts(p, facts.get(i, ()), language) if task == "description" else []
        for p, i, task, language in zip(frame.prediction, frame.image_id, frame.task, frame.language, strict=True)
    ]
    frame["n_claims"] = [len(v) for v in verdicts]
    frame["n_supported"] = [v.count("supported") for v in verdicts]
    frame["hallucinated"] = [float(len(v) > v.count("supported")) for v in verdicts]
    return frame


def _text_scores(frame: pd.DataFrame) -> pd.DataFrame:
    """BLEU and ROUGE of each answer under every profile, and the counts of its corpus BLEU."""
    parts = [
        pd.DataFrame(
            nlg.pairs(frame.prediction, frame.target, profile),
            columns=[f"{profile}.{name}" for name in nlg.NLG],
            index=frame.index,
        )
        for profile in nlg.PAIR_PROFILES
    ]
    counts = pd.DataFrame(0.0, columns=BLEU_COUNTS, index=frame.index)
    for language, part in frame.groupby("language"):
        counts.loc[part.index] = nlg.bleu_statistics(part.prediction, part.target, language)
    unscored = nlg.blank(frame.prediction, frame.target)
    return pd.concat([*parts, counts], axis=1).assign(unscored=unscored.astype(float))


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
    but `swift_nlg` leaves them out; `strict` beside a BLEU or ROUGE counts them. Intervals: 95 %, days resampled.
    `floor` is what the constant cheat scores, `chance` that of guessing. A tuned record holds `difference`, tuned -
    base over the `difference_n` items that both have a score of, with its interval. BLEU and ROUGE are times 100, all
    else is in 0..1. A `value` of None has a `reason`.
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


def measures(task: str) -> list[tuple[str, str]]:
    """(metric, profile) of a task or family."""
    text = [(name, profile) for profile in (*nlg.PAIR_PROFILES, "strict") for name in nlg.NLG]
    text.append(("bleu_4", "sacrebleu"))
    if task == "ocr":
        return [("exact_match", "nfkc"), ("char_accuracy", "levenshtein")]
    if task == "description":
        return [*text, ("fact_precision", "claims"), ("hallucination_rate", "claims")]
    if task == "interpretation_qa":
        return text
    if task == "overall":
        return [("accuracy", "greedy")]
    if task == "grounding":
        return [(metric, grounding_scores.PROFILE) for metric in grounding_scores.METRICS]
    closed = [("accuracy", "greedy"), ("accuracy", "choice"), ("parse_coverage", "greedy")]
    return [*closed, ("macro_f1", "greedy")] if task.startswith("qa.") else closed


def _task_records(by_model: Mapping[str, Rows], head: Mapping, options: dict) -> list[dict]:
    """One record a measure and model, `floor` and `chance` on each, the paired difference on that of `tuned`."""
    records = []
    for metric, profile in measures(head["task"]):
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
    if metric in nlg.NLG:
        values = rows[f"{'swift_nlg' if profile == 'strict' else profile}.{metric}"]
        left_out, failed = np.isnan(values), rows["unscored"] > 0
        if profile == "strict":
            return np.where(failed, 0.0, np.nan_to_num(values)), one, failed
        return np.nan_to_num(values), one - left_out, failed
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
    elif profile == "sacrebleu":
        return _corpus_bleu(rows, options)
    else:
        numerator, denominator, fails = _column(rows, metric, profile)
        n, failed = denominator.sum(), fails.sum()
        value = numerator.sum() / n if n else math.nan
        low, high = metrics.interval(numerator, rows["group_id"], weights=denominator, **options)
    record = {"value": _number(value), "n": int(n), "n_failed": int(failed)}
    record |= {"ci_low": _number(low), "ci_high": _number(high)}
    if metric in nlg.NLG:  # what the mean is with every failed item counted as zero
        record["strict"] = _number(np.where(rows["unscored"] > 0, 0.0, numerator).sum() / len(numerator))
    return record if record["value"] is not None else record | {"reason": "nothing to score"}


def _corpus_bleu(rows: Rows, options: dict) -> dict:
    """sacrebleu's corpus BLEU, with its signature. Empty answers are part of the corpus: `strict` changes nothing."""
    record = {"n": len(rows["target"]), "n_failed": int(rows["unscored"].sum())}
    languages = set(rows["language"])
    if len(languages) > 1:
        empty = {"value": None, "ci_low": None, "ci_high": None, "strict": None}
        return record | empty | {"reason": "a corpus BLEU has one tokenizer: see zh and en"}
    counts = np.stack([rows[name] for name in BLEU_COUNTS], axis=1)
    low, high = metrics.statistic_interval(nlg.corpus_bleu, counts, rows["group_id"], **options)
    value = _number(nlg.corpus_bleu(counts.sum(axis=0)))
    signature = nlg.sacrebleu_signature(languages.pop())
    return record | {
        "value": value, "ci_low": _number(low), "ci_high": _number(high), "strict": value, "signature": signature,
    }  # fmt: skip


def _chance(rows: Rows, profile: str) -> float | None:
    """What guessing among the choices scores; None where an open question is among them."""
    asked = _column(rows, "accuracy", profile)[1] > 0
    return _number(rows["guess"][asked].mean()) if asked.any() else None


def _difference(by_model: Mapping[str, Rows], model: str, metric: str, profile: str, options: dict) -> dict:
    names = ("difference", "difference_low", "difference_high", "difference_n")
    if model != "tuned" or "base" not in by_model or metric in ("macro_f1", "fact_precision") or profile == "sacrebleu":
        return dict.fromkeys(names)
    base, tuned = (
        np.where(denominator > 0, numerator, np.nan)
        for numerator, denominator, _ in (_column(by_model[m], metric, profile) for m in MODELS)
    )
    values = metrics.paired_difference(base, tuned, by_model["tuned"]["group_id"], **options)
    n_pairs = int(np.isfinite(tuned - base).sum())
    return dict(zip(names, (*map(_number, values), n_pairs), strict=True))


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
# looking records up


def find(records: Iterable[Mapping], **wanted: str) -> dict | None:
    """The first record whose fields are those wanted, or None."""
    return next((dict(r) for r in records if all(r.get(k) == v for k, v in wanted.items())), None)


def stamp(run_profile: str) -> str:
    """What stands above every table and figure: which run profile made the numbers, and what they are worth."""
    return TINY_STAMP if run_profile in ("tiny", "smoke") else f"profile {run_profile}"


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
