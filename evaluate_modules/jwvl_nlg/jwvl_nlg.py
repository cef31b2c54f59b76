"""The workshop's BLEU and ROUGE as a local module of Hugging Face's `evaluate`; it loads without a network.

`evaluate.load("evaluate_modules/jwvl_nlg", "swift_nlg")`, or `llamafactory`, `evalscope`, `sacrebleu_zh`,
`sacrebleu_en`; `compute(predictions=..., references=..., strict=True)` counts failed pairs as zero.
"""

import datasets
import evaluate

from jwvl_lib import nlg


class JwvlNlg(evaluate.Metric):
    """bleu_4, rouge_1, rouge_2, rouge_l times 100 with n and n_failed; sacrebleu gives bleu_4 and its signature."""

    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=nlg.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, strict=False):
        if self.config_name.startswith("sacrebleu_"):
            language = self.config_name.removeprefix("sacrebleu_")
            counts = nlg.bleu_statistics(predictions, references, language).sum(axis=0)
            return {"bleu_4": float(nlg.corpus_bleu(counts)), "signature": nlg.sacrebleu_signature(language)}
        return nlg.corpus(predictions, references, self.config_name, strict=strict)
