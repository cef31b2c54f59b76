"""The closed loop: a planted bad prompt is found by its acceptance, revised, and the next round is accepted.

The teacher is a server that writes true annotations from the facts, but where its prompt does not forbid it, it adds a
region number and an area to most descriptions, as language models do.
"""

import hashlib
import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
import test_teacher
import yaml

from jwvl_lib import facts, grounded, loop, review, review_ledger, teacher, teacher_ledger
from jwvl_lib.artifacts import REPO, sha256, write_parquet
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import load_prompts, renew_lock
from jwvl_lib.teacher_client import Limits

pytestmark = pytest.mark.heavy
N_DAYS, BAD = 30, 90
INVENTED = {"en": " The largest, AR 12999, covers 740 MSH.", "zh": "最大的活动区 12999 面积为 740 MSH。"}
FORBIDDEN = ("State nothing beyond the picture", "不写活动区编号")


@pytest.fixture
def corpus(tmp_path):
    rows = []
    for day in pd.date_range("2014-02-01", periods=N_DAYS).strftime("%Y-%m-%d"):
        for _, instrument, measurement, layer in test_teacher.VIEWS[:3]:
            image_facts = [
                Fact("observatory", "SDO"), Fact("instrument", instrument), Fact("measurement", measurement),
                Fact("layer", layer), Fact("date_obs", f"{day}T04:12:30"), Fact("n_regions", 1),
                Fact("banner_text", f"SDO/{instrument} {measurement}\n{day} 04:12 UT"),
                *test_teacher.region_facts(19001, 300, "NE", "positive"),
            ]  # fmt: skip
            rows.append(test_teacher.image_row(tmp_path, f"{day}_{measurement}", image_facts))
    return pd.DataFrame(rows)


@pytest.fixture
def bad_prompts(tmp_path):
    """The prompts, but the description's says nothing against inventing."""
    shutil.copytree(REPO / "params" / "prompts", tmp_path / "prompts")
    path = tmp_path / "prompts" / "description.yaml"
    entry = yaml.safe_load(path.read_text("utf-8"))["description"]
    entry |= {"version": BAD, "criteria": {"en": ["Be vivid."], "zh": ["生动。"]}}
    entry["instruction"] = {"en": "Describe the image in every detail.", "zh": "尽可能详细地描述图像。"}
    path.write_text(yaml.safe_dump({"description": entry}, allow_unicode=True, sort_keys=False), "utf-8")
    renew_lock(tmp_path / "prompts")
    return tmp_path / "prompts"


class Teacher(test_teacher.Server):
    """Answers from the facts of the image it is shown; `known` maps a PNG's data URL to them."""

    prompts, known = load_prompts(REPO / "params" / "prompts"), {}

    @classmethod
    def answer(cls, body):
        system, (image, text) = body["messages"][0]["content"], body["messages"][1]["content"]
        language = "zh" if "标准" in system else "en"
        task = "ocr" if "transcriber" in system or "转录" in system else "description"
        of_image = cls.known[image["image_url"]["url"]]
        chance = int(hashlib.sha256((text["text"] + system).encode()).hexdigest()[:8], 16) / 2**32
        reply = grounded.reply(cls.prompts[task], language, of_image, np.random.default_rng(1))
        careless = 0.02 if any(words in system for words in FORBIDDEN) else 0.7
        if task == "description" and chance < careless:
            reply["answer"] += INVENTED[language]
        return json.dumps(reply, ensure_ascii=False)


def a_round(corpus, folder, prompts_dir, server, **options):
    """02 and 03 once: annotations, the report, outcomes and proposals."""
    annotations = teacher.annotate(
        corpus, load_prompts(prompts_dir), ledger=folder / "teacher.sqlite", teacher="openai", model="m",
        base_url=server.url, images_dir=folder, qa_per_image=0,
        limits=Limits(concurrency=8, requests_per_minute=60_000), **options,
    )  # fmt: skip
    ledger = review_ledger.open_ledger(folder / "review.sqlite")
    review.apply_policy(ledger, annotations, "facts", seed=0)
    report = review.prompt_report(ledger, annotations)
    return annotations, report, review.outcomes(ledger, annotations), loop.propose(report)


def test_a_planted_bad_prompt_is_found_revised_and_accepted(corpus, bad_prompts, tmp_path, record):
    random.seed(0)
    server = Teacher()
    for row in corpus.itertuples():
        url = test_teacher.data_url(tmp_path / row.path)
        Teacher.known[url] = facts.from_json(row.facts)
    first, _, outcomes, proposals = a_round(corpus, tmp_path, bad_prompts, server)
    found = proposals[proposals["proposal"] == "revise"]
    assert list(zip(found["prompt_id"], found["prompt_version"], strict=True)) == [("description", BAD)]
    rejected = loop.rejected_of(first, outcomes, proposals)
    assert loop.draft_revisions(bad_prompts, proposals, tmp_path / "prompts_next") == [f"description {BAD + 1}"]
    n_sent = len(server.bodies)

    options = {"rounds": 2, "rejected": rejected}
    second, report, _, after = a_round(corpus, tmp_path, tmp_path / "prompts_next", server, **options)
    assert len(server.bodies) - n_sent == len(rejected)  # and nothing but the rejected
    new = second[second["round"] == 2]
    assert sorted(new["parent"]) == sorted(rejected["annotation_id"])
    pd.testing.assert_frame_equal(second[second["round"] == 1].reset_index(drop=True), first)
    revised = next(r for r in report if r["prompt_version"] == str(BAD + 1))
    standing = {(r.prompt_id, r.prompt_version): r.proposal for r in after.itertuples()}
    assert standing["description", BAD] == "superseded"
    assert standing["description", BAD + 1] in ("keep", "watch")
    before = proposals.set_index("prompt_id").loc["description"]
    figures = {
        "round 1": {"n": int(before["n_decided"]), "acceptance": round(before["acceptance"], 3)},
        "round 2": {"n": revised["n_decided"], "acceptance": round(revised["acceptance"], 3)},
    }
    print(json.dumps(figures))
    note = f"{figures['round 1']['acceptance']} before, n = {figures['round 1']['n']}"
    record("closed_loop", revised["acceptance"], 0.95, revised["n_decided"], note=note)
    assert revised["acceptance"] >= 0.95, figures

    # the ledger alone gives the same bytes, and a rerun sends nothing
    server.http.shutdown()
    again = teacher.replay(tmp_path / "teacher.sqlite", corpus, rounds=2)
    written = [write_parquet(tmp_path / f"{k}.parquet", f) for k, f in enumerate((second, again))]
    assert sha256(written[0]) == sha256(written[1])
    rerun, *_ = a_round(corpus, tmp_path, tmp_path / "prompts_next", server, **options)
    pd.testing.assert_frame_equal(rerun, second)
    assert teacher_ledger.counts(tmp_path / "teacher.sqlite")["answered"] == len(second)
