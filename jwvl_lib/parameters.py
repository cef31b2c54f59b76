"""Parameters of the notebooks: read from their tagged cell, checked before anything runs.

Reads `notebooks/*.ipynb` and the flat YAML files of `params/`. A notebook's parameters cell is its documentation: plain
annotated literals with a trailing comment, which papermill can list and override.
"""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

Scalar = str | int | float | bool


class ParameterError(ValueError):
    """A parameter with an unknown name or a value of the wrong type."""


class _Loader(yaml.SafeLoader):
    """YAML without dates, which a parameter takes as text, and with 1e-4 for a number, which YAML 1.1 takes as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: its name, annotation, default literal and trailing comment."""

    name: str
    type: str
    default: Scalar
    help: str


def notebook_path(stage: str) -> Path:
    """`notebooks/<stage>.ipynb`; FileNotFoundError with the nearest stage where there is none."""
    path = NOTEBOOKS / f"{stage}.ipynb"
    if not path.is_file():
        known = sorted(p.stem for p in NOTEBOOKS.glob("[0-9]*.ipynb"))
        raise FileNotFoundError(f"no notebook {stage!r}.{_did_you_mean(stage, known)} Available: {', '.join(known)}")
    return path


def code_cells(stage: str) -> list[tuple[str, list[str]]]:
    """Source and tags of a notebook's code cells. Plain JSON: nbformat alone takes seconds to import."""
    cells = json.loads(notebook_path(stage).read_text(encoding="utf-8"))["cells"]
    return [("".join(c["source"]), c["metadata"].get("tags", [])) for c in cells if c["cell_type"] == "code"]


def notebook_parameters(stage: str) -> dict[str, Parameter]:
    """The parameters a notebook takes, by name, in the order of its cell.

    Raises ParameterError where the tagged cell is missing or holds anything but annotated literals: papermill would
    keep the old value of a derived one.
    """
    tagged = [source for source, tags in code_cells(stage) if "parameters" in tags]
    if len(tagged) != 1:
        raise ParameterError(f"{stage}: {len(tagged)} cells are tagged 'parameters', exactly one is needed")
    return {p.name: p for p in _parse_cell(tagged[0], stage)}


def _parse_cell(source: str, stage: str) -> Iterable[Parameter]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
            raise ParameterError(f"{stage}, parameters cell: {ast.unparse(node)!r} is not `name: type = literal`")
        comment = lines[node.end_lineno - 1][node.end_col_offset :].partition("#")[2].strip()
        yield Parameter(node.target.id, ast.unparse(node.annotation), ast.literal_eval(node.value), comment)


def _loaded(text: str) -> object:
    """What a YAML text holds; ValueError, in one line, where it is no YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except Exception as error:
        # YAMLError, but PyYAML also lets out what its constructors raise (KeyError and others), and RecursionError
        raise ValueError(" ".join(str(error).split())) from None


def read_parameter_file(path: str | Path) -> dict[str, Scalar]:
    """A flat YAML mapping of name to scalar, dates as text; ParameterError where it is anything else."""
    try:
        values = _loaded(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, ValueError) as error:  # the second also of bytes that are no UTF-8
        raise ParameterError(f"{path}: not a readable YAML file ({error})") from error
    if not isinstance(values, dict):
        raise ParameterError(
            f"{path}: {type(values).__name__} at the top, a parameter file is flat `name: value` lines"
        )
    nested = [name for name, value in values.items() if isinstance(value, dict | list)]
    if nested:
        raise ParameterError(f"{path}: {nested[0]!r} is nested, a parameter file is flat; give a plain value")
    return values


def given(pairs: Iterable[tuple[str, str]], stages: Iterable[str] = ()) -> dict[str, Scalar]:
    """The values of `-p name value` pairs; ParameterError where one is no plain value.

    What is a text in one of the `stages` stays as it was written, but for quotes around it (12192, 2014-10-25, no);
    every other value is read as YAML.
    """
    types = {name: p.type for stage in stages for name, p in notebook_parameters(stage).items()}
    return {name: (_text if types.get(name) == "str" else _value)(name, text) for name, text in pairs}


def _text(name: str, text: str) -> str:
    try:
        unquoted = _loaded(text) if text[:1] in ("'", '"') else text
    except ValueError:  # quotes that do not go round the whole of it belong to the text
        unquoted = text
    value = unquoted if isinstance(unquoted, str) else text
    if any("\ud800" <= c <= "\udfff" for c in value):  # bytes of the command line that are no text
        raise ParameterError(f"-p {name} {text[:60]!r}: not UTF-8; write it so that it can stand in a file")
    return value


def _value(name: str, text: str) -> Scalar:
    try:
        value = _loaded(text)
    except ValueError:
        raise ParameterError(f"-p {name} {text[:60]!r}: not YAML; quote it, or give a plain value") from None
    if isinstance(value, dict | list):
        raise ParameterError(f"-p {name} {text[:60]!r}: nested; give a plain value")
    return value


def check_names(values: Mapping[str, Scalar], stages: Iterable[str]) -> None:
    """Every name must be a parameter of at least one of the notebooks; the error gives the nearest one."""
    known = sorted({name for stage in stages for name in notebook_parameters(stage)})
    for name in values:
        if name not in known:
            raise ParameterError(
                f"unknown parameter {name!r}.{_did_you_mean(str(name), known)} Available: {', '.join(known)}"
            )


def stage_parameters(stage: str, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """All parameters of one notebook: its defaults, overridden by those of `values` that it takes, types checked."""
    parameters = notebook_parameters(stage)
    return {name: _checked(stage, p, values.get(name, p.default)) for name, p in parameters.items()}


def _checked(stage: str, parameter: Parameter, value: Scalar) -> Scalar:
    # bool is a subclass of int in Python, and an int is a fine float; nothing else is converted silently
    if parameter.type == "float" and type(value) is int:
        return float(value)
    if type(value).__name__ != parameter.type:
        raise ParameterError(
            f"{stage}: {parameter.name} = {value!r} is {type(value).__name__}, it must be {parameter.type}"
            f" ({parameter.help}); write for example {parameter.name}: {parameter.default!r}"
        )
    if parameter.name == "run_id" and not _is_folder_name(value):
        raise ParameterError(
            f"{stage}: run_id = {value!r} must be one folder's name, without / \\ {{ }} or line breaks and not ..;"
            f" write for example run_id: {parameter.default!r}"
        )
    return value


def _is_folder_name(name: str) -> bool:
    # papermill takes braces in the path of a notebook for fields to fill in
    return bool(name.strip()) and name not in (".", "..") and not re.search(r"[/\\{}\x00-\x1f\x7f]", name)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean: {close[0]}?" if close else ""
