"""Precision and recall of a claim extractor on hand-written sentences, and how often its verdicts are right.

Reads tests/data/claim_sentences.yaml (rules of annotation at its top) and claim_sentences_unread.yaml, which nobody who
mends the grammar opens; writes nothing. An extractor has the form of
`jwvl_lib.claims.extract`, a judge that of `jwvl_lib.claims.check`:

    entries = [e for e in load() if e["split"] == "dev"]
    score(entries, claims.extract, claims.check)["en"]["all"]["recall"]
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import yaml

from jwvl_lib.facts import FACT_KINDS, Fact

DATA = Path(__file__).parent / "data"
FILES = DATA / "claim_sentences.yaml", DATA / "claim_sentences_unread.yaml"
KINDS = (set(FACT_KINDS) | {"spots_visible"}) - {"banner_text"}
ONE_HOUSE = ("GONG", "BBSO")  # observatory and instrument carry one name


def load(paths: Iterable[Path] = FILES) -> list[dict]:
    """The entries of the files; `facts`, there the name of a fact set, becomes the list of its `Fact`s."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    parts = [yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader) for path in paths]
    sets = {name: [Fact(**row) for row in rows] for part in parts for name, rows in part.get("fact_sets", {}).items()}
    entries = [entry for part in parts for entry in part["sentences"]]
    return [{**entry, "fact_set": entry["facts"], "facts": sets[entry["facts"]]} for entry in entries]


def score(entries, extract, check) -> dict:
    """Per language ("en", "zh", "all") and kind ("all" included) how an extractor fares on `entries`.

    `extract(text, language)` returns objects with kind, value, noaa_ar, negated; `check(text, facts, language)` dicts
    with kind, value, noaa_ar, verdict. Returns {language: {kind: {precision, recall, verdict_accuracy, n, n_extracted,
    n_hit}}}; n counts annotated claims, the verdict accuracy is over the n_hit, and a share of nothing is None. The
    row "all" of a language has n_sentences and n_exact too (sentences with every claim and no other).
    """
    tally = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        wanted = {_key(**_fields(c)): c["verdict"] for c in entry["claims"]}
        found = {
            _key(**_fields(c)) for c in map(_as_dict, extract(entry["text"], entry["language"])) if c["kind"] in KINDS
        }
        judged = {_key(**_fields(c))[:3]: c["verdict"] for c in check(entry["text"], entry["facts"], entry["language"])}
        for language in (entry["language"], "all"):
            tally[language, "all"]["n_sentences"] += 1
            tally[language, "all"]["n_exact"] += found == set(wanted)
            for key in found | set(wanted):
                for row in (tally[language, key[0]], tally[language, "all"]):
                    row["n"] += key in wanted
                    row["n_extracted"] += key in found
                    row["n_hit"] += key in wanted and key in found
                    row["n_right"] += key in found and key in wanted and judged.get(key[:3]) == wanted[key]
    result = defaultdict(dict)
    for (language, kind), row in sorted(tally.items()):
        result[language][kind] = _rates(row)
    return dict(result)


def misses(entries, extract) -> list[dict]:
    """The sentences that are not exact: id, text, and as sorted keys what was `missed` and what was `invented`."""
    out = []
    for entry in entries:
        wanted = {_key(**_fields(c)) for c in entry["claims"]}
        found = {
            _key(**_fields(c)) for c in map(_as_dict, extract(entry["text"], entry["language"])) if c["kind"] in KINDS
        }
        if wanted != found:
            missed, invented = (sorted(s, key=str) for s in (wanted - found, found - wanted))
            out.append({"id": entry["id"], "text": entry["text"], "missed": missed, "invented": invented})
    return out


def _rates(row: dict) -> dict:
    def share(part, whole):
        return part / whole if whole else None

    rates = {
        "precision": share(row["n_hit"], row["n_extracted"]),
        "recall": share(row["n_hit"], row["n"]),
        "verdict_accuracy": share(row["n_right"], row["n_hit"]),
    }
    return rates | {name: row[name] for name in ("n", "n_extracted", "n_hit", "n_sentences", "n_exact") if name in row}


def _as_dict(claim) -> dict:
    return claim if isinstance(claim, dict) else {**vars(claim)}


def _fields(claim: dict) -> dict:
    return {name: claim.get(name) for name in ("kind", "value", "noaa_ar", "negated")}


def _key(kind, value, noaa_ar, negated) -> tuple:
    """(kind, value, region, negated) in the form in which two spellings of one claim are equal."""
    value, negated = str(value).casefold(), bool(negated)
    if kind == "measurement" and re.fullmatch(r"[\d.]+", value):
        kind = "wavelength_angstrom"
    if kind == "wavelength_angstrom":
        value = str(round(float(value)))
    if kind == "observatory" and value.upper() in ONE_HOUSE:
        kind = "instrument"
    if kind == "spots_visible" and negated:
        value, negated = {"yes": "no", "no": "yes"}[value], False
    if kind == "flare":
        value = value.split("@")[0]
    if kind == "noaa_ar":
        value, noaa_ar = str(int(value) % 10000), None
    return kind, value, noaa_ar and int(noaa_ar) % 10000, negated
