"""The runner: what it refuses before anything runs, what it skips, and what it says when a stage fails."""

import fcntl
from pathlib import Path
from types import SimpleNamespace

import papermill
import pytest

from jwvl_lib import run


@pytest.fixture
def house(monkeypatch, tmp_path):
    """The runner with the real notebooks' parameters, but stages that only note that they ran."""
    ran = []
    monkeypatch.setenv("JWVL_OUTPUTS", str(tmp_path))
    monkeypatch.setattr(run, "run_stage", lambda stage, parameters: ran.append(stage))
    monkeypatch.setattr(run, "read_manifest", lambda folder: {"outputs": [{"path": "corpus.parquet", "n_records": 3}]})
    return ran


def test_stages_run_in_order(house, capsys):
    assert run.main(["-f", "params/tiny.yaml", "--from", "01", "--to", "03"]) == 0
    assert house == ["01_corpus_curation", "02_distillation", "03_review"]
    assert "corpus.parquet (3)" in capsys.readouterr().out


def test_unchanged_stages_are_skipped_and_said_so(house, monkeypatch, capsys):
    monkeypatch.setattr(run, "stale_reason", lambda *_: None)
    assert run.main(["--to", "03"]) == 0
    assert house == []
    assert capsys.readouterr().out.count("skipped") == 4


def test_force_runs_them(house, monkeypatch):
    monkeypatch.setattr(run, "stale_reason", lambda *_: None)
    run.main(["--from", "01", "--to", "01", "--force"])
    assert house == ["01_corpus_curation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "lora_rnk", "8"], "Did you mean: lora_r?"),
        (["-p", "lora_r", "four"], "lora_r = 'four' is str, it must be int"),
        (["-p", "progress", "3"], "progress = 3 is int, it must be bool"),
        (["-f", "params/absent.yaml"], "absent.yaml"),
        (["-f", ""], "not a readable YAML file"),
        (["-p", "learning_rate", "small"], "learning_rate = 'small' is str, it must be float"),
        (["-p", "run_id", "../evil"], "run_id = '../evil' must be one folder's name"),
        (["--from", "05", "--to", "02"], "no stage between --from 05 and --to 02"),
        (["--from", "nonsense"], "unknown stage --from 'nonsense'; stages: 00_tiny_base, 01_corpus_curation"),
        (["--to", "99"], "unknown stage --to '99'; stages: 00_tiny_base"),
    ],
)
def test_bad_arguments_are_one_line_before_anything_runs(house, capsys, arguments, message):
    assert run.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert house == []


def test_stages_go_by_number_or_name():
    assert run.select_stages("01_corpus_curation", "02") == ["01_corpus_curation", "02_distillation"]


def test_the_notebook_gets_what_the_command_line_says(tmp_path, monkeypatch):
    """What papermill writes into the notebook, run as Python: a date is text there and 1e-4 a number."""
    cells = {}

    def prepared(source, target, **options):
        own = {k: options[k] for k in ("parameters", "kernel_name")}
        notebook = papermill.execute_notebook(source, target, prepare_only=True, progress_bar=False, **own)
        cell = next(c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", []))
        exec(cell.source, cells.setdefault(Path(source).stem, {}))

    monkeypatch.setenv("JWVL_OUTPUTS", str(tmp_path))
    monkeypatch.setattr(run, "papermill", SimpleNamespace(execute_notebook=prepared))
    pairs = {"learning_rate": "1e-4", "report_date": "2014-10-25", "tend": "2014-10-26", "run_id": "12192"}
    values = run.read_values("params/tiny.yaml", pairs.items())
    for stage in ("01_corpus_curation", "04_training", "06_daily_report"):
        with pytest.raises(run.StageFailed, match="without writing"):
            run.run_stage(stage, run.stage_parameters(stage, values))
    assert cells["04_training"]["learning_rate"] == 1e-4
    assert cells["06_daily_report"]["report_date"] == "2014-10-25"
    assert (cells["01_corpus_curation"]["tend"], cells["01_corpus_curation"]["run_id"]) == ("2014-10-26", "12192")


def test_failure_stops_the_chain_with_one_line(house, monkeypatch, capsys):
    def fail(stage, parameters):
        raise run.StageFailed("ValueError: no image in /x; give another local_dir")

    monkeypatch.setattr(run, "run_stage", fail)
    assert run.main(["--from", "01"]) == 1
    captured = capsys.readouterr()
    assert "error: 01_corpus_curation: ValueError: no image in /x" in captured.err
    assert "02_distillation" not in captured.out


def test_outputs_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    parameters = {"outputs_dir": str(tmp_path / "file"), "run_id": "t"}
    with pytest.raises(run.StageFailed, match="choose another outputs_dir"):
        run.run_stage("01_corpus_curation", parameters)


def test_a_folder_where_another_run_is_at_work_is_one_line_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(run.papermill, "execute_notebook", lambda *_, **__: pytest.fail("it ran beside the other"))
    folder = tmp_path / "r" / "00_tiny_base"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    with (folder / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(run.StageFailed, match="another run is at work in .*00_tiny_base; wait for it"):
            run.run_stage("00_tiny_base", {"outputs_dir": str(tmp_path), "run_id": "r"})
    assert (folder / "manifest.json").exists()


def test_what_a_killed_writer_left_is_no_output_of_the_next_run(tmp_path, monkeypatch):
    folder = tmp_path / "r" / "06_daily_report"
    left = folder / "2014-10-25" / ".report.json.abc123.tmp"
    left.parent.mkdir(parents=True)
    left.write_text("{")
    monkeypatch.setattr(run.papermill, "execute_notebook", lambda source, target, **_: target.write_text("{}"))
    with pytest.raises(run.StageFailed, match="without writing"):
        run.run_stage("06_daily_report", {"outputs_dir": str(tmp_path), "run_id": "r"})
    assert not left.exists()
