"""The knowledge base: what the Sun's layers, classes, scales, instruments and marks are called and mean, with sources.

Reads `jwvl_lib/data/knowledge.yaml` and nothing else; writes nothing. An entry is named by its section and value, as
`layer.corona`; a section that is named like a fact kind holds the values of that kind, spelt as facts spell them.
"""

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

TABLE = Path(__file__).parent / "data" / "knowledge.yaml"
LANGUAGES = ("zh", "en")
PLACES = ("mcintosh_z", "mcintosh_p", "mcintosh_c")  # the letters of a McIntosh class, one section a place
ANY = "any"  # words that stand in texts of every language


class KnowledgeError(ValueError):
    """A knowledge file that cannot be used as it stands, or a word it does not hold."""


@dataclass(frozen=True)
class Entry:
    """One term. `names` and `says` map a language to text, `also` to other words for it; `sources` are source ids.

    `rules` holds what code reads beyond words: where a grade begins, which letters go together.
    """

    section: str
    value: str
    names: Mapping[str, str]
    says: Mapping[str, str]
    also: Mapping[str, tuple[str, ...]]
    sources: tuple[str, ...]
    rules: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Section and value, such as `layer.corona`."""
        return f"{self.section}.{self.value}"


@dataclass(frozen=True)
class Section:
    """Entries of one kind by value, in the order of the file; `titles` by language.

    `common`: the terms are everyday words, which mean the entry only where it is known to be meant.
    """

    name: str
    titles: Mapping[str, str]
    entries: Mapping[str, Entry]
    common: bool


@dataclass(frozen=True)
class Knowledge:
    """The whole file: sections by name, and sources by id as {text, url}."""

    sections: Mapping[str, Section]
    sources: Mapping[str, Mapping[str, str]]


# --------------------------------------------------------------------------------------------------------------------
# reading


@functools.cache
def load(path: Path = TABLE) -> Knowledge:
    """The knowledge file, checked: KnowledgeError with one line that names the entry, the rule and the remedy."""
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(raw, dict) or set(raw) != {"sources", "sections"}:
        raise KnowledgeError(f"{path.name}: the file must hold `sources` and `sections` and nothing else")
    for name, source in raw["sources"].items():
        _need(path, f"source {name}", source, ("text", "url"), exactly=True)
    sections = {name: _section(path, name, given, raw["sources"]) for name, given in raw["sections"].items()}
    used = {s for section in sections.values() for e in section.entries.values() for s in e.sources}
    if unused := sorted(set(raw["sources"]) - used):
        raise KnowledgeError(f"{path.name}: no entry names source {unused[0]}; remove it or name it")
    return Knowledge(sections, raw["sources"])


def _section(path: Path, name: str, given: dict, sources: Mapping) -> Section:
    _need(path, name, given, ("title", "entries"))
    _need(path, f"{name}.title", given["title"], LANGUAGES, exactly=True)
    entries = {str(value): _entry(path, name, str(value), entry, sources) for value, entry in given["entries"].items()}
    return Section(name, given["title"], entries, bool(given.get("common")))


def _entry(path: Path, section: str, value: str, given: dict, sources: Mapping) -> Entry:
    key = f"{section}.{value}"
    _need(path, key, given, (*LANGUAGES, "source"))
    says, also = given.get("says", {}), given.get("also", {})
    if says:
        _need(path, f"{key}.says", says, LANGUAGES, exactly=True)
    if not isinstance(also, dict) or set(also) - {*LANGUAGES, ANY} or not all(map(_is_texts, also.values())):
        raise KnowledgeError(f"{path.name}: {key}.also must give lists of words under zh, en or {ANY}; write them so")
    if not _is_texts(given["source"]) or set(given["source"]) - set(sources):
        raise KnowledgeError(f"{path.name}: {key} names source {given['source']}; give a list of ids from `sources`")
    rules = {k: v for k, v in given.items() if k not in (*LANGUAGES, "says", "also", "source")}
    names = {language: given[language] for language in LANGUAGES}
    return Entry(section, value, names, says, {k: tuple(v) for k, v in also.items()}, tuple(given["source"]), rules)


def _need(path: Path, key: str, given: object, wanted: Iterable[str], exactly: bool = False) -> None:
    """Every wanted name is there, languages and texts as text that is not empty; with `exactly` nothing else is."""
    wanted = tuple(wanted)
    if not isinstance(given, dict) or set(wanted) - set(given):
        lacking = [w for w in wanted if not isinstance(given, dict) or w not in given]
        raise KnowledgeError(f"{path.name}: {key} lacks {', '.join(lacking)}; every entry needs {', '.join(wanted)}")
    if exactly and (extra := sorted(set(given) - set(wanted))):
        raise KnowledgeError(f"{path.name}: {key} has {extra[0]!r}; only {', '.join(wanted)} belong there")
    for name in {*wanted} & {*LANGUAGES, "text"}:
        if not isinstance(given[name], str) or not given[name].strip():
            raise KnowledgeError(f"{path.name}: {key}.{name} is {given[name]!r}; write a text, quoted if YAML reads it")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v for v in value)


# --------------------------------------------------------------------------------------------------------------------
# words


def section(name: str) -> Mapping[str, Entry]:
    """The entries of a section by value, in their order."""
    return _look_up(load().sections, name, "section").entries


def entry(key: str) -> Entry:
    """The entry of a key such as `layer.corona`; KnowledgeError names the nearest where there is none."""
    name, _, value = key.partition(".")
    return _look_up(section(name), value, f"entry of {name}")


def term(key: str, language: str) -> str:
    """What an entry is called: `term("layer.corona", "zh")` is 日冕."""
    return _look_up(entry(key).names, language, "language")


def values(name: str) -> tuple[str, ...]:
    """The values of a section in their order: `values("layer")` goes upwards."""
    return tuple(section(name))


def names(name: str) -> dict[str, tuple[str, str]]:
    """The terms of a section as value -> (English, Chinese)."""
    return {value: (e.names["en"], e.names["zh"]) for value, e in section(name).items()}


def title(name: str, language: str) -> str:
    """The heading of a section."""
    return _look_up(_look_up(load().sections, name, "section").titles, language, "language")


def words(name: str, language: str) -> dict[str, str]:
    """Every word of a section in a language -> its value, the longest first: terms, other words, codes.

    Where two entries share a word (the Extreme Ultraviolet Imagers) the first has it.
    """
    found: dict[str, str] = {}
    for value, e in section(name).items():
        for word in (_look_up(e.names, language, "language"), *e.also.get(language, ()), *e.also.get(ANY, ())):
            found.setdefault(word, value)
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[0]), pair[0])))


def named_in(text: str, language: str, sections: Iterable[str] | None = None) -> list[Entry]:
    """The entries whose words or codes stand in a text, in order of their place; of overlapping words the longest.

    For a chat: what to explain, and what to cite. Of sections of common words only the codes (R3) are looked for.
    """
    taken, found = [], {}
    for word, e in _vocabulary(language, tuple(sections) if sections else tuple(load().sections)):
        bounds = (r"(?<![A-Za-z])", r"(?![A-Za-z])") if word.isascii() else ("", "")
        flags = 0 if word.isupper() or len(word) < 4 else re.IGNORECASE
        for match in re.finditer(bounds[0] + re.escape(word) + bounds[1], text, flags):
            if all(match.end() <= low or match.start() >= high for low, high in taken):
                taken.append(match.span())
                found.setdefault(e.key, (match.start(), e))
    return [e for _, e in sorted(found.values(), key=lambda pair: pair[0])]


@functools.cache
def _vocabulary(language: str, sections: tuple[str, ...]) -> tuple[tuple[str, Entry], ...]:
    """(word, entry), the longest word first; single letters stand for too much."""
    pairs = []
    for name in sections:
        entries = section(name)
        given = {} if load().sections[name].common else words(name, language)
        pairs += [(word, entries[value]) for word, value in given.items()]
        pairs += [(value, e) for value, e in entries.items() if not value.islower()]
    return tuple(sorted((p for p in pairs if len(p[0]) > 1), key=lambda pair: -len(pair[0])))


# --------------------------------------------------------------------------------------------------------------------
# glossary


def cited(e: Entry) -> list[dict[str, str]]:
    """The sources of an entry as `{id, text, url}`, the definition's first."""
    return [{"id": name, **load().sources[name]} for name in e.sources]


def explain(key: str, language: str) -> str:
    """One line for a reader: the term, what it means and the first source."""
    e = entry(key)
    means = f"{'：' if language == 'zh' else ': '}{e.says[language]}" if e.says else ""
    return f"{_look_up(e.names, language, 'language')}{means} ({cited(e)[0]['text']})"


def glossary(language: str, sections: Iterable[str] | None = None) -> list[dict]:
    """The entries that say something, as rows `{key, section, title, value, term, says, sources}` in the file's order.

    `sections` limits them; `sources` are those of `cited`.
    """
    return [
        {
            "key": e.key,
            "section": name,
            "title": title(name, language),
            "value": value,
            "term": e.names[language],
            "says": e.says[language],
            "sources": cited(e),
        }
        for name in (sections or load().sections)
        for value, e in section(name).items()
        if e.says
    ]


# --------------------------------------------------------------------------------------------------------------------
# classes and scales


def goes_letters() -> str:
    """The letters of flare classes, the weakest first: ABCMX."""
    return "".join(section("goes_class"))


def mcintosh_letters() -> tuple[Mapping[str, Entry], ...]:
    """The letters of a McIntosh class, place by place: group (Z), penumbra (p), distribution (c)."""
    return tuple(section(name) for name in PLACES)


@functools.cache
def mcintosh_classes() -> tuple[str, ...]:
    """The 60 classes that the letters allow together (McIntosh 1990, Solar Physics 125, 251)."""
    groups, _, distributions = mcintosh_letters()
    return tuple(
        f"{z}{p}{c}"
        for z, group in groups.items()
        for p in str(group.rules["penumbra"])
        for c in str(group.rules["distribution"])
        if p in str(distributions[c].rules.get("penumbra", p))
    )


def read_mcintosh(mcintosh_class: str) -> list[Entry]:
    """The entries of a class's three letters; empty where it is none of the 60."""
    if mcintosh_class not in mcintosh_classes():
        return []
    return [letters[x] for letters, x in zip(mcintosh_letters(), mcintosh_class, strict=True)]


def grades(name: str, rule: str = "from") -> list[tuple[str, object]]:
    """The grades of a scale with where each begins, the strongest first: `grades("R")[0]` is ("R5", "X20.0")."""
    return [(value, e.rules[rule]) for value, e in reversed(section(name).items())]


def storm_grade(kp: float) -> str:
    """NOAA's grade of a geomagnetic storm, "none" below Kp 5: 5- (4.67) is G1, but G4 is "8, including a 9-"."""
    whole = min(int(kp + 0.34), 8) if kp < 9 else 9
    return next((grade for grade, least in grades("G") if whole >= least), "none")


def _look_up(table: Mapping, name: str, what: str):
    if name in table:
        return table[name]
    near = difflib.get_close_matches(str(name), list(table), n=1) or sorted(table)[:1]
    raise KnowledgeError(f"{what} {name!r} is not in {TABLE.name}; the nearest is {near[0]!r}")
