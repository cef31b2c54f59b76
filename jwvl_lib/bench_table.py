"""`table.md` of the benchmark: what stands in `metrics.json`, to be read. Reads and writes nothing itself."""

from collections.abc import Mapping, Sequence

from jwvl_lib import nlg
from jwvl_lib.bench import MODELS, TITLES, find, measures, stamp

KEYS = ("task", "metric", "profile", "group", "language")
SECTIONS = {
    "facts": "Facts: what is claimed, what is missed, and whether both languages say the same",
    "checks": "Is the score earned?",
    "backoff": "With back-off: where the model may keep silent",
    "judge": "The judges",
    "ocr_peers": "The banner, clean and degraded, beside programs made for reading",
    "cosine": "Cosine under a sentence encoder, beside permuted labels",
}
# what a section needs said before its table
NOTES = {
    "backoff": "Sentences of which the model is less sure than a threshold are left out; a closed question of which it"
    ' is not sure is answered by "cannot be told". The threshold comes from validation days alone (corrected risk at'
    " most alpha) and is applied to the test days. `hallucination_rate`, `accuracy` and the languages are of what is"
    " kept, `n` items. These rows replace nothing: `raw` is the same measure with nothing left out, and the bars are"
    " about that."
}


def table_md(records: Sequence[Mapping]) -> str:
    """`table.md`: a table a group; base and tuned side by side with interval and n, floor and chance beside them."""
    lines = [f"# Benchmark\n\n**{stamp(records[0]['run_profile'])}**\n"]
    for where, title in TITLES.items():
        rows = [r for r in records if r["group"] == where and not r.get("section")]
        if not rows:
            continue
        lines.append(f"## {title}\n")
        lines.append("| task | metric @ profile | language | chance | sees nothing | base | tuned | tuned - base |")
        lines.append("|---|---|---|---|---|---|---|---|")
        keys = {(r["task"], r["metric"], r["profile"], r["language"]) for r in rows if _shown(r)}
        lines += [_table_row(rows, *key) for key in sorted(keys, key=_place)]
        lines.append("")
    for name, title in SECTIONS.items():
        lines += _section(title, [r for r in records if r.get("section") == name and not _of_one_kind(r)])
    lines.append(
        "`n` items; `failed`: no usable answer, counted as wrong or zero (left out by `swift_nlg`). Intervals: 95 %,"
        " days resampled. `sees nothing`: the most common answer to each kind of question. BLEU, ROUGE: times 100."
        " `strict` counts every failed item as zero. BLEU and ROUGE are comparable within one profile only."
    )
    return "\n".join(lines) + "\n"


def _section(title: str, rows: Sequence[Mapping]) -> list[str]:
    """Rows of what explains the numbers above: one a task, measure, language and group."""
    if not rows:
        return []
    note = [NOTES[rows[0]["section"]] + "\n"] if rows[0]["section"] in NOTES else []
    lines = [f"## {title}\n", *note, "| task | metric @ profile | group | language | base | tuned | reading |"]
    lines.append("|---|---|---|---|---|---|---|")
    for task, metric, profile, group, language in dict.fromkeys(tuple(r[k] for k in KEYS) for r in rows):
        wanted = {"task": task, "metric": metric, "profile": profile, "group": group, "language": language}
        base, tuned = (find(rows, **wanted, model=m) or {} for m in MODELS)
        said = "; ".join(f"{r['model']}: {r['reading']}" for r in (base, tuned) if r.get("reading"))
        if base.get("reading") and base.get("reading") == tuned.get("reading"):
            said = base["reading"]  # what is said of both needs no name
        cells = [task, f"{metric} @ {profile}", group, language, _model_cell(3, base), _model_cell(3, tuned), said]
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return [*lines, ""]


def _of_one_kind(record: Mapping) -> bool:
    """Facts of a single kind: some hundred rows, which the table leaves to `metrics.json`."""
    return record["profile"].startswith("claims.") and record["profile"] != "claims.by_kind"


def _shown(record: Mapping) -> bool:
    """The table leaves to `metrics.json` what repeats itself."""
    if record["profile"] == "strict":
        return record["language"] == "all" and record["n_failed"] > 0
    if record["profile"] == "sacrebleu":
        return record["value"] is not None
    if record["profile"] in ("llamafactory", "evalscope"):
        return record["language"] == "all"
    if record["metric"] == "parse_coverage":
        return record["task"] in ("qa", "general") and record["language"] == "all"
    return record["language"] == "all" or record["task"] in ("qa", "ocr", "description")


def _place(key: tuple[str, str, str, str]) -> tuple:
    """The paper's rows first, then the parts of each task; a measure's languages together."""
    task, metric, profile, language = key
    whole, _, part = task.partition(".")
    order = ("interpretation_qa", "ocr", "overall", "qa", "description", "grounding", "general").index(whole)
    among = [("judge_score", "judge"), *measures(task)]
    return order, part, among.index((metric, profile)), ("all", "zh", "en").index(language)


def _table_row(rows: Sequence[Mapping], task: str, metric: str, profile: str, language: str) -> str:
    base, tuned = (
        find(rows, task=task, metric=metric, profile=profile, language=language, model=m) or {} for m in MODELS
    )
    floor, chance = ((tuned or base)[name] for name in ("floor", "chance"))
    digits = 1 if metric in nlg.NLG else 3
    cells = [_cell(digits, chance), _cell(digits, floor), _model_cell(digits, base), _model_cell(digits, tuned)]
    # a judge that is exposed is named beside its own marks, not in another table only
    said = f"; {reading}" if (reading := (tuned or base).get("reading")) else ""
    cells = [task, f"{metric} @ {profile}{said}", language, *cells, _difference_cell(digits, tuned)]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _cell(digits: int, *values: float | None) -> str:
    """A value, or a value with its interval; empty where there is none."""
    shown = [f"{v:.{digits}f}" for v in values if v is not None]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(shown) == 3 else shown[0] if shown else ""


def _model_cell(digits: int, record: Mapping) -> str:
    if not record:
        return "not asked"
    if record["value"] is None:
        return f"{record['reason']} (n={record['n']})"
    failed = f", failed={record['n_failed']}" if record["n_failed"] else ""
    if record.get("strict") not in (None, record["value"]):
        failed += f", strict {record['strict']:.{digits}f}"
    return f"{_cell(digits, record['value'], record['ci_low'], record['ci_high'])} (n={record['n']}{failed})"


def _difference_cell(digits: int, record: Mapping) -> str:
    if record.get("difference") is None:
        return ""
    span = (record[name] for name in ("difference", "difference_low", "difference_high"))
    n_pairs = record.get("difference_n", record["n"])  # fewer where one of the two left an item out
    return f"{'+' * (record['difference'] > 0)}{_cell(digits, *span)} (n={n_pairs})"
