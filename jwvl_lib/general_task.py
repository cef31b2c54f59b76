"""The general task of the tiny base: shapes, colours, counts, places, spots, pairs and text; Chinese and English.

Nothing solar is in it, so that "base against tuned" and "forgetting" mean something. Pictures have the layout of the
tiny profile (a black band with two lines of text below), questions have its closed form ("... Choose from: a / b.").
Reads the DejaVu Sans Mono font of matplotlib; writes nothing.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
KINDS = ("shapes", "bright spots", "dark spots", "pairs")
SHAPES = {"circle": "圆形", "square": "方形", "triangle": "三角形", "cross": "十字"}
# RGB of the shapes; pictures of spots are tinted with it
COLOURS = {
    "red": ("红色", (225, 40, 40)),
    "green": ("绿色", (40, 200, 60)),
    "blue": ("蓝色", (50, 80, 235)),
    "yellow": ("黄色", (240, 220, 40)),
    "purple": ("紫色", (160, 50, 200)),
    "orange": ("橙色", (250, 140, 20)),
    "cyan": ("青色", (30, 210, 220)),
    "white": ("白色", (245, 245, 245)),
    "grey": ("灰色", (128, 128, 128)),
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
    "colour": {name: zh for name, (zh, _) in COLOURS.items()},
    "shape": SHAPES,
    "count": {str(n): str(n) for n in range(5)},
    "count_range": COUNT_RANGES,
    "place": PLACES,
    "polarity": SIDES,
    "size": SIZES,
    "seen": YES_NO,
}
_WORDS = (
    "apple arrow autumn basket bicycle bird bottle branch bread bridge bucket button camera candle carpet castle chair "
    "cherry circle city clock cloud coffee copper corner cotton cradle desert dinner doctor dragon engine evening family "
    "farmer feather finger flower forest garden glass guitar hammer harbour honey horse hotel island jacket journey "
    "kitchen ladder letter library lemon machine market melody mirror morning mountain museum needle number ocean office "
    "orange paper pencil people photograph piano picture pillow planet pocket potato quarter question rabbit railway "
    "rainbow river school season shadow silver singer station street summer table theatre ticket travel uncle valley "
    "vehicle village violin wagon water weather window winter wonder yellow zebra"
).split()


@dataclass(frozen=True)
class Thing:
    """One object: centre and radius in pixels (y down), and the bright side of a pair ("" for other kinds)."""

    x: float
    y: float
    radius: float
    bright_side: str = ""


@dataclass(frozen=True)
class Scene:
    """A picture and everything true of it. The first of `things` is the largest; `text_xy` is where line 1 starts."""

    image: Image.Image
    kind: str
    colour: str
    shape: str
    things: tuple[Thing, ...]
    centre: tuple[float, float]
    lines: tuple[str, str]
    text_xy: tuple[int, int]


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


def _item(rng: np.random.Generator, image_px: int) -> GeneralItem:
    scene = make_scene(rng, image_px)
    task = "ocr" if rng.random() < 0.25 else pick(rng, [t for t in tasks_of(scene) if t != "ocr"])
    language = pick(rng, ("en", "zh"))
    return GeneralItem(scene.image, task, language, *ask(rng, scene, task, language))


def pick(rng: np.random.Generator, options: Sequence):
    """One of `options`, each as likely (ten times faster than `rng.choice` on a list)."""
    return options[int(rng.integers(len(options)))]


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
        return wording, "\n".join(scene.lines), ()
    asked = pick(rng, KINDS) if task == "seen" and rng.random() < 0.6 else scene.kind
    question = wording.format(thing=asked if language == "en" else KIND_NAMES[asked])
    true_name = truth(scene, task, asked)
    names = _VOCABULARIES[task]
    answer = true_name if language == "en" else names[true_name]
    if task != "count_range" and rng.random() < 0.5:
        return question, answer, ()
    choices = _choices(rng, names, true_name, language, whole=task == "count_range")
    return closed(question, choices, language), answer, choices


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


# --------------------------------------------------------------------------------------------------------------------
# pictures


def make_scene(rng: np.random.Generator, image_px: int = 168) -> Scene:
    """A random picture: coloured shapes, or soft spots or bright-dark pairs on a disk, above two lines of text."""
    band = round(image_px / 6)
    unit = image_px / 168
    kind = KINDS[int(np.searchsorted((0.3, 0.5, 0.7), rng.random()))]
    tinted = [name for name in COLOURS if kind == "shapes" or name != "white"]
    colour = "grey" if kind == "pairs" or (kind != "shapes" and rng.random() < 0.25) else pick(rng, tinted)
    shape = pick(rng, list(SHAPES)) if kind == "shapes" else ""
    off = 4 * unit * (kind != "shapes")
    centre = (image_px / 2 + rng.uniform(-off, off), (image_px - band) / 2 + rng.uniform(-off, off))
    disk_radius = rng.uniform(52, 68) * unit
    things = _place_things(rng, kind, centre, disk_radius, unit, (image_px, image_px - band))
    if kind == "shapes":
        image = _draw_shapes(rng, things, shape, COLOURS[colour][1], image_px)
    else:
        image = _draw_spots(rng, things, kind, COLOURS[colour][1], centre, disk_radius, image_px)
    lines, text_xy = _write_band(rng, image)
    return Scene(image, kind, colour, shape, things, centre, lines, text_xy)


def _place_things(rng, kind, centre, disk_radius, unit, extent) -> tuple[Thing, ...]:
    """Up to four things well apart and off the centre lines, the first clearly the largest."""
    n = int(rng.choice([1, 1, 2, 2, 3, 4] if kind == "shapes" else [0, 1, 1, 2, 2, 3, 3, 4]))
    large = rng.random() < 0.5
    first = rng.uniform(11, 15) if large else rng.uniform(6.5, 8.5)
    placed: list[Thing] = []
    for _ in range(200):
        if len(placed) == n:
            break
        radius = (first if not placed else first * rng.uniform(0.4, 0.6)) * unit
        if kind == "shapes":
            x, y = (rng.uniform(radius + 2, size - radius - 2) for size in extent)
        else:
            distance, angle = 0.8 * disk_radius * rng.random() ** 0.5, rng.uniform(0, 2 * math.pi)
            x, y = centre[0] + distance * math.cos(angle), centre[1] + distance * math.sin(angle)
        if min(abs(x - centre[0]), abs(y - centre[1])) < 8 * unit:
            continue
        if all(math.hypot(x - t.x, y - t.y) > 1.6 * (radius + t.radius) for t in placed):
            placed.append(Thing(x, y, radius, pick(rng, list(SIDES)) if kind == "pairs" else ""))
    return tuple(placed)


def _draw_shapes(rng, things, shape, rgb, image_px) -> Image.Image:
    image = Image.new("RGB", (image_px, image_px), tuple(int(v) for v in rng.integers(0, 50, 3)))
    draw = ImageDraw.Draw(image)
    for t in things:
        x, y, r = t.x, t.y, t.radius
        if shape == "circle":
            draw.ellipse([x - r, y - r, x + r, y + r], fill=rgb)
        elif shape == "square":
            draw.rectangle([x - r, y - r, x + r, y + r], fill=rgb)
        elif shape == "triangle":
            draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=rgb)
        else:
            draw.rectangle([x - r, y - r / 3, x + r, y + r / 3], fill=rgb)
            draw.rectangle([x - r / 3, y - r, x + r / 3, y + r], fill=rgb)
    return image


def _draw_spots(rng, things, kind, rgb, centre, disk_radius, image_px) -> Image.Image:
    x, y = np.arange(image_px, dtype=np.float32), np.arange(image_px, dtype=np.float32)[:, None]
    beyond = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / disk_radius - 1
    level = {"bright spots": rng.uniform(0.2, 0.45), "dark spots": rng.uniform(0.55, 0.85), "pairs": 0.5}[kind]
    darkening = rng.uniform(0, 0.35) * level * (kind != "pairs")
    sky = rng.uniform(0, 0.15) * np.maximum(1 - rng.uniform(2, 6) * np.maximum(beyond, 0), 0)
    disk = level - darkening * (beyond + 1) ** 2 + rng.uniform(0.01, 0.05) * _noise(rng, image_px)
    field = np.where(beyond < 0, disk, sky)
    for t in things:
        rows, columns = (slice(max(0, int(c - 3 * t.radius)), int(c + 3 * t.radius)) for c in (t.y, t.x))
        field[rows, columns] += _spot(t, kind, x[columns], y[rows], rng)
    return Image.fromarray(_tint(rgb, overexpose=kind == "bright spots")[(np.clip(field, 0, 1) * 255).astype(np.uint8)])


def _tint(rgb: tuple[int, int, int], overexpose: bool) -> np.ndarray:
    """Colour table (256, 3) uint8 from black to `rgb`, and on to white where the brightest parts overexpose."""
    grey = np.linspace(0, 1, 256)[:, None]
    table = grey * np.array(rgb) / max(rgb) + overexpose * 1.5 * np.clip(grey - 0.75, 0, 1)
    return (np.clip(table, 0, 1) * 255).astype(np.uint8)


def _noise(rng: np.random.Generator, image_px: int) -> np.ndarray:
    """Grains of one to six pixels."""
    grain = int(rng.integers(1, 7))
    coarse = rng.standard_normal((image_px // grain + 1,) * 2, dtype=np.float32)
    return coarse.repeat(grain, 0).repeat(grain, 1)[:image_px, :image_px]


def _spot(t: Thing, kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian spot, or two of opposite sign side by side, tilted by up to 25 degrees."""
    if kind != "pairs":
        sign = 1 if kind == "bright spots" else -1
        return sign * rng.uniform(0.5, 0.8) * np.exp(-((x - t.x) ** 2 + (y - t.y) ** 2) / (0.75 * t.radius) ** 2)
    tilt, half = rng.uniform(-0.45, 0.45), 0.6 * t.radius
    dx, dy = half * np.cos(tilt), half * np.sin(tilt)
    width = (0.55 * t.radius) ** 2
    right = np.exp(-((x - t.x - dx) ** 2 + (y - t.y - dy) ** 2) / width)
    left = np.exp(-((x - t.x + dx) ** 2 + (y - t.y + dy) ** 2) / width)
    return rng.uniform(0.4, 0.55) * (right - left) * (1 if t.bright_side == "right" else -1)


@functools.cache
def band_font(band: int) -> ImageFont.FreeTypeFont:
    """The font of a text band `band` pixels high: two lines, 13 px at 28."""
    return ImageFont.truetype(FONT, band // 2 - 1)


def make_strip(rng: np.random.Generator, image_px: int = 168) -> tuple[Image.Image, tuple[str, str], int]:
    """The text band of a picture alone, with its two lines and the x where they start."""
    image = Image.new("RGB", (image_px, round(image_px / 6)))
    lines, (text_x, _) = _write_band(rng, image)
    return image, lines, text_x


def _write_band(rng: np.random.Generator, image: Image.Image) -> tuple[tuple[str, str], tuple[int, int]]:
    """Draw the black band and two random lines at the foot of an image; the lines and where the first starts."""
    band = round(image.width / 6)
    top = image.height - band
    lines = (random_line(rng), random_line(rng))
    x, y = round(rng.integers(2, 7) * image.width / 168), top + int(rng.integers(-2, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, top, image.width, image.height], fill=(0, 0, 0))
    for i, line in enumerate(lines):
        draw.text((x, y + i * (band // 2)), line, font=band_font(band), fill=(255, 255, 255))
    return lines, (x, y)


def random_line(rng: np.random.Generator, n_max: int = 20) -> str:
    """A line of text of at most `n_max` characters: a date and time, or words, numbers and marks."""
    if rng.random() < 0.3:
        return _random_date(rng)
    line = _random_word(rng)
    while rng.random() < 0.75 and len(longer := f"{line} {_random_word(rng)}") <= n_max:
        line = longer
    return line[:n_max]


def _random_date(rng: np.random.Generator) -> str:
    zone = "" if rng.random() < 0.4 else " " + _letters(rng, 2)
    year, month, day, hour, minute = (int(rng.integers(*r)) for r in ((1900, 2100), (1, 13), (1, 32), (0, 24), (0, 60)))
    return f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}{zone}"


def _letters(rng: np.random.Generator, n: int) -> str:
    return "".join(chr(65 + k) for k in rng.integers(0, 26, n))


def _random_word(rng: np.random.Generator) -> str:
    kind = rng.random()
    digits = "".join(str(d) for d in rng.integers(0, 10, rng.integers(1, 6)))
    if kind < 0.25:
        return digits
    if kind < 0.45:
        return _letters(rng, int(rng.integers(2, 6)))
    if kind < 0.6:
        return pick(rng, _WORDS)
    if kind < 0.75:
        return _letters(rng, int(rng.integers(3, 12))).lower()
    tail = digits[:3] if rng.random() < 0.4 else _letters(rng, int(rng.integers(1, 5)))
    return _letters(rng, int(rng.integers(1, 5))) + pick(rng, "/-:.") + (tail.lower() if rng.random() < 0.3 else tail)
