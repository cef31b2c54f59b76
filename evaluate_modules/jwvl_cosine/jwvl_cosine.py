"""The cosine under a sentence encoder as a local module of Hugging Face's `evaluate`; it loads without a network.

`evaluate.load("evaluate_modules/jwvl_cosine")`; `compute(predictions=..., references=..., encoder=folder)` gives the
mean cosine and, beside it, what the same predictions score with the references of the others.
"""

import datasets
import evaluate

from jwvl_lib import cosine


class JwvlCosine(evaluate.Metric):
    """cosine, cosine_permuted and their difference `gain` (0..1), with n; `encoder` as `cosine.encoder` takes it."""

    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description=cosine.__doc__,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, encoder=""):
        own, permuted = cosine.pairs(cosine.encoder(encoder), predictions, references)
        scores = {"cosine": float(own.mean()), "cosine_permuted": float(permuted.mean())}
        return scores | {"gain": scores["cosine"] - scores["cosine_permuted"], "n": len(own)}
