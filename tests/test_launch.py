"""Two processes train what one does: DDP and FSDP2 through `accelerate launch`, on two CPU processes."""

import json
import os
import subprocess
import sys

import pytest
import test_checkpoints
from safetensors.torch import load_file

from jwvl_lib import artifacts, launch, parameters, run, train

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
import torch
torch.set_num_threads(1)
import test_launch
test_launch.trained(Path(sys.argv[1]))
"""
FSDP = (
    "--use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP "
    "--fsdp_transformer_layer_cls_to_wrap Qwen2_5_VLDecoderLayer --fsdp_state_dict_type FULL_STATE_DICT"
).split()


def trained(folder):
    """The training of test_checkpoints, its global batch of two rows parted over however many processes there are."""
    rows = train.batch_sizes(2)["per_device_train_batch_size"]
    evaluated = (("eval_steps", 3), ("per_device_eval_batch_size", 1))
    test_checkpoints.run(folder, lora_dropout=0.0, n_rows_at_once=rows, evaluated=evaluated)


def written(folder):
    """(log, adapter) of a training."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return log, load_file(folder / "adapter" / "adapter_model.safetensors")


def launched(folder, *options):
    """Run the script under accelerate; the folder then holds adapter and log.

    Its launcher for several processes is called --multi_gpu; where there is none they take the CPU and gloo.
    """
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", *options]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(artifacts.REPO),
        "ACCELERATE_LOG_LEVEL": "error",
    }
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", str(folder / "script.py"), str(folder)]
    done = subprocess.run(command, cwd=artifacts.REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return written(folder)


def assert_same_training(alone, together):
    """Same losses and weights to rounding; validation is a mean over batches, so of one row each."""
    for name, tolerance in (("loss", 1e-4), ("eval_loss", 1e-3)):
        one, two = ([r[name] for r in records if r[name] is not None] for records in (alone[0], together[0]))
        assert two == pytest.approx(one, rel=tolerance), name
    assert [r["samples_seen"] for r in together[0]] == [r["samples_seen"] for r in alone[0]]
    assert together[1].keys() == alone[1].keys()
    for name, value in together[1].items():
        assert (value - alone[1][name]).norm() <= 1e-3 * alone[1][name].norm() + 1e-6, name


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_what_one_does(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    together = launched(tmp_path / "two", "--num_processes", "2", "--main_process_port", "0", "--multi_gpu")
    trained(tmp_path / "one")
    assert_same_training(written(tmp_path / "one"), together)
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_the_notebook_is_what_is_launched(monkeypatch):
    """Its cells are plain Python but for the magics, and one of them trains."""
    sources = launch.cells()
    for source in sources:
        compile(source, "cell", "exec")
    assert sum("train.fit(" in source for source in sources) == 1
    seen = []
    fake = ["a = start_stage(1)", "b = train.fit(model)", "seen.append('after')"]
    monkeypatch.setattr(launch, "cells", lambda: fake)

    class Turn:
        def __enter__(self):
            seen.append("in turn")

        def __exit__(self, *_):
            pass

    class Train:
        fit = staticmethod(lambda model: seen.append(model))

    values = {"start_stage": lambda n: n, "train": Train, "model": "m", "seen": seen}
    launch.run_cells(values, True, Turn)
    assert seen == ["in turn", "m", "after"]
    seen.clear()
    launch.run_cells(values, False, Turn)
    assert seen == ["in turn", "m"]


def test_a_wrong_parameter_is_refused_before_anything_starts(capsys):
    assert launch.main(["-f", "params/tiny.yaml", "-p", "lora_r", "many"]) == 2
    assert "lora_r = 'many' is str" in capsys.readouterr().err
    known = parameters.notebook_parameters("04_training")
    assert {"images_at_once", "gradient_checkpointing", "max_tokens", "early_stop_patience"} <= set(known)


@pytest.mark.parametrize("pair", [("lora_rank", "8"), ("nonsense", "1"), ("lora_r", "[8]")])
def test_what_the_runner_refuses_is_refused_in_the_same_line(capsys, pair):
    """A misspelled name would train with the default, for days, on every GPU."""
    assert run.main(["-f", "params/tiny.yaml", "-p", *pair]) == 2
    said = capsys.readouterr().err
    assert launch.main(["-f", "params/tiny.yaml", "-p", *pair]) == 2
    assert capsys.readouterr().err == said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
