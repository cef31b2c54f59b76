"""What the teacher is asked: from corpus and prompts to questions, requests, and an estimate of their cost.

Reads and writes nothing. The plan depends on the corpus, the prompts and a seed alone; the ledger keeps it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jwvl_lib import claims, grounded, grounded_more
from jwvl_lib.facts import from_json
from jwvl_lib.grounded_more import Turn, View
from jwvl_lib.prompts import LANGUAGES, Prompt, closed_question, system_text, user_text, visible_facts
from jwvl_lib.teacher_ledger import Request

IMAGE_TOKEN_PX = 28 * 28  # Qwen2.5-VL: a token for 28 x 28 pixels
CHARACTERS_PER_TOKEN = {"en": 4.0, "zh": 1.5}  # rough: for the estimate only
REPLY_TOKENS = 200
NARROWED = ("instrument", "measurement", "largest:hale_class", "largest:mcintosh_class")  # see `offering`


@dataclass(frozen=True)
class Question:
    """One annotation to be made: what is asked about which image, or images; the first is the annotation's own.

    `turns` is what was said before in a conversation. `parent` is the rejected annotation that this one replaces.
    """

    views: tuple[View, ...]
    prompt: Prompt
    language: str
    question: str
    choices: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    seed: int = 0
    parent: str = ""
    expected: str = ""  # the answer of a conversation's last question; the others follow from prompt and views

    @property
    def image_id(self) -> str:
        return self.views[0].image_id

    @property
    def about(self) -> str:
        """What a bare answer claims; in a conversation, what its last question is about."""
        return self.turns[-1].next_about if self.turns else self.prompt.about

    def item(self, teacher: str) -> str:
        """JSON of everything an annotation is rebuilt from, beside the raw answer and the facts of its images."""
        more = {
            "more_images": [v.image_id for v in self.views[1:]],
            "turns": [{"question": t.question, "answer": t.answer, "about": t.about} for t in self.turns],
        }
        named = {"prompt_id": self.prompt.prompt_id, "prompt_version": self.prompt.version, "task": self.prompt.task}
        asked = {"language": self.language, "question": self.question, "choices": list(self.choices)}
        rest = {"image_id": self.image_id, "about": self.about, "teacher": teacher, "parent": self.parent}
        return json.dumps(rest | named | asked | more, ensure_ascii=False, sort_keys=True)


def views_of(corpus: pd.DataFrame) -> dict[str, View]:
    """The images of a corpus by id, with facts and boxes."""
    boxes = corpus["boxes"] if "boxes" in corpus else ["[]"] * len(corpus)
    return {
        row.image_id: View(row.image_id, tuple(from_json(row.facts)), tuple(map(grounded_more.box_of, json.loads(b))))
        for row, b in zip(corpus.itertuples(), boxes, strict=True)
    }


def plan(
    corpus: pd.DataFrame,
    prompts: Mapping[str, Prompt],
    *,
    seed: int = 0,
    qa_per_image: int = 5,
    extras_per_day: int = 0,
) -> list[Question]:
    """What will be asked, image by image: description and OCR in both languages, then `qa_per_image` closed questions.

    A question is asked only where the facts decide its answer; those that few pictures can be asked (`scarce` in their
    prompts) come first. `extras_per_day` adds, so many times for each day of observation: a grounding question in each
    language about different images, and a question about two images and a conversation, in both languages. What is
    asked of an image depends on `seed`, its id and facts alone, but for these extras, which depend on the day's images
    too.
    """
    views = views_of(corpus)
    questions = [q for view in views.values() for q in _plan_image(view, prompts, seed, qa_per_image)]
    for day, (of_day, of_next) in _days(corpus, views).items() if extras_per_day else ():
        for turn in range(extras_per_day):
            questions += _extras(of_day, of_next, prompts, np.random.default_rng(_integer(seed, day, turn)))
    return questions


def offering(corpus: pd.DataFrame, prompts: Mapping[str, Prompt]) -> dict[str, Prompt]:
    """The prompts, offering of instruments, channels and classes those that the corpus has in its training split.

    A choice that is never the answer gives itself away, as does one that is offered only where it is the answer; and
    one that is never seen cannot be learnt.
    """
    learnt = views_of(corpus[corpus["split"] == "train"] if "split" in corpus else corpus).values()
    narrowed = dict(prompts)
    for name, prompt in prompts.items():
        if prompt.about in NARROWED:
            seen = {grounded.truth(prompt, view.facts) for view in learnt}
            offered = [c for c in prompt.text["choices"] if c in seen]
            offered += sorted(seen - {None, *offered})
            text = {**prompt.text, "choices": offered} if len(offered) > 1 else prompt.text
            narrowed[name] = dataclasses.replace(prompt, text=text)
    return narrowed


def _days(corpus: pd.DataFrame, views: Mapping[str, View]) -> dict[str, tuple[list[View], list[View]]]:
    """The images of each day, and those of the next day of the same split: a question never straddles two splits."""
    splits = corpus["split"] if "split" in corpus else pd.Series("", index=corpus.index)
    days = {}
    for _, ids in corpus["image_id"].groupby(splits):
        of_split = sorted(grounded_more.by_day(views[i] for i in ids).items())
        after = [v for _, v in of_split[1:]] + [[]]
        days |= {day: (of_day, of_next) for (day, of_day), of_next in zip(of_split, after, strict=True)}
    return dict(sorted(days.items()))


def _plan_image(view: View, prompts: Mapping[str, Prompt], seed: int, n_qa: int) -> list[Question]:
    rng = np.random.default_rng(_integer(seed, view.image_id))
    questions = []
    for prompt in prompts.values():
        if prompt.task == "description" or (prompt.task == "ocr" and grounded.truth(prompt, view.facts)):
            questions += [_question((view,), prompt, language, rng) for language in LANGUAGES]
    families = [p for p in prompts.values() if p.task == "qa" and grounded.truth(p, view.facts) is not None]
    families = [p for p in families if rng.integers(p.text.get("one_in", 1)) == 0]
    order, first = [families[k] for k in rng.permutation(len(families))], int(rng.integers(2))
    order.sort(key=lambda p: not p.text.get("scarce"))
    for i in range(min(n_qa, 2 * len(order))):
        # languages alternate; once every family has been asked, the other language of each follows
        again, place = divmod(i, len(order))
        language = LANGUAGES[(first + place + again) % 2]
        questions.append(_question((view,), order[place], language, rng))
    return questions


def _extras(
    of_day: Sequence[View], of_next: Sequence[View], prompts: Mapping[str, Prompt], rng: np.random.Generator
) -> Iterator[Question]:
    """One set of extras of a day; what its facts do not decide is left out."""
    shuffled = [of_day[i] for i in rng.permutation(len(of_day))]
    boxable = [(v, p) for v in shuffled for p in prompts.values() if grounded_more.boxes_asked(p, v) is not None]
    seen: set[str] = set()
    for language in rng.permutation(LANGUAGES):
        free = [(v, p) for v, p in boxable if v.image_id not in seen]
        if free:
            view = free[0][0]
            offered = [p for v, p in free if v is view]
            seen.add(view.image_id)
            yield _question((view,), offered[rng.integers(len(offered))], str(language), rng)
    pairs = [*zip(shuffled, shuffled[1:], strict=False), *((shuffled[0], later) for later in of_next)]
    by_answer: dict[tuple[str, str], list] = {}
    for prompt in (p for p in prompts.values() if p.task == "multi_image"):
        for pair in pairs:
            value = grounded_more.compared(prompt, pair)
            if value:
                by_answer.setdefault((prompt.prompt_id, value), []).append(pair)
    if by_answer:  # every answer alike often, or the question alone would give it away
        prompt_id, value = sorted(by_answer)[rng.integers(len(by_answer))]
        pair = by_answer[prompt_id, value][rng.integers(len(by_answer[prompt_id, value]))]
        yield from (_question(pair, prompts[prompt_id], language, rng) for language in LANGUAGES)
    for prompt in (p for p in prompts.values() if p.task == "multi_turn"):
        for language in LANGUAGES if shuffled else ():
            yield from _conversation(shuffled[0], prompt, prompts, language, rng)


def _conversation(
    view: View, prompt: Prompt, prompts: Mapping[str, Prompt], language: str, rng: np.random.Generator
) -> list[Question]:
    turns, last = grounded_more.turns_of(prompt, prompts, view.facts, language, rng)
    if not turns:
        return []
    family = prompts[last.family]
    listed = grounded.choices(family, grounded.truth(family, view.facts), language, rng)
    question = closed_question(family, last.question, listed, language)
    chosen = int(rng.integers(2**31))
    return [Question((view,), prompt, language, question, tuple(listed), turns, chosen, expected=last.answer)]


def _question(
    views: tuple[View, ...], prompt: Prompt, language: str, rng: np.random.Generator, parent: str = ""
) -> Question:
    wordings = prompt.text["questions"][language]
    question, listed = wordings[rng.integers(len(wordings))], []
    if prompt.task in ("qa", "multi_image"):
        value = grounded_more.compared(prompt, views) if len(views) > 1 else grounded.truth(prompt, views[0].facts)
        listed = grounded.choices(prompt, value, language, rng)
        question = closed_question(prompt, question, listed, language)
    return Question(views, prompt, language, question, tuple(listed), seed=int(rng.integers(2**31)), parent=parent)


def asked_again(
    corpus: pd.DataFrame, prompts: Mapping[str, Prompt], rejected: pd.DataFrame, seed: int, round_: int
) -> list[Question]:
    """The questions of a later round: each rejected annotation whose prompt has a newer version by now, once more.

    `rejected` are rows of `annotations.parquet`. A conversation is asked anew from its first question.
    """
    views, questions = views_of(corpus), []
    for row in rejected.sort_values("annotation_id").to_dict("records"):
        prompt = prompts.get(row["prompt_id"])
        if prompt is None or prompt.version <= row["prompt_version"] or row["image_id"] not in views:
            continue
        rng = np.random.default_rng(_integer(seed, round_, row["annotation_id"]))
        of_images = tuple(views[i] for i in (row["image_id"], *json.loads(row.get("more_images", "[]"))))
        if prompt.task == "multi_turn":
            new = _conversation(of_images[0], prompt, prompts, row["language"], rng)
            questions += [Question(**{**vars(q), "parent": row["annotation_id"]}) for q in new]
        else:
            questions.append(_question(of_images, prompt, row["language"], rng, row["annotation_id"]))
    return questions


def _integer(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


# --------------------------------------------------------------------------------------------------------------------
# requests and their cost


def build_requests(
    corpus: pd.DataFrame, questions: Sequence[Question], *, model: str, parameters: Mapping, with_facts: bool
) -> list[Request]:
    """The requests of a plan, one a question, in its order."""
    sha256 = dict(zip(corpus.image_id, corpus.sha256, strict=True))
    systems = {}
    fixed = json.dumps(parameters, sort_keys=True)
    requests = []
    for q in questions:
        which = (q.prompt.prompt_id, q.prompt.version, q.language)
        if which not in systems:
            systems[which] = system_text(q.prompt, q.language)
        given = [None]
        if with_facts:
            given = [visible_facts(v.facts, claims.largest_region(v.facts), q.prompt.about) for v in q.views]
        earlier = [(t.question, t.answer) for t in q.turns]
        user = user_text(q.prompt, q.language, q.question, given[0], more_facts=given[1:], earlier=earlier)
        ids, hashes = (",".join(v) for v in zip(*((w.image_id, sha256[w.image_id]) for w in q.views), strict=True))
        asked = (q.prompt.prompt_id, q.prompt.version, q.language, model, fixed, systems[which], user)
        requests.append(Request(ids, hashes, *asked))
    return requests


def tokens(request: Request, pixels: Mapping[str, float]) -> float:
    """Tokens of a request with its answer, estimated from characters and pixels (`pixels` by image_id)."""
    return _tokens_in(request, pixels) + REPLY_TOKENS


def _tokens_in(request: Request, pixels: Mapping[str, float]) -> float:
    text = len(request.system + request.user) / CHARACTERS_PER_TOKEN[request.language]
    return text + sum(pixels[i] for i in request.image_id.split(",")) / IMAGE_TOKEN_PX


def estimate(
    corpus: pd.DataFrame,
    requests: Sequence[Request],
    requests_per_minute: float,
    tokens_per_minute: float = 0,
    price_in: float = 0,
    price_out: float = 0,
) -> dict[str, float]:
    """What the requests would cost on a server, before anything is sent: requests, tokens in and out, hours, price.

    Tokens are estimated from characters and pixels, not counted; retries are left out. Prices are per million tokens,
    in the currency of whoever gives them; `hours` is what the tighter limit allows.
    """
    pixels = dict(zip(corpus.image_id, corpus.width * corpus.height, strict=True))
    tokens_in = sum(_tokens_in(r, pixels) for r in requests)
    tokens_out = REPLY_TOKENS * len(requests)
    minutes = len(requests) / requests_per_minute
    if tokens_per_minute:
        minutes = max(minutes, (tokens_in + tokens_out) / tokens_per_minute)
    return {
        "requests": len(requests),
        "input_tokens": round(tokens_in),
        "output_tokens": tokens_out,
        "hours": round(minutes / 60, 2),
        "price": round((tokens_in * price_in + tokens_out * price_out) / 1e6, 2),
    }
