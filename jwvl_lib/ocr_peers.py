"""Programs that read text, beside which a model's reading of banners is set: Tesseract and RapidOCR.

Takes pictures in memory; Tesseract reads a PNG from its standard input. Writes nothing. Neither is needed otherwise:
Tesseract comes from the system (tesseract-ocr, tesseract-ocr-chi-sim), RapidOCR from the optional group `peers`, whose
wheel carries its models.

A banner is read clean and degraded. The model sees the whole picture, degraded; the peers the band alone, enlarged and
dark on light, as they like it.
"""

import io
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from jwvl_lib import banner_styles, metrics, render

Reader = Callable[[Image.Image], str]
DEGRADATIONS = ("clean", "blur", "jpeg", "low_contrast")
VARIED = "varied"  # place, size, font and fields drawn anew (`banner_styles`), nothing degraded
LANGUAGES = ("en", "zh")
EMPTY = ("ci_low", "ci_high", "floor", "chance", "difference", "difference_low", "difference_high")
TESSERACT_LANGUAGES = {"en": "eng", "zh": "chi_sim+eng"}
ENLARGED = 4  # both were made for scans of 300 dpi, banners are 13 px high
FIELDS = {
    "date": re.compile(r"\d{4}(?:([-/.])\d{2}\1\d{2}|年\d{1,2}月\d{1,2}日)|\d{2}-[A-Z][a-z]{2}-\d{4}"),
    "time": re.compile(r"\d{2}:\d{2}"),
}


def tesseract(language: str = "en") -> Reader:
    """A reader by Tesseract. Raises FileNotFoundError where it or its language is not installed."""
    names = TESSERACT_LANGUAGES[language]
    program = shutil.which("tesseract")
    known = subprocess.run([program, "--list-langs"], capture_output=True, text=True).stdout.split() if program else []
    if missing := set(names.split("+")) - set(known):
        packages = " ".join(["tesseract-ocr", *(f"tesseract-ocr-{n.replace('_', '-')}" for n in sorted(missing))])
        raise FileNotFoundError(f"Tesseract cannot read {', '.join(sorted(missing))}; apt install {packages}")

    def read(image: Image.Image) -> str:
        command = [program, "-", "-", "-l", names, "--psm", "6"]
        done = subprocess.run(command, input=_png(prepared(image)), capture_output=True, check=True, timeout=60)
        return cleaned(done.stdout.decode("utf-8", "replace"))

    return read


def rapidocr() -> Reader:
    """A reader by RapidOCR (PP-OCR, Chinese and English). Raises ModuleNotFoundError without the group `peers`.

    Its default enlarges a band until it is 736 px high: sixteen times slower, and lines fall into words.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise ModuleNotFoundError(f"RapidOCR cannot be loaded ({error}); pip install '.[peers]'") from None

    engine = RapidOCR(params={"Global.log_level": "error", "Det.limit_type": "max"})

    def read(image: Image.Image) -> str:
        found = engine(np.asarray(prepared(image).convert("RGB"))[:, :, ::-1])
        return cleaned("\n".join(found.txts or ()))

    return read


def prepared(image: Image.Image) -> Image.Image:
    """The banner enlarged and dark on light, with a margin of its own ground, as these programs expect; no other help.

    A white margin around a grey ground would be taken for the paper, and the text for nothing.
    """
    grey = ImageOps.invert(image.convert("L"))
    grey = grey.resize((grey.width * ENLARGED, grey.height * ENLARGED), Image.LANCZOS)
    return ImageOps.expand(grey, 20, int(np.median(np.asarray(grey))))


def cleaned(text: str) -> str:
    """Lines without blank ones and outer blanks."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def degraded(image: Image.Image, how: str) -> Image.Image:
    """The picture as `clean`, `blur` (Gaussian, 0.8 px), `jpeg` (quality 15) or `low_contrast` (a quarter)."""
    if how == "blur":
        return image.filter(ImageFilter.GaussianBlur(0.8))
    if how == "jpeg":
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=15)
        return Image.open(io.BytesIO(buffer.getvalue()), formats=["JPEG"]).convert("RGB")
    if how == "low_contrast":
        return ImageEnhance.Contrast(image).enhance(0.25)
    if how != "clean":
        raise ValueError(f"degradation {how!r} is not known; one of clean, blur, jpeg, low_contrast")
    return image


def fields(text: str) -> dict[str, str]:
    """The parts of a banner that matter: its first line without a date (what was observed), date and time; "" where
    not found."""
    text = metrics.normalize(text)
    found = {name: match[0] if (match := regex.search(text)) else "" for name, regex in FIELDS.items()}
    undated = (line for line in text.split("\n") if not FIELDS["date"].search(line))
    return {"instrument": re.sub(r"\s+", "", next(undated, "")).casefold()} | found


def band(image: Image.Image) -> Image.Image:
    """The lower sixth of a picture, where `render` writes the banner."""
    return image.crop((0, image.height - render.banner_height(image.width), image.width, image.height))


# --------------------------------------------------------------------------------------------------------------------
# the same banners for the model and its peers


def readers() -> tuple[dict[tuple[str, str], Reader], dict[str, str]]:
    """The peers at hand as {(name, language of the question): reader}, and why the others are not, by name."""
    found, reasons = {}, {}
    try:
        found |= {("tesseract", language): tesseract(language) for language in LANGUAGES}
    except FileNotFoundError as error:
        reasons["tesseract"] = f"not run: {error}"
    try:
        both = rapidocr()
        found |= {("rapidocr", language): both for language in LANGUAGES}
    except ModuleNotFoundError as error:
        reasons["rapidocr"] = f"not run: {error}"
    return found, reasons


def degraded_items(items: pd.DataFrame, n_images: int, how: Sequence[str] = (*DEGRADATIONS, VARIED)) -> pd.DataFrame:
    """The questions for the banner of the first `n_images` simulated images of `asking.select_items`, a row each and
    degradation; image_id and annotation_id end in "|<degradation>", which `opener` understands. The target of a varied
    banner is the text in its own form."""
    asked = items[(items.task == "ocr") & items.simulated.astype(bool)]
    asked = asked[asked.image_id.isin(asked.image_id.unique()[:n_images])]
    parts = []
    for h in how:
        part = asked.assign(image_id=asked.image_id + f"|{h}", annotation_id=asked.annotation_id + f"|{h}")
        if h == VARIED:
            part["target"] = [
                _varied(t, banner_styles.style(i)) for t, i in zip(part.target, part.image_id, strict=True)
            ]
        parts.append(part)
    return pd.concat(parts)


def _varied(text: str, look: banner_styles.Style) -> str:
    """A banner of `render` (name; date, time, "UT") in another style."""
    name, date = text.split("\n")
    return "\n".join(banner_styles.lines(name, date.removesuffix(" UT").replace(" ", "T"), look))


def opener(open_image: Callable[[str], Image.Image], items: pd.DataFrame) -> Callable[[str], Image.Image]:
    """`open_image` for the images of `degraded_items`, given as `items`."""
    text = dict(zip(items.image_id, items.target, strict=True))

    def open_degraded(image_id: str) -> Image.Image:
        name, _, how = image_id.rpartition("|")
        image = open_image(name)
        if how == VARIED:
            return banner_styles.redrawn(image, text[image_id].split("\n"), banner_styles.style(image_id))
        return degraded(image, how)

    return open_degraded


def read(
    items: pd.DataFrame, open_degraded: Callable[[str], Image.Image], peers: Mapping[tuple[str, str], Reader]
) -> pd.DataFrame:
    """What the peers read of `degraded_items`: the items with `model` (the peer) and `prediction`, once a peer.

    A reader that serves both languages reads each picture once.
    """
    heard: dict[tuple[int, str], str] = {}
    rows = []
    for row in items.to_dict("records"):
        for (name, language), reader in peers.items():
            if language == row["language"]:
                key = (id(reader), row["image_id"])
                if key not in heard:
                    heard[key] = reader(_band(open_degraded(row["image_id"]), row["image_id"]))
                rows.append(row | {"model": name, "prediction": heard[key]})
    return pd.DataFrame(rows, columns=[*items.columns, "model", "prediction"])


def _band(image: Image.Image, image_id: str) -> Image.Image:
    return banner_styles.band(image, banner_styles.style(image_id)) if image_id.endswith(f"|{VARIED}") else band(image)


def scores(answers: pd.DataFrame, **options: float) -> pd.DataFrame:
    """A row a degradation, language (of the question) and model: n, exact with its interval, characters and fields.

    `answers` has image_id, language, model, prediction, target, group_id. exact and char_accuracy are the benchmark's;
    `char_accuracy_no_blanks` and the fields (`instrument`, `date`, `time`, and their mean `field_accuracy`) forgive
    blanks, which these programs do not tell apart.
    """
    rows = []
    frame = answers.assign(degradation=[str(i).rpartition("|")[2] for i in answers.image_id])
    for how in (h for h in (*DEGRADATIONS, VARIED) if (frame.degradation == h).any()):
        for language in ("all", *LANGUAGES):
            part = frame[(frame.degradation == how) & ((frame.language == language) | (language == "all"))]
            for model, said in part.groupby("model", sort=False):
                right = metrics.exact(said.prediction, said.target)
                low, high = metrics.interval(right, said.group_id, **options)
                head = {"degradation": how, "language": language, "model": model}
                rows.append(head | _scores(said.prediction, said.target) | {"exact_low": low, "exact_high": high})
    return pd.DataFrame(rows, columns=None if rows else ["degradation", "language", "model", "n"])


def records(table: pd.DataFrame, reasons: Mapping[str, str]) -> list[dict]:
    """Rows of `scores` as records of `metrics.json` (section `ocr_peers`, profile `ocr.<degradation>`).

    A record is the model's; `peers` holds what each peer scores on the same banners, `reading` says it, or why it did
    not run. Without any answer one row says why.
    """
    if table.empty:
        head = {"task": "ocr", "metric": "exact", "profile": "ocr.clean", "language": "all", "group": "simulated"}
        head |= {"section": "ocr_peers", "value": None, "n": 0, "n_failed": 0, "reason": "; ".join(reasons.values())}
        return [head | dict.fromkeys(EMPTY) | {"model": model} for model in ("base", "tuned")]
    rows = []
    for (how, language), part in table.groupby(["degradation", "language"], sort=False):
        by_model = part.set_index("model")
        others = [name for name in by_model.index if name not in ("base", "tuned")]
        for metric in ("exact", "char_accuracy", "field_accuracy"):
            peers = {name: round(float(by_model.loc[name, metric]), 6) for name in others}
            told = [f"{name} {value:.3f}" for name, value in peers.items()]
            reading = "; ".join([*told, *(f"{name} {reason}" for name, reason in reasons.items())])
            head = {"task": "ocr", "metric": metric, "profile": f"ocr.{how}", "language": language}
            head |= {"group": "simulated", "section": "ocr_peers"} | dict.fromkeys(EMPTY)
            for model in (m for m in ("base", "tuned") if m in by_model.index):
                own = by_model.loc[model]
                spread = (own.exact_low, own.exact_high) if metric == "exact" else (math.nan, math.nan)
                low, high = (round(float(v), 6) if math.isfinite(v) else None for v in spread)
                numbers = {"value": round(float(own[metric]), 6), "n": int(own.n), "n_failed": int(own.n_blank)}
                numbers |= {"ci_low": low, "ci_high": high, "peers": peers, "reading": reading}
                rows.append(head | {"model": model} | numbers)
    return rows


def _scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    bare = [["".join(text.split()) for text in side] for side in (said, true)]
    read_fields, true_fields = ([fields(text) for text in side] for side in (said, true))
    pairs = list(zip(read_fields, true_fields, strict=True))
    by_field = {name: float(np.mean([s[name] == t[name] for s, t in pairs])) for name in true_fields[0]}
    return {
        "n": len(true),
        "n_blank": sum(not text.strip() for text in said),
        "exact": float(metrics.exact(said, true).mean()),
        "char_accuracy": float(metrics.char_accuracy(said, true).mean()),
        "char_accuracy_no_blanks": float(metrics.char_accuracy(*bare).mean()),
        "field_accuracy": float(np.mean(list(by_field.values()))),
        **by_field,
    }
