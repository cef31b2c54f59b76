"""Tesseract and RapidOCR on simulated banners in both languages, and beside a tuned model on a run's own banners.

The last test needs a finished run (`JWVL_TESTED_RUN`, or outputs/tiny); it prints the whole table.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont

from jwvl_lib import artifacts, asking, metrics, ocr_peers, render, vlm

pytestmark = pytest.mark.heavy
HOW = ocr_peers.DEGRADATIONS
RUN = Path(os.environ.get("JWVL_TESTED_RUN") or artifacts.REPO / "outputs" / "tiny")
N_IMAGES = int(os.environ.get("JWVL_BANNERS", 24))
VIEWS = {
    "en": ("SDO/AIA 171", "SDO/HMI magnetogram", "GONG H-alpha", "SOHO/EIT 195", "SDO/HMI continuum"),
    "zh": ("太阳磁图", "日冕图像 171", "色球层图像", "白光连续谱", "极紫外图像 195"),
}
CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")


def banner(language, k):
    view = VIEWS[language][k % 5]
    if language == "en":
        lines = [view, f"2014-{k % 12 + 1:02d}-{k % 28 + 1:02d} {k % 24:02d}:{7 * k % 60:02d} UT"]
        image = render.draw_banner(Image.new("RGB", (168, 168)), lines)
        return image.crop((0, 168 - render.banner_height(168), 168, 168)), "\n".join(lines)
    lines = [view, f"2014年{k % 12 + 1}月{k % 28 + 1}日 {k % 24:02d}:{7 * k % 60:02d}"]
    image = Image.new("RGB", (168, 36))
    for i, line in enumerate(lines):
        ImageDraw.Draw(image).text((4, 18 * i), line, fill="white", font=ImageFont.truetype(str(CJK), 13, index=2))
    return image, "\n".join(lines)


def characters_right(reader, language):
    """Mean accuracy of characters, blanks left out, over 20 clean banners."""
    images, texts = zip(*(banner(language, k) for k in range(20)), strict=True)
    told = [["".join(text.split()) for text in side] for side in (map(reader, images), texts)]
    return float(np.mean(metrics.char_accuracy(*told)))


def absent(reason):
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tesseract_reads_clean_banners(language):
    if language == "zh" and not CJK.exists():
        absent("no Noto CJK font (apt install fonts-noto-cjk)")
    try:
        reader = ocr_peers.tesseract(language)
    except FileNotFoundError as error:
        absent(str(error))
    accuracy = characters_right(reader, language)
    print(f"\n{language}, Tesseract on 20 clean simulated banners: {accuracy:.3f} of the characters")
    assert accuracy > {"en": 0.9, "zh": 0.6}[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_rapidocr_reads_clean_banners(language):
    pytest.importorskip("rapidocr", reason="the optional group `peers` is not installed")
    if language == "zh" and not CJK.exists():
        absent("no Noto CJK font (apt install fonts-noto-cjk)")
    accuracy = characters_right(ocr_peers.rapidocr(), language)
    print(f"\n{language}, RapidOCR on 20 clean simulated banners: {accuracy:.3f} of the characters")
    assert accuracy > 0.6


def test_the_tuned_model_beside_its_peers_on_held_out_banners(tmp_path, record):
    if not (RUN / "04_training" / "manifest.json").exists():
        absent(f"no finished run in {RUN}: make run, or set JWVL_TESTED_RUN")
    peers, reasons = ocr_peers.readers()
    if reasons:
        absent("; ".join(reasons.values()))
    corpus = pd.read_parquet(RUN / "01_corpus_curation" / "corpus.parquet")
    accepted = pd.read_parquet(RUN / "03_review" / "accepted.parquet")
    items = asking.select_items(corpus, accepted, tasks=["ocr"], max_images=N_IMAGES)
    degraded = ocr_peers.degraded_items(items, N_IMAGES)
    opened = ocr_peers.opener(asking.image_opener(RUN / "01_corpus_curation", items), degraded)
    processor = vlm.load_processor("models/tiny_base")
    model = vlm.load_model("models/tiny_base", adapter_dir=RUN / "04_training" / "adapter")
    bound = (partial(f, model, processor) for f in (vlm.answer, vlm.choose_weighed))
    own = asking.ask(degraded, opened, *bound, "tuned")
    read = ocr_peers.read(degraded, opened, peers)
    table = ocr_peers.scores(pd.concat([own, read]))
    if folder := os.environ.get("JWVL_HEAVY_OUT"):
        pd.concat([own, read]).to_parquet(Path(folder) / "readers.parquet")
    print(f"\nheld-out simulated banners, tiny profile\n{table.round(3).to_string(index=False)}")
    exact = table.set_index(["degradation", "language", "model"]).exact
    told = ", ".join(f"{m} {exact['varied', 'all', m]:.2f}" for m in ("tuned", "tesseract", "rapidocr"))
    note = f"varied banners: {told}; clean {exact['clean', 'all', 'tuned']:.2f}"
    record("ocr", float(exact["varied", "all", "tuned"]), 0.95, len(degraded) // len(HOW), note=note)
    assert exact["clean", "all", "tuned"] >= 0.95
    assert exact["clean", "all", "tuned"] >= max(exact["clean", "all", "tesseract"], exact["clean", "all", "rapidocr"])
