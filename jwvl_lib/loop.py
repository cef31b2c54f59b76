"""The closed loop: from the review's acceptance by prompt to the revised prompt and the next round.

Reads what the review makes of its decisions (`review.prompt_report`, `review.outcomes`) and the prompts; writes a
folder of revised prompts for a person to edit. It proposes and drafts; the wording is the expert's.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from jwvl_lib.artifacts import resolve, write_text
from jwvl_lib.prompts import LOCK, load_prompts, renew_lock

ACCEPTABLE = 0.95
# what a reason for rejection asks of a prompt: a criterion to add
REMEDIES = {
    "physical_inconsistency": {
        "en": "Check that layer, channel and polarity fit each other before you answer.",
        "zh": "回答前核对层次、波段和极性是否相符。",
    },
    "domain_error": {
        "en": "Use the terms of solar physics as the given facts use them.",
        "zh": "术语与所给事实保持一致。",
    },
    "hallucination": {
        "en": "State nothing beyond the picture, its banner and the given facts: no region number, no area, no class.",
        "zh": "不写图像、横幅和所给事实中没有的内容：不写活动区编号、面积或分类。",
    },
    "wrong_instrument": {
        "en": "Take instrument and wavelength from the banner or the given facts, not from the look of the picture.",
        "zh": "仪器和波长以横幅或所给事实为准，不凭图像外观判断。",
    },
    "ocr_error": {
        "en": "Compare every character with the image once more before you answer.",
        "zh": "回答前再逐字与图像核对一遍。",
    },
    "language_format": {
        "en": "Write in the language of the question, in the form the reply asks for.",
        "zh": "使用提问的语言，按要求的格式回答。",
    },
    "contradicted": {
        "en": "Where a given fact and your impression differ, the fact is right.",
        "zh": "印象与所给事实不一致时，以事实为准。",
    },
}
REMEDIES["unsupported"] = REMEDIES["hallucination"]


def propose(report: Sequence[Mapping], acceptable: float = ACCEPTABLE) -> pd.DataFrame:
    """What to do with each prompt version, a row each, the worst first.

    Columns: prompt_id, prompt_version, n_decided, acceptance, ci_high, reasons, proposal, because.

    `revise` where even the upper end of the acceptance's interval (Wilson, 95 %) lies below `acceptable`; `watch` where
    only the figure itself does, on too few decisions to tell; `keep`; `undecided` without any decision; `superseded`
    where a later version has been decided on.
    """
    latest: dict[str, int] = {}
    for r in report:
        if r["n_decided"]:
            latest[r["prompt_id"]] = max(latest.get(r["prompt_id"], 0), int(r["prompt_version"]))
    rows = [_proposal(r, acceptable, int(r["prompt_version"]) < latest.get(r["prompt_id"], 0)) for r in report]
    columns = "prompt_id prompt_version n_decided acceptance ci_high reasons proposal because".split()
    return pd.DataFrame(rows, columns=columns)


def _proposal(record: Mapping, acceptable: float, superseded: bool) -> dict:
    n, share, high = record["n_decided"], record["acceptance"], record["ci_high"]
    if superseded:
        proposal, because = "superseded", "a later version has been decided on"
    elif not n:
        proposal, because = "undecided", "no decision yet"
    elif record["reasons"] and not set(record["reasons"]) & set(REMEDIES):
        proposal, because = "watch", f"{share:.3f} of {n}, but no wording mends {', '.join(record['reasons'])}"
    elif high < acceptable:
        proposal, because = "revise", f"{share:.3f} of {n}, surely below {acceptable}"
    elif share < acceptable:
        proposal, because = "watch", f"{share:.3f} of {n}: below {acceptable}, but too few to be sure"
    else:
        proposal, because = "keep", f"{share:.3f} of {n}"
    named = {name: record[name] for name in ("prompt_id", "n_decided", "acceptance", "ci_high", "reasons")}
    return named | {"prompt_version": int(record["prompt_version"]), "proposal": proposal, "because": because}


def rejected_of(annotations: pd.DataFrame, outcomes: pd.DataFrame, proposals: pd.DataFrame) -> pd.DataFrame:
    """The rejected annotations of the prompts to revise, with their reasons: what the next round asks again.

    Columns of the annotations, then reasons (a JSON list), sorted by annotation_id.
    """
    to_revise = proposals[proposals["proposal"] == "revise"][["prompt_id", "prompt_version"]]
    frame = annotations.merge(outcomes[["annotation_id", "verdict", "reasons"]], on="annotation_id")
    frame = frame[frame["verdict"] == "reject"].drop(columns="verdict").merge(to_revise)
    frame["reasons"] = [json.dumps(list(reasons), ensure_ascii=False) for reasons in frame["reasons"]]
    return frame.sort_values("annotation_id", ignore_index=True)


def draft_revisions(prompts_dir: str | Path, proposals: pd.DataFrame, into: str | Path) -> list[str]:
    """Write the prompts into a folder, those to revise with a new version and a criterion for each reason given.

    Returns what was revised, as "id version". Locked there with all earlier versions, so the texts of old annotations
    stay known. It is a draft that can be run as it stands; the expert edits it before.
    """
    prompts, target = load_prompts(prompts_dir), resolve(into)
    to_revise = proposals[proposals["proposal"] == "revise"]
    reasons = {(r.prompt_id, r.prompt_version): r.reasons for r in to_revise.itertuples()}
    for stale in target.glob("*.yaml"):
        stale.unlink()
    for prompt_id, prompt in prompts.items():
        entry = copy.deepcopy(dict(prompt.text))
        version = prompt.version
        if (prompt_id, version) in reasons:
            version, entry = version + 1, _with_remedies(entry, reasons[prompt_id, version])
        text = yaml.safe_dump({prompt_id: {"version": version, **entry}}, allow_unicode=True, sort_keys=False)
        write_text(target / f"{list(prompts).index(prompt_id):02d}_{prompt_id}.yaml", text)
    write_text(target / LOCK, (resolve(prompts_dir) / LOCK).read_text("utf-8"))
    return renew_lock(target)


def _with_remedies(entry: dict, reasons: Mapping[str, int]) -> dict:
    wanted = [REMEDIES[reason] for reason in reasons if reason in REMEDIES]
    for language, criteria in entry["criteria"].items():
        entry["criteria"][language] = [*criteria, *(w[language] for w in wanted if w[language] not in criteria)]
    return entry


def what_changed(before: str | Path, after: str | Path) -> list[str]:
    """A line for each criterion that a folder of prompts has more than another, for a reader to judge."""
    old, new = load_prompts(before), load_prompts(after)
    return [
        f"{prompt_id} {old[prompt_id].version} to {prompt.version}, {language}: {line}"
        for prompt_id, prompt in new.items()
        for language in ("en", "zh")
        for line in prompt.text["criteria"][language]
        if prompt_id in old and line not in old[prompt_id].text["criteria"][language]
    ]
