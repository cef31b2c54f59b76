"""Tesseract and RapidOCR on simulated banners in both languages, clean and degraded."""

import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from jwvl_lib import ocr_peers, render

pytestmark = pytest.mark.heavy
HOW = ("clean", "blur", "jpeg", "low_contrast")
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


def absent(reason):
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tesseract_reads_clean_banners(language):
    if language == "zh" and not CJK.exists():
        absent("no Noto CJK font (apt install fonts-noto-cjk)")
    try:
        readers = {"tesseract": ocr_peers.tesseract(language)}
    except FileNotFoundError as error:
        absent(str(error))
    table = ocr_peers.compare(readers, [banner(language, k) for k in range(20)], HOW)
    print(f"\n{language}, simulated banners\n{table.round(3).to_string(index=False)}")
    clean = table.set_index("degradation").char_accuracy_no_blanks
    assert clean["clean"] > {"en": 0.9, "zh": 0.6}[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_rapidocr_reads_clean_banners(language):
    pytest.importorskip("rapidocr", reason="the optional group `peers` is not installed")
    if language == "zh" and not CJK.exists():
        absent("no Noto CJK font (apt install fonts-noto-cjk)")
    table = ocr_peers.compare({"rapidocr": ocr_peers.rapidocr()}, [banner(language, k) for k in range(20)], HOW)
    print(f"\n{language}, simulated banners\n{table.round(3).to_string(index=False)}")
    assert table.set_index("degradation").char_accuracy_no_blanks["clean"] > 0.6
