"""Programs that read text, beside which a model's reading of banners is set: Tesseract and RapidOCR.

Takes pictures in memory; Tesseract reads a PNG from its standard input. Writes nothing. Neither is needed otherwise:
Tesseract comes from the system (tesseract-ocr, tesseract-ocr-chi-sim), RapidOCR from the optional group `peers`, whose
wheel carries its models.
"""

import io
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from jwvl_lib import metrics

Reader = Callable[[Image.Image], str]
TESSERACT_LANGUAGES = {"en": "eng", "zh": "chi_sim+eng"}
ENLARGED = 4  # both were made for scans of 300 dpi, banners are 13 px high
FIELDS = {
    "date": re.compile(r"\d{4}(?:-\d{2}-\d{2}|年\d{1,2}月\d{1,2}日)"),
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
    """A reader by RapidOCR (PP-OCR, Chinese and English). Raises ModuleNotFoundError without the group `peers`."""
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error"})

    def read(image: Image.Image) -> str:
        found = engine(np.asarray(prepared(image).convert("RGB"))[:, :, ::-1])
        return cleaned("\n".join(found.txts or ()))

    return read


def prepared(image: Image.Image) -> Image.Image:
    """The banner enlarged and dark on light, as these programs expect; no other help."""
    grey = ImageOps.invert(image.convert("L"))
    return ImageOps.expand(grey.resize((grey.width * ENLARGED, grey.height * ENLARGED), Image.LANCZOS), 20, 255)


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
    """The parts of a banner that matter: its first line (what was observed), date and time; "" where not found."""
    text = metrics.normalize(text)
    found = {name: match[0] if (match := regex.search(text)) else "" for name, regex in FIELDS.items()}
    return {"view": re.sub(r"\s+", "", text.split("\n")[0]).casefold()} | found


def compare(
    readers: Mapping[str, Reader], banners: Sequence[tuple[Image.Image, str]], how: Sequence[str] = ("clean",)
) -> pd.DataFrame:
    """A row a reader and degradation: n, char_accuracy (the benchmark's), exact, and `field_accuracy` of `fields`.

    `banners` are pictures of the band alone, with the text they show. Blanks are not told apart by these programs, so
    `char_accuracy_no_blanks` stands beside the strict one.
    """
    rows = []
    for name, read in readers.items():
        for degradation in how:
            said = [read(degraded(image, degradation)) for image, _ in banners]
            rows.append({"reader": name, "degradation": degradation} | _scores(said, [text for _, text in banners]))
    return pd.DataFrame(rows)


def _scores(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    bare = [["".join(text.split()) for text in side] for side in (said, true)]
    right = [fields(s)[name] == value for s, t in zip(said, true, strict=True) for name, value in fields(t).items()]
    return {
        "n": len(true),
        "char_accuracy": float(metrics.char_accuracy(said, true).mean()),
        "char_accuracy_no_blanks": float(metrics.char_accuracy(*bare).mean()),
        "exact": float(metrics.exact(said, true).mean()),
        "field_accuracy": float(np.mean(right)),
    }
