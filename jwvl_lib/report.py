"""The daily solar activity report: every number leads to a line of a source file.

Reads SWPC texts (`YYYYMMDDSRS.txt`, `YYYYMMDDevents.txt`) and `data/flare_rates.json`; writes `<date>/report.json`,
`report.html`, `report.md` and, byte for byte, `sources/`. The report of day D is the view at 0030 UT of D: the regions
of the summary issued on D, the flares of D-1, and chances for D. Nothing in it depends on the clock or the machine.
"""

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from jwvl_lib import (
    artifacts,
    narrative,
    rates,
    report_claims,
    report_facts,
    report_images,
    report_page,
    report_sources,
    swpc,
)
from jwvl_lib.rates import flare_rates
from jwvl_lib.report_facts import activity_level
from jwvl_lib.report_sources import Source, find_texts, gather

__all__ = ["Source", "activity_level", "check", "compose", "find_texts", "flare_rates", "gather", "write"]

log = logging.getLogger(__name__)
SCHEMA = "report.schema.json"


def compose(
    sources: Iterable[Source],
    report_date: str,
    convention: str = "swpc",
    languages: str = "zh,en",
    profile: str = "tiny",
    model: str | None = None,
    model_claims: Iterable[dict] = (),
    written: dict[str, str] | None = None,
    troubles: Iterable[str] = (),
) -> dict:
    """The report as the dict that `report.json` holds: a function of its arguments alone, so reruns are byte-equal.

    `issued_utc` is the time the summary was issued. `model_claims` are a model's sentences with their verdicts (from
    `report_model`); they stand beside the facts and change none of them. `written` is a narrative by
    a model, per language: its sentences are judged here, those the facts support take the place of the templates, the
    others are kept as dropped. `troubles` go to the banner. Errors are those of `report_facts.read_day`.
    """
    sources = list(sources)
    chosen = tuple(part.strip() for part in languages.split(",") if part.strip())
    if not chosen or not set(chosen) <= {"zh", "en"}:
        raise ValueError(f"languages {languages!r}: a report is written in zh, en or both; write for example 'zh,en'")
    day = report_facts.read_day(sources, report_date, convention)
    written, troubles, model_claims = written or {}, list(troubles), list(model_claims)
    claims, dropped = _narrative_claims(day.facts, chosen, written, model or "")
    valid = datetime.fromisoformat(day.facts["valid_utc"])
    images, unread = report_images.figures(sources, day.summary_rows, valid)
    warnings = [*day.warnings, *unread]
    return {
        **day.facts,
        "narrative": {language: narrative.join(claims, language) for language in chosen},
        "claims": [*claims, *dropped, *model_claims],
        "written": written,
        "troubles": troubles,
        "images": images,
        "sources": [_listed(s) for s in sources],
        "model": model,
        "profile": profile,
        "languages": list(chosen),
        "warnings": [*troubles, *(en for en, _ in warnings)],
        "warnings_zh": [*troubles, *(zh for _, zh in warnings)],
    }


def _narrative_claims(facts: dict, languages: tuple, written: dict, writer: str) -> tuple[list[dict], list[dict]]:
    """The sentences of the narrative, by a model where enough of them hold, else by templates; and those dropped."""
    chosen, dropped = [], []
    for language in languages:
        kept: list[dict] = []
        if text := written.get(language):
            kept, out = report_claims.narrative_of(text, language, facts, writer)
            dropped += out
        chosen += kept or narrative.narrative_claims(facts, (language,))
    return chosen, dropped


def _listed(source: Source) -> dict:
    digest = hashlib.sha256(source.raw).hexdigest()
    entry = {"id": source.id, "path": f"sources/{source.name}", "sha256": digest, "fetched_utc": source.fetched_utc}
    extra = {"url": source.url, "made_from": source.made_from}
    return {**entry, **{k: v for k, v in extra.items() if v}}


def write(report: dict, sources: Iterable[Source], out_dir: str | Path) -> Path:
    """Write `<report_date>/` under `out_dir`: sources first, `report.json` last. Returns that folder.

    The schema of `report.json` is published beside the folders of the days, as `report.schema.json`.
    """
    folder, sources = Path(out_dir) / report["report_date"], list(sources)
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    for source in sources:
        artifacts.write_bytes(folder / "sources" / source.name, source.raw)
    artifacts.write_text(folder / "report.html", report_page.html(report, report_images.pictures(sources)))
    artifacts.write_text(folder / "report.md", report_page.markdown(report))
    artifacts.write_json(folder / "report.json", report)
    schema, published = report_page.DATA / SCHEMA, folder.parent / SCHEMA
    if not published.is_file() or published.read_bytes() != schema.read_bytes():
        artifacts.write_bytes(published, schema.read_bytes())
    return folder


def check(report_dir: str | Path) -> list[str]:
    """Problems of a written report, one line each; an empty list means that every number resolves.

    Reads the raw bytes under `sources/` again: hashes, every evidence line against its text, and the whole report made
    anew from them, compared value by value with `report.json`; then the pages against the report. Sentences of a model
    are judged again.
    """
    folder = Path(report_dir)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    problems, sources = [], []
    for entry in report["sources"]:
        path = folder / entry["path"]
        if not path.is_file() or path.resolve().parent != (folder / "sources").resolve():
            problems.append(f"{entry['id']}: {entry['path']} is missing")
            continue
        extra = {k: entry[k] for k in ("made_from", "url", "fetched_utc") if k in entry}
        sources.append(Source(entry["id"], path.name, path.read_bytes(), **extra))
        if artifacts.sha256(path) != entry["sha256"]:
            problems.append(f"{entry['id']}: {entry['path']} has another sha256 than the report says")
    given = {s.id: s for s in sources}
    for source in sources:
        made = _derived(given[source.made_from], sources) if source.made_from in given else None
        if source.made_from and (made is None or made.raw != source.raw):
            problems.append(f"{source.id}: its lines are not the records of {source.made_from}")
    lines = {s.id: swpc.text_lines(s.raw) for s in sources}
    problems += [p for where, e in _all_evidence(report, "report") for p in _check_evidence(where, e, lines)]
    said = [c for c in report["claims"] if c.get("origin") == "model" and "meant_for" not in c]
    try:
        again = compose(
            sources,
            report["report_date"],
            report["activity_level"]["convention"],
            ",".join(report["languages"]),
            report["profile"],
            report["model"],
            said,
            report["written"],
            report["troubles"],
        )
    except (ValueError, StopIteration) as error:
        return [*problems, f"the report cannot be made from its sources: {error}"]
    problems += list(_judge_again(said, again))
    problems += list(_differences(report, json.loads(json.dumps(again)), "report"))
    pages = {
        "report.html": report_page.html(again, report_images.pictures(sources)),
        "report.md": report_page.markdown(again),
    }
    for name, page in pages.items():
        if (folder / name).read_text(encoding="utf-8") != page:
            problems.append(f"{name} is not the page of this report")
    return problems


# --------------------------------------------------------------------------------------------------------------------
# checking


def _all_evidence(value: object, where: str) -> Iterable[tuple[str, dict]]:
    if isinstance(value, dict) and {"source", "line", "text"} <= set(value):
        yield where, value
    elif isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _all_evidence(child, f"{where}.{key}")


def _derived(source: Source, sources: list[Source]) -> Source | None:
    """The lines that stand for a source without lines of its own: records of a JSON product, header of an image."""
    return report_sources.lined(source) or report_images.header_source(source, sources)


def _check_evidence(where: str, evidence: dict, lines: dict[str, list[str]]) -> Iterable[str]:
    known = lines.get(evidence["source"], [])
    if not 1 <= evidence["line"] <= len(known):
        yield f"{where}: {evidence['source']} has no line {evidence['line']}"
    elif known[evidence["line"] - 1] != evidence["text"]:
        yield f"{where}: line {evidence['line']} of {evidence['source']} reads {known[evidence['line'] - 1]!r}"


def _judge_again(said: list[dict], report: dict) -> Iterable[str]:
    for claim in said:
        facts = report_claims.facts_for(report, claim.get("image", ""))
        how = {"about": claim.get("about", ""), "whole": bool(claim.get("image"))}
        again = report_claims.judged_sentences(claim["text"], claim["language"], facts, **how)
        verdicts = {c["verdict"] for c in again}
        if verdicts != {claim["verdict"]}:
            yield f"claim {claim['text'][:60]!r} says {claim['verdict']}, the facts say {', '.join(sorted(verdicts))}"


def _differences(given: object, made: object, where: str) -> Iterable[str]:
    if isinstance(given, dict) and isinstance(made, dict):
        for key in dict.fromkeys([*given, *made]):
            yield from _differences(given.get(key), made.get(key), f"{where}.{key}")
    elif isinstance(given, list) and isinstance(made, list) and len(given) == len(made):
        for i, (a, b) in enumerate(zip(given, made, strict=True)):
            yield from _differences(a, b, f"{where}[{i}]")
    elif given != made:
        yield f"{where} is {given!r}, its sources give {made!r}"


def main(arguments: list[str] | None = None) -> int:
    """`--flare-rates FOLDER` derives `data/flare_rates.json` from the archive of SWPC texts in that folder."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.report", description=main.__doc__)
    parser.add_argument("--flare-rates", metavar="FOLDER", required=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = parser.parse_args(arguments).flare_rates
    try:
        table = rates.from_archive(folder)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    artifacts.write_text(rates.TABLE_FILE, rates.to_text(table))
    log.info("%s: %d region-days", rates.TABLE_FILE.name, table["n_region_days"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
