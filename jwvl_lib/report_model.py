"""What a model says about the day's images, sentence by sentence, with the verdict of the day's facts.

Reads PNG and JPEG files of a folder; writes nothing. The sentences stand in a report under `claims` with
`origin: model` and never enter its numbers.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from jwvl_lib import prompts, vlm
from jwvl_lib.report_claims import day_facts, judged_sentences

__all__ = ["day_facts", "judged_sentences", "model_claims"]

PROMPTS_DIR = "params/prompts"
PROMPT_ID = "description"
MAX_SIDE = 4096


def model_claims(
    report: dict, image_dir: str | Path, model: str, adapter_dir: str = "", languages: Sequence[str] = ("zh", "en")
) -> list[dict]:
    """Describe every PNG and JPEG of a folder and judge each sentence against the facts of `report`.

    The question is the first wording of the versioned prompt `description`; each claim names its prompt and version,
    and the first of an answer the tokens the answer took.

    Raises FileNotFoundError for a folder without such files, ValueError for an image above `MAX_SIDE` pixels.
    """
    paths = sorted(p for p in Path(image_dir).glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        raise FileNotFoundError(f"{image_dir}: no PNG or JPEG to describe; give a folder with the images of the day")
    prompt = prompts.load_prompts(PROMPTS_DIR)[PROMPT_ID]
    processor = vlm.load_processor(model)
    asked = [(i, language) for i in range(len(paths)) for language in languages]
    answers = vlm.answer(
        vlm.load_model(model, adapter_dir),
        processor,
        [_open(p) for p in paths],
        [prompt.text["questions"][language][0] for _, language in asked],
        [i for i, _ in asked],
        max_new_tokens=128,
    )
    facts, said = day_facts(report), []
    made_by = {"prompt_id": prompt.prompt_id, "prompt_version": prompt.version}
    for (i, language), text in zip(asked, answers, strict=True):
        sentences = [{**s, "image": paths[i].name, **made_by} for s in judged_sentences(text, language, facts)]
        if sentences:
            sentences[0]["tokens"] = len(processor.tokenizer(text).input_ids)
        said += sentences
    return said


def _open(path: Path) -> Image.Image:
    with Image.open(path, formats=["PNG", "JPEG"]) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{path.name}: {image.size} pixels, at most {MAX_SIDE} a side; make it smaller")
        return image.convert("RGB")
