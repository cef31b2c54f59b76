"""Measured rows against their bars: records of one run gathered, and the tables of notebook 08 made from them.

Reads `data/performance_rows.yaml` (every bar that is a figure), a folder of records (one JSON a row, left by
tests/heavy), a run's stages for its seconds and its benchmark, `docs/performance.json` (a gathered run that is
committed). Writes records (`write_record`) and such a file (`python -m jwvl_lib.performance RECORDS --run RUN --out
FILE`). A row without a record reads "not measured"; no figure is ever filled in by hand.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import pandas as pd
import yaml

from jwvl_lib import artifacts

ROWS_FILE = Path(__file__).parent / "data" / "performance_rows.yaml"
COMMITTED = artifacts.REPO / "docs" / "performance.json"
NOT_MEASURED = "not measured"
VERSIONED = (*"numpy pandas pyarrow pillow astropy sunpy torch transformers peft".split(), "jieba", "papermill")
SIMULATED = {"language": "all", "group": "simulated", "model": "tuned"}
CLAIMS = {"task": "overall", "metric": "hallucination_rate", "profile": "claims.by_kind"}
LANGUAGES = {"task": "overall", "metric": "zh_en_same", "language": "zh|en"}
F1 = {"group": "simulated", "language": "all", "metric": "macro_f1", "model": "tuned greedy"}
OF_METRICS = {  # row: column, sign, and what picks its record in metrics.json
    "forgetting": ("difference", -1, SIMULATED | {"task": "general", "metric": "accuracy", "profile": "greedy",
                                                  "group": "general"}),
    "hallucination": ("value", 1, SIMULATED | CLAIMS),
    "zh_en": ("value", 1, SIMULATED | LANGUAGES),
}  # fmt: skip
OF_SOLAR_TASKS = {task.lower(): ("value", 1, F1 | {"task": task}) for task in ("S1", "S3", "S7")}
OF_SOLAR_TASKS["gap"] = ("gap", -1, {"task": "mean", "vlm": "tuned choice"})
SHARE_BAR = 1 / 3  # of the chain's time, above which a stage owes a reason


@cache
def rows() -> dict[str, dict]:
    """Every row by its name: `issue, what, sense, bar, unit, peer, absent`, the last five where it has them."""
    by_issue = yaml.safe_load(ROWS_FILE.read_text(encoding="utf-8"))
    return {name: {"issue": issue} | row for issue, named in by_issue.items() for name, row in named.items()}


def holds(name: str, value: float | None) -> str:
    """ "yes", "no", "reported" for a row without a bar, or "not measured"."""
    row = rows()[name]
    if value is None:
        return NOT_MEASURED
    if row.get("bar") is None:
        return "reported"
    return "yes" if (value >= row["bar"] if row["sense"] == ">=" else value <= row["bar"]) else "no"


# --------------------------------------------------------------------------------------------------------------------
# records


def machine() -> dict:
    """Processor, cores, Python and the versions that a figure may depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    versions = {name: metadata.version(name) for name in VERSIONED}
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "packages": versions}


def write_record(
    folder: str | Path,
    row: str,
    value: float,
    bar: float | None,
    n: int,
    pairs: Iterable[float] = (),
    unit: str = "",
    note: str = "",
    **more: object,
) -> Path:
    """One row's record as `<folder>/<row>.json`, with date, machine, load and whatever else belongs to it.

    Raises KeyError for a row that the list does not know and ValueError where `bar` or `unit` is not the list's:
    test and table must speak of the same bar.
    """
    if row not in rows() and not row.startswith("limit_"):
        raise KeyError(f"no row {row!r} in {ROWS_FILE.name}; add it there, or write one of {', '.join(rows())}")
    known = rows().get(row, {})
    if bar != known.get("bar") or (unit and unit != known.get("unit", unit)):
        raise ValueError(f"{row}: bar {bar} {unit}, but {ROWS_FILE.name} says {known.get('bar')} {known.get('unit')}")
    made = {"row": row, "value": float(value), "bar": bar, "n": int(n), "note": note}
    made |= {"unit": unit or known.get("unit", "")}
    made |= {"pairs": [round(float(p), 4) for p in pairs], **more}
    made |= {"created_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "profile": "tiny"}
    made |= {"load": round(os.getloadavg()[0], 1), "machine": machine()}
    return artifacts.write_json(Path(folder) / f"{row}.json", made)


def _read_record(path: Path) -> dict:
    """A record or `faults.json` as its writer left it; ValueError with the file's name for anything else."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no record ({error}); remove it or measure again") from None
    if not isinstance(made, dict) or (path.stem != "faults" and not {"row", "value", "machine"} <= made.keys()):
        raise ValueError(f"{path} is no record (row, value and machine are missing); remove it or measure again")
    return made


def gather(records_dir: str | Path, run_dir: str | Path = "") -> dict:
    """A folder of records and a finished run as one document: machines, records, chain, faults.

    `faults.json` of the folder is the table of the faults suite. Records of several machines or dates stay apart by
    their index into `machines` and their own date. Unreadable records raise ValueError with the file's name.
    """
    machines, records, faults = [], [], {}
    for path in sorted(Path(records_dir).glob("*.json")):
        made = _read_record(path)
        if path.stem == "faults":
            faults = made
            continue
        of = made.pop("machine")
        machines += [of] if of not in machines else []
        records.append(made | {"machine": machines.index(of)})
    chain = chain_seconds(run_dir) if run_dir else {}
    own = [*of_chain(chain), *of_benchmark(run_dir), *of_faults(faults)]
    here = machine()
    machines += [here] if own and here not in machines else []
    left = {r["row"] for r in records}  # a heavy test asks more questions than the run's own benchmark
    when = (artifacts.read_manifest(Path(run_dir) / "05_benchmark") or {}) if run_dir else {}
    stamp = {"created_utc": when.get("created_utc", ""), "commit": when.get("git_commit", "")[:7], "profile": "tiny"}
    records += [stamp | made | {"machine": machines.index(here)} for made in own if made["row"] not in left]
    dates = [r["created_utc"] for r in records if r.get("created_utc")]
    span = {"first_utc": min(dates, default=""), "last_utc": max(dates, default="")}
    return {"schema_version": 1, **span, "machines": machines, "records": records, "chain": chain, "faults": faults}


def load(path: str | Path = COMMITTED) -> dict:
    """A gathered document; an empty one, every row of which reads "not measured", where there is no such file."""
    path = Path(path)
    if path.is_dir():
        return gather(path)
    if not path.is_file():
        return {"machines": [], "records": [], "chain": {}, "faults": {}, "first_utc": "", "last_utc": ""}
    return json.loads(path.read_text(encoding="utf-8"))


def by_row(doc: Mapping) -> dict[str, dict]:
    """The records of a document by their row."""
    return {r["row"]: r for r in doc["records"]}


# --------------------------------------------------------------------------------------------------------------------
# what a finished run itself says


def chain_seconds(run_dir: str | Path) -> dict[str, float]:
    """Wall seconds of each stage of a run, from the notebooks that papermill executed; {} where there are none."""
    seconds = {}
    for path in sorted(Path(run_dir).glob("[0-9][0-9]_*/notebook.ipynb")):
        told = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if told.get("duration") and not told.get("exception"):
            seconds[path.parent.name] = round(told["duration"], 1)
    return {stage: s for stage, s in seconds.items() if stage < "08"}


def of_chain(chain: Mapping[str, float]) -> list[dict]:
    """Records of the whole chain and of its largest share; none unless the eight stages all stand."""
    if len(chain) < 8:
        return []
    whole, note = sum(chain.values()), f"wall seconds of one run; most of them {max(chain, key=chain.get)}"
    found = {"chain": round(whole, 1), "chain_share": round(max(chain.values()) / whole, 3)}
    bars = {k: rows()[k].get("bar") for k in found}
    return [{"row": k, "value": v, "bar": bars[k], "n": 1, "note": note, "pairs": []} for k, v in found.items()]


def of_faults(faults: Mapping) -> list[dict]:
    """Records of the faults suite (`faults.json`): what went wrong in all, and how long it took."""
    if not faults:
        return []
    table, of = faults_table({"faults": faults}), {"pairs": [], "created_utc": faults.get("date", "")}
    note = f"{len(table)} kinds, share {faults.get('share', 1)} of the cases; load {faults.get('load', '?')}"
    n, seconds = int(table["n"].sum()), f"wall; {faults.get('cpu_seconds', '?')} s of CPU"
    return [
        {"row": "faults", "value": int(table["wrong"].sum()), "bar": 0, "n": n, "note": note} | of,
        {"row": "faults_seconds", "value": faults["seconds"], "bar": 1200, "n": n, "note": seconds} | of,
    ]


def of_benchmark(run_dir: str | Path) -> list[dict]:
    """Records that the run's own benchmark holds: forgetting, hallucination, languages that agree, the solar tasks."""
    made, folder = [], Path(run_dir) / "05_benchmark"
    for name in ("metrics.json", "solar_tasks.json"):
        if not (folder / name).is_file():
            continue
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        wanted = OF_METRICS if name == "metrics.json" else OF_SOLAR_TASKS
        found = found if isinstance(found, list) else found["scores"] + found["gaps"]
        for row, (column, sign, keys) in wanted.items():
            one = next((r for r in found if keys.items() <= r.items() and r.get(column) is not None), None)
            if one:
                value = sign * one[column]
                made.append({"row": row, "value": value, "bar": rows()[row]["bar"], "n": one["n"], "pairs": []})
    return [r | {"note": "the benchmark of this run"} for r in made]


# --------------------------------------------------------------------------------------------------------------------
# tables


def bars_table(doc: Mapping) -> pd.DataFrame:
    """A row a bar: issue, what, bar, figure, n, holds, and why where it does not or was not measured."""
    known, table = by_row(doc), []
    for name, row in rows().items():
        made = known.get(name, {})
        bar = "" if row.get("bar") is None else f"{row['sense']} {row['bar']:g} {row.get('unit', '')}".strip()
        value = made.get("value")
        figure = NOT_MEASURED if value is None else f"{value:.4g} {row.get('unit', '')}".strip()
        why = made.get("note", "") if value is not None else row.get("absent", "")
        told = {"issue": row["issue"], "row": name, "what": row["what"], "bar": bar, "figure": figure}
        table.append(told | {"n": made.get("n", ""), "holds": holds(name, value), "note": why})
    return pd.DataFrame(table)


def speed_table(doc: Mapping) -> pd.DataFrame:
    """Rows beside a peer: median, least and largest ratio of their pairs, the bar, the peer; NaN where not measured."""
    known, table = by_row(doc), []
    for name, row in rows().items():
        if "peer" not in row:
            continue
        made = known.get(name, {})
        pairs = made.get("pairs") or []
        middle = statistics.median(pairs) if pairs else made.get("value", math.nan)
        spread = (min(pairs), max(pairs)) if pairs else (math.nan, math.nan)
        told = {"row": name, "what": row["what"], "peer": made.get("peer") or row["peer"], "bar": row.get("bar")}
        told |= {"median": middle, "least": spread[0], "most": spread[1], "n_pairs": len(pairs), "pairs": pairs}
        table.append(told | {"holds": holds(name, made.get("value"))})
    return pd.DataFrame(table)


def limits_table(doc: Mapping) -> pd.DataFrame:
    """Rates of the machine and of the work, and the share that the work reaches: what, rate, unit, share, of, note."""
    table = [r for r in doc["records"] if r["row"].startswith("limit_")]
    columns = {"what": "what", "value": "rate", "unit": "unit", "share": "share", "of": "of", "n": "n", "note": "note"}
    return pd.DataFrame(table, columns=list(columns)).rename(columns=columns)


def chain_table(chain: Mapping[str, float], reasons: Mapping[str, str]) -> pd.DataFrame:
    """Seconds and share of each stage; above a third of the whole its reason, or "no reason given"."""
    whole = sum(chain.values()) or 1
    table = pd.DataFrame({"stage": list(chain), "seconds": list(chain.values())})
    table["share"] = table["seconds"] / whole
    table["reason"] = [
        reasons.get(stage, "no reason given") if share > SHARE_BAR else ""
        for stage, share in zip(table["stage"], table["share"], strict=True)
    ]
    return table


def faults_table(doc: Mapping) -> pd.DataFrame:
    """A row a kind of fault: how often tried (`n`), survived, lost, doubled, silent, and the last three as `wrong`."""
    counts = ["n", "survived", "lost", "doubled", "silent"]
    table = pd.DataFrame(doc["faults"].get("rows", []), columns=["fault", "stage", *counts])
    table = table.groupby("fault", sort=False)[counts].sum().reset_index()
    return table.assign(wrong=table[["lost", "doubled", "silent"]].sum(axis=1))


def gpu_table(path: str | Path) -> pd.DataFrame:
    """Rows of `python -m jwvl_lib.gpu_check`, or one row a model that reads "not measured"."""
    path = Path(path)
    if path.is_file():
        return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["rows"])
    models = [f"Qwen/Qwen2.5-VL-{size}-Instruct" for size in ("3B", "7B", "32B")]
    columns = ("samples_per_second", "utilisation", "peak_gib", "estimate_off", "shared_gain")
    pairs = [(model, precision) for model in models for precision in ("bf16", "nf4")]
    return pd.DataFrame([{"model": m, "precision": p} | dict.fromkeys(columns, NOT_MEASURED) for m, p in pairs])


def _gathered(records_dir: str, run_dir: str) -> dict:
    """`gather`, but ValueError where a folder is missing or empty: nothing would be written over a measured run."""
    if not Path(records_dir).is_dir():
        raise ValueError(f"{records_dir} is no folder of records; measure first (make performance), or give another")
    if run_dir and not Path(run_dir).is_dir():
        raise ValueError(f"--run {run_dir} is no folder of a run; give outputs/<run_id>, or leave it out")
    if all(path.stem == "faults" for path in Path(records_dir).glob("*.json")):
        raise ValueError(f"{records_dir} holds no record (*.json); measure first (make performance), or give another")
    return gather(records_dir, run_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.performance", description=__doc__.splitlines()[0])
    parser.add_argument("records", help="folder of records")
    parser.add_argument("--run", default="", help="folder of a finished run, outputs/<run_id>")
    parser.add_argument("--out", default=str(COMMITTED), help="the JSON written")
    chosen = parser.parse_args(arguments)
    try:
        doc = _gathered(chosen.records, chosen.run)
        artifacts.write_json(chosen.out, doc)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    measured = rows().keys() & {record["row"] for record in doc["records"]}  # limits are no rows of the table
    print(f"{len(measured)} of {len(rows())} rows measured, in {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
