"""Strip the notebooks for commit; outputs stay only in contract cells (tag `keep_output`).

nbstripout nulls `execution_count` even on kept cells, and nbval takes a null count for "never run" and fails the
cell, so the count of kept cells is set to 1. `--check` changes nothing and exits 1 where a file would change;
`--from outputs/tiny` first takes the outputs of the contract cells from a finished run's executed notebooks.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbstripout import strip_output

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
EXTRA_KEYS = [
    "metadata.papermill",
    "cell.metadata.papermill",
    "cell.metadata.execution",
    "metadata.language_info",
    "metadata.widgets",
]


def cleaned(path: Path) -> str:
    """The notebook as it is to be committed."""
    notebook = nbformat.read(path, as_version=4)
    strip_output(
        notebook, keep_output=None, keep_count=False, keep_id=True, extra_keys=EXTRA_KEYS, drop_empty_cells=True
    )
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.outputs:
            cell.execution_count = 1
            for output in cell.outputs:
                output.pop("execution_count", None) if output.output_type == "stream" else None
    return nbformat.writes(notebook) + "\n"


def take_outputs(path: Path, run_dir: Path) -> None:
    """Copy the outputs of the contract cells, by cell id, from `<run_dir>/<stage>/notebook.ipynb`."""
    executed = run_dir / path.stem / "notebook.ipynb"
    if not executed.is_file():
        return
    outputs = {cell.id: cell.get("outputs", []) for cell in nbformat.read(executed, as_version=4).cells}
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "keep_output" in cell.metadata.get("tags", []):
            cell.outputs = outputs[cell.id]
    nbformat.write(notebook, path)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--from", dest="run_dir", type=Path)
    options = parser.parse_args(arguments)
    check, paths = options.check, options.paths or sorted(NOTEBOOKS.glob("*.ipynb"))
    if options.run_dir:
        for path in paths:
            take_outputs(path, options.run_dir)
    changed = [p for p in paths if p.read_text(encoding="utf-8") != cleaned(p)]
    for path in changed:
        if check:
            print(f"{path.name} is not clean: run `make nb-clean`")
        else:
            path.write_text(cleaned(path), encoding="utf-8")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
