"""The grounded teacher: bilingual annotations written from facts by the templates of the prompts, without any model.

Reads and writes nothing. It says only what can be seen in the picture or read in its banner: a text that names a region
number, an area or a class that no viewer could see would teach the model to invent them; of a class only the likeliest
is asked for, in so many words. Every answer can be recomputed from the facts of its image (`recompute`).
"""

import itertools
import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jwvl_lib.claims import largest_region, spots_visible
from jwvl_lib.facts import Fact, find
from jwvl_lib.instruments import display_name
from jwvl_lib.prompts import STEPS, Prompt, closed_question

COUNT_CLASSES = ((0, "0"), (2, "1-2"))  # upper ends; above them "3+"
OF_THE_BANNER = "[Bb]anner|横幅"
UNTOLD = "untold"  # the right choice where the picture does not show what is asked


def truth(prompt: Prompt, facts: Sequence[Fact]) -> str | None:
    """What a prompt's question asks for, as the facts have it; None where they do not say or it cannot be seen.

    A channel is given by its display name, a count by its class "0", "1-2" or "3+". A question of the scope `untold` is
    about something that the facts know of the largest region: its answer is "untold" unless the picture shows it.
    """
    scope, _, kind = prompt.about.rpartition(":")
    only = prompt.text.get("measurements")
    measurement = find(facts, "measurement")
    if only and (measurement is None or measurement.value not in only):
        return None
    if scope == "largest":
        return _of_largest(facts, kind)
    if scope == "untold":
        return _if_shown(facts, kind)
    if kind == "spots_visible":
        seen = spots_visible(facts)
        return seen[0] if seen else None
    fact = find(facts, kind)
    if fact is None:
        return None
    if kind == "measurement":
        return _display(facts)
    return count_class(int(fact.value)) if kind == "n_regions" else str(fact.value)


def count_class(n_regions: int) -> str:
    """A number of regions as its class."""
    return next((name for upper, name in COUNT_CLASSES if n_regions <= upper), "3+")


def _of_largest(facts: Sequence[Fact], kind: str) -> str | None:
    largest = largest_region(facts)
    fact = find(facts, kind, largest) if largest is not None else None
    return str(fact.value) if fact else None


def _if_shown(facts: Sequence[Fact], kind: str) -> str | None:
    """A polarity on a magnetogram; "untold" for what another picture, or none, shows of a largest region."""
    measurement, value = find(facts, "measurement"), _of_largest(facts, kind)
    if measurement is None or largest_region(facts) is None:
        return None
    if kind == "leading_polarity":
        return value if measurement.value == "magnetogram" else UNTOLD
    return UNTOLD if value is not None else None


def _display(facts: Sequence[Fact]) -> str | None:
    parts = [find(facts, kind) for kind in ("observatory", "instrument", "measurement")]
    if parts[2] is None:
        return None
    return display_name(*(str(p.value) if p else "" for p in parts))


def called(prompt: Prompt, kind: str, value: str, language: str) -> str:
    """A value in a language; a display name keeps its codes and translates its words."""
    if kind != "measurement":
        return prompt.name(kind, value, language)
    for word in prompt.text["names"]["measurement"]:
        value = value.replace(word, prompt.name(kind, word, language))
    return value


def choices(prompt: Prompt, value: str, language: str, rng: np.random.Generator) -> list[str]:
    """The true value and others of the prompt's list that do not look alike, as called in a language, in any order."""
    kind = prompt.about.rpartition(":")[2]
    like = {c for group in prompt.text.get("alike", ()) if value in group for c in group}
    others = [c for c in prompt.text["choices"] if c != value and c not in like]
    n_others = min(len(others), prompt.text["n_choices"] - 1)
    chosen = [value, *(others[i] for i in rng.choice(len(others), n_others, replace=False))]
    return [called(prompt, kind, chosen[i], language) for i in rng.permutation(len(chosen))]


# --------------------------------------------------------------------------------------------------------------------
# texts


def reply(
    prompt: Prompt, language: str, facts: Sequence[Fact], rng: np.random.Generator, answer: str = ""
) -> dict[str, str]:
    """The grounded teacher's reply: the four steps and the answer, in the output schema of the prompts.

    `answer` is given where it follows from more than the facts of one image (see `grounded_more`).
    """
    slots = _slots(prompt, language, facts)
    templates = prompt.text["templates"][language]
    if prompt.task == "description":
        parts = [str(rng.choice(options)) for options in _description_parts(prompt, language, slots)]
        answer = _joined(parts, language)
        slots |= {"count_sentence": parts[1]} if len(parts) > 1 else {}
        slots["summary"] = parts[0]
    elif not answer:
        answer = called(prompt, prompt.about.rpartition(":")[2], truth(prompt, facts), language)
    slots["answer"] = answer
    steps = {name: str(rng.choice(_filled(templates[name], slots))) for name in STEPS}
    if "banner" not in slots:  # nothing is said of a banner that is not there
        steps = {name: steps["identify"] if re.search(OF_THE_BANNER, t) else t for name, t in steps.items()}
    return {**steps, "answer": answer}


def _slots(prompt: Prompt, language: str, facts: Sequence[Fact]) -> dict[str, str]:
    """The words that templates may use, as far as the facts know them."""
    banner, layer, date_obs = (find(facts, kind) for kind in ("banner_text", "layer", "date_obs"))
    slots = {}
    if banner is not None:
        lines = str(banner.value).splitlines()
        slots |= {"banner": ", ".join(lines), "n_lines": str(len(lines))}
    display = _display(facts)
    if display is not None and prompt.task != "ocr":
        slots["display"] = called(prompt, "measurement", display, language)
    if layer is not None:
        slots["layer"] = prompt.name("layer", str(layer.value), language)
    # a time that the banner does not show cannot be read off the picture
    time = str(date_obs.value)[:16].replace("T", " ") if date_obs else ""
    if time and banner is not None and time in str(banner.value):
        slots["time"] = time
    n_regions, quadrant = find(facts, "n_regions"), _of_largest(facts, "quadrant")
    if n_regions is not None:
        slots["count"] = count_class(int(n_regions.value))
    if quadrant is not None and slots.get("count") != "0":
        slots["quadrant"] = prompt.name("quadrant", quadrant, language)
    polarity, measurement = _of_largest(facts, "leading_polarity"), find(facts, "measurement")
    if polarity is not None and measurement is not None and measurement.value == "magnetogram":
        slots["polarity"] = prompt.name("leading_polarity", polarity, language)
    return slots


def _description_parts(prompt: Prompt, language: str, slots: Mapping[str, str]) -> list[list[str]]:
    """The wordings of each sentence of a description that the facts allow."""
    templates = prompt.text["templates"][language]
    parts = [_filled(templates["opening"], slots)]
    if "count" in slots:
        parts.append(_filled(templates["regions"][slots["count"]], slots))
    if "count" in slots and "quadrant" in slots:
        parts.append(_filled(templates["largest"], slots))
    if "polarity" in slots:
        after_place = "count" in slots and "quadrant" in slots
        parts.append(_filled(templates["polarity" if after_place else "polarity_alone"], slots))
    return parts


def _filled(groups: Sequence[Sequence[str]], slots: Mapping[str, str]) -> list[str]:
    """The first group of wordings all of whose slots are known, filled in."""
    for group in groups:
        if all(name is None or name in slots for text in group for _, name, _, _ in string.Formatter().parse(text)):
            return [text.format(**slots) for text in group]
    return [""]


def _joined(parts: Sequence[str], language: str) -> str:
    return ("" if language == "zh" else " ").join(parts)


# --------------------------------------------------------------------------------------------------------------------
# recomputation


def recompute(annotation: Mapping, prompt: Prompt, facts: Sequence[Fact]) -> bool:
    """Whether an annotation's answer follows from the facts alone.

    A closed answer and a reading of the banner must be the true one, and the question must offer it and list exactly
    the choices recorded; a description must be one of the texts that the templates allow for these facts.
    """
    language, answer = annotation["language"], annotation["answer"]
    if prompt.task == "description":
        return answer in _all_descriptions(prompt, language, facts)
    kind = prompt.about.rpartition(":")[2]
    value = truth(prompt, facts)
    if value is None or answer != called(prompt, kind, value, language):
        return False
    return prompt.task == "ocr" or offered(annotation, prompt, prompt.text["questions"][language])


def offered(annotation: Mapping, prompt: Prompt, wordings: Sequence[str]) -> bool:
    """Whether a closed question stands in one of these wordings, with the choices recorded, the answer once in them."""
    listed = json.loads(annotation["choices"])
    asked = {closed_question(prompt, q, listed, annotation["language"]) for q in wordings}
    return listed.count(annotation["answer"]) == 1 and annotation["question"] in asked


def _all_descriptions(prompt: Prompt, language: str, facts: Sequence[Fact]) -> Iterator[str]:
    parts = _description_parts(prompt, language, _slots(prompt, language, facts))
    return (_joined(texts, language) for texts in itertools.product(*parts))
