"""Distillation: one interface to the teachers, from corpus and prompts to annotations.

Reads the corpus, its PNGs (the openai teacher only) and the prompts; writes the ledger `teacher.sqlite`. Annotations
are rebuilt from the ledger, in the order of the plan, so an interrupted, resumed or repeated run gives the same bytes.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import claims, grounded
from jwvl_lib.facts import Fact, from_json
from jwvl_lib.prompts import LANGUAGES, Prompt, closed_question, system_text, user_text, visible_facts
from jwvl_lib.teacher_client import Reply, ask_all, parse_reply
from jwvl_lib.teacher_ledger import (
    ANSWERED,
    Attempt,
    Request,
    answers,
    now_utc,
    open_ledger,
    record_attempts,
    record_requests,
    unsettled,
)

TEACHERS = ("grounded", "openai")
COLUMNS = (
    "annotation_id image_id task language question answer steps prompt_id prompt_version teacher round claims choices"
).split()
OPENAI_PARAMETERS = {"temperature": 0.2, "max_tokens": 800, "response_format": {"type": "json_object"}}
IMAGE_TOKEN_PX = 28 * 28  # Qwen2.5-VL: a token for 28 x 28 pixels
CHARACTERS_PER_TOKEN = {"en": 4.0, "zh": 1.5}  # rough: for the estimate only
REPLY_TOKENS = 200
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """One annotation to be made: what is asked about which image."""

    image_id: str
    prompt: Prompt
    language: str
    question: str
    choices: tuple[str, ...]
    facts: tuple[Fact, ...]
    seed: int


def annotate(
    corpus: pd.DataFrame,
    prompts: Mapping[str, Prompt],
    *,
    ledger: str | Path,
    teacher: str = "grounded",
    seed: int = 0,
    qa_per_image: int = 5,
    with_facts: bool = True,
    images_dir: str | Path = "",
    model: str = "",
    base_url: str = "",
    parameters: Mapping | None = None,
    concurrency: int = 4,
    requests_per_minute: float = 60,
    budget: int = 0,
    first_wait_s: float = 1.0,
    progress: bool = False,
) -> pd.DataFrame:
    """Annotate every image of a corpus; one row an annotation, columns `COLUMNS`.

    `teacher` is "grounded" (from the facts, offline) or "openai" (an OpenAI-compatible server at `base_url`; the key
    comes from OPENAI_API_KEY). `with_facts` gives that server the facts that can be seen. `ledger` is where requests
    and answers go; what it has answered is not sent again. With a `budget` or dead letters some rows are missing; a
    later call goes on. Raises ValueError for an unknown teacher, TeacherError where the server refuses the key.
    """
    questions = plan(corpus, prompts, seed=seed, qa_per_image=qa_per_image)
    if teacher == "grounded":
        model, parameters, with_facts = "grounded", {"seed": seed}, True
    elif teacher == "openai":
        if not model:
            raise ValueError("teacher 'openai' needs the name of a model; set teacher_model")
        parameters = OPENAI_PARAMETERS if parameters is None else parameters
    else:
        raise ValueError(f"teacher {teacher!r} is not known; use one of {', '.join(TEACHERS)}")
    requests = build_requests(corpus, questions, model=model, parameters=parameters, with_facts=with_facts)
    if teacher == "grounded":
        _answer_grounded(questions, requests, Path(ledger))
    else:
        paths = {row.image_id: Path(images_dir) / row.path for row in corpus.itertuples()}
        choices = {r.key: q.choices for q, r in zip(questions, requests, strict=True)}
        ask_all(
            requests,
            Path(ledger),
            image_of=lambda request: paths[request.image_id],
            choices_of=lambda request: choices[request.key],
            base_url=base_url,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            budget=budget,
            first_wait_s=first_wait_s,
            progress=progress,
        )
    return read_annotations(questions, requests, ledger)


# --------------------------------------------------------------------------------------------------------------------
# plan


def plan(
    corpus: pd.DataFrame, prompts: Mapping[str, Prompt], *, seed: int = 0, qa_per_image: int = 5
) -> list[Question]:
    """What will be asked, image by image: description and OCR in both languages, then `qa_per_image` closed questions.

    A question is asked only where the facts answer it. What is asked of an image depends on `seed` and the image's id
    and facts alone, not on the rest of the corpus.
    """
    return [q for row in corpus.itertuples() for q in _plan_image(row.image_id, row.facts, prompts, seed, qa_per_image)]


def _plan_image(image_id: str, facts_json: str, prompts: Mapping[str, Prompt], seed: int, n_qa: int) -> list[Question]:
    facts = tuple(from_json(facts_json))
    rng = np.random.default_rng(_integer(seed, image_id))
    questions = []
    for prompt in prompts.values():
        if prompt.task == "description" or (prompt.task == "ocr" and grounded.truth(prompt, facts)):
            questions += [_question(image_id, prompt, language, facts, rng) for language in LANGUAGES]
    families = [p for p in prompts.values() if p.task == "qa" and grounded.truth(p, facts) is not None]
    order, first = rng.permutation(len(families)), int(rng.integers(2))
    for i in range(min(n_qa, 2 * len(families))):
        # languages alternate; once every family has been asked, the other language of each follows
        again, place = divmod(i, len(families))
        language = LANGUAGES[(first + place + again) % 2]
        questions.append(_question(image_id, families[order[place]], language, facts, rng))
    return questions


def _question(
    image_id: str, prompt: Prompt, language: str, facts: tuple[Fact, ...], rng: np.random.Generator
) -> Question:
    wordings = prompt.text["questions"][language]
    question, listed = wordings[rng.integers(len(wordings))], []
    if prompt.task == "qa":
        listed = grounded.choices(prompt, grounded.truth(prompt, facts), language, rng)
        question = closed_question(prompt, question, listed, language)
    return Question(image_id, prompt, language, question, tuple(listed), facts, int(rng.integers(2**31)))


def _integer(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def build_requests(
    corpus: pd.DataFrame, questions: Sequence[Question], *, model: str, parameters: Mapping, with_facts: bool
) -> list[Request]:
    """The requests of a plan, one a question, in its order."""
    sha256 = dict(zip(corpus.image_id, corpus.sha256, strict=True))
    systems = {}
    fixed = json.dumps(parameters, sort_keys=True)
    requests = []
    for q in questions:
        which = (q.prompt.prompt_id, q.language)
        if which not in systems:
            systems[which] = system_text(q.prompt, q.language)
        given = visible_facts(q.facts, claims.largest_region(q.facts)) if with_facts else None
        user = user_text(q.prompt, q.language, q.question, given)
        version = q.prompt.version
        asked = (q.prompt.prompt_id, version, q.language, model, fixed, systems[which], user)
        requests.append(Request(q.image_id, sha256[q.image_id], *asked))
    return requests


def estimate(corpus: pd.DataFrame, requests: Sequence[Request], requests_per_minute: float) -> dict[str, float]:
    """What the requests would cost on a server, before anything is sent: requests, tokens in and out, hours.

    Tokens are estimated from characters and pixels, not counted; retries are left out.
    """
    pixels = dict(zip(corpus.image_id, corpus.width * corpus.height, strict=True))
    text = sum(len(r.system + r.user) / CHARACTERS_PER_TOKEN[r.language] for r in requests)
    images = sum(pixels[r.image_id] / IMAGE_TOKEN_PX for r in requests)
    return {
        "requests": len(requests),
        "input_tokens": round(text + images),
        "output_tokens": REPLY_TOKENS * len(requests),
        "hours": round(len(requests) / requests_per_minute / 60, 2),
    }


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
                rng = np.random.default_rng(question.seed)
                reply = grounded.reply(question.prompt, question.language, question.facts, rng)
                raw = json.dumps(reply, ensure_ascii=False)
                attempts[request.key] = Attempt(request.key, ANSWERED, raw, sent_utc=utc)
        record_requests(db, [r for r in requests if r.key in todo])
        record_attempts(db, attempts.values())


def read_annotations(questions: Sequence[Question], requests: Sequence[Request], ledger: str | Path) -> pd.DataFrame:
    """The annotations of a plan, rebuilt from the ledger's raw answers; unanswered questions are left out."""
    with open_ledger(ledger) as db:
        raw = answers(db)
    rows = [
        _row(question, request, parse_reply(raw[request.key], question.choices))
        for question, request in zip(questions, requests, strict=True)
        if request.key in raw
    ]
    if len(rows) < len(questions):
        log.warning("%d of %d questions are unanswered; run again to go on", len(questions) - len(rows), len(questions))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(question: Question, request: Request, reply: Reply) -> dict:
    prompt, round_ = question.prompt, 1
    # no language is given: a teacher may answer in the wrong one, and what it claims counts all the same
    checked = claims.check(reply.answer, question.facts, about=prompt.about)
    identity = json.dumps([request.key, round_, reply.answer])
    return {
        "annotation_id": "a" + hashlib.sha256(identity.encode()).hexdigest()[:16],
        "image_id": question.image_id,
        "task": prompt.task,
        "language": question.language,
        "question": question.question,
        "answer": reply.answer,
        "steps": json.dumps(reply.steps, ensure_ascii=False),
        "prompt_id": prompt.prompt_id,
        "prompt_version": prompt.version,
        "teacher": request.model,
        "round": round_,
        "claims": json.dumps(checked, ensure_ascii=False),
        "choices": json.dumps(list(question.choices), ensure_ascii=False),
    }
