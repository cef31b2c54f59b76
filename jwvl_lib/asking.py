"""The benchmark's questions: which are put to a model, and its answers as a table.

Reads rows of `corpus.parquet` and `accepted.parquet` and the images they name; a model comes as two functions,
`answer` and `choose` (those of `jwvl_lib.vlm` with a model bound to them), so nothing here needs torch. Writes nothing.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from jwvl_lib import metrics
from jwvl_lib.general_task import GeneralItem
from jwvl_lib.grounded import called
from jwvl_lib.prompts import Prompt, closed_question

# a text, or (text, how its tokens were weighed) where the model notes it (`vlm.answer_weighed`)
Answer = Callable[[Sequence[Image.Image], Sequence[str], Sequence[int]], list[str] | list[tuple[str, object]]]
# a choice, or (choice, probability) where the model says how sure it is (`vlm.choose_weighed`)
Choose = Callable[
    [Sequence[Image.Image], Sequence[str], Sequence[int], Sequence[Sequence[str]]], list[str] | list[tuple[str, float]]
]

TASKS = ("qa", "ocr", "description", "grounding", "general")
# who is asked what; `choices` is a JSON list, empty for an open question
ITEM_COLUMNS = "annotation_id image_id task prompt_id language split group_id simulated question target choices".split()
PREDICTION_COLUMNS = (
    "annotation_id image_id task prompt_id language split group_id simulated model question target prediction correct"
    " choices choice choice_correct choice_probability"
).split()
CONSTANT = "constant"


def select_items(
    corpus: pd.DataFrame,
    annotations: pd.DataFrame,
    *,
    tasks: Sequence[str] = ("qa", "ocr", "description"),
    max_images: int = 0,
    split: str = "test",
    seed: int = 0,
    may_be_empty: bool = False,
) -> pd.DataFrame:
    """The questions to ask, a row each, with `ITEM_COLUMNS` and the image's `path`, in the order of the corpus.

    Images of `split` only; of the simulated and of the real ones each at most `max_images` (0: all), drawn by `seed`.
    Raises ValueError where a task is unknown or, unless that `may_be_empty`, no annotated image is left.
    """
    if unknown := set(tasks) - set(TASKS):
        raise ValueError(f"tasks names {sorted(unknown)}; choose among {', '.join(TASKS)}")
    held_out = corpus[(corpus.split == split) & corpus.image_id.isin(annotations.image_id)]
    if held_out.empty and not may_be_empty:
        raise ValueError(f"no annotated image of split {split!r}: curate more days, or review what was distilled")
    rng = np.random.default_rng(seed)
    drawn: list[str] = []
    for simulated in (True, False):
        ids = held_out.image_id[held_out.simulated == simulated].to_numpy()
        drawn += list(rng.permutation(ids)[: max_images or None])
    images = held_out.loc[held_out.image_id.isin(drawn), ["image_id", "path", "split", "group_id", "simulated"]]
    asked = annotations[annotations.task.isin(tasks)].rename(columns={"answer": "target"})
    return images.merge(asked, on="image_id")[[*ITEM_COLUMNS, "path"]]


def twins(items: pd.DataFrame, prompts: Mapping[str, Prompt]) -> pd.DataFrame:
    """Each closed question of `items` in the other language, where that was not asked: same choices, same order.

    Annotations draw a language for each question; whether both languages give the same facts needs both.
    """
    asked = set(zip(items.image_id, items.prompt_id, items.language, strict=True))
    rows = []
    for row in items[items.task == "qa"].to_dict("records"):
        other = {"zh": "en", "en": "zh"}[row["language"]]
        if (row["image_id"], row["prompt_id"], other) not in asked:
            prompt, choices = prompts[row["prompt_id"]], json.loads(row["choices"])
            words = {c: _translated(prompt, c, row["language"], other) for c in choices}
            offered = list(words.values())
            question = closed_question(prompt, prompt.text["questions"][other][0], offered, other)
            key = {"annotation_id": f"{row['annotation_id']}|{other}", "language": other, "question": question}
            rows.append(
                row | key | {"target": words[row["target"]], "choices": json.dumps(offered, ensure_ascii=False)}
            )
    return pd.DataFrame(rows, columns=items.columns)


def _translated(prompt: Prompt, choice: str, language: str, other: str) -> str:
    """A choice as the prompt calls it in another language; names of instruments keep their codes."""
    kind = prompt.about.rpartition(":")[2]
    for value in prompt.text["choices"]:
        if called(prompt, kind, value, language) == choice:
            return called(prompt, kind, value, other)
    for word in prompt.text["names"].get(kind, ()):  # a channel that the prompt does not list, as real images show
        choice = choice.replace(prompt.name(kind, word, language), word)
    return called(prompt, kind, choice, other)


def general_items(items: Sequence[GeneralItem]) -> tuple[pd.DataFrame, dict[str, Image.Image]]:
    """The general task in the form of `select_items`, and its images by image_id; every picture is its own group."""
    ids = [f"general-{k:05d}" for k in range(len(items))]
    rows = [
        {"task": "general", "prompt_id": f"general.{i.task}", "language": i.language, "question": i.question}
        | {"target": i.answer, "choices": json.dumps(list(i.choices), ensure_ascii=False)}
        for i in items
    ]
    frame = pd.DataFrame(rows, columns=ITEM_COLUMNS)
    frame = frame.assign(annotation_id=ids, image_id=ids, group_id=ids, split="general", simulated=True)
    return frame, dict(zip(ids, (i.image for i in items), strict=True))


def image_opener(folder: Path, items: pd.DataFrame) -> Callable[[str], Image.Image]:
    """A function from image_id to the decoded RGB image of the stage folder `folder`."""
    paths = dict(zip(items.image_id, items.path, strict=True))
    return lambda image_id: Image.open(folder / paths[image_id], formats=["PNG", "JPEG"]).convert("RGB")


def ask(
    items: pd.DataFrame,
    open_image: Callable[[str], Image.Image],
    answer: Answer,
    choose: Choose | None,
    model: str,
    *,
    see: Callable[[list[Image.Image]], list] = list,
    images_per_call: int = 128,
) -> pd.DataFrame:
    """Put every question to one model, greedily and, where it has choices, by likelihood. `PREDICTION_COLUMNS`.

    At most `images_per_call` images are in memory at a time; what `see` makes of them (`vlm.see`: encoded once) goes to
    both functions. Without `choose`, as at an endpoint, nothing is chosen by likelihood. The question is passed on as
    it stands, so that base and tuned are asked the same text. Where `answer` says how it weighed its tokens, a column
    `spoken` holds that.
    """
    names = items.image_id.unique()
    parts, spoken = [], []
    for start in range(0, len(names), images_per_call):
        ids = list(names[start : start + images_per_call])
        part = items[items.image_id.isin(ids)]
        index = [ids.index(i) for i in part.image_id]
        images = see([open_image(i) for i in ids])
        said = [a if isinstance(a, tuple) else (a, None) for a in answer(images, list(part.question), index)]
        part = part.assign(prediction=[text for text, _ in said], choice="", choice_probability=math.nan)
        spoken += [weighed for _, weighed in said]
        closed = np.flatnonzero(part.choices != "[]")
        if choose is not None and len(closed):
            options = [json.loads(part.choices.iloc[k]) for k in closed]
            questions = [part.question.iloc[k] for k in closed]
            chosen = choose(images, questions, [index[k] for k in closed], options)
            weighed = [c if isinstance(c, tuple) else (c, math.nan) for c in chosen]
            part.iloc[closed, part.columns.get_loc("choice")] = [c for c, _ in weighed]
            part.iloc[closed, part.columns.get_loc("choice_probability")] = [p for _, p in weighed]
        parts.append(part)
    if not parts:
        return marked(items.assign(model=model, prediction="", choice=""))
    answered = marked(pd.concat(parts, ignore_index=True).assign(model=model))
    return answered.assign(spoken=spoken) if any(weighed is not None for weighed in spoken) else answered


def marked(predictions: pd.DataFrame) -> pd.DataFrame:
    """Set `correct` (None where an answer is open and free) and `choice_correct` (None where nothing was chosen)."""
    closed = predictions.choices != "[]"
    exact = pd.Series(metrics.exact(predictions.prediction, predictions.target), index=predictions.index)
    by_choice = pd.Series(metrics.exact(predictions.choice, predictions.target), index=predictions.index)
    judged = closed | predictions.task.isin(["ocr", "general"])
    if "choice_probability" not in predictions:  # nothing said how sure it was
        predictions = predictions.assign(choice_probability=math.nan)
    return predictions.assign(
        correct=exact.astype("boolean").mask(~judged),
        choice_correct=by_choice.astype("boolean").mask(predictions.choice == ""),
    )[PREDICTION_COLUMNS]


def constant_predictions(items: pd.DataFrame) -> pd.DataFrame:
    """The cheat: to each kind of question in each language the most common of its answers, whatever the image."""
    kind = ["split", "simulated", "task", "prompt_id", "language"]
    common = items.groupby(kind).target.transform(lambda t: t.value_counts().sort_index().idxmax())
    closed = items.choices != "[]"
    return marked(items.assign(model=CONSTANT, prediction=common, choice=common.where(closed, "")))
