"""What answers claim, against the facts of their image: precision, recall and hallucination by kind, and whether the
Chinese and the English answer to one question say the same. Reads predictions in memory; writes nothing.

The claims are those of `jwvl_lib.claims`, the facts those of the corpus; no language model takes part.
"""

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from jwvl_lib import claims, grounded, metrics
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import visible_facts

ALL = "all"  # every kind together
COUNTS = ("n_claims", "n_supported", "n_hallucinated", "n_facts", "n_found")
HEAD = ["annotation_id", "image_id", "prompt_id", "model", "where", "task", "language", "group_id"]
MODELS = ("base", "tuned")
DIFFERENCE = ("difference", "difference_low", "difference_high")


def tally(scores: pd.DataFrame, facts: Mapping[str, Iterable[Fact]], about: Mapping[str, str]) -> pd.DataFrame:
    """A row an answer and fact kind (and one for all kinds): how much was claimed, supported, hallucinated and found.

    `scores` are those of `bench.score`; `about` gives what a prompt_id asks for, without which a bare "yes" claims
    nothing. `n_facts` is what could have been said: of a description the facts a viewer can confirm (the banner's text
    is read by OCR), of a question the fact it asks for. `n_hallucinated` counts contradicted and unsupported claims.
    """
    known = {image: list(found) for image, found in facts.items()}
    rows = []
    for row in scores[scores.model.isin(MODELS)].to_dict("records"):
        if row["where"] == "general":
            continue
        asked = about.get(row["prompt_id"], "")
        here = known.get(row["image_id"], [])
        judged = [(c, *claims.judge(c, here)) for c in claims.extracted(row["prediction"], row["language"], asked)]
        wanted = _wanted(here, row["task"], asked)
        found = {fact.fact_id for _, verdict, fact in judged if verdict == "supported" and fact}
        head = {name: row[name] for name in HEAD}
        kinds = sorted({c.kind for c, _, _ in judged} | {f.kind for f in wanted})
        for kind in (ALL, *kinds):
            rows.append(head | {"kind": kind} | _counts(judged, wanted, found, kind))
    return pd.DataFrame(rows, columns=[*HEAD, "kind", *COUNTS])


def _wanted(facts: list[Fact], task: str, asked: str) -> list[Fact]:
    seen = visible_facts(facts, claims.largest_region(facts), asked)
    if task == "description":
        return [f for f in seen if f.kind != "banner_text"]
    kind = asked.rpartition(":")[2]
    return [f for f in seen if f.kind == kind]


def _counts(judged: list[tuple], wanted: list[Fact], found: set[str], kind: str) -> dict[str, int]:
    said = [verdict for claim, verdict, _ in judged if kind in (ALL, claim.kind)]
    supported = said.count("supported")
    could = [f for f in wanted if kind in (ALL, f.kind)]
    n_found = sum(f.fact_id in found for f in could)
    return dict(zip(COUNTS, (len(said), supported, len(said) - supported, len(could), n_found), strict=True))


def records(tallied: pd.DataFrame, consistent: pd.DataFrame, **options: float) -> list[dict]:
    """Records (section `facts`) of precision, recall and hallucination rate by task and kind, and of consistency.

    Task `overall` is all of them together. fact_precision: supported claims per claim; fact_recall: facts found per
    fact that could be said; hallucination_rate: answers with a claim that no fact supports. All languages together for
    a single kind; each language for all kinds. `n` counts claims, facts or answers; an answer that claims nothing
    counts in `n_failed`.
    """
    rows = []
    together = tallied[tallied.kind == ALL].assign(task="overall")
    for (where, task, kind), part in pd.concat([tallied, together]).groupby(["where", "task", "kind"]):
        for language in (ALL, "zh", "en") if kind == ALL else (ALL,):
            chosen = part if language == ALL else part[part.language == language]
            head = {"task": task, "language": language, "group": where, "section": "facts"}
            head["profile"] = "claims.by_kind" if kind == ALL else f"claims.{kind}"
            for model in MODELS:
                rows += _fact_records(chosen[chosen.model == model], head | {"model": model}, options)
    both = pd.concat([consistent, consistent.assign(task="overall")])
    for (where, task), part in both.groupby(["where", "task"]):
        head = {"task": task, "language": "zh|en", "group": where, "section": "facts", "profile": "claims"}
        for model in MODELS:
            rows += _consistency_records(part[part.model == model], head | {"model": model}, options)
    return rows


def misses(tallied: pd.DataFrame, model: str = "tuned", where: str = "simulated") -> pd.DataFrame:
    """Where the hallucinations are: a row a task and kind, n_claims, n_hallucinated and their `share`, most first."""
    part = tallied[(tallied.model == model) & (tallied["where"] == where) & (tallied.kind != ALL)]
    found = part.groupby(["task", "kind"], as_index=False)[["n_claims", "n_hallucinated"]].sum()
    found = found[found.n_claims > 0].assign(share=lambda f: (f.n_hallucinated / f.n_claims).round(3))
    return found.sort_values(["n_hallucinated", "n_claims"], ascending=False, ignore_index=True)


# what a tuned model is to reach on held-out simulated days: task, metric, profile, language, bar, is more better?
TARGETS = {
    "banner read exactly": ("ocr", "exact_match", "nfkc", "all", 0.95, True),
    "same facts in Chinese and English": ("overall", "zh_en_same", "claims", "zh|en", 0.97, True),
    "answers with a hallucination": ("overall", "hallucination_rate", "claims.by_kind", "all", 0.02, False),
}


def targets(found: Sequence[Mapping], model: str = "tuned") -> pd.DataFrame:
    """`TARGETS` beside what simulated days gave: value, n, interval, and whether the bar is `held`."""
    rows = []
    for name, (task, metric, profile, language, bar, more) in TARGETS.items():
        wanted = {"task": task, "metric": metric, "profile": profile, "language": language, "model": model}
        wanted |= {"group": "simulated"}
        record = next((r for r in found if wanted.items() <= r.items()), {})
        value = record.get("value")
        held = value is not None and (value >= bar if more else value <= bar)
        row = {"what": name, "bar": f"{'≥' if more else '≤'} {bar}", "value": value, "n": record.get("n", 0)}
        rows.append(row | {"ci_low": record.get("ci_low"), "ci_high": record.get("ci_high"), "held": held})
    return pd.DataFrame(rows)


def _fact_records(part: pd.DataFrame, head: dict, options: dict) -> list[dict]:
    if part.empty:
        return []
    silent = int((part.n_claims == 0).sum())
    one = np.ones(len(part))
    measures = {
        "fact_precision": (part.n_supported, part.n_claims, silent),
        "fact_recall": (part.n_found, part.n_facts, int(((part.n_claims == 0) & (part.n_facts > 0)).sum())),
        "hallucination_rate": (part.n_hallucinated > 0, one, silent),
    }
    return [head | {"metric": name} | ratio(*m, part.group_id, options) for name, m in measures.items()]


def ratio(
    numerator,
    denominator,
    n_failed: int,
    groups: pd.Series,
    options: dict,
    reason: str = "nothing claimed, nothing to say",
) -> dict:
    """The numbers of a record: a share with its interval over `groups`, n, and the `reason` where there is nothing."""
    numerator, denominator = (np.asarray(x, dtype=float) for x in (numerator, denominator))
    total = denominator.sum()
    low, high = metrics.interval(numerator, groups, weights=denominator, **options)
    numbers = {"value": numerator.sum() / total if total else math.nan, "ci_low": low, "ci_high": high}
    record = {k: round(float(v), 6) if math.isfinite(v) else None for k, v in numbers.items()}
    record |= {"n": int(total), "n_failed": n_failed} | dict.fromkeys(("floor", "chance", *DIFFERENCE))
    return record if total else record | {"reason": reason}


# --------------------------------------------------------------------------------------------------------------------
# the same question in both languages


def consistency(scores: pd.DataFrame, facts: Mapping[str, Iterable[Fact]], about: Mapping[str, str]) -> pd.DataFrame:
    """A row a question asked in both languages: do both answers claim the same?

    `same`: the same claims; `jaccard`: shared claims per claim; `contradicts`: the languages differ on one thing (same
    kind and region); `silent`: an answer claims nothing. Silence on both sides is no agreement: it would let a model
    that always says "None" look consistent. "Cannot be told", where the question offers it (column `choices`), is no
    silence but an answer about the picture.
    """
    keys = ["model", "where", "task", "image_id", "prompt_id", "group_id"]
    part = scores[scores.model.isin(MODELS) & (scores["where"] != "general")]
    rows = []
    for key, both in part.groupby(keys):
        if set(both["language"]) >= {"zh", "en"}:
            asked = about.get(key[4], "")
            said = {r["language"]: _answered(r, asked) for r in both.to_dict("records")}
            rows.append(dict(zip(keys, key, strict=True)) | _compared(said["zh"], said["en"]))
    return pd.DataFrame(rows, columns=[*keys, "same", "jaccard", "contradicts", "silent"])


def _answered(row: Mapping, asked: str) -> frozenset[tuple]:
    """What an answer claims; of a question that may be answered so, that it cannot be told."""
    said, (scope, _, kind) = _said(row["prediction"], row["language"], asked), asked.rpartition(":")
    if said or scope != grounded.UNTOLD:
        return said
    offered = {metrics.normalize(choice) for choice in json.loads(row.get("choices") or "[]")}
    is_untold = metrics.normalize(row["prediction"]) in offered  # every other choice claims something
    return frozenset({((kind, None, False), (grounded.UNTOLD, False))}) if is_untold else said


@functools.lru_cache(maxsize=2**14)
def _said(text: str, language: str, asked: str) -> frozenset[tuple]:
    """Claims as (what it is about, value): in the terms of the facts, so that languages can be compared."""
    return frozenset(
        ((c.kind, c.noaa_ar, c.of_largest), (str(c.value).casefold(), c.negated))
        for c in claims.extracted(text, language, asked)
        if c.kind != "noaa_ar" or c.value
    )


def _compared(zh: frozenset[tuple], en: frozenset[tuple]) -> dict[str, float]:
    silent = not zh or not en
    ours, theirs = ({what for what, _ in side} for side in (zh, en))
    values = [{(w, v) for w, v in side if w in ours & theirs} for side in (zh, en)]
    contradicts = any(
        not {v for w, v in values[0] if w == what} & {v for w, v in values[1] if w == what} for what in ours & theirs
    )
    jaccard = len(zh & en) / len(zh | en) if zh | en else 0.0
    return {
        "same": float(not silent and zh == en), "jaccard": jaccard,
        "contradicts": float(contradicts), "silent": float(silent),
    }  # fmt: skip


def _consistency_records(part: pd.DataFrame, head: dict, options: dict) -> list[dict]:
    if part.empty:
        return []
    silent, one = int(part.silent.sum()), np.ones(len(part))
    names = {"zh_en_same": "same", "zh_en_jaccard": "jaccard", "zh_en_contradiction": "contradicts"}
    return [
        head | {"metric": name} | ratio(part[column], one, silent, part.group_id, options)
        for name, column in names.items()
    ]
