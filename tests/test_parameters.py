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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2014-10-25", "2014-10-25"), ("2000-13-45", "2000-13-45"), ("12192", "12192"), ("no", "no"), ("1e3", "1e3"),
        ("", ""), ("~", "~"), ("'2014-10-25'", "2014-10-25"), ('""', ""), ("a: b", "a: b"), ("a #b", "a #b"),
        ("'a", "'a"), ("full\u3000width", "full\u3000width"), ("1:30", "1:30"),
    ],
)  # fmt: skip
def test_a_text_parameter_keeps_what_was_written(stage, text, value):
    assert parameters.given([("run_id", text)], [stage]) == {"run_id": value}


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "+1.e-4", "0.0001", "1.0e-4"])
def test_a_number_of_the_command_line_may_be_written_as_python_writes_it(stage, text):
    values = parameters.given([("rate", text)], [stage])
    assert stage_parameters(stage, values)["rate"] == 1e-4


@pytest.mark.parametrize("text", ["0x_", "!!int x", "!!timestamp x", "!!bool x", "1" * 5000, "\udcff", "2000-13-45"])
def test_what_yaml_stumbles_over_is_one_line(stage, tmp_path, text):
    with pytest.raises(ParameterError, match="-p rate|rate = ") as caught:
        stage_parameters(stage, parameters.given([("rate", text)], [stage]))
    assert "\n" not in str(caught.value)
    (tmp_path / "p.yaml").write_bytes(f"rate: {text}".encode(errors="surrogateescape"))
    with pytest.raises(ParameterError, match="p.yaml|rate = "):
        stage_parameters(stage, read_parameter_file(tmp_path / "p.yaml"))


@pytest.mark.parametrize("text", ["a\udcff", "'a\udcff'", '"\\ud800"'])
def test_a_text_that_no_file_can_hold_is_refused(stage, text):
    with pytest.raises(ParameterError, match="-p run_id"):
        parameters.given([("run_id", text)], [stage])


def test_dates_and_small_numbers_of_a_file_need_no_quotes_and_no_point(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("report_date: 2014-10-25\ntend: 2014-10-25T00:00\nlearning_rate: 1e-4\nday: 2000-13-45\nn: 12")
    read = {"report_date": "2014-10-25", "tend": "2014-10-25T00:00", "learning_rate": 1e-4}
    assert read_parameter_file(path) == read | {"day": "2000-13-45", "n": 12}


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../evil", "a/b", "/evil", "a/", "a\\b", "a\nb", "{profile}"])
def test_a_run_is_one_folder_under_the_outputs(stage, name):
    with pytest.raises(ParameterError, match="run_id = .* must be one folder's name, .*; write for example"):
        stage_parameters(stage, {"run_id": name})
    for fine in ("tiny", "2014-10-25", "run.2", "日报"):
        assert stage_parameters(stage, {"run_id": fine})["run_id"] == fine


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
