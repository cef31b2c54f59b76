"""The house itself: dependency lists in step, imports pointing down, notebooks clean and never empty of evidence."""

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import nb_clean
from jwvl_lib import artifacts, run

REPO = artifacts.REPO
NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
MODULES = sorted(p.stem for p in (REPO / "jwvl_lib").glob("*.py") if p.stem != "__init__")
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}

# heavy packages and the only modules that may import them: a reader of a table should not wait for torch
HEAVY = {
    "torch": set(
        (
            "answering branch_attention chat_local chat_tokens checkpoints gpu_check greedy last_layer lora_linear "
            "merge optimise preflight pretrain_answers pretrain_vision recovery samples serve shared_image tiny_base "
            "train tuning vision_baselines vlm"
        ).split()
    ),
    "ipywidgets": {"panel"},
    "anywidget": {"panel", "chat_panel"},
}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=! ]", requirement)[0].lower()


def test_environment_yml_is_in_step_with_pyproject():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = {_name(r) for r in project["dependencies"] + project["optional-dependencies"]["test"]}
    conda = yaml.safe_load((REPO / "environment.yml").read_text())["dependencies"]
    pip = next(d["pip"] for d in conda if isinstance(d, dict))
    given = {CONDA_NAMES.get(_name(r), _name(r)) for r in [d for d in conda if isinstance(d, str)] + pip}
    assert given - {"python", "pip"} == wanted


def test_environment_yml_gives_a_reason_a_line():
    lines = [line for line in (REPO / "environment.yml").read_text().splitlines() if re.match(r"\s+- \w", line)]
    without = [line for line in lines if "#" not in line and not re.search(r"- (conda-forge|pip)", line)]
    assert without == []


def test_constraints_pin_every_direct_dependency():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    pinned = {_name(line) for line in (REPO / "constraints.txt").read_text().splitlines() if "==" in line}
    wanted = {_name(r) for r in project["dependencies"] + project["optional-dependencies"]["test"]}
    assert wanted - {p.replace("_", "-") for p in pinned} == set()


def _imports(module: str) -> set[str]:
    return artifacts._library_imports((REPO / "jwvl_lib" / f"{module}.py").read_text())


def test_imports_point_down_only():
    """There is an order of the modules in which each imports only earlier ones."""
    left = {m: _imports(m) - {m} for m in MODULES}
    while left:
        bottom = [m for m, needs in left.items() if not needs & set(left)]
        assert bottom, f"circular imports among {sorted(left)}"
        left = {m: needs for m, needs in left.items() if m not in bottom}


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_stay_where_they_belong(module):
    tree = ast.parse((REPO / "jwvl_lib" / f"{module}.py").read_text())
    top = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    top |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert [h for h, allowed in HEAVY.items() if h in top and module not in allowed] == []


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_public_functions_have_docstrings(module):
    tree = ast.parse((REPO / "jwvl_lib" / f"{module}.py").read_text())
    assert ast.get_docstring(tree)
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert [n.name for n in public if not ast.get_docstring(n) and len(n.body) > 3] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestNotebook:
    def test_is_clean(self, path):
        assert path.read_text(encoding="utf-8") == nb_clean.cleaned(path), "run `make nb-clean`"

    def test_has_contract_cells_that_nbval_compares(self, path):
        cells = nbformat.read(path, as_version=4).cells
        contract = [c for c in cells if "nbval-check-output" in c.metadata.get("tags", [])]
        assert 2 <= len(contract) <= 4
        for cell in contract:
            assert "keep_output" in cell.metadata.tags
            assert cell.outputs, "a contract cell without output compares nothing"
            assert cell.execution_count == 1

    def test_reads_as_a_document(self, path):
        cells = nbformat.read(path, as_version=4).cells
        prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        assert cells[0].source.startswith("# ")
        for word in ("**Reads**", "**Writes**", "**Needs**", "**Runtime**", "## Parameters", "## Results", "## Next"):
            assert word in prose, word

    def test_code_cells_are_short_and_define_nothing(self, path):
        made = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        cells = [c.source for c in made]
        lists = {c.source for c in made if "parameters" in c.metadata.get("tags", [])}  # a line a parameter, no code
        assert max(len(source.splitlines()) for source in cells if source not in lists) <= 30
        assert max(len(source.splitlines()) for source in lists) <= 33
        code = "\n".join(line for s in cells for line in s.splitlines() if not line.startswith("%"))
        nodes = list(ast.walk(ast.parse(code)))
        assert [n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)] == []
        assert not re.search(r"!pip|%cd|sys\.exit|import \*", code)

    def test_no_figure_cuts_its_labels(self, path):
        code = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
        assert [line for line in code.splitlines() if "plt.subplots(" in line and "layout=" not in line] == []


def test_readme_names_every_module_and_notebook():
    readme = (REPO / "README.md").read_text()
    missing = [f"{m}.py" for m in MODULES if f"{m}.py" not in readme] + [s for s in run.all_stages() if s not in readme]
    assert missing == []


def test_no_binary_file_above_its_limit():
    for path in (REPO / "models").rglob("*.safetensors"):
        assert path.stat().st_size <= 16 * 2**20, f"{path.name}: weights that ship stay within 16 MiB"


def test_nothing_of_the_machine_is_named():
    tracked = [p for p in REPO.rglob("*.py") if ".venv" not in p.parts] + NOTEBOOKS + [Path(REPO / "README.md")]
    for path in tracked:
        assert not re.search(r"/(work|root|home)/\w", path.read_text(encoding="utf-8")), path.name
