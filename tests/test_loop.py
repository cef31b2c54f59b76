"""What the review makes of a prompt, and the drafted revision."""

import pandas as pd

from jwvl_lib import loop
from jwvl_lib.artifacts import REPO
from jwvl_lib.prompts import load_prompts

FOLDER = REPO / "params" / "prompts"


def record(prompt_id, version, n, share, high, **reasons):
    return {
        "prompt_id": prompt_id, "prompt_version": str(version), "n": n, "n_decided": n, "n_accepted": n * share,
        "acceptance": share if n else None, "ci_low": 0.0 if n else None, "ci_high": high if n else None,
        "reasons": reasons,
    }  # fmt: skip


def test_only_what_is_surely_bad_is_revised():
    report = [
        record("description", 3, 100, 0.6, 0.7, hallucination=30, contradicted=10), record("ocr", 2, 4, 0.75, 0.97),
        record("qa.layer", 2, 100, 1.0, 1.0), record("qa.instrument", 2, 0, 0, 0),
        record("qa.measurement", 1, 50, 0.5, 0.6, contradicted=25), record("qa.measurement", 2, 50, 1.0, 1.0),
        record("qa.region_count", 2, 40, 0.5, 0.6, unreadable_image=20),
    ]  # fmt: skip
    found = loop.propose(report)
    assert dict(zip(zip(found.prompt_id, found.prompt_version, strict=True), found.proposal, strict=True)) == {
        ("description", 3): "revise", ("ocr", 2): "watch", ("qa.layer", 2): "keep", ("qa.instrument", 2): "undecided",
        ("qa.measurement", 1): "superseded", ("qa.measurement", 2): "keep", ("qa.region_count", 2): "watch",
    }  # fmt: skip


def test_a_draft_raises_the_version_adds_the_remedies_and_leaves_the_rest(tmp_path):
    version = load_prompts(FOLDER)["ocr"].version
    proposals = loop.propose([record("ocr", version, 100, 0.5, 0.6, ocr_error=50)])
    assert loop.draft_revisions(FOLDER, proposals, tmp_path / "next") == [f"ocr {version + 1}"]
    before, after = load_prompts(FOLDER), load_prompts(tmp_path / "next")
    assert {k for k in before if before[k].sha256 != after[k].sha256} == {"ocr"}
    assert set(before) == set(after)
    lines = loop.what_changed(FOLDER, tmp_path / "next")
    assert [line.split(":")[0] for line in lines] == [
        f"ocr {version} to {version + 1}, {lang}" for lang in ("en", "zh")
    ]
    # drafting again in place, as the next round does, changes nothing
    assert loop.draft_revisions(tmp_path / "next", proposals, tmp_path / "next") == []
    assert load_prompts(tmp_path / "next")["ocr"].version == version + 1


def test_the_next_round_is_the_rejected_of_the_prompts_to_revise():
    annotations = pd.DataFrame(
        [("a1", "ocr", 2), ("a2", "ocr", 2), ("a3", "qa.layer", 2)],
        columns=["annotation_id", "prompt_id", "prompt_version"],
    )
    outcomes = annotations[["annotation_id"]].assign(
        verdict=["reject", "accept", "reject"], reasons=[["ocr_error"], [], []]
    )
    proposals = loop.propose([record("ocr", 2, 100, 0.5, 0.6, ocr_error=50), record("qa.layer", 2, 90, 0.97, 0.99)])
    found = loop.rejected_of(annotations, outcomes, proposals)
    assert found[["annotation_id", "reasons"]].values.tolist() == [["a1", '["ocr_error"]']]
