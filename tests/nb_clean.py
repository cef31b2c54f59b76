"""Strip the notebooks for commit; outputs stay only in contract cells (tag `keep_output`).

nbstripout nulls `execution_count` even on kept cells, and nbval takes a null count for "never run" and fails the
cell, so the count of kept cells is set to 1. `--check` changes nothing and exits 1 where a file would change.
"""

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


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    paths = [Path(a) for a in arguments if a != "--check"] or sorted(NOTEBOOKS.glob("*.ipynb"))
    changed = [p for p in paths if p.read_text(encoding="utf-8") != cleaned(p)]
    for path in changed:
        if check:
            print(f"{path.name} is not clean: run `make nb-clean`")
        else:
            path.write_text(cleaned(path), encoding="utf-8")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
