"""Distillation: one interface to the teachers, from corpus and prompts to annotations, round by round.

Reads the corpus, its PNGs (the openai teacher only) and the prompts; writes the ledger `teacher.sqlite`. The ledger
keeps the plan of each round beside the raw answers, and annotations are rebuilt from it alone (`replay`), in the order
of the plan, so an interrupted, resumed or repeated run gives the same bytes.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import grounded, grounded_more
from jwvl_lib.prompts import Prompt
from jwvl_lib.teacher_client import Limits, ask_all
from jwvl_lib.teacher_ledger import (
    ANSWERED,
    Attempt,
    Request,
    answers,
    now_utc,
    open_ledger,
    planned,
    record_attempts,
    record_plan,
    record_requests,
    standing_plans,
    unsettled,
)
from jwvl_lib.teacher_plan import Question, asked_again, build_requests, plan, tokens, views_of
from jwvl_lib.teacher_replies import parse_reply

TEACHERS = ("grounded", "openai")
COLUMNS = (
    "annotation_id image_id task language question answer steps prompt_id prompt_version teacher round claims choices"
    " more_images turns parent"
).split()
OPENAI_PARAMETERS = {"temperature": 0.2, "max_tokens": 800, "response_format": {"type": "json_object"}}
log = logging.getLogger(__name__)


def annotate(
    corpus: pd.DataFrame,
    prompts: Mapping[str, Prompt],
    *,
    ledger: str | Path,
    teacher: str = "grounded",
    seed: int = 0,
    qa_per_image: int = 5,
    extras_per_day: int = 0,
    with_facts: bool = True,
    images_dir: str | Path = "",
    model: str = "",
    base_url: str = "",
    parameters: Mapping | None = None,
    limits: Limits | None = None,
    rounds: int = 1,
    rejected: pd.DataFrame | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Annotate every image of a corpus; one row an annotation, columns `COLUMNS`.

    `teacher` is "grounded" (from the facts, offline) or "openai" (an OpenAI-compatible server at `base_url`; the key
    comes from OPENAI_API_KEY). `with_facts` gives that server the facts that can be seen. `ledger` is where requests
    and answers go; what it has answered is not sent again. With a `budget` or dead letters some rows are missing; a
    later call goes on. `rounds` above 1 keeps the earlier rounds as the ledger has them and asks only the `rejected`
    annotations of the round before again, under the newer versions of their prompts; a round that the ledger has
    begun goes on as it was planned. Raises ValueError for an unknown teacher or a round that cannot follow,
    TeacherError where the server refuses the key.
    """
    model, parameters, with_facts = _settings(teacher, model, parameters, with_facts, seed)
    if rounds == 1:
        questions = plan(corpus, prompts, seed=seed, qa_per_image=qa_per_image, extras_per_day=extras_per_day)
    else:
        questions = _next_round(corpus, prompts, ledger, seed, rounds, rejected)
    requests = build_requests(corpus, questions, model=model, parameters=parameters, with_facts=with_facts)
    if questions:
        with open_ledger(ledger) as db:
            record_plan(db, rounds, [(r.key, q.item(model)) for q, r in zip(questions, requests, strict=True)])
    if teacher == "grounded":
        _answer_grounded(questions, requests, Path(ledger))
    else:
        _ask_server(corpus, questions, requests, Path(ledger), images_dir, base_url, limits or Limits(), progress)
    return replay(ledger, corpus, rounds)


def _settings(
    teacher: str, model: str, parameters: Mapping | None, with_facts: bool, seed: int
) -> tuple[str, Mapping, bool]:
    if teacher == "grounded":
        return "grounded", {"seed": seed}, True
    if teacher != "openai":
        raise ValueError(f"teacher {teacher!r} is not known; use one of {', '.join(TEACHERS)}")
    if not model:
        raise ValueError("teacher 'openai' needs the name of a model; set teacher_model")
    return model, OPENAI_PARAMETERS if parameters is None else parameters, with_facts


def _next_round(
    corpus: pd.DataFrame,
    prompts: Mapping[str, Prompt],
    ledger: str | Path,
    seed: int,
    round_: int,
    rejected: pd.DataFrame | None,
) -> list[Question]:
    """The questions of round `round_`, drawn from the rejected annotations of the round before."""
    with open_ledger(ledger) as db:
        done = [number for number, _ in standing_plans(db)]
        begun = [json.loads(item)["parent"] for number, _, item in planned(db, round_) if number == round_]
    if not set(range(1, round_)) <= set(done):
        raise ValueError(f"round {round_} follows round {round_ - 1}, which this ledger does not hold; run that first")
    if begun:
        before = replay(ledger, corpus, round_ - 1)
        rejected = before[before["annotation_id"].isin(begun)]
    elif rejected is None:
        raise ValueError(f"round {round_} needs the rejected annotations of round {round_ - 1}; run 03_review first")
    else:
        rejected = rejected[rejected["round"] == round_ - 1]
    questions = asked_again(corpus, prompts, rejected, seed, round_)
    log.info("round %d: %d of %d rejected annotations are asked again", round_, len(questions), len(rejected))
    return questions


# --------------------------------------------------------------------------------------------------------------------
# answers


def _answer_grounded(questions: Sequence[Question], requests: Sequence[Request], ledger: Path) -> None:
    """Answer from the facts what the ledger lacks, and record it as any teacher's answer."""
    with open_ledger(ledger) as db:
        todo = {r.key for r in unsettled(db, requests, 1)}
        utc = now_utc()
        attempts = {}
        for question, request in zip(questions, requests, strict=True):
            if request.key in todo and request.key not in attempts:
                raw = json.dumps(grounded_reply(question), ensure_ascii=False)
                attempts[request.key] = Attempt(request.key, ANSWERED, raw, sent_utc=utc)
        record_requests(db, [r for r in requests if r.key in todo])
        record_attempts(db, attempts.values())


def grounded_reply(question: Question) -> dict[str, str]:
    """What the grounded teacher says to a question, in the output schema of the prompts."""
    prompt, language, rng = question.prompt, question.language, np.random.default_rng(question.seed)
    answer = ""
    if prompt.task not in ("description", "ocr", "qa"):
        answer = grounded_more.answer(prompt, language, question.views, question.expected, rng)
    return grounded.reply(prompt, language, question.views[0].facts, rng, answer)


def _ask_server(
    corpus: pd.DataFrame,
    questions: Sequence[Question],
    requests: Sequence[Request],
    ledger: Path,
    images_dir: str | Path,
    base_url: str,
    limits: Limits,
    progress: bool,
) -> None:
    paths = {row.image_id: Path(images_dir) / row.path for row in corpus.itertuples()}
    pixels = dict(zip(corpus.image_id, corpus.width * corpus.height, strict=True))
    choices = {r.key: q.choices for q, r in zip(questions, requests, strict=True)}
    ask_all(
        requests,
        ledger,
        images_of=lambda request: [paths[i] for i in request.image_id.split(",")],
        choices_of=lambda request: choices[request.key],
        tokens_of=lambda request: tokens(request, pixels),
        base_url=base_url,
        limits=limits,
        progress=progress,
    )


# --------------------------------------------------------------------------------------------------------------------
# the ledger is the annotations


def replay(ledger: str | Path, corpus: pd.DataFrame, rounds: int = 1) -> pd.DataFrame:
    """The annotations, rebuilt from the ledger's plans and raw answers and the facts of the corpus; nothing is sent.

    Unanswered questions are left out.
    """
    with open_ledger(ledger) as db:
        raw, items = answers(db), planned(db, rounds)
    views = views_of(corpus)
    rows = [_row(r, key, json.loads(item), raw[key], views) for r, key, item in items if key in raw]
    if len(rows) < len(items):
        log.warning("%d of %d questions are unanswered; run again to go on", len(items) - len(rows), len(items))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(round_: int, key: str, item: Mapping, raw: str, views: Mapping[str, grounded_more.View]) -> dict:
    reply = parse_reply(raw, item["choices"])
    of_images = [views[i] for i in (item["image_id"], *item["more_images"])]
    identity = json.dumps([key, round_, reply.answer])
    as_json = {"steps": reply.steps, "claims": grounded_more.judge(item, reply.answer, of_images)}
    as_json |= {name: item[name] for name in ("choices", "more_images", "turns")}
    named = ("image_id", "task", "language", "question", "prompt_id", "prompt_version", "teacher", "parent")
    return {
        "annotation_id": "a" + hashlib.sha256(identity.encode()).hexdigest()[:16],
        "answer": reply.answer,
        "round": round_,
        **{name: item[name] for name in named},
        **{name: json.dumps(value, ensure_ascii=False) for name, value in as_json.items()},
    }
