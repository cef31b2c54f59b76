"""Seven solar tasks S1 to S7 as closed questions: after radio-llava's six, with what its scoring left open closed.

Reads `data/solar_tasks.yaml`, rows of `corpus.parquet`, the prompts, and answers as `jwvl_lib.asking` gathers them;
writes nothing. S1 instrument and measurement, S2 layer, S3 presence and count class of active regions, S4 Mount Wilson
class, S5 McIntosh class, S6 activity or artefact (frames of `jwvl_lib.activity_frames`), S7 leading polarity.

Truth comes from facts, answers are read as exactly one of the options offered or count as wrong, and the same options
are asked in `n_shuffles` orders. An item is one such question; all scores are over items.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from jwvl_lib import grounded, metrics
from jwvl_lib.asking import ITEM_COLUMNS
from jwvl_lib.facts import from_json
from jwvl_lib.prompts import LANGUAGES, Prompt, closed_question

TABLE = Path(__file__).parent / "data" / "solar_tasks.yaml"
COLUMNS = [*ITEM_COLUMNS, "solar_task", "shuffle", "codes", "code"]  # of an item; codes: JSON, in the order of choices
ANSWER_COLUMNS = "solar_task image_id group_id simulated language shuffle model answer code codes".split()
PARTS = {  # scores that follow from the answer to one question: (task, name) -> what of the answer counts
    "S3": {"presence": lambda code: "none" if code == "0" else "some"},
    "S5": {"Z": lambda code: code[0], "p": lambda code: code[1], "c": lambda code: code[2]},
}


@lru_cache(maxsize=1)
def load_tasks() -> dict[str, dict]:
    """The table of the tasks, `S1` to `S7`."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def scored_tasks() -> list[str]:
    """Every name under which a score is given, a task's parts after it: S1, S2, S3, S3.presence, ..."""
    return [name for task in load_tasks() for name in (task, *(f"{task}.{part}" for part in PARTS.get(task, ())))]


# --------------------------------------------------------------------------------------------------------------------
# questions


def task_prompts(prompts: Mapping[str, Prompt]) -> dict[str, Prompt]:
    """The prompt of each task whose family is among `prompts`, those of `teacher_plan.offering`."""
    return {task: prompts[entry["family"]] for task, entry in load_tasks().items() if entry["family"] in prompts}


def items(
    corpus: pd.DataFrame,
    prompts: Mapping[str, Prompt],
    *,
    split: str = "test",
    n_shuffles: int = 3,
    max_images: int = 0,
    seed: int = 0,
    tasks: Sequence[str] = (),
) -> pd.DataFrame:
    """The questions of the tasks about the images of a split, `COLUMNS` and `path`: a row an image, language, shuffle.

    `prompts` are those of `task_prompts`, `tasks` some of them (empty: all). Options are drawn once an image and
    language and put in `n_shuffles` orders, no two alike, or in all there are (two of two options). At most
    `max_images` images a task (0: all whose facts decide the answer).
    """
    rows = []
    part = corpus[corpus.split == split]
    known = [from_json(text) for text in part.facts]
    for task in tasks or prompts:
        if task not in prompts:
            continue
        told = [(row, grounded.truth(prompts[task], f)) for row, f in zip(part.itertuples(), known, strict=True)]
        told = [(row, value) for row, value in told if value is not None]
        rng = np.random.default_rng([seed, 7])  # the same draw for tasks about the same images
        for k in sorted(rng.permutation(len(told))[: max_images or None]):
            row, value = told[k]
            about = {"path": row.path, "split": split, "simulated": row.simulated, "group_id": row.group_id}
            rows += _questions(task, prompts[task], row.image_id, value, n_shuffles, seed, about)
    return pd.DataFrame(rows, columns=[*COLUMNS, "path"])


def _questions(
    task: str, prompt: Prompt, image_id: str, value: str, n_shuffles: int, seed: int, about: Mapping
) -> list[dict]:
    rows = []
    for language in LANGUAGES:
        rng = np.random.default_rng([seed, *f"{task}|{image_id}|{language}".encode()])
        wordings = prompt.text["questions"][language]
        wording = wordings[rng.integers(len(wordings))]
        names = grounded.choices(prompt, value, language, rng)
        for shuffle, order in enumerate(_orders(len(names), n_shuffles, rng)):
            listed = [names[k] for k in order]
            rows.append(
                {
                    **{"annotation_id": f"{task}|{image_id}|{language}|{shuffle}", "image_id": image_id, "task": "qa"},
                    **{"prompt_id": prompt.prompt_id, "language": language, "solar_task": task, "shuffle": shuffle},
                    "question": closed_question(prompt, wording, listed, language),
                    "target": _called(prompt, value, language),
                    "choices": json.dumps(listed, ensure_ascii=False),
                    "codes": json.dumps(_codes(prompt, listed, value, language)),
                    "code": value,
                    **about,
                }
            )
    return rows


def _orders(n_options: int, n_shuffles: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Distinct orders of the options, the given one first; fewer than `n_shuffles` where there are no more."""
    orders = [tuple(range(n_options))]
    while len(orders) < min(n_shuffles, math.factorial(n_options)):
        drawn = tuple(rng.permutation(n_options).tolist())
        if drawn not in orders:  # an order asked twice would pass for an answer that no order changes
            orders.append(drawn)
    return orders


def _called(prompt: Prompt, code: str, language: str) -> str:
    return grounded.called(prompt, prompt.about.rpartition(":")[2], code, language)


def _codes(prompt: Prompt, names: Sequence[str], value: str, language: str) -> list[str]:
    """The classes that the options name; the same in both languages."""
    known = {_called(prompt, code, language): code for code in [*prompt.text["choices"], value]}
    return [known.get(name, name) for name in names]


# --------------------------------------------------------------------------------------------------------------------
# answers


def of_benchmark(predictions: pd.DataFrame, prompts: Mapping[str, Prompt], corpus: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the ordinary benchmark that answer one of the tasks, with the columns of an item.

    Images whose facts no longer decide the question, and splits other than the predictions' own, are left out.
    """
    facts = dict(zip(corpus.image_id, corpus.facts, strict=True))
    family = {prompt.prompt_id: task for task, prompt in prompts.items()}
    part = predictions[predictions.prompt_id.isin(family) & predictions.image_id.isin(facts)]
    rows = []
    for row in part.to_dict("records"):
        task = family[row["prompt_id"]]
        value = grounded.truth(prompts[task], from_json(facts[row["image_id"]]))
        if value is not None:
            codes = _codes(prompts[task], json.loads(row["choices"]), value, row["language"])
            rows.append(row | {"solar_task": task, "shuffle": 0, "codes": json.dumps(codes), "code": value})
    more = ["solar_task", "shuffle", "codes", "code"]
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*part.columns, *more])))


def answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """What was answered, as classes: `ANSWER_COLUMNS`, two models a prediction, `<model> greedy` and `<model> choice`.

    A model that never chose, as at an endpoint, has no `choice`: it was not asked, which is not the same as wrong.

    `predictions` are items as `asking.ask` returns them, with an item's own columns. An answer that is none of the
    options offered, after NFKC and stripping, is "": no substring counts, and nothing is left out.
    """
    parts = []
    chose = predictions.model.isin(predictions.model[predictions.choice != ""])
    for how, column, rows in (("greedy", "prediction", predictions), ("choice", "choice", predictions[chose])):
        parts.append(rows.assign(answer=_classes(rows, column), model=rows.model + f" {how}"))
    return pd.concat(parts, ignore_index=True)[ANSWER_COLUMNS]


def agreed(predictions: pd.DataFrame) -> pd.DataFrame:
    """One class a question, whatever its order and language: `ANSWER_COLUMNS`, a row a prediction, `<model> agreed`.

    What a model chooses hangs on the order of the options (Zheng et al. 2024, arXiv:2309.03882). So the askings of an
    image that offer the same options vote for their choice, each with its probability (1 where that is unknown), and
    the class with the most is the answer of all of them (after self-consistency, Wang et al. 2023, arXiv:2203.11171).
    Truth takes no part: where each language was offered options of its own, the orders of one language vote among
    themselves.
    """
    rows = predictions[predictions.choice != ""]
    offered = [" ".join(sorted(json.loads(codes))) for codes in rows.codes]
    votes = rows.assign(answer=_classes(rows, "choice"), offered=offered, weight=rows.choice_probability.fillna(1.0))
    question = ["model", "solar_task", "image_id", "offered"]
    totals = votes.groupby([*question, "answer"], as_index=False, sort=False).weight.sum()
    best = totals.sort_values("weight", ascending=False, kind="stable").drop_duplicates(question)
    together = votes.drop(columns="answer").merge(best[[*question, "answer"]], on=question, validate="many_to_one")
    return together.assign(model=together.model + " agreed")[ANSWER_COLUMNS]


def _classes(rows: pd.DataFrame, column: str) -> list[str]:
    """The class that the text of a column names, a row each; "" for none of the options."""
    texts = zip(rows[column], rows.choices, rows.codes, strict=True)
    return [_read(text, json.loads(choices), json.loads(codes)) for text, choices, codes in texts]


def _read(text: str, choices: Sequence[str], codes: Sequence[str]) -> str:
    said = metrics.normalize(text)
    return next((code for name, code in zip(choices, codes, strict=True) if metrics.normalize(name) == said), "")


def with_item_columns(predictions: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Answers of `asking.ask` to `asked` items, with the columns of an item that it does not keep."""
    own = ["annotation_id", "solar_task", "shuffle", "codes", "code"]
    return predictions.merge(asked[own], on="annotation_id", validate="many_to_one")


def scored_parts(answered: pd.DataFrame) -> pd.DataFrame:
    """`answered` with the rows of the parts added: S3.presence, and the letters S5.Z, S5.p and S5.c.

    Options fall together where the part does not tell them apart; an unreadable answer stays unreadable.
    """
    parts = [answered]
    for task, functions in PARTS.items():
        rows = answered[answered.solar_task == task]
        for name, function in functions.items():
            codes = [json.dumps([function(c) for c in json.loads(text)]) for text in rows.codes]
            said = [function(text) if text else "" for text in rows.answer]
            true = [function(text) for text in rows.code]
            parts.append(rows.assign(solar_task=f"{task}.{name}", codes=codes, answer=said, code=true))
    return pd.concat(parts, ignore_index=True)
