"""A run that is cut off goes on to the very weights of an undisturbed one; a torn checkpoint does not count."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_tuning import TURNS, images, settings
from transformers import TrainerCallback

from jwvl_lib import checkpoints, preflight, samples, tiny_base, train, tuning, vlm

pytestmark = pytest.mark.usefixtures("one_thread")


class CutOff(Exception):
    pass


class Cut(TrainerCallback):
    """Ends the run as a killed kernel would, right after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise CutOff


def run(folder, cut_at=None, n_steps=6, lora_dropout=0.1, n_rows_at_once=2, tokens_per_row=0, **options):
    processor = vlm.load_processor(tiny_base.FOLDER)
    torch.manual_seed(0)
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4, 8, lora_dropout=lora_dropout)
    data = samples.prepare_samples(model, processor, images(3), [TURNS] * 3, list("abc"))
    rows = samples.packed(samples.plan_rows(data, 2 * n_steps, 2, seed=0), data, (), tokens_per_row)
    train_set = samples.RowDataset(processor, rows, data)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data)
    changed = dict(max_steps=n_steps, save_strategy="steps", save_steps=2, eval_strategy="steps", eval_steps=3)
    changed["per_device_train_batch_size"] = n_rows_at_once
    arguments = settings(folder / "checkpoints", **changed)
    cut = [Cut(cut_at)] if cut_at else []
    return train.fit(model, train_set, val_set, arguments, folder / "adapter", folder / "log.jsonl", cut, **options)


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


@pytest.mark.slow
@pytest.mark.parametrize("cut_at", [1, 3])
def test_a_run_cut_off_ends_with_the_same_bits(undisturbed, tmp_path, cut_at):
    whole, result = undisturbed
    with pytest.raises(CutOff):
        run(tmp_path, cut_at)
    again = run(tmp_path)
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(whole).items())
    columns = ["step", "samples_seen", "loss", "eval_loss"]
    assert again.log[columns].equals(result.log[columns])
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_a_packed_run_cut_off_ends_with_the_same_bits(tmp_path):
    """Two or three images behind one another in a row, one row a step."""
    packing = {"n_steps": 4, "n_rows_at_once": 1, "tokens_per_row": 140}
    run(tmp_path / "whole", **packing)
    with pytest.raises(CutOff):
        run(tmp_path / "cut", cut_at=3, **packing)
    run(tmp_path / "cut", **packing)
    assert all(torch.equal(v, weights(tmp_path / "cut")[k]) for k, v in weights(tmp_path / "whole").items())


def test_a_torn_newest_checkpoint_falls_back_to_the_last_whole_one(undisturbed, tmp_path, caplog):
    with pytest.raises(CutOff):
        run(tmp_path, cut_at=5)
    torn = tmp_path / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors"
    torn.write_bytes(torn.read_bytes()[:1000])
    run(tmp_path)
    assert "checkpoint-4 is passed over: its files are not those that were sealed" in caplog.text
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in weights(undisturbed[0]).items())


def test_foreign_unsealed_and_torn_checkpoints_do_not_count(tmp_path):
    for step, key in ((2, "mine"), (4, "other"), (6, "mine")):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(bytes(step))
        checkpoints.seal(folder, key)
    (tmp_path / "checkpoint-8").mkdir()
    assert checkpoints.last_whole(tmp_path, "mine").name == "checkpoint-6"
    (tmp_path / "checkpoint-6" / checkpoints.SEAL).write_text('{"key": "mi')
    assert checkpoints.last_whole(tmp_path, "mine").name == "checkpoint-2"
    (tmp_path / "checkpoint-2" / "weights").unlink()
    assert checkpoints.last_whole(tmp_path, "mine") is None
    assert checkpoints.last_whole(tmp_path / "nowhere", "mine") is None
    json.loads((tmp_path / "checkpoint-4" / checkpoints.SEAL).read_text())


def test_the_key_knows_plan_base_and_settings(tmp_path):
    processor = vlm.load_processor(tiny_base.FOLDER)
    model = tuning.prepare(tiny_base.FOLDER, "lora")
    data = samples.prepare_samples(model, processor, images(1), [TURNS], ["a"])
    rows, table = samples.plan_rows(data, 4, 2, seed=0), preflight.trainable_table(model)
    key = checkpoints.run_key(rows, table, settings(tmp_path))
    assert key == checkpoints.run_key(rows, table, settings(tmp_path / "elsewhere"))
    assert key != checkpoints.run_key(rows[:3], table, settings(tmp_path))
    assert key != checkpoints.run_key(rows, table[:-1], settings(tmp_path))
    assert key != checkpoints.run_key(rows, table, settings(tmp_path, learning_rate=1e-4))
    assert key != checkpoints.run_key(rows, table, settings(tmp_path), length_exponent=0.5)
