"""What a model's answers are worth when it may keep silent where it is not sure, beside what they are worth raw.

Back-off after Mohri & Hashimoto 2024 ("Language Models with Conformal Factuality Guarantees", arXiv:2402.10978): an
answer keeps the sentences that the model is surer of than a threshold, and the threshold is calibrated on days that are
neither trained on nor tested. Risk and coverage after Geifman & El-Yaniv 2017 (arXiv:1705.08500). Reads the sentences
of `jwvl_lib.sureness`; writes nothing. Nothing here replaces a raw number.

The promise is that of split conformal prediction: of all answers, at most alpha are kept and wrong, on average over
calibration sets, for answers exchangeable with those of the calibration. Of the share among the kept it is an estimate.
Answers about one day are alike, so the promise is weaker than their number says; what the test days then show stands
beside it, with intervals over days.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jwvl_lib import fact_scores
from jwvl_lib.facts import Fact

ALPHA = 0.02  # the risk that is allowed: the bar of hallucinations
SURE = "claims"  # the measure of `sureness` by which sentences are kept
TASKS = ("overall", "description", "qa", "ocr")
TWIN = "qa_twin"  # a closed question in the other language: for the comparison of languages only
NOT_RUN = "not run: the endpoint does not say how sure it was"


@dataclass(frozen=True)
class Threshold:
    """From which sureness on a sentence is kept, and what the calibration says of it."""

    value: float  # inf where no threshold holds the risk: nothing is kept
    alpha: float
    n: int  # calibration answers of which something is kept, and how many of those keep something wrong;
    n_wrong: int  # where nothing is kept, those at the threshold of least corrected risk
    n_answers: int  # all calibration answers, and their days
    n_days: int

    @property
    def holds(self) -> bool:
        """Whether any threshold keeps the corrected risk within alpha."""
        return math.isfinite(self.value)

    @property
    def risk(self) -> float:
        """The corrected risk (n_wrong + 1) / (n + 1)."""
        return (self.n_wrong + 1) / (self.n + 1)

    @property
    def reading(self) -> str:
        """In words: what it was calibrated on and, where that was too little, how much it would take."""
        least = math.ceil(1 / self.alpha - 1e-9) - 1
        on = f"calibrated on {self.n_answers} answers of {self.n_days} validation days"
        if self.holds:
            found = f"({self.n_wrong} + 1) / ({self.n} + 1) = {self.risk:.4f}"
            days = (
                "" if self.n_days >= least else f"; were days the unit, {least} days without an error would be needed"
            )
            return f"{on}: {found}, at most {self.alpha:g}{days}"
        if not self.n_answers:
            return f"nothing to calibrate on: at least {least} answers without an error are needed for {self.alpha:g}"
        if not self.n:
            return f"{on}: sure of none; at least {least} without an error are needed for {self.alpha:g}"
        share = self.n_wrong / self.n
        found = f"({self.n_wrong} + 1) / ({self.n} + 1) = {self.risk:.3f}"
        best = f"{on}: no threshold holds {self.alpha:g}, the best is {found}"
        if share >= self.alpha:
            return f"{best}; more answers like these would not help, the surest are wrong too often"
        needed = math.ceil((1 - self.alpha) / (self.alpha - share) - 1e-9)
        return f"{best}: too few, at this share of errors {needed} kept answers are needed"


def _by_answer(said: pd.DataFrame, sure: str = SURE) -> pd.DataFrame:
    """A row an answer: up to which threshold it says anything (`kept`), and anything wrong (`wrong`; -inf: never)."""
    wrong = said[sure].where(said.wrong.astype(bool), -np.inf)
    key = [said.annotation_id, said.model]
    grouped = pd.DataFrame({"kept": said[sure], "wrong": wrong, "group_id": said.group_id}).groupby(key, sort=False)
    return grouped.agg({"kept": "max", "wrong": "max", "group_id": "first"})


def risk_coverage(said: pd.DataFrame, sure: str = SURE) -> pd.DataFrame:
    """Every threshold, highest first, with n answers kept, n_wrong of them, their `coverage` and `risk`.

    An answer is kept while one of its sentences is, and wrong when one that is kept is wrong. What is sure of nothing
    (0) no threshold keeps: an answer that says nothing makes no room for another's error.
    """
    answers = _by_answer(said, sure)
    levels = np.unique(said[sure][said[sure] > 0])[::-1]
    n, n_wrong = (len(answers) - np.searchsorted(np.sort(answers[c]), levels) for c in ("kept", "wrong"))
    found = pd.DataFrame({"threshold": levels, "n": n, "n_wrong": n_wrong}).astype({"n": int, "n_wrong": int})
    return found.assign(coverage=found.n / max(1, len(answers)), risk=found.n_wrong / found.n)


def calibrate(said: pd.DataFrame, alpha: float = ALPHA, sure: str = SURE) -> Threshold:
    """The least threshold at which the corrected risk (n_wrong + 1) / (n + 1) of what is kept is at most `alpha`.

    `said` are the sentences of one model on calibration days. Dividing by the kept answers, not by all, is stricter
    than the conformal rule: the threshold is at least as high, and the share kept and wrong only falls with it. Raises
    ValueError for an alpha outside 0..1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"the allowed risk is {alpha}: give a number between 0 and 1, as 0.02")
    size = {"n_answers": said.annotation_id.nunique(), "n_days": said.group_id.nunique()}
    curve = risk_coverage(said, sure)
    if curve.empty:
        return Threshold(math.inf, alpha, 0, 0, **size)
    corrected = (curve.n_wrong + 1) / (curve.n + 1)
    held = curve[corrected <= alpha + 1e-12]
    at = held.iloc[-1] if len(held) else curve.loc[corrected.idxmin()]
    return Threshold(float(at.threshold) if len(held) else math.inf, alpha, int(at.n), int(at.n_wrong), **size)


def thresholds(said: pd.DataFrame, alpha: float = ALPHA, sure: str = SURE) -> dict[tuple[str, str], Threshold]:
    """By model and task (`overall`: one for all): `calibrate` on the simulated sentences of the split `val`."""
    part = said[(said.split == "val") & (said.task != TWIN)]
    return {
        (model, task): calibrate(part[(part.model == model) & ((part.task == task) | (task == "overall"))], alpha, sure)
        for model in fact_scores.MODELS
        for task in TASKS
    }


# --------------------------------------------------------------------------------------------------------------------
# on the test days


def kept(said: pd.DataFrame, found: Mapping[tuple[str, str], Threshold], by_task: bool, sure: str = SURE) -> pd.Series:
    """Whether each sentence is kept, by the one threshold of its model or by that of its task."""
    tasks = said.task.replace(TWIN, "qa") if by_task else ["overall"] * len(said)
    levels = [found[key].value for key in zip(said.model, tasks, strict=True)]
    # sure of nothing: no threshold keeps it, however low
    return (said[sure] >= pd.Series(levels, index=said.index, dtype=float)) & (said[sure] > 0)


def records(
    said: pd.DataFrame,
    found: Mapping[tuple[str, str], Threshold],
    facts: Mapping[str, Iterable[Fact]],
    about: Mapping[str, str],
    **options: float,
) -> list[dict]:
    """Records of `metrics.json` (section `backoff`), simulated test days; profile `backoff`: one threshold for all
    answers of a model, `backoff.by_task`: one a task.

    threshold (n: calibration answers kept); sentence_coverage and answer_coverage: shares kept; of the answers of which
    something is kept: hallucination_rate, and accuracy of closed questions and banners; of the questions to which both
    languages keep something: zh_en_same, zh_en_contradiction. `raw`, `raw_n`: the same measure with nothing left out.
    """
    test = said[said.split == "test"]
    raw = _compared(test, facts, about)
    rows = []
    for profile, by_task in (("backoff", False), ("backoff.by_task", True)):
        marked = test.assign(kept=kept(test, found, by_task))
        pairs = {"kept": _compared(marked[marked.kept], facts, about), "raw": raw}
        for model in fact_scores.MODELS:
            for task in TASKS[1:] if by_task else TASKS:
                head = {"task": task, "profile": profile, "language": "all", "group": "simulated", "model": model}
                head |= {"section": "backoff"} | dict.fromkeys(("floor", "chance", *fact_scores.DIFFERENCE))
                if by_task or task == "overall":
                    rows.append(_threshold_record(head, found[model, task]))
                parts = [_part(frame, model, task) for frame in (marked, *pairs.values())]
                rows += _task_records(parts[0], head, options) + _language_records(*parts[1:], head, options)
    return rows


def _part(frame: pd.DataFrame, model: str, task: str) -> pd.DataFrame:
    return frame[(frame.model == model) & ((frame.task == task) | (task == "overall"))]


def not_run() -> list[dict]:
    """What stands in the table where nobody knows how sure the models were."""
    head = {"task": "overall", "metric": "threshold", "profile": "backoff", "language": "all", "group": "simulated"}
    head |= {"section": "backoff"} | dict.fromkeys(("floor", "chance", *fact_scores.DIFFERENCE, "ci_low", "ci_high"))
    return [
        head | {"model": model, "value": None, "n": 0, "n_failed": 0, "reason": NOT_RUN} for model in fact_scores.MODELS
    ]


def _threshold_record(head: dict, rule: Threshold) -> dict:
    row = head | {"metric": "threshold", "n": rule.n, "n_failed": 0, "ci_low": None, "ci_high": None}
    row |= {"value": round(rule.value, 6) if rule.holds else None, "reading": rule.reading}
    return row if rule.holds else row | {"reason": "none: silent throughout"}


def _task_records(part: pd.DataFrame, head: dict, options: dict) -> list[dict]:
    asked = part[part.task != TWIN]
    if asked.empty:
        return []
    false = asked.n_hallucinated > 0
    marks = {"said": asked.kept, "said_false": asked.kept & false, "false": false, "wrong": asked.wrong.astype(bool)}
    keys = ["annotation_id", "group_id", "task"]
    answers = asked[keys].assign(**marks).groupby(keys, as_index=False).max()
    closed = answers[answers.task != "description"]
    measures = {
        "sentence_coverage": (asked.kept, np.ones(len(asked)), asked.group_id, None),
        "answer_coverage": (answers.said, np.ones(len(answers)), answers.group_id, None),
        "hallucination_rate": (answers.said_false, answers.said, answers.group_id, answers.false),
    }
    if len(closed):
        measures["accuracy"] = (closed.said & ~closed.wrong, closed.said, closed.group_id, ~closed.wrong)
    return [head | {"metric": name} | _ratio(*measure, options) for name, measure in measures.items()]


def _ratio(numerator, denominator, groups: pd.Series, raw: pd.Series | None, options: dict) -> dict:
    row = fact_scores.ratio(numerator, denominator, 0, groups, options, reason="nothing is kept")
    if raw is not None and len(raw):
        row |= {"raw": round(float(raw.mean()), 6), "raw_n": len(raw)}
        row["reading"] = f"raw {row['raw']:.3f} (n={row['raw_n']})"
    return row


def _compared(said: pd.DataFrame, facts: Mapping, about: Mapping) -> pd.DataFrame:
    texts = texts_of(said).assign(where="simulated")
    return fact_scores.consistency(texts.assign(task=texts.task.replace(TWIN, "qa")), facts, about)


def _language_records(now: pd.DataFrame, raw: pd.DataFrame, head: dict, options: dict) -> list[dict]:
    """Do both languages say the same, of the questions to which both keep something (`now`) and of all (`raw`)?"""
    if raw.empty:
        return []
    names, one = {"zh_en_same": "same", "zh_en_contradiction": "contradicts"}, np.ones(len(now))
    head = head | {"language": "zh|en"}
    return [head | {"metric": m} | _ratio(now[c], one, now.group_id, raw[c], options) for m, c in names.items()]


def texts_of(said: pd.DataFrame) -> pd.DataFrame:
    """A row an answer, `prediction` being its sentences in `said` put together; answers without any are left out."""
    keys = ["annotation_id", "image_id", "prompt_id", "model", "task", "language", "group_id", "choices"]
    ordered = said.sort_values(["annotation_id", "model", "sentence"])
    return ordered.groupby(keys, as_index=False, sort=False).agg(prediction=("text", " ".join))


def summary(found: Sequence[Mapping], profile: str = "backoff") -> pd.DataFrame:
    """The records of a profile to be read: a row a task and measure; of base and tuned what it was raw and is kept."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for r in found:
        if r["profile"] == profile and r["metric"] != "threshold":
            row = rows.setdefault((r["task"], r["metric"]), {})
            row[f"{r['model']} raw"] = f"{r['raw']:.3f} (n={r['raw_n']})" if "raw" in r else "1"
            kept_now = [r[name] for name in ("value", "ci_low", "ci_high")]
            shown = "{:.3f} [{:.3f}, {:.3f}]" if None not in kept_now else "{:.3f}"
            row[f"{r['model']} kept"] = "silent" if r["value"] is None else shown.format(*kept_now) + f" (n={r['n']})"
    return pd.DataFrame([{"task": task, "measure": metric} | row for (task, metric), row in rows.items()])
