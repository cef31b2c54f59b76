"""The sentences of an answer, each with its claims judged and the evidence they rest on.

Reads and writes nothing. A sentence comes from the facts of the day, the knowledge base or a model; whichever it is,
`claims` are what it says, marked by the facts, and a sentence of a model that a fact contradicts carries that fact.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from jwvl_lib import claims, knowledge, metrics, report_claims
from jwvl_lib.chat_words import kind_name
from jwvl_lib.facts import Fact

END = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+|\n+")
REGION_KINDS = ("location", "area_msh", "mcintosh_class", "hale_class", "n_spots")
FILE = re.compile(r"\S+\.(?:txt|json|html|fits|fts|gz|jp2|png|jpe?g|gif)\b", re.I)
LONGEST = 2_000  # characters of one sentence; a model that never ends one is cut there
# of several pictures, the one that is meant
WHICH = (re.compile(r"\bfirst\b|第一|前一", re.I), re.compile(r"\bsecond\b|第二|后一", re.I))
# a question that asks to read the text in a picture; one for a part of it is answered by what the facts say of that
_TEXT, _READING = r"\b(?:text|banner|captions?|words|writing|letters)\b", r"\b(?:read|copy|quote|says?|written)\b"
READ = re.compile(
    rf"{_READING}.*{_TEXT}|{_TEXT}.*{_READING}|\btranscri|\bwhat (?:text|(?:is|stands) written)\b"
    r"|[读念抄认录].*(?:文字|横幅|字样)|(?:文字|横幅|字样)[上里中]?的?(?:是|写|内容)|什么(?:文字|字样)|写[着了有]",
    re.I | re.S,
)
PART = re.compile(r"\b(?:times?|date|day|instrument|telescope|observatory)\b|时间|时刻|日期|仪器|望远镜|天文台", re.I)
MORE = re.compile(r"\b(?:describe|explain|about|which|where|why|how)\b|描述|说明|解释|关于|哪|为什么|怎", re.I)
# a transcription within a sentence: in quotes, or after "The banner reads:"
QUOTED = re.compile(r"[\"“「『]([^\"“”「」『』]+)[\"”」』]")
LEAD = re.compile(r"^[^:：]*(?:\b(?:reads?|says?|text|banner|lines?|is)\b|[字幅行为是写下])[^:：]*(?:：|:(?!\d))", re.I)
PROSE = tuple(".!?。！？")
BULLETS, MARKS = "•- ", "'‘’`* .。,，;；"  # before and around a line, no part of it


@dataclass(frozen=True)
class Line(Fact):
    """A text that stands in a picture: one line of its banner (`value`), or all; "" where none is known to be there.

    What is read in a picture is held against lines letter by letter, not for what it claims: in "GONG H/19" GONG is
    right. `text` is the whole banner.
    """


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

    One that is made from facts keeps the lines it cites; one that was to be read in a picture is held against `Line`s.
    """
    if lines := [f for f in facts if isinstance(f, Line)]:
        return _transcribed(sentence, lines, language)
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


def _transcribed(sentence: Sentence, lines: Sequence[Line], language: str) -> Sentence:
    """The sentence as a transcription: supported where all it gives stands in the picture, contradicted where not.

    Words about the text that give none of it, and anything where no text is known, are unsupported.
    """
    quotes = QUOTED.findall(sentence.text)
    given = [t.strip() for t in quotes or [LEAD.sub("", sentence.text)] if _bare(t)]
    found = [next((line for line in lines if _bare(line.value) == _bare(text)), None) for text in given]
    if not given or not lines[0].value or (None in found and not quotes and sentence.text.endswith(PROSE)):
        return replace(sentence, verdict="unsupported")
    verdict = "contradicted" if None in found else "supported"
    spoke = lines if None in found else found
    evidence = _distinct(e for line in spoke for e in _lines(line))
    instead = dict.fromkeys(_states(replace(line, value=line.text), language) for line in lines if None in found)
    one = {"kind": "banner_text", "noaa_ar": None, "verdict": verdict, "fact_id": spoke[0].fact_id}
    read = tuple({**one, "value": text, "text": text, "evidence": list(evidence)} for text in given)
    return replace(sentence, claims=read, verdict=verdict, evidence=evidence, instead="; ".join(instead))


def _bare(text: str) -> str:
    """A line as the benchmark compares it (`metrics.normalize`; case counts), without what stands around it."""
    return " ".join(metrics.normalize(text).split()).lstrip(BULLETS).strip(MARKS)


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
    """The facts a sentence about pictures is held against: of the one that it or the question names, else of all.

    Where the question asks to read, those are `Line`s; a sentence of prose is read only where nothing else was asked.
    """
    found = [f for facts in _named(text, question, facts_by_image) for f in facts]
    is_read = READ.search(question) and not PART.search(question)
    return _texts_in(found) if is_read and not (MORE.search(question) and text.endswith(PROSE)) else found


def _named(text: str, question: str, facts_by_image: Sequence[Sequence[Fact]]) -> Sequence[Sequence[Fact]]:
    for words in (text, question):
        named = [bool(which.search(words)) for which in WHICH]
        if len(facts_by_image) > 1 and sum(named) == 1:
            return [facts_by_image[named.index(True)]]
    return facts_by_image


def _texts_in(facts: Iterable[Fact]) -> list[Line]:
    """Each banner among facts, whole and line by line."""
    banners = [(f, str(f.value).splitlines()) for f in facts if f.kind == "banner_text"]
    return [
        Line(f.kind, text, origin=f.origin, source=f.source, line=f.line, text=" · ".join(lines))
        for f, lines in banners
        for text in dict.fromkeys(["\n".join(lines), *lines])
    ] or [Line("banner_text", "")]


def complete(text: str) -> tuple[list[str], str]:
    """(whole sentences, the rest) of a text that is still being written."""
    parts = END.split(text)
    whole = [p.strip() for p in parts[:-1]]
    rest = parts[-1]
    while len(rest) > LONGEST:
        whole.append(rest[:LONGEST])
        rest = rest[LONGEST:]
    return [p for p in whole if p], rest
