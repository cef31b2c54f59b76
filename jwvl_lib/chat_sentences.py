"""The sentences of an answer, each with its claims judged and the evidence they rest on.

Reads and writes nothing. A sentence comes from the facts of the day, the knowledge base or a model; whichever it is,
`claims` are what it says, marked by the facts, and a sentence of a model that a fact contradicts carries that fact.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from jwvl_lib import claims, knowledge, report_claims
from jwvl_lib.chat_words import kind_name
from jwvl_lib.facts import Fact

END = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+|\n+")
REGION_KINDS = ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots")
FILE = re.compile(r"\S+\.(?:txt|json|html|fits|fts|gz|jp2|png|jpe?g|gif)\b", re.I)
LONGEST = 2_000  # characters of one sentence; a model that never ends one is cut there
# of several pictures, the one that is meant
WHICH = (re.compile(r"\bfirst\b|第一|前一", re.I), re.compile(r"\bsecond\b|第二|后一", re.I))


@dataclass(frozen=True)
class Sentence:
    """One sentence of an answer.

    `origin` is facts, quoted (words of a source), banner (of the report), glossary, model, or none (it says what is not
    known). `verdict` is supported, contradicted, unsupported, or "" where nothing is claimed. `evidence` entries are
    `{source, line, text}`; `claims` those of `jwvl_lib.claims.check`, each with the evidence of its own; `instead` what
    the facts say of a contradicted claim.
    """

    text: str
    origin: str
    evidence: tuple[dict, ...] = ()
    verdict: str = ""
    claims: tuple[dict, ...] = ()
    instead: str = ""

    def as_json(self) -> dict:
        """Lists, not tuples: the very thing that is read back from disk."""
        return asdict(self) | {"evidence": list(self.evidence), "claims": list(self.claims)}


def told(language: str, en: str, zh: str, evidence: Iterable[dict]) -> Sentence:
    """A sentence from the facts of the day, in the language of the question."""
    return Sentence(zh if language == "zh" else en, "facts", _distinct(evidence))


def unknown(language: str, en: str, zh: str, evidence: Iterable[dict] = ()) -> Sentence:
    """A sentence that says what is not known, and why."""
    return Sentence(f"我不知道：{zh}" if language == "zh" else f"I do not know: {en}", "none", _distinct(evidence))


def quoted(text: str, evidence: Iterable[dict]) -> Sentence:
    """Words of a source as they stand there: whether they hold is the source's affair."""
    return Sentence(text, "quoted", _distinct(evidence), "supported")


def banner(text: str, evidence: Iterable[dict]) -> Sentence:
    """A warning of the report, as it stands there."""
    return Sentence(text, "banner", _distinct(evidence), "supported")


def _distinct(evidence: Iterable[dict]) -> tuple[dict, ...]:
    """Lines once each; a header has no line numbers, its cards differ by their text."""
    seen = {(e["source"], e["line"], e["text"]): {k: e[k] for k in ("source", "line", "text")} for e in evidence}
    return tuple(seen.values())


def day_facts(report: dict, past: bool = False) -> list[Fact]:
    """The facts of a report with its dates; with `past` also those of the days before and the places of flares.

    The latter are for sentences made from facts: that a model's area was right a day ago does not make it right.
    """
    found, head = report_claims.day_facts(report), report["summary_evidence"][0]
    dates = {report[k]: head for k in ("issued_utc", "valid_utc", "report_date", "flares_date")}
    for region in report["regions"] if past else ():
        for day in region["history"]:
            line = day["evidence"][0]
            found += [_fact(k, day[k], line, region["noaa_ar"]) for k in REGION_KINDS if day[k] is not None]
            dates[day["issued"][:10]] = line
    for place in (*report["plages"], *report["returning"]) if past else ():
        found.append(_fact("noaa_ar", place["noaa_ar"], place["evidence"][0], place["noaa_ar"]))
    for flare in report["flares"] if past else ():
        if flare["location"] and flare["noaa_ar"]:
            found.append(_fact("location", flare["location"], flare["evidence"][-1], flare["noaa_ar"]))
    return found + [_fact("date_obs", date, line) for date, line in dates.items()]


def _fact(kind: str, value: str | int, line: dict, noaa_ar: int | None = None) -> Fact:
    return Fact(kind, value, noaa_ar, "srs", **{k: line[k] for k in ("source", "line", "text")})


# --------------------------------------------------------------------------------------------------------------------
# judging


def judged(sentence: Sentence, facts: Sequence[Fact], language: str) -> Sentence:
    """The sentence with its claims and their verdicts (`report_claims.verdict_of` for a model's).

    One that is made from facts keeps the lines it cites.
    """
    by_id = {f.fact_id: f for f in facts}
    text = sentence.text if sentence.origin == "model" else FILE.sub("", sentence.text)  # a file's name claims no date
    found = [{**c, "evidence": _lines(by_id.get(c["fact_id"]))} for c in claims.check(text, facts, language)]
    if sentence.origin != "model":
        found = [c for c in found if c["verdict"] != "unsupported"]  # what its lines vouch for, the grammar need not
        verdict = "contradicted" if any(c["verdict"] == "contradicted" for c in found) else "supported"
        return replace(sentence, claims=tuple(found), verdict=verdict if sentence.evidence else "")
    wrong = [by_id[c["fact_id"]] for c in found if c["verdict"] == "contradicted"]
    lines = _distinct(e for c in found for e in c["evidence"])
    return replace(
        sentence,
        claims=tuple(found),
        verdict=report_claims.verdict_of(found),
        evidence=lines,
        instead="; ".join(dict.fromkeys(_states(f, language) for f in wrong)),
    )


def _lines(fact: Fact | None) -> list[dict]:
    """Where a fact stands; the truth of a simulation may stand nowhere."""
    known = fact and (fact.source or fact.text)
    return [{"source": fact.source, "line": fact.line, "text": fact.text}] if known else []


def _states(fact: Fact, language: str) -> str:
    """A fact in words: `AR 12192, area 2740 millionths`, `活动区12192，面积2740（百万分之一）`."""
    zh, value = language == "zh", str(fact.value).replace("\n", " · ")
    value = knowledge.term(f"{fact.kind}.{fact.value}", language) if _has_term(fact) else value
    region = (
        (f"活动区{fact.noaa_ar}，" if zh else f"AR {fact.noaa_ar}, ") if fact.noaa_ar and fact.kind != "noaa_ar" else ""
    )
    return f"{region}{kind_name(fact.kind, language)}{'：' if zh else ': '}{value}"


def _has_term(fact: Fact) -> bool:
    return fact.kind in ("layer", "quadrant", "leading_polarity") and fact.value in knowledge.values(fact.kind)


def of_image(text: str, question: str, facts_by_image: Sequence[Sequence[Fact]]) -> list[Fact]:
    """The facts a sentence about pictures is held against: of the one that it or the question names, else of all."""
    for words in (text, question):
        named = [bool(which.search(words)) for which in WHICH]
        if len(facts_by_image) > 1 and sum(named) == 1:
            return list(facts_by_image[named.index(True)])
    return [f for facts in facts_by_image for f in facts]


def complete(text: str) -> tuple[list[str], str]:
    """(whole sentences, the rest) of a text that is still being written."""
    parts = END.split(text)
    whole = [p.strip() for p in parts[:-1]]
    rest = parts[-1]
    while len(rest) > LONGEST:
        whole.append(rest[:LONGEST])
        rest = rest[LONGEST:]
    return [p for p in whole if p], rest
