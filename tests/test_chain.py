"""The whole chain with `params/smoke.yaml`, by the command a person types; killed, skipped, and given bad input."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import sunpy

from conftest import REPO, run_chain
from jwvl_lib import run
from jwvl_lib.artifacts import read_manifest, sha256

pytestmark = [pytest.mark.chain, pytest.mark.slow]

RESULTS = {  # what must be the same bytes again
    "01_corpus_curation": ["corpus.parquet", "rejects.parquet", "images"],
    "02_distillation": ["annotations.parquet"],
    "03_review": ["accepted.parquet"],
}


@pytest.fixture
def chain(tmp_path, monkeypatch, capsys):
    """`chain(*arguments)`: the command in this process, writing under `tmp_path`; its exit status and its stderr."""
    monkeypatch.setenv("JWVL_OUTPUTS", str(tmp_path))

    def run_here(*arguments: str) -> tuple[int, str]:
        return run.main(["-f", "params/smoke.yaml", *arguments]), capsys.readouterr().err

    return run_here


def _hashes(run_dir):
    return {f"{stage}/{name}": sha256(run_dir / stage / name) for stage, names in RESULTS.items() for name in names}


def test_every_stage_writes_its_manifest_and_the_files_of_the_contract(smoke_outputs):
    run_dir = smoke_outputs / "smoke"
    contract = {
        "01_corpus_curation": {"corpus.parquet", "images", "rejects.parquet", "figures"},
        "02_distillation": {"annotations.parquet", "teacher.sqlite"},
        "03_review": {"review.sqlite", "accepted.parquet", "agreement.json", "prompt_report.json"},
        "04_training": {"adapter", "train_log.jsonl", "trainable.json", "preflight.json"},
        "05_benchmark": {"predictions.parquet", "metrics.json", "table.md", "figures"},
        "07_chat": {"transcript.json"},
        "08_performance": {"performance.json", "bars.csv"},
    }
    for stage, names in contract.items():
        manifest = read_manifest(run_dir / stage)
        assert names <= {o["path"] for o in manifest["outputs"]}
        assert manifest["profile"] == "smoke"
        assert (run_dir / stage / "notebook.ipynb").is_file()
    report = next((run_dir / "06_daily_report").glob("*/report.json"))
    assert json.loads(report.read_text())["regions"]


def test_corpus_and_annotations_have_the_public_columns(smoke_outputs):
    run_dir = smoke_outputs / "smoke"
    corpus = pd.read_parquet(run_dir / "01_corpus_curation" / "corpus.parquet")
    assert (
        list(corpus)
        == (
            "image_id path sha256 source observatory instrument detector measurement wavelength_angstrom layer date_obs"
            " width height simulated stretch split group_id banner_text facts boxes"
        ).split()
    )
    annotations = pd.read_parquet(run_dir / "02_distillation" / "annotations.parquet")
    public = "annotation_id image_id task language question answer steps prompt_id prompt_version teacher round claims"
    assert list(annotations)[:12] == public.split()
    assert set(annotations.language) == {"zh", "en"}
    assert set(annotations.task) == {"description", "qa", "ocr", "grounding", "multi_image", "multi_turn"}
    assert set(annotations.image_id) <= set(corpus.image_id)


def test_no_person_is_named_for_an_automatic_decision(smoke_outputs):
    accepted = pd.read_parquet(smoke_outputs / "smoke" / "03_review" / "accepted.parquet")
    assert set(accepted.reviewer) == {"auto:facts"}


def test_second_run_skips_every_stage_in_half_a_minute(smoke_outputs):
    started = time.monotonic()
    done = run_chain(smoke_outputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("skipped") == 9  # 00 to 08
    assert time.monotonic() - started < 30


def test_killed_at_ten_random_moments_then_rerun_gives_the_same_bytes(smoke_outputs, tmp_path):
    """SIGKILL to the kernel alone or to the whole process tree; the rerun takes up where the manifests end.

    Every stage is struck several times, the last one first: those before it stand meanwhile, as after a real blow.
    """
    rng, run_dir = random.Random(20140224), tmp_path / "smoke"
    for stage in RESULTS:
        shutil.copytree(smoke_outputs / "smoke" / stage, run_dir / stage)
    for stage, n_blows in zip(reversed(RESULTS), (3, 3, 4), strict=True):
        shutil.rmtree(run_dir / stage)
        for _ in range(n_blows):
            while not _struck(
                stage, tmp_path, rng
            ):  # it had ended before the blow: begin again, so that ten blows fall
                (run_dir / stage / "manifest.json").unlink(missing_ok=True)
        assert read_manifest(run_dir / stage) is None
    done = run_chain(tmp_path, "--from", "01", "--to", "03", timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("skipped") == 0
    assert _hashes(run_dir) == _hashes(smoke_outputs / "smoke")


def _struck(stage: str, outputs: Path, rng: random.Random) -> bool:
    """Run a stage and kill it, or its kernel, after seconds; whether the blow fell before its manifest was written."""
    command = [sys.executable, "-m", "jwvl_lib.run", "-f", "params/smoke.yaml", "--from", stage, "--to", stage]
    environment = {**os.environ, "JWVL_OUTPUTS": str(outputs)}
    process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(4, 8))
    if process.poll() is None:
        tree = psutil.Process(process.pid)
        tree.suspend()  # else it could start another process between the list and the blow
        children = tree.children(recursive=True)
        victims = children[:1] if children and rng.random() < 0.4 else [*children, tree]
        for victim in victims:
            victim.kill()
        if tree not in victims:
            tree.resume()
        process.wait(timeout=60)
        _, orphans = psutil.wait_procs(children, timeout=10)
        for orphan in orphans:
            orphan.kill()
    return read_manifest(outputs / "smoke" / stage) is None


def test_unreadable_files_become_rejects_and_the_rest_goes_on(chain, tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    content = (Path(sunpy.__file__).parent / "data" / "test" / "aia_171_level1.fits").read_bytes()
    (folder / "good.fits").write_bytes(content)
    (folder / "truncated.fits").write_bytes(content[: len(content) // 2])
    (folder / "picture.fits").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    (folder / "page.fits").write_text("<html>403</html>")
    (folder / "empty.fits").write_bytes(b"")
    code, errors = chain("-p", "sources", "local", "-p", "local_dir", str(folder), "--from", "01", "--to", "01")
    assert code == 0, errors
    stage = tmp_path / "smoke" / "01_corpus_curation"
    rejects = pd.read_parquet(stage / "rejects.parquet")
    assert len(rejects) == 4
    assert set(rejects.path.str.rsplit("/").str[-1]) == {"truncated.fits", "picture.fits", "page.fits", "empty.fits"}
    assert not rejects.reason.str.contains("\n").any()
    assert len(pd.read_parquet(stage / "corpus.parquet")) == 1


@pytest.mark.parametrize("kind", ["empty folder", "no folder"])
def test_folder_without_images_is_one_clear_line(chain, tmp_path, kind):
    folder = tmp_path / "local"
    if kind == "empty folder":
        folder.mkdir()
    code, said = chain("-p", "sources", "local", "-p", "local_dir", str(folder), "--from", "01", "--to", "01")
    assert code == 1
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(folder) in errors[0]


def test_missing_upstream_names_the_notebook_to_run(chain):
    code, said = chain("--from", "03", "--to", "03")
    assert code == 1
    assert "Run notebooks/01_corpus_curation.ipynb" in said or "Run notebooks/02_distillation.ipynb" in said
