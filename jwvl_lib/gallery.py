"""Answers to look at: the best, the worst and the most surprising, base and tuned side by side, with their claims.

Reads scores and facts in memory; writes nothing (`bench_figures.gallery` draws what is picked here).
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from jwvl_lib import claims
from jwvl_lib.facts import Fact

COLUMNS = "why annotation_id image_id task question target base tuned".split()
WHY = {
    "best": "best: {n_supported:.0f} of {n_claims} claims supported",
    "worst": "worst: {n_supported:.0f} of {n_claims} claims supported",
    "sure": "surprising: surest of all, and wrong: {choice}, p = {probability:.2f}",
    "lost": "surprising: base right, tuned wrong",
    "doubt": "surprising: right, and least sure: p = {probability:.2f}",
}


def picked(scores: pd.DataFrame, language: str = "en", n: int = 2) -> pd.DataFrame:
    """The answers to show, a row each with `COLUMNS`, `kind` (a key of `WHY`) and `probability`, of `bench.score`.

    `n` best and `n` worst descriptions of the tuned model by the share of their claims that facts support (ties: more
    claims first); of the closed questions `n` of which the tuned model was surest and wrong, `n` that it answers
    wrongly and the base rightly, and `n` that it answers rightly and least surely. No answer is shown twice, and no
    image where there are others.
    """
    wide = _side_by_side(scores[scores.language == language])
    text, asked = wide[wide.task == "description"], wide[(wide.task == "qa") & wide.probability.notna()]
    best = text.sort_values(["precision", "n_claims", "annotation_id"], ascending=[False, False, True])
    worst = text.sort_values(["precision", "n_claims", "annotation_id"], ascending=[True, False, True])
    surest = asked.sort_values(["probability", "annotation_id"], ascending=[False, True])
    order = [
        ("best", best[best.precision == best.precision.max()]),
        ("worst", worst[worst.precision < best.precision.max()]),
        ("sure", surest[surest.choice_correct == 0]),
        ("lost", surest[(surest.base_correct == 1) & (surest.correct == 0)]),
        ("doubt", surest[(surest.correct == 1) & (surest.choice_correct == 1)][::-1]),
    ]
    shown, images, parts = set(), set(), []
    for name, part in order:
        part = part[~part.annotation_id.isin(shown)]
        part = part.assign(seen=part.image_id.isin(images)).sort_values("seen", kind="stable")
        part = part.drop_duplicates("image_id").head(n).assign(kind=name)
        part["why"] = [WHY[name].format(**row) for row in part.to_dict("records")]
        shown, images = shown | set(part.annotation_id), images | set(part.image_id)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, "kind", "prompt_id", "probability", "simulated"]]


def _side_by_side(scores: pd.DataFrame) -> pd.DataFrame:
    tuned, base = (scores[scores.model == m].set_index("annotation_id") for m in ("tuned", "base"))
    columns = (
        "image_id task prompt_id simulated question target choice choice_correct correct n_claims n_supported".split()
    )
    wide = tuned[columns].assign(
        tuned=tuned.prediction,
        probability=tuned.choice_probability,
        precision=tuned.n_supported / tuned.n_claims.clip(lower=1),
        base=base.prediction.reindex(tuned.index).fillna("(not asked)"),
        base_correct=base.correct.reindex(tuned.index),
    )
    return wide.reset_index()


def judged(text: str, facts: Iterable[Fact], language: str, about: str, task: str) -> list[Mapping]:
    """The claims of an answer with their verdicts; a description is not asked for anything in particular."""
    return claims.check(text, list(facts), language, "" if task == "description" else about)
