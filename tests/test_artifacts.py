"""Artifacts: atomic writes, hashes, manifests, and when a stage is stale."""

import json
import os

import nbformat
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwvl_lib import artifacts, parameters
from jwvl_lib.artifacts import MissingArtifactError, sha256, stale_reason, start_stage, write_bytes, write_parquet

PARAMETERS = (
    'run_id: str = "t"  # run\noutputs_dir: str = ""  # where\nprofile: str = "tiny"  # stamp\nn: int = 1  # count'
)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Two notebooks of their own and an outputs folder; returns a function that runs a stage by hand."""
    for name in ("01_first", "02_second"):
        cells = [nbformat.v4.new_code_cell(PARAMETERS), nbformat.v4.new_code_cell("from jwvl_lib import facts\nx = 1")]
        cells[0].metadata.tags = ["parameters"]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")

    def run(name, n=1, upstream=None, text="result"):
        stage = start_stage(name, {"outputs_dir": str(tmp_path / "out"), "n": n, "unrelated": object()})
        stage.add_input(tmp_path / "folder")
        if upstream:
            stage.require(upstream)
        artifacts.write_text(stage.dir / "result.txt", text)
        return stage.finish(["result.txt"], counts={"n": n})

    run.dir = tmp_path / "out" / "t"
    run.values = {"run_id": "t", "outputs_dir": str(tmp_path / "out"), "profile": "tiny", "n": 1}
    run.folder = tmp_path
    return run


def test_manifest_says_what_was_done(house):
    manifest = house("01_first", n=3)
    assert manifest == json.loads((house.dir / "01_first" / "manifest.json").read_text())
    assert manifest["parameters"]["n"] == 3
    assert manifest["outputs"][0]["sha256"] == sha256(house.dir / "01_first" / "result.txt")
    assert {"git_commit", "packages", "created_utc", "schema_version", "code_sha256"} <= set(manifest)


def test_unchanged_stage_is_not_stale(house):
    house("01_first")
    house("02_second", upstream="01_first")
    assert stale_reason(house.dir, "02_second", house.values) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h.values.update(n=2), "parameters changed: n"),
        (lambda h: (h.folder / "folder" / "b.txt").write_text("new"), "input changed"),
        (lambda h: (h.dir / "02_second" / "result.txt").write_text("torn"), "output changed"),
        (lambda h: (h.dir / "02_second" / "manifest.json").write_text('{"torn'), "not run"),
        (lambda h: h("01_first", text="other result"), "input changed: 01_first"),
    ],
)
def test_stage_is_stale_after(house, change, reason):
    house("01_first")
    house("02_second", upstream="01_first")
    change(house)
    assert reason in stale_reason(house.dir, "02_second", house.values)


def test_rerun_with_the_same_result_leaves_what_follows_alone(house):
    house("01_first")
    house("02_second", upstream="01_first")
    house("01_first")
    assert stale_reason(house.dir, "02_second", house.values) is None


def test_changed_notebook_code_is_stale_but_prose_is_not(house):
    house("01_first")
    path = house.folder / "01_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("more prose"))
    nbformat.write(notebook, path)
    assert stale_reason(house.dir, "01_first", house.values) is None
    notebook.cells[1].source += "\ny = 2"
    nbformat.write(notebook, path)
    assert stale_reason(house.dir, "01_first", house.values) == "code changed"


def test_code_hash_follows_imports_of_imports():
    assert "facts" in artifacts._library_imports("from jwvl_lib.facts import Fact")
    assert artifacts._library_imports("from jwvl_lib import run, nothing_such") == {"run"}


def test_missing_upstream_names_the_notebook(house):
    with pytest.raises(MissingArtifactError, match=r"Run notebooks/01_first.ipynb with run_id='t' first"):
        house("02_second", upstream="01_first")


def test_altered_upstream_is_refused(house):
    house("01_first")
    (house.dir / "01_first" / "result.txt").write_text("tampered")
    with pytest.raises(MissingArtifactError, match="result.txt is not the file"):
        house("02_second", upstream="01_first")


def test_started_stage_has_no_manifest_until_it_ends(house):
    house("01_first")
    start_stage("01_first", {"outputs_dir": str(house.folder / "out")})
    assert not (house.dir / "01_first" / "manifest.json").exists()


def test_output_that_nobody_wrote_is_an_error(house):
    stage = start_stage("01_first", {"outputs_dir": str(house.folder / "out")})
    with pytest.raises(FileNotFoundError, match="nothing wrote it"):
        stage.finish(["absent.txt"])


def test_folder_that_cannot_be_written_is_one_clear_line(house):
    (house.folder / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written .*choose another outputs_dir") as caught:
        start_stage("01_first", {"outputs_dir": str(house.folder / "file")})
    assert "\n" not in str(caught.value)


@given(old=st.binary(max_size=200), new=st.binary(max_size=200))
def test_atomic_write_leaves_old_or_new(tmp_path_factory, old, new):
    path = tmp_path_factory.mktemp("w") / "f"
    write_bytes(path, old)
    real = os.replace
    try:
        os.replace = lambda *_: (_ for _ in ()).throw(OSError("disk full"))
        with pytest.raises(OSError, match="disk full"):
            write_bytes(path, new)
    finally:
        os.replace = real
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["f"]
    write_bytes(path, new)
    assert path.read_bytes() == new


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(-9, 9), st.floats(allow_nan=False)), max_size=20))
def test_parquet_has_the_same_bytes_again(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("p")
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    assert sha256(write_parquet(folder / "1", frame)) == sha256(write_parquet(folder / "2", frame.copy()))


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()
