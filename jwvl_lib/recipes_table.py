"""The table of recipes: the variants side by side, each beside the reference, and what the papers' findings come to.

Reads the manifests of the variants' runs and, through `recipes_measures`, what they measured; writes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jwvl_lib import bench
from jwvl_lib.artifacts import read_manifest
from jwvl_lib.recipes_measures import COMPARED, SPENT, compare, measured, verdict

SOLAR_WAYS = {"tuned greedy": "as written", "tuned choice": "by choice"}


def tell(
    runs: Mapping[str, Path], variants: Mapping[str, Mapping], findings: Sequence[Mapping], reference: str
) -> dict:
    """Everything of `recipes.json`: profile, date, variants with their values, differences, findings.

    Raises ValueError where two variants were not measured by the same code on the same corpus and answers.
    """
    about = _about(runs)
    found = {name: measured(folder) for name, folder in runs.items()}
    against = {}
    if reference in found:
        names = [n for n, m in COMPARED.items() if m.item]
        for other in (n for n in found if n != reference):
            against[other] = {n: compare(n, other, reference, found) for n in names}
    told = []
    for finding in findings:
        differs = compare(finding["measure"], finding["higher"], finding["lower"], found)
        told.append(dict(finding) | {"difference": differs, "verdict": verdict(differs)})
    kept = {n: {"says": variants[n]["says"]} for n in found}
    kept = {
        n: v | {k: found[n][k] for k in ("parameters", "spent", "values", "forgetting", "solar")}
        for n, v in kept.items()
    }
    not_run = [name for name in variants if name not in found]
    about |= {"made_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "reference": reference, "not_run": not_run}
    return about | {"variants": kept, "minus_reference": against, "findings": told}


def _about(runs: Mapping[str, Path]) -> dict:
    """What all variants share, and one profile; ValueError in one line where they share it not."""
    seen: dict[str, set] = {}
    for folder in runs.values():
        for stage in ("04_training", "05_benchmark"):
            manifest = read_manifest(folder / stage)
            seen.setdefault(f"code of {stage}", set()).add(manifest["code_sha256"])
            seen.setdefault("profile", set()).add(manifest["profile"])
            for entry in manifest["inputs"]:
                name = entry.get("stage") or entry["path"]
                if name != "04_training":
                    seen.setdefault(name, set()).add(entry["sha256"])
    unlike = [name for name, values in seen.items() if len(values) > 1]
    if unlike:
        raise ValueError(
            f"variants differ in {', '.join(unlike)}: their numbers do not belong side by side; run them anew"
        )
    return {"profile": seen["profile"].pop()}


def table_md(told: Mapping) -> str:
    """`recipes.md`: a column a variant; then each beside the reference; then the findings."""
    variants, names = told["variants"], list(told["variants"])
    lines = [f"# Recipes side by side\n\n**{bench.stamp(told['profile'])}**, {told['made_utc'][:10]}. "]
    lines[0] += (
        "Same base, corpus, accepted answers and questions; held-out simulated days; 95 % over days in brackets.\n"
    )
    lines += [f"- `{name}`: {variants[name]['says']}" for name in names]
    lines += [f"- `{name}`: not run" for name in told["not_run"]] + [""]
    lines += _rows(
        ["", "n", "base", "best probe", *names], [*_spent(variants), *_solar_rows(variants), *_measures(variants)]
    )
    reference = told["reference"]
    if told["minus_reference"]:
        lines += [f"## Less `{reference}`\n\nPaired over the same items; negative is worse than `{reference}`.\n"]
        others = list(told["minus_reference"])
        rows = []
        for name, measure in ((n, m) for n, m in COMPARED.items() if m.item):
            cells = [told["minus_reference"][other][name] for other in others]
            rows.append([measure.title, str(cells[0]["n"]), *(_cell(cell, "+") for cell in cells)])
        lines += _rows(["", "n", *others], rows)
    lines += ["## What the papers found, here\n"]
    heads = ["paper", "finding", "measured", "higher", "lower", "difference", "n", "here"]
    rows = [
        [f["paper"], f["says"], COMPARED[f["measure"]].title, f["higher"], f["lower"], _cell(f["difference"], "+")]
        + [str(f["difference"]["n"]) if f["difference"] else "", f["verdict"]]
        for f in told["findings"]
    ]
    return "\n".join([*lines, *_rows(heads, rows), NOTE]) + "\n"


NOTE = (
    "Confirmed: the whole interval of the difference lies above 0; refuted: below 0; else it cannot be told at this n. "
    "One seed, one tiny model: what holds here need not hold at billions of weights. The specialists' "
    "lead is told over S1, S2, S3 and S7, which every variant was asked in training. "
    "A difference of two variants is of all in which they differ: `jw_vl` differs from `workshop` in more than replay, "
    "so no finding here is of replay alone. "
    "Intervals of the cosine's difference are those of its two sides, not paired. QLoRA's adapter is measured on its "
    "own base in 4 bits."
)


def _spent(variants: Mapping) -> list[list[str]]:
    titles = dict(zip(SPENT, ("epochs", "trained weights", "steps", "samples seen", "replay among them"), strict=True))
    told = [
        [f"{v['spent'][name]:,}" if name != SPENT[-1] else f"{v['spent'][name]:.0%}" for v in variants.values()]
        for name in SPENT
    ]
    return [[titles[name], "", "", "", *cells] for name, cells in zip(SPENT, told, strict=True)]


def _solar_rows(variants: Mapping) -> list[list[str]]:
    rows, first = [], next(iter(variants.values()))["solar"]
    for task, by_model in first.items():
        probes = [r for model, r in by_model.items() if model.startswith("probe")]
        best = max(probes, key=lambda r: r["value"], default=None)
        for model, way in SOLAR_WAYS.items():
            cells = [_cell(v["solar"].get(task, {}).get(model)) for v in variants.values()]
            base = _cell(by_model.get(model.replace("tuned", "base")), missing="not asked")
            rows.append([f"{task} macro-F1, {way}", str(by_model[model]["n"]), base, _cell(best), *cells])
    return rows


def _measures(variants: Mapping) -> list[list[str]]:
    rows = []
    for name, measure in COMPARED.items():
        sides = [v["values"].get(name, {}) for v in variants.values()]
        asked = sorted({side["tuned"]["n"] for side in sides if side}) or [0]
        n = f"{asked[0]}" if len(asked) == 1 else f"{asked[0]} to {asked[-1]}"  # claims: each says how many
        rows.append(
            [
                measure.title,
                n,
                _cell(sides[0].get("base"), missing=""),
                "",
                *(_cell(side.get("tuned")) for side in sides),
            ]
        )
    told = [v["forgetting"] for v in variants.values()]
    return [*rows, ["**general task, tuned less base**", str(told[0]["n"]), "", "", *(_cell(r, "+") for r in told)]]


def _cell(record: Mapping | None, sign: str = "", missing: str = "not run") -> str:
    if record is None or record["value"] is None:
        return missing
    bounds = "" if record["low"] is None else f" [{record['low']:{sign}.3f}, {record['high']:{sign}.3f}]"
    return f"{record['value']:{sign}.3f}{bounds}"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    told = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*told, *("| " + " | ".join(row) + " |" for row in rows), ""]
