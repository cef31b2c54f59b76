"""Is the score earned? Rows that expose leaked answers, permuted labels, constants, a favoured place, silence.

Reads predictions and annotations in memory; writes nothing. Each row stands in `metrics.json` (section `checks`) with
a `reading` in words; the table prints it beside the number.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jwvl_lib import metrics

MODELS = ("base", "tuned")
N_PERMUTATIONS = 999
ALPHA = 0.01
PLANTS = {  # what a cheat does -> the check that names it
    "answers leaked": "leaked_share",
    "labels permuted": "accuracy_permuted",
    "constant answers": "commonest_share",
    "first option, whatever it is": "favoured_place_share",
    'always "None"': "unusable_share",
}
FAVOURED = 0.3  # more of the answers than of the right ones at one place among the options: the place was chosen


def records(
    scores: pd.DataFrame, trained: pd.DataFrame, *, seed: int = 0, tasks: Sequence[str] = ("qa", "ocr")
) -> list[dict]:
    """Four checks a task with one right answer and model, simulated and real apart; two more where there are options.

    `scores` are those of `bench.score`; `trained` has image_id, group_id and, where known, sha256 of what was learned
    from. leaked_share: questions about an image or a day also trained on; accuracy_permuted: the score after the right
    answers were dealt out anew among questions of one kind, with p (`p_value`) of a score as high as the true one;
    commonest_share: share of the most frequent answer, beside that of the targets; unusable_share: answers that are
    empty or none of the choices. With options: told_share, questions whose wording names the right one and no other;
    favoured_place_share, answers at the commonest place among the options, beside the right answers there.
    """
    rows = []
    part = scores[scores.task.isin(tasks) & scores.model.isin(MODELS)]
    for (where, task, model), rest in part.groupby(["where", "task", "model"]):
        head = {"task": task, "language": "all", "group": where, "profile": "check", "model": model}
        checks = [_leaked(rest, trained), _permuted(rest, seed), _commonest(rest), _unusable(rest)]
        if {"question", "choices"} <= set(rest) and (rest.choices != "[]").all():
            checks += [_told(rest), _favoured(rest)]
        rows += [head | {"section": "checks"} | check for check in checks]
    return rows


def _record(metric: str, value: float, n: int, reading: str, n_failed: int = 0, **more: float) -> dict:
    empty = dict.fromkeys(("ci_low", "ci_high", "floor", "chance", "difference", "difference_low", "difference_high"))
    numbers = {"value": round(float(value), 6), "n": int(n), "n_failed": int(n_failed)}
    return {"metric": metric} | empty | numbers | {"reading": reading} | more


def _leaked(rows: pd.DataFrame, trained: pd.DataFrame) -> dict:
    leaked = rows.image_id.isin(trained.image_id) | rows.group_id.isin(trained.group_id)
    if "sha256" in rows and "sha256" in trained:  # the same picture under another name
        leaked |= rows.sha256.isin(trained.sha256)
    if not leaked.any():
        return _record("leaked_share", 0.0, len(rows), "nothing asked was trained on")
    seen, unseen = (_mean(rows.correct[mask]) for mask in (leaked, ~leaked))
    reading = f"LEAKED: {leaked.sum()} of {len(rows)} asked were trained on; correct {seen:.3f}, else {unseen:.3f}"
    return _record("leaked_share", leaked.mean(), len(rows), reading)


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else math.nan


def _permuted(rows: pd.DataFrame, seed: int) -> dict:
    """Permutation test within kinds of question: does the score hang on which image was asked about?"""
    said, true = (rows[side].map(metrics.normalize).to_numpy(object) for side in ("prediction", "target"))
    score = (said == true).mean()
    dealt = (_dealt(rows, np.random.default_rng(seed), N_PERMUTATIONS) == said).mean(axis=1)
    p = (1 + (dealt >= score - 1e-12).sum()) / (1 + N_PERMUTATIONS)
    earned = f"score {score:.3f}, p={p:.3f}: "
    earned += "hangs on the image" if p <= ALPHA else "NOT EARNED: as good with the answers dealt out anew"
    return _record("accuracy_permuted", dealt.mean(), len(rows), earned, p_value=round(float(p), 6))


def _dealt(rows: pd.DataFrame, rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, rows) right answers dealt out anew, normalized: an open question takes that of another of its kind.

    A closed one draws among its own options, each as often as it is right in its kind: an answer to another image that
    is not offered could never be said, and whoever guesses among the options would beat it without a look.
    """
    kinds, true = _kinds(rows), rows.target.map(metrics.normalize).to_numpy(object)
    dealt = np.stack([true[_shuffled(kinds, rng)] for _ in range(n)])
    n_right = Counter(zip(kinds, true, strict=True))
    for k, listed in enumerate(rows.choices if "choices" in rows else ()):
        options = [metrics.normalize(c) for c in json.loads(listed)]
        weights = np.array([n_right[kinds[k], option] for option in options], dtype=float)
        if weights.any():
            dealt[:, k] = rng.choice(options, n, p=weights / weights.sum())
    return dealt


def _kinds(rows: pd.DataFrame) -> np.ndarray:
    return rows.groupby(["prompt_id", "language"]).ngroup().to_numpy()


def _shuffled(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation of all rows that leaves each in its kind."""
    order = np.argsort(kinds, kind="stable")
    dealt = np.empty(len(kinds), dtype=int)
    dealt[order] = np.lexsort((rng.random(len(kinds)), kinds))
    return dealt


def _commonest(rows: pd.DataFrame) -> dict:
    """Mean over kinds with at least two right answers of the share of the most frequent answer."""
    kinds = [g for _, g in rows.groupby(["prompt_id", "language"]) if g.target.nunique() > 1]
    if not kinds:
        return _record("commonest_share", 1.0, 0, "every kind of question has one right answer only")
    n = sum(map(len, kinds))
    said, true = (
        sum(g[c].map(metrics.normalize).value_counts().iloc[0] for g in kinds) / n for c in ("prediction", "target")
    )
    constant = all(g.prediction.nunique() == 1 for g in kinds)
    reading = f"targets {true:.3f}" + ("; CONSTANT: one answer to each kind of question, whatever the image" * constant)
    return _record("commonest_share", said, n, reading)


def _unusable(rows: pd.DataFrame) -> dict:
    nothing = rows.blank | rows.prediction.map(metrics.normalize).str.casefold().isin(("none", "无", "n/a", "null"))
    failed = nothing.astype(bool) | (rows.parsed == 0)
    reading = f"{int(nothing.sum())} say nothing" + (": NO ANSWERS" if nothing.mean() > 0.5 else "")
    return _record("unusable_share", failed.mean(), len(rows), reading, int(failed.sum()))


def _told(rows: pd.DataFrame) -> dict:
    """Does the wording, apart from its list of options, name the right one? A word of every wording tells nothing."""
    named = []
    for question, choices in zip(rows.question, rows.choices, strict=True):
        options = json.loads(choices)
        extra = [o for o in options if question.count(o) > sum(other.count(o) for other in options)]
        named.append(extra[0] if len(extra) == 1 else "")
    named = pd.Series(named, index=rows.index)
    right = (named == rows.target) & (named != "")
    telling = right.sum() == (named != "").sum() and named[named != ""].nunique() > 1
    reading = f"the wording names one option {int((named != '').sum())} times, the right one {int(right.sum())} times"
    return _record("told_share", right.mean(), len(rows), ("TOLD: " if telling else "") + reading)


def _favoured(rows: pd.DataFrame) -> dict:
    """Does the place among the options decide, whatever stands there? Unreadable answers have none."""
    said, true = (_places(rows, column) for column in ("prediction", "target"))
    if not said.notna().any():
        return _record("favoured_place_share", 0.0, len(rows), "no answer is one of the options")
    place = said.value_counts().idxmax()
    at_place, right_there = (said.dropna() == place).mean(), (true == place).mean()
    reading = f"right answers there {right_there:.3f}"
    if at_place > right_there + FAVOURED:
        reading += f"; PLACE: option {int(place) + 1} is chosen, whatever stands there"
    return _record("favoured_place_share", at_place, len(rows), reading, int(said.isna().sum()))


def _places(rows: pd.DataFrame, column: str) -> pd.Series:
    found = []
    for text, choices in zip(rows[column], rows.choices, strict=True):
        listed = [metrics.normalize(c) for c in json.loads(choices)]
        said = metrics.normalize(text)
        found.append(listed.index(said) if said in listed else math.nan)
    return pd.Series(found, index=rows.index)


# --------------------------------------------------------------------------------------------------------------------
# cheats planted, to see that they are caught


def planted(scores: pd.DataFrame, trained: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """What the checks say of a perfect model and of it once cheating in each way of `PLANTS`: cheat, check, reading.

    `scores` are rows of one task and of closed questions; a leak puts half of their images among the trained. Without
    any row nothing is planted.
    """
    if scores.empty:
        return pd.DataFrame(columns=["cheat", "check", "reading"])
    rows = scores.drop_duplicates("annotation_id").assign(model="tuned", task="planted")
    rng = np.random.default_rng(seed)
    first = rows.choices.map(lambda text: json.loads(text)[0])
    common = rows.groupby(["prompt_id", "language"]).target.transform(lambda t: t.value_counts().idxmax())
    dealt = pd.Series(_dealt(rows, rng, 1)[0], rows.index)
    said = dict(zip(PLANTS, (rows.target, dealt, common, first, "None"), strict=True))
    half = pd.concat([trained, rows[["image_id", "group_id"]].iloc[::2]])
    found = []
    for cheat, check in PLANTS.items():
        for name, texts, learnt in (("none", rows.target, trained), (cheat, said[cheat], half)):
            shown = records(_saying(rows, texts), learnt if check == "leaked_share" else trained, tasks=["planted"])
            reading = next(r["reading"] for r in shown if r["metric"] == check)
            found.append({"cheat": name, "check": check, "reading": reading})
    return pd.DataFrame(found).drop_duplicates(ignore_index=True)


def _saying(rows: pd.DataFrame, texts: pd.Series | str) -> pd.DataFrame:
    """The rows with other answers, and what `bench.score` makes of them as far as the checks look."""
    rows = rows.assign(prediction=texts, blank=False)
    listed = [[metrics.normalize(c) for c in json.loads(text)] for text in rows.choices]
    said = rows.prediction.map(metrics.normalize)
    correct = metrics.exact(rows.prediction, rows.target).astype(float)
    return rows.assign(correct=correct, parsed=[float(t in c) for t, c in zip(said, listed, strict=True)])
