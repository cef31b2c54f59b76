"""What a model wrote for a report, sentence by sentence, with the verdict of the day's facts.

Reads and writes nothing. A sentence counts as supported only where a claim in it was found and none failed; for text
that is to stand as the narrative, every number in it must besides be a number of the facts.
"""

import re
from collections.abc import Iterable, Sequence

from jwvl_lib import claims
from jwvl_lib.claim_patterns import SENTENCE_END
from jwvl_lib.facts import Fact

NUMBER = re.compile(r"\d+(?:\.\d+)?")


def verdict_of(found: Sequence[dict]) -> str:
    """The verdict of a model's sentence by its claims: contradicted before unsupported before supported.

    A sentence in which nothing can be checked is unsupported, and so is one that only names a region: that it is on the
    disk does not vouch for "remove region 4316" or "AR 4316 will erupt".
    """
    verdicts = {c["verdict"] for c in found}
    if not {c["kind"] for c in found} - {"noaa_ar"}:
        verdicts.add("unsupported")
    return next(v for v in ("contradicted", "unsupported", "supported") if v in verdicts)


def judged_sentences(
    text: str, language: str, facts: Sequence[Fact], about: str = "", whole: bool = False
) -> Iterable[dict]:
    """Sentences of a text as report claims, each with its verdict; the evidence is the lines of the facts that spoke.

    `about` is what was asked (see `claims.extract`); with `whole` the text is not split, as text read from a picture.
    """
    by_id = {f.fact_id: f for f in facts}
    starts = [0, *(m.end() for m in SENTENCE_END.finditer(text) if not whole), len(text)]
    for start, end in zip(starts, starts[1:], strict=False):
        sentence = text[start:end].strip()
        if not sentence:
            continue
        found = claims.check(sentence, facts, language, about)
        spoke = [by_id[c["fact_id"]] for c in found if c["fact_id"]]
        evidence = [{"source": f.source, "line": f.line, "text": f.text} for f in spoke]
        yield {
            "text": sentence,
            "language": language,
            "verdict": verdict_of(found),
            "evidence": evidence,
            "origin": "model",
        }


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
    if report["regions_from"] is None:
        return found
    return [Fact("n_regions", len(report["regions"]), origin="srs", **_where(report["summary_evidence"][-1])), *found]


def image_facts(figure: dict) -> list[Fact]:
    """What the file of an image says of it, and in which quadrant its regions lie, as facts with their lines."""
    if not figure.get("evidence"):
        return []
    time, instrument = (_where(figure["evidence"][i]) for i in (1, 2))
    found = [Fact(k, v, **{**instrument, "origin": "header"}) for k, v in figure["known"].items()]
    found.append(Fact("date_obs", figure["date_obs"], origin="header", **time))
    placed = [r for r in figure["regions"] if r["quadrant"]]
    return found + [
        Fact("quadrant", r["quadrant"], r["noaa_ar"], origin="srs", **_where(r["evidence"][0])) for r in placed
    ]


def facts_for(report: dict, image: str = "") -> list[Fact]:
    """The facts a sentence is judged by: those of the day, and those of the image it speaks of."""
    about = [f for figure in report["images"] if figure["source"] == image for f in image_facts(figure)]
    return [*day_facts(report), *about]


def narrative_of(text: str, language: str, report: dict, writer: str) -> tuple[list[dict], list[dict]]:
    """(kept, dropped) sentences of a narrative that a model wrote.

    Kept: supported, with no number that is not in the lines it cites or the report's dates; they carry `written_by`.
    The others keep their verdict, `unsupported` where only a number failed.
    """
    kept, dropped = [], []
    dates = {n for k in ("report_date", "flares_date", "valid_utc") for n in NUMBER.findall(report[k])}
    for sentence in judged_sentences(text, language, day_facts(report)):
        allowed = dates | {n for e in sentence["evidence"] for n in NUMBER.findall(e["text"])}
        allowed |= {f"1{n}" for n in allowed if len(n) == 4} | {str(int(n)) for n in allowed if n.isdigit()}
        allowed |= {str(len(report["regions"])), str(len(report["flares"]))}
        foreign = [n for n in NUMBER.findall(sentence["text"]) if n not in allowed and n.lstrip("0") not in allowed]
        if sentence["verdict"] == "supported" and not foreign:
            kept.append({**{k: v for k, v in sentence.items() if k != "origin"}, "written_by": writer})
        else:
            verdict = "unsupported" if sentence["verdict"] == "supported" else sentence["verdict"]
            dropped.append({**sentence, "verdict": verdict, "meant_for": "narrative"})
    return kept, dropped


def _where(evidence: dict) -> dict:
    return {k: evidence[k] for k in ("source", "line", "text")}
