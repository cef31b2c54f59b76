"""What a model says about the day's images, sentence by sentence, with the verdict of the day's facts.

Reads PNG and JPEG files of a folder; writes nothing. The sentences stand in a report under `claims` with
`origin: model` and never enter its numbers.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from jwvl_lib import claims, vlm
from jwvl_lib.claim_patterns import SENTENCE_END
from jwvl_lib.facts import Fact

QUESTIONS = {"en": "Describe the image.", "zh": "描述这幅图像。"}
MAX_SIDE = 4096


def model_claims(
    report: dict, image_dir: str | Path, model: str, adapter_dir: str = "", languages: Sequence[str] = ("zh", "en")
) -> list[dict]:
    """Describe every PNG and JPEG of a folder and judge each sentence against the facts of `report`.

    Raises FileNotFoundError for a folder without such files, ValueError for an image above `MAX_SIDE` pixels.
    """
    paths = sorted(p for p in Path(image_dir).glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        raise FileNotFoundError(f"{image_dir}: no PNG or JPEG to describe; give a folder with the images of the day")
    asked = [(i, language) for i in range(len(paths)) for language in languages]
    answers = vlm.answer(
        vlm.load_model(model, adapter_dir),
        vlm.load_processor(model),
        [_open(p) for p in paths],
        [QUESTIONS[language] for _, language in asked],
        [i for i, _ in asked],
        max_new_tokens=128,
    )
    facts = day_facts(report)
    return [
        {**sentence, "image": paths[i].name}
        for (i, language), text in zip(asked, answers, strict=True)
        for sentence in judged_sentences(text, language, facts)
    ]


def judged_sentences(text: str, language: str, facts: Sequence[Fact]) -> Iterable[dict]:
    """Sentences of a text as report claims: contradicted before unsupported before supported.

    A sentence in which nothing can be checked is unsupported; the evidence is the lines of the facts that spoke.
    """
    by_id = {f.fact_id: f for f in facts}
    starts = [0, *(m.end() for m in SENTENCE_END.finditer(text)), len(text)]
    for start, end in zip(starts, starts[1:], strict=False):
        sentence = text[start:end].strip()
        if not sentence:
            continue
        found = claims.check(sentence, facts, language)
        verdicts = {c["verdict"] for c in found} or {"unsupported"}
        verdict = next(v for v in ("contradicted", "unsupported", "supported") if v in verdicts)
        spoke = [by_id[c["fact_id"]] for c in found if c["fact_id"]]
        evidence = [{"source": f.source, "line": f.line, "text": f.text} for f in spoke]
        yield {"text": sentence, "language": language, "verdict": verdict, "evidence": evidence, "origin": "model"}


def day_facts(report: dict) -> list[Fact]:
    """The regions and flares of a report as facts, each with its line."""
    found = []
    for region in report["regions"]:
        number, line = region["noaa_ar"], _where(region["evidence"][0])
        found.append(Fact("noaa_ar", number, noaa_ar=number, origin="srs", **line))
        kinds = ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots")
        found += [Fact(k, region[k], noaa_ar=number, origin="srs", **line) for k in kinds if region[k] is not None]
    for flare in report["flares"]:
        value = f"{flare['goes_class']}@{flare['peak'] or flare['begin']}"
        found.append(Fact("flare", value, flare["noaa_ar"], "events", **_where(flare["evidence"][0])))
    return [Fact("n_regions", len(report["regions"]), origin="srs", **_where(report["summary_evidence"][-1])), *found]


def _where(evidence: dict) -> dict:
    return {k: evidence[k] for k in ("source", "line", "text")}


def _open(path: Path) -> Image.Image:
    with Image.open(path, formats=["PNG", "JPEG"]) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{path.name}: {image.size} pixels, at most {MAX_SIDE} a side; make it smaller")
        return image.convert("RGB")
