"""What the original packages say of the same bilingual pairs: writes golden/nlg.json.

Needs a Python environment of its own, since the wheel of rouge-chinese overwrites the package `rouge` that ms-swift
calls (both ship a folder of that name): install that one first, move its `rouge_chinese` to another folder, install
rouge 1.0.1 again, then run `PYTHONPATH=FOLDER python tests/golden_nlg.py`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "nlg.json"

PHRASES = {
    "en": [
        "The image shows a line-of-sight magnetogram.",
        "AR 12192 lies at S14W06.",
        "Its area is 2410 millionths!",
        "Is the leading polarity positive?",
        "It is classed Fkc (Beta-Gamma-Delta).",
        "Taken on 2014-10-24 at 21:41 UT",
        "An X3.1 flare peaked near disk centre.",
        "No sunspots are visible...",
        "The coronal loops' glow isn't uniform,",
        "e.g. Dr. Hale's law holds.",
        '"A filament" crosses 12.5 deg.',
        "SDO/AIA 171 A, 4k x 4k px",
        "It   has blanks",
    ],
    "zh": [
        "这是一幅由SDO/HMI拍摄的磁图。",
        "活动区12192位于S14W06。",
        "前导黑子为正极性吗？",
        "面积为2410百万分之一！",
        "麦金托什分类为Fkc，",
        "“暗条”横跨日面。”其北侧有谱斑",
        "拍摄于2014年10月24日21:41 UT",
        "没有可见的黑子……",
        "X3.1级耀斑。",
        "日冕环明亮\n宽约12.5度",
        "ＳＤＯ的全角字符、顿号；分号",
        "太阳边缘的日珥(高度约3万公里)",
    ],
}
EDGES = ["", " ", ".", "。", "\n", "...", "yes", "是", "SDO/AIA 171\n2014-02-03 00:00 UT", "1.5", "a\n \nb"]


def bilingual_pairs(n=240, seed=7, length=(1, 7)):
    """(prediction, reference, language): near copies, other sentences, other order, and every edge beside a text."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        language = ("en", "zh")[k % 2]
        joint, pool = {"en": " ", "zh": ""}[language], PHRASES[language]
        reference = list(rng.choice(pool, rng.integers(*length)))
        kept = [p for p in reference if rng.random() < 0.75]
        prediction = [*kept, *rng.choice(pool, rng.integers(0, 3))]
        if k % 5 == 0:
            rng.shuffle(prediction)
        made.append((joint.join(prediction), joint.join(reference), language))
    edges = [(e, PHRASES[language][0], language) for e in EDGES for language in ("en", "zh")]
    return made + edges + [(r, p, language) for p, r, language in edges] + [(p, p, x) for p, _, x in edges]


def reference_swift_nlg(predictions, references):
    """The definition, spelled with the packages it names. None for a pair those packages cannot score."""
    import jieba
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge import Rouge

    rows = []
    for pair in zip(predictions, references, strict=True):
        ours, theirs = ([w.strip(" ") for w in jieba.cut(text) if w.strip(" ")] for text in pair)
        try:
            rouge = Rouge().get_scores(" ".join(ours), " ".join(theirs))[0]
        except ValueError:  # "Hypothesis is empty."
            rows.append(None)
            continue
        bleu = sentence_bleu([theirs], ours, smoothing_function=SmoothingFunction().method3)
        rows.append([100 * x for x in (bleu, *(rouge[f"rouge-{k}"]["f"] for k in "12l"))])
    return rows


def rouge_chinese(prediction, reference):
    from rouge_chinese import Rouge

    scores = Rouge().get_scores(prediction, reference)[0]
    return [scores[f"rouge-{k}"]["f"] for k in "12l"]


def reference_llamafactory(prediction, reference):
    """LLaMA-Factory's metric with the packages it calls."""
    import jieba
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    ours, theirs = (" ".join(jieba.cut(text)) for text in (prediction, reference))
    rouge = rouge_chinese(ours, theirs) if ours.split() and theirs.split() else [0.0, 0.0, 0.0]
    bleu = sentence_bleu([list(reference)], list(prediction), smoothing_function=SmoothingFunction().method3)
    return [round(100 * x, 4) for x in (bleu, *rouge)]


def reference_evalscope(prediction, reference):
    """EvalScope's general_qa with the packages it calls; its `except` gives zero."""
    import jieba
    from nltk import word_tokenize
    from nltk.translate.bleu_score import sentence_bleu

    chinese = [any("\u4e00" <= c <= "\u9fa5" for c in text) for text in (prediction, reference)]
    texts = list(zip((prediction, reference), chinese, strict=True))
    ours, theirs = (list(jieba.cut(text)) if zh else word_tokenize(text) for text, zh in texts)
    spaced = [" ".join(jieba.cut(text)) if zh else text for text, zh in texts]
    try:
        rouge = rouge_chinese(*spaced)
    except ValueError:
        rouge = [0.0, 0.0, 0.0]
    return [100 * x for x in (sentence_bleu([theirs], ours, weights=(0, 0, 0, 1)), *rouge)]


def provide_punkt_data(folder):
    """NLTK's own loader reads the sentence model from a data folder, as after `nltk.download("punkt_tab")`."""
    import nltk
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params
    from punkt.data import english

    parameters = PunktParameters()
    parameters.abbrev_types, parameters.collocations = set(english.ABBREV_TYPES), set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    target = Path(folder) / "tokenizers" / "punkt_tab" / "english"
    target.mkdir(parents=True)
    nltk.data.path.insert(0, str(folder))  # first: NLTK writes nowhere else
    save_punkt_params(parameters, str(target))


def main():
    from sacrebleu.metrics import BLEU

    pairs = bilingual_pairs()
    with tempfile.TemporaryDirectory() as folder:
        provide_punkt_data(folder)
        scores = {
            "swift_nlg": reference_swift_nlg(*zip(*((p, r) for p, r, _ in pairs), strict=True)),
            "llamafactory": [reference_llamafactory(p, r) for p, r, _ in pairs],
            "evalscope": [reference_evalscope(p, r) for p, r, _ in pairs],
        }
    scores["sacrebleu"] = {}
    for language, name in (("zh", "zh"), ("en", "13a")):
        ours, theirs = zip(*((p, r) for p, r, x in pairs if x == language), strict=True)
        metric = BLEU(tokenize=name)
        value = metric.corpus_score(list(ours), [list(theirs)]).score
        scores["sacrebleu"][language] = {"value": value, "signature": str(metric.get_signature())}
    GOLDEN.write_text(json.dumps({"pairs": pairs, **scores}, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
