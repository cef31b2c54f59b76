"""A run that is cut off goes on to the very weights of an undisturbed one; a torn checkpoint does not count."""

import dataclasses
import json

import pytest
import torch
from peft import LoraConfig
from PIL import Image
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


def run(
    folder,
    cut_at=None,
    n_steps=6,
    lora_dropout=0.1,
    n_rows_at_once=2,
    tokens_per_row=0,
    turns=TURNS,
    evaluated=(("eval_steps", 3),),
    **options,
):
    processor = vlm.load_processor(tiny_base.FOLDER)
    torch.manual_seed(0)
    model = tuning.prepare(tiny_base.FOLDER, "lora", 4, 8, lora_dropout=lora_dropout)
    data = samples.prepare_samples(model, processor, images(3), [turns] * 3, list("abc"))
    rows = samples.packed(samples.plan_rows(data, 2 * n_steps, 2, seed=0), data, (), tokens_per_row)
    train_set = samples.RowDataset(processor, rows, data)
    val_set = samples.RowDataset(processor, samples.validation_rows(data), data)
    changed = dict(max_steps=n_steps, save_strategy="steps", save_steps=2, eval_strategy="steps")
    changed["adam_epsilon"] = 1e-6  # else a gradient that is rounding alone moves its weight by the whole rate
    changed |= {"per_device_train_batch_size": n_rows_at_once, **dict(evaluated)}
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


@pytest.mark.slow
def test_a_resumed_run_evaluates_where_the_undisturbed_one_does(tmp_path):
    """Asked to evaluate at the start too; at the checkpoint's step that loss would count for the patience."""
    chosen = {"n_steps": 12, "patience": 1, "evaluated": (("eval_steps", 6), ("eval_on_start", True))}
    whole = run(tmp_path / "whole", **chosen)
    with pytest.raises(CutOff):
        run(tmp_path / "cut", cut_at=3, **chosen)
    again = run(tmp_path / "cut", **chosen)
    evaluations = [r.log.dropna(subset="eval_loss")[["step", "eval_loss"]].values.tolist() for r in (whole, again)]
    assert evaluations[0] == evaluations[1]
    assert evaluations[0][0][0] == 0
    assert all(torch.equal(v, weights(tmp_path / "cut")[k]) for k, v in weights(tmp_path / "whole").items())


def test_a_checkpoint_of_other_answers_is_passed_over(tmp_path, caplog):
    with pytest.raises(CutOff):
        run(tmp_path, cut_at=3)
    result = run(tmp_path, turns=[(question, "no") for question, _ in TURNS])
    assert "checkpoint-2 is passed over: it belongs to a run with other data or another plan, base" in caplog.text
    assert result.log["step"].iloc[0] == 1


def prepared(method="lora", lora_alpha=32, turns=TURNS, pictures=None, replayed=TURNS, **options):
    """Model, trainable table and a planned set of two samples, the second of two images, and a replayed one."""
    processor, pictures = vlm.load_processor(tiny_base.FOLDER), pictures or images(3)
    model = tuning.prepare(tiny_base.FOLDER, method, 4, lora_alpha, **options)
    groups = [pictures[0], tuple(pictures[1:])]
    data = samples.prepare_samples(model, processor, groups, [turns] * 2, ["a", "b,c"])
    replay = samples.prepare_samples(model, processor, images(1), [replayed], ["r"])
    rows = samples.plan_rows(data, 4, 2, 0, replay, 0.2)
    return model, samples.RowDataset(processor, rows, data, replay), preflight.trainable_table(model)


def test_the_key_knows_plan_base_and_settings(tmp_path):
    model, data, table = prepared()
    key = checkpoints.run_key(model, data, table, settings(tmp_path))
    assert key == checkpoints.run_key(model, data, table, settings(tmp_path / "elsewhere"))
    asked = settings(tmp_path, eval_on_start=True, eval_strategy="steps")
    assert not train._going_on(asked).eval_on_start
    assert asked.eval_on_start  # the caller's own
    assert key == checkpoints.run_key(model, data, table, asked)
    assert key == checkpoints.run_key(model, data, table, train._going_on(asked))
    fewer = samples.RowDataset(data.processor, data.rows[:3], data.samples, data.replay)
    assert key != checkpoints.run_key(model, fewer, table, settings(tmp_path))
    assert key != checkpoints.run_key(model, data, table[:-1], settings(tmp_path))
    assert key != checkpoints.run_key(model, data, table, settings(tmp_path, learning_rate=1e-4))
    assert key != checkpoints.run_key(model, data, table, settings(tmp_path), length_exponent=0.5)
    with torch.no_grad():  # as another alignment would leave it
        moved = next(p for p in model.parameters() if p.requires_grad)
        moved[0, 0] += 1
        assert key != checkpoints.run_key(model, data, table, settings(tmp_path))
        moved[0, 0] -= 1
    data.shared = False
    assert key != checkpoints.run_key(model, data, table, settings(tmp_path))


@pytest.mark.parametrize("free", [{}, {"train_projector": True, "train_tower": True}])
def test_the_key_knows_words_pictures_and_the_scale_of_the_adapter(tmp_path, free):
    """Every one of these trained on silently from the other's checkpoint, since only indices and sizes were hashed."""

    def key(**changed):
        return checkpoints.run_key(*prepared(**free | changed), settings(tmp_path))

    one_pixel = images(3)
    one_pixel[2].putpixel((5, 5), (1, 2, 3))
    same_length = [("Which instrument?", "SDO/HMI"), ("读出图中的文字。", "SDO/AIA 171"), ("Spots!", "yes")]
    others = [
        {"lora_alpha": 64},
        {"lora_dropout": 0.3},
        {"turns": [(question, "no") for question, _ in TURNS]},
        {"turns": same_length},
        {"turns": [*TURNS[:2], (*TURNS[2], [("Which instrument?", "SDO/HMI")])]},
        {"pictures": one_pixel},
        {"replayed": [("Which instrument?", "none"), *TURNS[1:]]},
        {"method": "full"},
    ]
    found = [key(), *(key(**changed) for changed in others)]
    assert len(set(found)) == len(found)
    assert found[0] == key()
    assert found[-1] == key(method="full")


def test_the_key_of_picture_files_is_that_of_their_bytes(tmp_path):
    paths = [str(tmp_path / f"{k}.png") for k in range(3)]
    for path, picture in zip(paths, images(3), strict=True):
        picture.save(path)
    model, data, table = prepared(pictures=paths)
    key = checkpoints.run_key(model, data, table, settings(tmp_path))
    assert key == checkpoints.run_key(model, data, table, settings(tmp_path))
    Image.new("RGB", (56, 56)).save(paths[1])
    assert key != checkpoints.run_key(model, data, table, settings(tmp_path))


def test_the_adapter_is_told_alike_in_every_process():
    """PEFT keeps names of modules as sets, and Python shuffles the order of a set from one process to the next."""
    model, *_ = prepared()
    config = LoraConfig(target_modules=["q_proj", "v_proj", "o_proj", "up_proj"], r=4)
    model.peft_config = {"default": config}
    told = json.dumps(checkpoints._adaptation(model), default=checkpoints._plain)
    assert '"target_modules": ["o_proj", "q_proj", "up_proj", "v_proj"]' in told
    model.peft_config = {"default": dataclasses.replace(config, lora_alpha=64)}
    assert told != json.dumps(checkpoints._adaptation(model), default=checkpoints._plain)
