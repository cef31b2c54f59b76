"""How sure a model was of each sentence it wrote: the probability of what is claimed, whatever the wording.

Reads predictions in memory whose column `spoken` holds what `vlm.answer_weighed` noted, and accepted annotations for
the wordings of claims; writes nothing. Knows no torch.

One thing can be said in many ways, and the probability of a text is spread over them: the least token of a description
says how unusual its wording is, not how doubtful its claim (Kuhn et al. 2023, arXiv:2302.09664). So a token of a claim
is weighed against those tokens only with which training texts go on to claim another value of the same kind.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from transformers import PreTrainedTokenizerBase

from jwvl_lib import claim_scope, claims, fact_scores
from jwvl_lib.claim_grammar import plain
from jwvl_lib.claims import Claim
from jwvl_lib.facts import Fact

# of a language and kind: the tokens that follow a beginning of a claim, each with the values it can still lead to
Wordings = dict[tuple[str, str], dict[tuple[int, ...], dict[int, set[str]]]]
Span = tuple[int, int]
MEASURES = ("claims", "least", "product", "uncertain")
SURE = 0.9  # a token at least this probable is certain: `uncertain` leaves it out
HEAD = "annotation_id image_id prompt_id model split task language group_id".split()
COLUMNS = [*HEAD, "choices", "sentence", "text", "n_claims", "n_hallucinated", "wrong", "leans", *MEASURES]


def wordings(annotations: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Wordings:
    """How the descriptions among accepted `annotations` word their claims, as trees of tokens by language and kind."""
    trees: Wordings = {}
    described = annotations[annotations.task == "description"].drop_duplicates("answer")
    texts = list(described.answer)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True) if texts else {}
    rows = zip(described.language, texts, described.claims, strict=True)
    for k, (language, text, found) in enumerate(rows):
        ids, offsets = encoded["input_ids"][k], encoded["offset_mapping"][k]
        for claim in json.loads(found):
            start = text.find(claim["text"])
            worded = [ids[i] for i in _inside(offsets, (start, start + len(claim["text"])))] if start >= 0 else []
            tree = trees.setdefault((language, claim["kind"]), {})
            for n, token in enumerate(worded):
                tree.setdefault(tuple(worded[:n]), {}).setdefault(token, set()).add(str(claim["value"]))
    return trees


def sentences(
    answered: pd.DataFrame,
    facts: Mapping[str, Iterable[Fact]],
    about: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase,
    trees: Wordings,
) -> pd.DataFrame:
    """A row a sentence of each answer, with `COLUMNS`; an answer to a closed question or a banner is one sentence.

    `claims`: the least probability of its claims, 0 where it claims nothing (of a closed or banner answer: that of its
    tokens), `least`: of its tokens, `product`: of all its tokens together, `uncertain`: of those below .9. `wrong`:
    a claim that no fact supports or, of a closed question or banner, not the right answer. A sentence that `leans`
    says something else where the one before is left out ("It is led by ..."): it is never surer than that one.
    """
    known = {image: list(found) for image, found in facts.items()}
    rows: list[dict] = []
    for answer in answered.to_dict("records"):
        said = fact_scores.extracted(answer["prediction"], answer["language"], about.get(answer["prompt_id"], ""))
        wrong = [claims.judge(claim, known.get(answer["image_id"], []))[0] != "supported" for claim in said]
        rows += _rows(answer, list(zip(said, wrong, strict=True)), tokenizer, trees)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(
    answer: Mapping, judged: list[tuple[Claim, bool]], tokenizer: PreTrainedTokenizerBase, trees: Wordings
) -> list[dict]:
    text, spoken, free = answer["prediction"], answer["spoken"], answer["task"] == "description"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    # where a text is not cut as it was written, nobody knows which token is which: all stand for each sentence
    offsets = encoded.offset_mapping if encoded.input_ids == list(spoken.ids) else [(0, len(text))] * len(spoken.ids)
    spans = [s for s in claim_scope.sentences(plain(text)) if text[slice(*s)].strip()] if free else [(0, len(text))]
    rows: list[dict] = []
    for k, span in enumerate(spans):
        inside = [(claim, no) for claim, no in judged if span[0] <= claim.span[0] < span[1]]
        row = {name: answer[name] for name in HEAD} | _weights(np.exp(spoken.own[_inside(offsets, span)]))
        if free:
            each = [_probability(claim, answer["language"], offsets, spoken, trees) for claim, _ in inside]
            row["claims"] = min(each, default=0.0)
        row |= {"choices": answer.get("choices", "[]"), "sentence": k, "text": text[slice(*span)]}
        row |= {"n_claims": len(inside), "leans": False}
        row["n_hallucinated"] = sum(no for _, no in inside)
        row["wrong"] = row["n_hallucinated"] > 0 or not (free or bool(answer["correct"]))
        if k and inside and _leans(text[slice(*span)], answer["language"], [claim for claim, _ in inside]):
            row["leans"] = True
            row |= {name: min(row[name], rows[-1][name]) for name in MEASURES}
        rows.append(row)
    return rows


def _inside(offsets: Sequence[Span], span: Span) -> list[int]:
    """The tokens that have a character in a span of the text."""
    return [i for i, (start, end) in enumerate(offsets) if end > span[0] and start < span[1] and end > start]


def _weights(probability: np.ndarray) -> dict[str, float]:
    """The measures that know no claim; 0 of nothing: who says nothing is sure of nothing."""
    if not len(probability):
        return dict.fromkeys(MEASURES, 0.0)
    least, product = float(probability.min()), float(probability.prod())
    uncertain = float(probability[probability < SURE].prod())
    return {"claims": least, "least": least, "product": product, "uncertain": uncertain}


def _probability(claim: Claim, language: str, offsets: Sequence[Span], spoken, trees: Wordings) -> float:
    """The probability of a claim's value, given that its sentence speaks of its kind here.

    At each of its tokens: that of the tokens with which the wordings of training can still reach its value, among all
    with which they reach any. A value that training never saw, such as a date of another day, has rivals at its first
    token only; from there on, and where a wording is new, its tokens' own probabilities count.
    """
    places, value = _inside(offsets, claim.span), str(claim.value)
    tree = trees.get((language, claim.kind), {})
    is_known = any(value in values for values in tree.get((), {}).values())
    product, begun = 1.0, ()
    for place in places:
        token, own = spoken.ids[place], float(np.exp(spoken.own[place]))
        after = tree.get(begun, {}) if is_known or not begun else {}
        there = zip(spoken.rival_ids[place].tolist(), np.exp(spoken.rivals[place]).tolist(), strict=True)
        rivals = [(p, value in after[other]) for other, p in there if other in after and other != token]
        same, others = (sum(p for p, reaches in rivals if reaches is wanted) for wanted in (True, False))
        product *= (own + same) / (own + same + others) if after else own
        begun = (*begun, token)
    return product


def _leans(sentence: str, language: str, inside: Sequence[Claim]) -> bool:
    """Whether a sentence that stands alone claims something else than `inside`, its claims in the text."""
    alone = fact_scores.extracted(sentence, language)
    ours, theirs = ({(c.kind, c.value, c.noaa_ar, c.negated, c.of_largest) for c in side} for side in (inside, alone))
    return ours != theirs


def separation(said: pd.DataFrame) -> pd.DataFrame:
    """How well each measure tells right sentences from wrong ones: AUROC (.5: not at all), a row a model, split, task.

    Sentences of a description that claim nothing are neither and left out. NaN where all are right or all wrong; n
    sentences, n_wrong of them.
    """
    rows = []
    said = said[(said.n_claims > 0) | (said.task != "description")]
    together = said.assign(task="overall")
    for (model, split, task), part in pd.concat([said, together]).groupby(["model", "split", "task"], sort=False):
        row = {"model": model, "split": split, "task": task, "n": len(part), "n_wrong": int(part.wrong.sum())}
        both = part.wrong.nunique() == 2
        rows.append(row | {m: roc_auc_score(~part.wrong.astype(bool), part[m]) if both else np.nan for m in MEASURES})
    return pd.DataFrame(rows, columns=["model", "split", "task", "n", "n_wrong", *MEASURES])
