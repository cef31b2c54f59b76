"""Recipes side by side: notebooks 04 and 05 for each variant of `params/recipes.yaml`, on one run's corpus and answers.

    python -m jwvl_lib.recipes -f params/tiny.yaml [-p name value] [--only qlora,full] [--table]

Reads `outputs/<run_id>/` with 01 and 03 finished; writes `outputs/<run_id>-recipes/<variant>/` (01, 03 and an unchanged
training of the run itself are links), and beside them `recipes.json` and `recipes.md`. What a paper found is confirmed
where the 95 % interval of the difference, paired over the same items, lies above 0, refuted where it lies below.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from jwvl_lib import artifacts, recipes_table, run
from jwvl_lib.artifacts import MissingArtifactError, outputs_root, read_manifest, require_stage, resolve, stale_reason
from jwvl_lib.parameters import ParameterError, Scalar, check_names, stage_parameters

UPSTREAM = ("01_corpus_curation", "03_review")
TRAINING, BENCHMARK = "04_training", "05_benchmark"
OWN_NAMES = ("run_id", "outputs_dir")  # of a run; no part of what is trained

log = logging.getLogger("jwvl")


@dataclass(frozen=True)
class Recipes:
    """What `params/recipes.yaml` says: variants by name (`says`, `parameters`), the one to compare with, findings."""

    reference: str
    variants: dict[str, dict]
    findings: list[dict]


def read_recipes(path: str | Path) -> Recipes:
    """The file of variants, checked: names of parameters, and that findings name variants and measures there are.

    Raises ParameterError, in one line, before anything runs.
    """
    try:
        found = Recipes(**yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        for variant in found.variants.values():
            check_names(variant["parameters"], (TRAINING, BENCHMARK))
            for stage in (TRAINING, BENCHMARK):
                stage_parameters(stage, variant["parameters"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise ParameterError(f"{path}: not a file of recipes ({' '.join(str(error).split())})") from error
    sides = {*found.variants, "base", "specialists"}
    for finding in found.findings:
        for value, known in ((finding["higher"], sides), (finding["lower"], sides)):
            if value not in known:
                raise ParameterError(f"{path}: finding about {value!r}, there are {', '.join(sorted(known))}")
        if finding["measure"] not in recipes_table.COMPARED:
            raise ParameterError(f"{path}: measure {finding['measure']!r}, there are {sorted(recipes_table.COMPARED)}")
    if found.reference not in found.variants:
        raise ParameterError(f"{path}: reference {found.reference!r} is none of its variants")
    return found


def prepare(base: Path, folder: Path, parameters: Mapping[str, Scalar]) -> bool:
    """Links into `folder` to the stages of run `base` that all variants share; whether a training is still due.

    The training of `base` itself is linked, too, where it had these parameters, this code and these inputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stage in UPSTREAM:
        _link(folder / stage, require_stage(base, stage))
    own = folder / TRAINING
    if own.is_symlink():  # never train into another run
        own.unlink()
    manifest = read_manifest(base / TRAINING)
    if manifest is None or own.exists():
        return True
    same = stage_parameters(TRAINING, parameters) | {name: manifest["parameters"][name] for name in OWN_NAMES}
    reason = stale_reason(base, TRAINING, same)
    if reason is None:
        _link(own, base / TRAINING)
    return reason is not None


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target.resolve(), target_is_directory=True)


def sweep(base: Path, folder: Path, recipes: Recipes, values: Mapping[str, Scalar], only: Sequence[str]) -> list[str]:
    """Train and measure each variant, those of `only` or all, in the order of the file; returns the failures.

    A variant that failed stops no other; one that is whole and unchanged is skipped.
    """
    failures = []
    for name, variant in recipes.variants.items():
        if only and name not in only:
            continue
        parameters = dict(values) | variant["parameters"] | {"run_id": name, "outputs_dir": str(folder)}
        stages = [TRAINING, BENCHMARK] if prepare(base, folder / name, parameters) else [BENCHMARK]
        log.info("%s: %s", name, variant["says"])
        failures += [
            f"{name}, {r['stage']}: {r['why']}" for r in run.run_chain(stages, parameters) if r["state"] == "failed"
        ]
    return failures


def write_table(folder: Path, recipes: Recipes) -> str:
    """`recipes.json` and `recipes.md` of the variants that stand; returns the latter."""
    whole = {name: folder / name for name in recipes.variants if read_manifest(folder / name / BENCHMARK)}
    if not whole:
        raise MissingArtifactError(f"{folder}: no variant has been measured; run without --table")
    told = recipes_table.tell(whole, recipes.variants, recipes.findings, recipes.reference)
    artifacts.write_json(folder / "recipes.json", told)
    text = recipes_table.table_md(told)
    artifacts.write_text(folder / "recipes.md", text)
    return text


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.recipes", description=__doc__.partition("\n")[0])
    parser.add_argument("-f", "--file", default="params/tiny.yaml", help="flat YAML of the run whose corpus is taken")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--recipes", default="params/recipes.yaml", help="the variants and what is said of them")
    parser.add_argument("--only", default="", help="variants, comma-separated; empty: all")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what stands")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring. `-p` holds for all variants, unless one says otherwise."""
    run.tell_progress()
    options = _parse(arguments)
    try:
        recipes = read_recipes(resolve(options.recipes))
        only = [name for name in options.only.split(",") if name]
        unknown = [name for name in only if name not in recipes.variants]
        if unknown:
            raise ParameterError(f"--only {unknown[0]!r}: no variant, there are {', '.join(recipes.variants)}")
        values = run.read_values(options.file, options.parameter)
        common = stage_parameters(BENCHMARK, values)
        base = outputs_root(common["outputs_dir"]) / str(common["run_id"])
        folder = base.with_name(f"{base.name}-recipes").resolve()
        failures = [] if options.table else sweep(base, folder, recipes, values, only)
        print("\n" + write_table(folder, recipes))
    except (ValueError, MissingArtifactError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'written:':<38}{folder / 'recipes.md'}\n{'':<38}{folder / 'recipes.json'}")
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
