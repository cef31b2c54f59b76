"""How sure a model was of each sentence it wrote: the probability of what is claimed, whatever the wording.

Reads predictions in memory whose column `spoken` holds what `vlm.answer_weighed` noted, and accepted annotations for
the wordings of claims; writes nothing. Knows no torch.

One thing can be said in many ways, and the probability of a text is spread over them: the least token of a description
says how unusual its wording is, not how doubtful its claim (Kuhn et al. 2023, arXiv:2302.09664). So a token is weighed
against those only with which training texts go on to a claim of the same kind, from where their wordings part.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from transformers import PreTrainedTokenizerBase

from jwvl_lib import claim_scope, claims
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
    """How the descriptions among accepted `annotations` word their claims, as trees of tokens by language and kind.

    With the words that lead up to a claim: "The disk has no" and "The disk has 3 or more" part at a blank, 没有 and
    有3个 at a 有, and neither is a character of the number.
    """
    trees: Wordings = {}
    described = annotations[annotations.task == "description"].drop_duplicates("answer")
    texts = list(described.answer)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True) if texts else {}
    rows = zip(described.language, texts, described.claims, strict=True)
    for k, (language, text, found) in enumerate(rows):
        ids, offsets = encoded["input_ids"][k], encoded["offset_mapping"][k]
        placed = [(c, text.find(c["text"])) for c in json.loads(found)]
        placed = [(c, (at, at + len(c["text"]))) for c, at in placed if at >= 0]
        stretches = _stretches(text, [span for _, span in placed])
        for (claim, _), (opening, _, end) in zip(placed, stretches, strict=True):
            worded = [ids[i] for i in _inside(offsets, (opening, end))]
            tree = trees.setdefault((language, claim["kind"]), {})
            for n, token in enumerate(worded):
                tree.setdefault(tuple(worded[:n]), {}).setdefault(token, set()).add(str(claim["value"]))
    return trees


def _stretches(text: str, spans: Sequence[Span]) -> list[tuple[int, int, int]]:
    """Of the claims at `spans`, in characters: where their wordings begin, their own words, and where both end.

    A wording begins with the sentence, or where the claim before ends; the blank before a claim is one of its words,
    since some tokens have it in them.
    """
    cuts = [start for start, _ in claim_scope.sentences(plain(text))] + [end for _, end in spans]
    opened = [max([0, *(cut for cut in cuts if cut <= start)]) for start, _ in spans]
    own = [max(opening, len(text[:start].rstrip())) for opening, (start, _) in zip(opened, spans, strict=True)]
    return [(opening, start, end) for opening, start, (_, end) in zip(opened, own, spans, strict=True)]


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
        said = claims.extracted(answer["prediction"], answer["language"], about.get(answer["prompt_id"], ""))
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
    said = [claim for claim, _ in judged]
    stretches = dict(zip(said, _stretches(text, [claim.span for claim in said]), strict=True))
    rows: list[dict] = []
    for k, span in enumerate(spans):
        inside = [(claim, no) for claim, no in judged if span[0] <= claim.span[0] < span[1]]
        row = {name: answer[name] for name in HEAD} | _weights(np.exp(spoken.own[_inside(offsets, span)]))
        if free:
            each = [_probability(c, stretches[c], answer["language"], offsets, spoken, trees) for c, _ in inside]
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


def _probability(
    claim: Claim, stretch: tuple[int, int, int], language: str, offsets: Sequence[Span], spoken, trees: Wordings
) -> float:
    """The probability of a claim's value, given that its sentence speaks of its kind here; 0 of one without a token.

    Each token of its `stretch` (`_stretches`) is weighed against those with which the wordings of training go on. A
    value that training never saw, such as a date of another day, has rivals at its first token only; from there on, and
    where a wording is new, its tokens' own probabilities count. They all do where training knows no other value that
    could have stood here: for want of rivals no claim is surer than its words.
    """
    value, tree = str(claim.value), trees.get((language, claim.kind), {})
    is_known = any(value in values for values in tree.get((), {}).values())
    places, own = (_inside(offsets, (start, stretch[2])) for start in stretch[:2])
    sure = 1.0 if own else 0.0
    for n, place in reversed([*enumerate(places)]):
        after = tree.get(tuple(spoken.ids[p] for p in places[:n]), {}) if is_known or place in own[:1] else {}
        if after or place in own:  # words that lead to no claim of training claim nothing
            sure = _with_token(sure, spoken, place, after, value)
    return sure if sure < 1 else float(np.exp(spoken.own[own].sum()))


def _with_token(later: float, spoken, place: int, after: Mapping[int, set[str]], value: str) -> float:
    """The probability of a value before the token at a place, from `later`, that after it.

    `after` are the tokens of training at this place, with the values they lead to. One that leads to this value only is
    as good as said. Of one that leads to others too nobody asked how the model would have gone on: it counts as the
    token that was said. One that is not among the likeliest counts with the probability of the least of them, its most.
    """
    own = float(np.exp(spoken.own[place]))
    if not after:
        return own * later
    heard = dict(zip(spoken.rival_ids[place].tolist(), np.exp(spoken.rivals[place]).tolist(), strict=True))
    least = min(heard.values())
    rivals = [(heard.get(token, least), values) for token, values in after.items() if token != spoken.ids[place]]
    alone = sum(p for p, values in rivals if values == {value})
    open_yet = own + sum(p for p, values in rivals if value in values and values != {value})
    others = sum(p for p, values in rivals if value not in values)
    return (alone + open_yet * later) / (alone + open_yet + others)


def _leans(sentence: str, language: str, inside: Sequence[Claim]) -> bool:
    """Whether a sentence that stands alone claims something else than `inside`, its claims in the text."""
    alone = claims.extracted(sentence, language)
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
