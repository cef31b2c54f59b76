"""Claims of how many filaments, coronal holes and plages: what a detector counts. Reads and writes nothing."""

import re

from jwvl_lib.claim_counts import ADJECTIVES, ANY, COUNTED, DOES, END, IN_PART, NO, NONE, RANGE, ZH_N
from jwvl_lib.claim_grammar import Found, Pattern, pattern
from jwvl_lib.claim_tally import at_number, count


def _features(kind: str, en: str, zh: str) -> list[Pattern]:
    """The patterns of one kind of feature; "no large filament" does not say that there is none."""

    def none(match: re.Match) -> Found:
        return [] if re.search(r"large|big|大型?|明显|显著|erupt", match.group(), re.I) else [(kind, 0)]

    return [
        pattern("en", rf"{NONE}{ADJECTIVES}\s+{en}\b{IN_PART}{DOES}", none),
        pattern("en", rf"{RANGE}{ADJECTIVES}\s+{en}\b(?!\s+(?:eruption|channel)){IN_PART}", count(kind)),
        pattern("en", rf"\b(?:a|one|the)\s+(?:single|lone|sole|only){ADJECTIVES}\s+{en}\b{IN_PART}", [(kind, 1)]),
        pattern("zh", rf"{NO}{ANY}{{0,4}}?{zh}", none),
        pattern("en", rf"\b{en}\s*[:=]\s*{RANGE}(?![\w.:])", count(kind)),
        pattern("zh", rf"(?:连?一|任何)(?:条|个|片|块)?{zh}(?:也|都|均)(?:没有?|看不[到见]|未见|不见|无)", [(kind, 0)]),
        pattern(
            "zh",
            rf"{zh}(?:的)?(?:数目?量?|个数|条数|总数|(?=×))(?:[为是有共约:×]|\s)*{ZH_N}(?![\d.条根个处片块群])",
            at_number(count(kind)),
        ),
        pattern("zh", rf"(?<![仅只共一有])(?:有|见)?一(?:条|个|片|块)(?:最?[长大小明显黑暗细的]*)?{zh}", []),
        pattern("zh", rf"(?<!第){ZH_N}(?:条|根|个|处|片|块){ANY}{{0,5}}?{zh}", count(kind)),
        pattern(
            "zh",
            rf"{zh}(?:的)?(?:数目?量?|个数|总数)?(?:并?不是|并非)?{COUNTED}*\s*{ZH_N}(?:条|根|个|处|片|块|群){END}",
            at_number(count(kind)),
        ),
    ]


FEATURES: list[Pattern] = [
    *_features("n_filaments", "filaments?", "(?:暗条|日面?纤维)"),
    *_features("n_coronal_holes", r"coronal[-\s]+holes?", "冕洞"),
    *_features("n_plages", r"(?:plages?(?:\s+(?:areas?|regions?))?|(?:patches|areas)\s+of\s+plage)", "谱斑(?:区)?"),
]
