"""`accelerate launch -m jwvl_lib.launch -f params/paper32b.yaml`: the training notebook on several processes or GPUs.

Runs the code cells of `notebooks/04_training.ipynb` in every process, with the parameters of the same file as
`python -m jwvl_lib.run`; how the model is spread (DDP, FSDP2) is said to accelerate alone. Every process trains; the
first one writes, shows and finishes the stage. Reads and writes what the notebook does.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import matplotlib

from jwvl_lib import parameters
from jwvl_lib.artifacts import MissingArtifactError
from jwvl_lib.run import read_values

STAGE = "04_training"


def cells(stage: str = STAGE) -> list[str]:
    """Sources of a notebook's code cells without its parameters cell and without what only IPython understands."""
    sources = [source for source, tags in parameters.code_cells(stage) if "parameters" not in tags]
    return ["\n".join(line for line in source.splitlines() if not line.startswith("%")) for source in sources]


def run_cells(values: dict, is_first: bool, in_turn) -> None:
    """Run the notebook's cells with `values`; a process that is not the first one stops after the training.

    `in_turn` is a context in which the first process goes before the others: they share the stage's folder.
    """
    namespace = dict(values)
    for number, source in enumerate(cells()):
        code = compile(source, f"{STAGE}, code cell {number}", "exec")
        if "start_stage(" in source:
            with in_turn():
                exec(code, namespace)
            continue
        exec(code, namespace)
        if "train.fit(" in source and not is_first:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring. Exit status 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="accelerate launch -m jwvl_lib.launch", description=__doc__.splitlines()[0])
    parser.add_argument("-f", "--file", default="params/tiny.yaml", help="flat YAML of parameters")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    try:
        values = parameters.stage_parameters(STAGE, read_values(options.file, options.parameter))
    except (parameters.ParameterError, MissingArtifactError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from accelerate import PartialState  # here: it starts the other processes' group

    matplotlib.use("Agg")
    state = PartialState()
    logging.basicConfig(
        level=logging.INFO if state.is_main_process else logging.ERROR, format="%(asctime)s %(message)s"
    )
    logging.getLogger("jwvl_lib").setLevel(logging.INFO if state.is_main_process else logging.ERROR)
    run_cells(values, state.is_main_process, state.main_process_first)
    state.wait_for_everyone()
    return 0


if __name__ == "__main__":
    sys.exit(main())
