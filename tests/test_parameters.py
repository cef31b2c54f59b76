"""Parameters: the tagged cell, the YAML files, and the errors a person reads."""

import nbformat
import pytest

from jwvl_lib import activity_frames, parameters, run, simulate
from jwvl_lib.parameters import ParameterError, check_names, notebook_parameters, read_parameter_file, stage_parameters


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A notebook of its own, so that these tests do not move with the real ones."""
    cell = nbformat.v4.new_code_cell(
        'run_id: str = "tiny"  # folder\n'
        "lora_r: int = 16  # rank\n"
        "rate: float = 3e-3  # step size\n"
        "progress: bool = False  # bars"
    )
    cell.metadata.tags = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "04_training.ipynb")
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path)
    return "04_training"


def test_cell_gives_type_default_and_comment(stage):
    rank = notebook_parameters(stage)["lora_r"]
    assert (rank.type, rank.default, rank.help) == ("int", 16, "rank")


def test_unknown_name_gives_the_nearest_one(stage):
    with pytest.raises(ParameterError, match=r"'lora_rnk'. Did you mean: lora_r\?"):
        check_names({"lora_rnk": 8}, [stage])


@pytest.mark.parametrize(
    ("name", "value"),
    [("lora_r", "four"), ("lora_r", True), ("lora_r", 8.0), ("progress", 1), ("run_id", 3), ("rate", "x")],
)
def test_wrong_type_names_value_rule_and_remedy(stage, name, value):
    with pytest.raises(ParameterError, match=f"{name} = {value!r} is .* must be .*; write for example"):
        stage_parameters(stage, {name: value})


def test_whole_number_is_a_fine_float(stage):
    assert stage_parameters(stage, {"rate": 1})["rate"] == 1.0


def test_derived_value_in_the_cell_is_refused(stage):
    path = parameters.notebook_path(stage)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\ntwice = lora_r * 2"
    nbformat.write(notebook, path)
    with pytest.raises(ParameterError, match="twice = lora_r"):
        notebook_parameters(stage)


@pytest.mark.parametrize("text", ["a: [1, 2]", "- a", "a: {b: 1}", "a: b: c", "a: " + "[" * 5000])
def test_parameter_file_is_flat(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match="p.yaml"):
        read_parameter_file(path)


@pytest.mark.parametrize("text", ["[1, 2]", "{b: 1}", "[1", "[" * 5000])
def test_a_value_of_the_command_line_is_plain(text):
    with pytest.raises(ParameterError, match="-p rate '[{[]"):
        parameters.given([("rate", text)])
    assert parameters.given([("rate", "1e-3"), ("max_steps", "12")])["max_steps"] == 12


# recipes.yaml holds several sets of parameters: tests/test_recipes.py checks each
PROFILES = [p for p in sorted((parameters.NOTEBOOKS.parent / "params").glob("*.yaml")) if p.stem != "recipes"]


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_shipped_parameter_files_fit_the_notebooks(path):
    values = read_parameter_file(path)
    check_names(values, run.all_stages())
    for stage in run.all_stages():
        stage_parameters(stage, values)


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_the_days_of_shipped_parameter_files_fit_their_span(path):
    own = {name: p.default for name, p in notebook_parameters("01_corpus_curation").items()} | read_parameter_file(path)
    days = simulate.plan_days(own["n_simulated_days"], own["tstart"], own["tend"], own["seed"])
    frames = activity_frames.plan(own["n_activity_frames"], own["tstart"], own["tend"], own["seed"])
    assert (len(days), len(frames)) == (own["n_simulated_days"], own["n_activity_frames"])
    assert not {day.name for day in days} & {day.name for day, _ in frames}


def test_a_parameter_has_one_type_everywhere():
    types = {}
    for stage in run.all_stages():
        for name, parameter in notebook_parameters(stage).items():
            assert types.setdefault(name, parameter.type) == parameter.type, f"{name} in {stage}"
