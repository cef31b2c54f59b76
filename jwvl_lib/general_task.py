"""The general task of the tiny base: shapes, colours, counts, places, spots, pairs and text; Chinese and English.

Nothing solar is in it, so that "base against tuned" and "forgetting" mean something. Pictures have the layout of the
tiny profile (a black band with two lines of text below), questions have its closed form ("... Choose from: a / b.").
Reads and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jwvl_lib.general_pictures import KINDS, Scene, make_scene, pick

SHAPES = {"circle": "圆形", "square": "方形", "triangle": "三角形", "cross": "十字"}
COLOURS = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "cyan": "青色",
    "white": "白色",
    "grey": "灰色",
}
PLACES = {"upper left": "左上", "upper right": "右上", "lower left": "左下", "lower right": "右下"}
KIND_NAMES = {
    "shapes": "图形",
    "bright spots": "亮斑",
    "dark spots": "暗斑",
    "pairs": "成对的斑",
    "nothing": "没有东西",
}
COUNT_RANGES = {"0": "0", "1-2": "1-2", "3 or more": "3个以上"}
SIDES = {"left": "左", "right": "右"}
YES_NO = {"yes": "是", "no": "否"}
SIZES = {"large": "大", "small": "小"}
TASKS = ("ocr", "kind", "colour", "shape", "count", "count_range", "place", "polarity", "size", "seen")

# wordings by task and language; {thing} is filled by the kind of the picture
_WORDINGS = {
    "ocr": {
        "en": ("Read the text in the image.", "What text is written in the image?", "Read the text."),
        "zh": ("读出图中的文字。", "图中写了什么文字？", "读出文字。"),
    },
    "kind": {
        "en": ("What does the image show?", "What is seen in the image?"),
        "zh": ("图中显示的是什么？", "图中有什么？"),
    },
    "colour": {
        "en": ("What colour is it?", "Which colour does the image show?"),
        "zh": ("是什么颜色？", "图中是哪种颜色？"),
    },
    "shape": {
        "en": ("What shape is it?", "Which shape does the image show?"),
        "zh": ("是什么形状？", "图中是哪种形状？"),
    },
    "count": {
        "en": ("How many {thing} are there?", "How many {thing} are visible?"),
        "zh": ("图中有几个{thing}？", "能看到几个{thing}？"),
    },
    "place": {
        "en": ("Where is the largest one?", "In which quadrant is the largest one?"),
        "zh": ("最大的一个在哪里？", "最大的一个位于哪个象限？"),
    },
    "polarity": {
        "en": ("Which side of the largest pair is bright?", "Which half of the largest pair is brighter?"),
        "zh": ("最大的一对哪一侧是亮的？", "最大的一对哪一半更亮？"),
    },
    "size": {
        "en": ("Is the largest one large or small?", "How big is the largest one?"),
        "zh": ("最大的一个是大还是小？", "最大的一个有多大？"),
    },
    "seen": {
        "en": ("Are any {thing} visible?", "Does the image show {thing}?"),
        "zh": ("能看到{thing}吗？", "图中有{thing}吗？"),
    },
}
_WORDINGS["count_range"] = _WORDINGS["count"]
_VOCABULARIES = {
    "kind": KIND_NAMES,
    "colour": COLOURS,
    "shape": SHAPES,
    "count": {str(n): str(n) for n in range(5)},
    "count_range": COUNT_RANGES,
    "place": PLACES,
    "polarity": SIDES,
    "size": SIZES,
    "seen": YES_NO,
}


@dataclass(frozen=True)
class GeneralItem:
    """One picture with one question. `choices` is empty for an open question, else `answer` is exactly one of it."""

    image: Image.Image
    task: str
    language: str
    question: str
    answer: str
    choices: tuple[str, ...]


def make_items(n: int, seed: int, image_px: int = 168) -> list[GeneralItem]:
    """`n` pictures of `image_px` pixels a side with one question each; the same for the same seed.

    A quarter asks to read the text; the rest is spread over the tasks, half of it with choices.
    """
    rng = np.random.default_rng(seed)
    return [_item(rng, image_px) for _ in range(n)]


@dataclass(frozen=True)
class GeneralPicture:
    """One picture with several questions: turns (question, answer), the text first."""

    image: Image.Image
    turns: tuple[tuple[str, str], ...]


def make_pictures(n: int, seed: int, n_questions: int = 4, image_px: int = 168) -> list[GeneralPicture]:
    """`n` pictures with `n_questions` questions each (see `ask_several`); the same for the same seed."""
    rng = np.random.default_rng(seed)
    scenes = (make_scene(rng, image_px) for _ in range(n))
    return [GeneralPicture(scene.image, ask_several(rng, scene, n_questions)) for scene in scenes]


def _item(rng: np.random.Generator, image_px: int) -> GeneralItem:
    scene = make_scene(rng, image_px)
    tasks = [t for t in tasks_of(scene) if t != "ocr"]
    rare = [t for t in tasks if t in ("shape", "polarity")]  # asked of one kind of picture only
    task = "ocr" if rng.random() < 0.25 else pick(rng, tasks + 3 * rare)
    language = pick(rng, ("en", "zh"))
    return GeneralItem(scene.image, task, language, *ask(rng, scene, task, language))


# --------------------------------------------------------------------------------------------------------------------
# questions


def tasks_of(scene: Scene) -> list[str]:
    """The tasks that have an answer in this scene, in the order of `TASKS`."""
    absent = {
        "shape": scene.kind != "shapes",
        "polarity": scene.kind != "pairs" or not scene.things,
        "place": not scene.things,
        "size": not scene.things,
    }
    return [task for task in TASKS if not absent.get(task, False)]


def ask(rng: np.random.Generator, scene: Scene, task: str, language: str) -> tuple[str, str, tuple[str, ...]]:
    """Question, answer and choices (empty for an open question) of one task about a scene."""
    wording = pick(rng, _WORDINGS[task][language])
    if task == "ocr":
        return wording, "\n".join(scene.text.lines), ()
    asked = pick(rng, KINDS) if task == "seen" and rng.random() < 0.6 else scene.kind
    question = wording.format(thing=asked if language == "en" else KIND_NAMES[asked])
    true_name = truth(scene, task, asked)
    names = _VOCABULARIES[task]
    answer = true_name if language == "en" else names[true_name]
    if task != "count_range" and rng.random() < 0.5:
        return question, answer, ()
    choices = _choices(rng, names, true_name, language, whole=task == "count_range")
    return closed(question, choices, language), answer, choices


def ask_several(rng: np.random.Generator, scene: Scene, n: int) -> tuple[tuple[str, str], ...]:
    """`n` turns (question, answer) about a scene: its text, then other tasks drawn at random.

    A task may come twice, in other words; each turn is in a language of its own.
    """
    others = [t for t in tasks_of(scene) if t != "ocr"]
    rng.shuffle(others)
    return tuple(ask(rng, scene, t, pick(rng, ("en", "zh")))[:2] for t in ["ocr", *others, *others][:n])


def reading_question(rng: np.random.Generator, language: str) -> str:
    """One of the wordings that ask for the text."""
    return pick(rng, _WORDINGS["ocr"][language])


def closed(question: str, choices: Sequence[str], language: str) -> str:
    """The closed form of a question, which names the choices."""
    listed = " / ".join(choices)
    return f"{question}从中选择：{listed}。" if language == "zh" else f"{question} Choose from: {listed}."


def truth(scene: Scene, task: str, asked: str = "") -> str:
    """The English answer to a task other than `ocr`; `asked` is the kind that `seen` asks about."""
    n = len(scene.things)
    if task == "count_range":
        return "0" if n == 0 else "1-2" if n < 3 else "3 or more"
    if task == "seen":
        return "yes" if n and asked == scene.kind else "no"
    if task == "kind":
        return scene.kind if n else "nothing"
    if task in ("colour", "shape"):
        return getattr(scene, task)
    return str(n) if task == "count" else _truth_of_largest(scene, task)


def _truth_of_largest(scene: Scene, task: str) -> str:
    largest = scene.things[0]
    if task == "polarity":
        return largest.bright_side
    if task == "size":
        return "large" if largest.radius > 0.058 * scene.image.width else "small"
    vertical = "upper" if largest.y < scene.centre[1] else "lower"
    return f"{vertical} {'left' if largest.x < scene.centre[0] else 'right'}"


def _choices(rng: np.random.Generator, names: dict, truth: str, language: str, whole: bool) -> tuple[str, ...]:
    """Two to six names in random order, the true one among them; all names where `whole`."""
    others = [name for name in names if name != truth]
    n_others = len(others) if whole else min(len(others), int(rng.integers(1, 6)))
    listed = [truth, *(others[i] for i in rng.permutation(len(others))[:n_others])]
    return tuple(listed[i] if language == "en" else names[listed[i]] for i in rng.permutation(len(listed)))
