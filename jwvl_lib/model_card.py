"""The card of an adapter, and the folder in which it is given away: what it was made of, how well it does, its limits.

Reads the manifests of a run and `metrics.json` of its benchmark; writes `README.md` beside the weights.
`python -m jwvl_lib.model_card outputs/tiny exported` copies adapter and full card, metrics and forgetting with it.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from jwvl_lib import artifacts, costs

LIMITS = (
    "It answers about solar images like those it was trained on; on anything else its answers mean nothing.",
    "This workshop checks what it writes claim by claim; taken alone it can state what no fact supports.",
    "It is no forecast and no substitute for the products of NOAA SWPC.",
)
_ON_4_BITS = (
    "It was trained on a base in 4 bits and belongs on one: load the base with `base_quantization.json` as its "
    "`BitsAndBytesConfig`, or merge with `python -m jwvl_lib.merge`, which gives a whole model in floats. On the base "
    "in floats it loads too, and answers otherwise."
)
_TINY = "TINY PROFILE, no result: a demonstration that the chain works, never to be set beside the paper's numbers."


def text(
    parameters: Mapping, inputs: Sequence[Mapping], counts: Mapping, training: Mapping, records: Sequence[Mapping] = ()
) -> str:
    """The card as Markdown with the front matter of the Hugging Face hub.

    `parameters` and `inputs` (with their sha256) as a manifest of 04 holds them; `counts` name to number; `training`
    name to value of what the training itself measured; `records` of `metrics.json`, where the benchmark has run.
    """
    base, _, revision = str(parameters["base_model"]).partition("@")
    licence = licence_of_base(base)
    chosen = {k: v for k, v in parameters.items() if k not in ("outputs_dir", "progress")}  # of this machine alone
    front = ["---", f"base_model: {base}", "library_name: peft", "pipeline_tag: image-text-to-text"]
    front += [yaml.safe_dump({"license": licence}).strip(), "tags: [solar-physics, jw-vl-workshop]", "---", ""]
    lines = [f"# Adapter of run {parameters['run_id']}, profile {parameters['profile']}", ""]
    lines += [_TINY, ""] if parameters["profile"] in ("tiny", "smoke") else []
    lines += [
        f"Base: `{base}`" + (f" at commit `{revision}`" if revision else "") + f". Method: {parameters['method']}."
    ]
    lines += ["", _ON_4_BITS] if parameters["method"] == "qlora" else []
    lines += ["", "## Data", "", "| input | sha256 |", "|---|---|"]
    lines += [f"| {entry.get('stage') or entry.get('path')} | `{entry['sha256']}` |" for entry in inputs]
    lines += ["", *_table("count", counts), "", "## Parameters", "", *_table("parameter", chosen)]
    lines += ["", "## Training", "", *_table("measured in training", training)]
    lines += ["", "## Metrics", "", *_metrics(records), "", "## Forgetting", "", *_metrics(records, "general")]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in LIMITS)]
    lines += [
        "",
        "## Licence",
        "",
        f"The base is under: {licence}. The adapter carries what the base's licence asks for.",
    ]
    return "\n".join([*front, *lines, ""])


def licence_of_base(base: str) -> str:
    """Licence of a base: of the workshop's own the workshop's, of another folder what its card says, of Qwen2.5-VL as
    published, else to be looked up."""
    folder = artifacts.resolve(base)
    if not folder.is_dir():
        return costs.model_configs().get(base, {}).get("license", "other: see the base's own page on the hub")
    return "MIT" if _is_tiny_base(folder) else _licence_of_card(folder / "README.md")


def _is_tiny_base(folder: Path) -> bool:
    """Whether stage 00 made the weights of this folder: they are those that its `recipe.json` names by their hash."""
    try:
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        return recipe["weights_sha256"] == artifacts.sha256(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _licence_of_card(path: Path) -> str:
    """`license` of a card's front matter (YAML between two lines of ---); of "other" its `license_name` beside it."""
    card = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    found = re.match(r"---\n(.*?)^---\s*$", card, re.DOTALL | re.MULTILINE)
    try:
        front = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        front = None
    front = front if isinstance(front, dict) else {}
    licence, name = front.get("license", "other"), front.get("license_name")
    if licence != "other":
        return str(licence)
    return f"other: see the base ({name})" if name else "other: see the base"


def write(adapter_dir: Path, **parts) -> Path:
    """Write `README.md` (see `text`) beside the weights; returns its path."""
    return artifacts.write_text(Path(adapter_dir) / "README.md", text(**parts))


def export(run_dir: Path, folder: Path) -> Path:
    """Copy the adapter of a run and its card, now with the benchmark's metrics, into a folder to give away.

    The run's own folder stays as its manifest names it. Raises MissingArtifactError where 04 has not finished.
    """
    source = artifacts.require_stage(run_dir, "04_training")
    manifest, metrics = artifacts.read_manifest(source), run_dir / "05_benchmark" / "metrics.json"
    records = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else []
    log = [json.loads(line) for line in (source / "train_log.jsonl").read_text(encoding="utf-8").splitlines()]
    shutil.copytree(source / "adapter", folder, dirs_exist_ok=True)
    parts = {key: manifest[key] for key in ("parameters", "inputs", "counts")}
    write(folder, **parts, training=measured(log), records=records)
    return folder


def measured(log: Sequence[Mapping]) -> dict:
    """First and last validation loss and held-out accuracy of a training log, and its seconds."""
    losses = [r["eval_loss"] for r in log if r["eval_loss"] is not None]
    shares = [r["task_accuracy"] for r in log if r.get("task_accuracy") is not None]
    found = {"validation loss before": losses[0], "validation loss after": losses[-1]} if losses else {}
    found |= {"held-out questions right before": shares[0], "and after": shares[-1]} if shares else {}
    return found | ({"seconds": log[-1]["seconds"]} if log else {})


def _table(head: str, values: Mapping) -> list[str]:
    shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values.values()]
    return [f"| {head} | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in zip(values, shown, strict=True))]


def _metrics(records: Sequence[Mapping], task: str = "") -> list[str]:
    """Rows of the benchmark over both languages, base and tuned; with `task` of its families alone, else all others."""
    kept = [r for r in records if r["language"] == "all" and r["value"] is not None]
    kept = [r for r in kept if (r["task"].partition(".")[0] == (task or "general")) == bool(task)]
    if not kept:
        return ["Not measured here: run `05_benchmark`, then `python -m jwvl_lib.model_card RUN_DIR FOLDER`."]
    rows = [
        f"| {r['task']} | {r['metric']} | {r['group']} | {r['model']} | {r['value']:.4g} | {r['n']} |" for r in kept
    ]
    return ["| task | metric | images | model | value | n |", "|---|---|---|---|---|---|", *rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring. Exit status 2 where the run has no finished training."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.model_card", description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path, help="outputs/<run_id>")
    parser.add_argument("folder", type=Path, help="where the adapter and its card go")
    chosen = parser.parse_args(arguments)
    try:
        export(chosen.run_dir, chosen.folder)
    except artifacts.MissingArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
