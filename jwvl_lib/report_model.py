"""What the vision-language model says of the day's images: which observation it is, the text in it, a description.

Takes the image sources of a report and writes nothing. Every sentence is judged by the facts of the day and of the
file it speaks of; it stands in a report under `claims` with `origin: model` and enters none of its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jwvl_lib import grounded, prompts, report_images, vlm
from jwvl_lib.instruments import display_name
from jwvl_lib.report_claims import day_facts, facts_for, judged_sentences

__all__ = ["Seen", "day_facts", "judged_sentences", "look"]

PROMPTS_DIR = "params/prompts"
PROMPT_IDS = ("qa.measurement", "ocr", "description")  # recognition, text in the picture, description
LONGEST_TOKENS = 128


@dataclass(frozen=True)
class Seen:
    """Judged sentences as report claims, the raw answers with what was asked, and the tokens read and written."""

    sentences: list[dict]
    answers: list[dict]
    tokens_in: int
    tokens_out: int


def look(
    report: dict,
    sources: Sequence,
    model: str,
    adapter_dir: str = "",
    languages: Sequence[str] = ("zh", "en"),
    image_px: int = 168,
) -> Seen:
    """Ask `PROMPT_IDS` of every image of the report in every language; the answers are judged sentence by sentence.

    The question is the first wording of the versioned prompt. `image_px` is the side of a picture drawn from FITS or
    JPEG2000 (that of the corpus the model was trained on). Raises what loading a model raises, ValueError for an image
    above `report_images.MAX_SIDE` pixels.
    """
    pictures = report_images.for_model(sources, image_px)
    figures = [f for f in report["images"] if f["source"] in pictures]
    known, processor = prompts.load_prompts(PROMPTS_DIR), vlm.load_processor(model)
    asked = [(i, known[p], language) for i in range(len(figures)) for p in PROMPT_IDS for language in languages]
    questions = [_question(prompt, figures[i], language) for i, prompt, language in asked]
    images = [pictures[f["source"]] for f in figures]
    loaded = vlm.load_model(model, adapter_dir)
    texts = vlm.answer(loaded, processor, images, questions, [i for i, _, _ in asked], max_new_tokens=LONGEST_TOKENS)
    sentences, answers = [], []
    for (i, prompt, language), question, text in zip(asked, questions, texts, strict=True):
        figure, about = figures[i], prompt.about if prompt.task == "qa" else ""
        made_by = {"prompt_id": prompt.prompt_id, "prompt_version": prompt.version}
        answers.append({"image": figure["name"], "question": question, "answer": text, "language": language, **made_by})
        whole = prompt.task != "description"
        judged = judged_sentences(text, language, facts_for(report, figure["source"]), about, whole)
        sentences += [{**s, "image": figure["source"], "about": about, **made_by} for s in judged]
    return Seen(sentences, answers, _tokens_in(processor, images, questions, asked), _count(processor, texts))


def _question(prompt: prompts.Prompt, figure: dict, language: str) -> str:
    """The first wording; closed where the answer is among the prompt's choices, so that a miss is the model's own."""
    question = prompt.text["questions"][language][0]
    known = {"observatory": "", "instrument": "", "measurement": "", **figure.get("known", {})}
    title = display_name(known["observatory"], known["instrument"], known["measurement"])
    if title not in prompt.text.get("choices", []):
        return question
    names = [grounded.called(prompt, "measurement", c, language) for c in prompt.text["choices"]]
    return prompts.closed_question(prompt, question, names, language)


def _count(processor, texts: Sequence[str]) -> int:
    return sum(len(processor.tokenizer(text).input_ids) for text in texts)


def _tokens_in(processor, images: Sequence, questions: Sequence[str], asked: Sequence[tuple]) -> int:
    """Tokens of every prompt, those of its image among them."""
    grids = processor.image_processor(images=list(images), return_tensors="pt")["image_grid_thw"]
    features = (grids.prod(-1) // processor.image_processor.merge_size**2).tolist()
    rows = zip(asked, questions, strict=True)
    return sum(len(vlm.prompt_ids(processor, question, features[i])) for (i, _, _), question in rows)
