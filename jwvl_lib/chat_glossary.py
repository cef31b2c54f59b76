"""Answers of the chat from the knowledge base: what a term, a class or a scale means, each with its source.

Reads `data/knowledge.yaml` through `knowledge`; writes nothing. The evidence is the entry's line in that file and the
reference it names.
"""

import functools
import re

from jwvl_lib import knowledge
from jwvl_lib.chat_sentences import Sentence
from jwvl_lib.chat_words import Asked

MCINTOSH = re.compile(rf"(?<![A-Za-z])({'|'.join(knowledge.mcintosh_classes())})(?![A-Za-z])", re.I)
MOST_ENTRIES = 3


def answer(asked: Asked) -> list[Sentence]:
    """One sentence a term that the question names; none where the knowledge base has none of its words."""
    classes = [c.capitalize() for c in MCINTOSH.findall(asked.text)]
    if classes:
        return [_mcintosh(c, asked.language) for c in dict.fromkeys(classes)]
    found = [e for e in knowledge.named_in(asked.text, asked.language) if e.says]
    found += [e for e in _indices(asked.text) if e not in found]
    if asked.flare_letter and asked.meaning:
        found = [knowledge.entry(f"goes_class.{asked.flare_letter}"), *(e for e in found if e.section != "feature")]
    return [_entry(e, asked.language) for e in found[:MOST_ENTRIES]]


def _indices(text: str) -> list[knowledge.Entry]:
    """Indices by the first word of their term: "F10.7" of "F10.7, sfu"."""
    heads = [(e.names["en"].split(",")[0], e) for e in knowledge.section("index").values()]
    return [e for head, e in heads if e.says and re.search(rf"(?<![A-Za-z]){re.escape(head)}(?![A-Za-z])", text, re.I)]


def _mcintosh(name: str, language: str) -> Sentence:
    """A McIntosh class letter by letter."""
    letters = knowledge.read_mcintosh(name)
    if language == "zh":
        text = (
            f"McIntosh分类{name}：{'；'.join(f'{x}，{e.says[language]}' for x, e in zip(name, letters, strict=True))}。"
        )
    else:
        said = "; ".join(f"{x}: {e.says[language]}" for x, e in zip(name, letters, strict=True))
        text = f"McIntosh class {name}, letter by letter. {said}."
    return Sentence(text, "glossary", tuple(map(_evidence, letters)), "supported")


def _entry(e: knowledge.Entry, language: str) -> Sentence:
    term = e.names[language] if e.value in (e.names[language], e.value.lower()) else f"{e.value} ({e.names[language]})"
    term = e.names[language] if e.section in ("feature", "layer", "index") or e.value.islower() else term
    text = f"{term}：{e.says[language]}。" if language == "zh" else f"{term[0].upper()}{term[1:]}: {e.says[language]}."
    return Sentence(text, "glossary", (_evidence(e),), "supported")


def _evidence(e: knowledge.Entry) -> dict:
    line, text = _lines()[e.key]
    reference = "; ".join(f"{s['text']} {s['url']}".strip() for s in knowledge.cited(e))
    return {"source": knowledge.TABLE.name, "line": line, "text": text, "reference": reference}


@functools.cache
def _lines() -> dict[str, tuple[int, str]]:
    """Where each entry stands in the file: key -> (1-based line, that line)."""
    found, section = {}, ""
    for number, line in enumerate(knowledge.TABLE.read_text(encoding="utf-8").splitlines(), start=1):
        if heading := re.fullmatch(r"  (\w+):", line):
            section = heading[1]
        elif entry := re.match(r" {6}(\"?)([^:\"]+)\1:", line):
            found.setdefault(f"{section}.{entry[2]}", (number, line.strip()))
    return {e.key: found[e.key] for s in knowledge.load().sections.values() for e in s.entries.values()}
