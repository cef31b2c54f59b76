"""Training's bars whole: shared against separate samples, resumption, SIGKILL, processes, the sister recipes."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import test_checkpoints
import test_launch
import torch
from PIL import Image
from safetensors.torch import load_file

from jwvl_lib import artifacts, branch_attention, chat_tokens, shared_image, tiny_base, vlm

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]
N_STEPS = 24
ATTENTIONS = ("eager", "sdpa", branch_attention.NAME)


def weights(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


# --------------------------------------------------------------------------------------------------------------------
# shared against separate


def compared(model, processor_like, prefix, branches, grids, patches):
    """Largest relative differences of loss and of any parameter's gradient, everything trained."""
    sequence = shared_image.assemble(prefix, branches, grids, processor_like)
    losses, gradients = [], []
    for way in ("shared", "separate"):
        pairs = [(sequence, patches)]
        if way == "shared":
            batch = shared_image.collate(pairs, 0, model.config.text_config._attn_implementation, False)
            labels = batch.pop("labels")
            loss = shared_image.labelled_loss(model(**batch, use_cache=False), labels)
        else:
            loss = plain_loss(model, prefix, branches, grids, patches, processor_like)
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == {n for n, _ in model.named_parameters()}
    off = max(
        # the floor: parameters whose true gradient is zero (a key's bias) have rounding noise only
        float(((gradients[0][n] - g).norm() - 1e-7).clamp(min=0) / g.norm().clamp(min=1e-12))
        for n, g in gradients[1].items()
    )
    return abs(losses[0] - losses[1]) / abs(losses[1]), off


def plain_loss(model, prefix, branches, grids, patches, image_token_id):
    """One plain sample a branch, mask and positions left to transformers."""
    total, n_labels = 0.0, 0
    for branch in branches:
        ids = torch.cat([prefix, branch.input_ids])[None]
        kinds = (ids == image_token_id).int()
        seen = dict(pixel_values=patches, image_grid_thw=grids, mm_token_type_ids=kinds)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **seen).logits
        target = torch.cat([torch.full_like(prefix, shared_image.IGNORE), branch.labels])[1:]
        total += torch.nn.functional.cross_entropy(logits[0, :-1].float(), target, reduction="sum")
        n_labels += int((target != shared_image.IGNORE).sum())
    return total / n_labels


@pytest.fixture(
    scope="module",
    params=[f"{kind} {attention}" for kind in ("random", "tiny base") for attention in ("eager", "sdpa", "branches")],
)
def model(request):
    kind, _, attention = request.param.rpartition(" ")
    torch.manual_seed(0)
    processor = vlm.load_processor(tiny_base.FOLDER)
    made = vlm.load_model(tiny_base.FOLDER)
    if kind == "random":
        made = tiny_base.build_model(processor.tokenizer).eval()
        torch.nn.init.normal_(made.lm_head.weight, std=0.3)
    if attention == branch_attention.NAME:
        branch_attention.use(made)
    else:
        made.set_attn_implementation(attention)
    return request.param, made.float(), processor


@pytest.mark.parametrize("n_images", [1, 2, 3])
def test_shared_sequences_are_exact(model, n_images, record, tally):
    name, made, processor = model
    rng = np.random.default_rng(n_images)
    worst_loss, worst_gradient = 0.0, 0.0
    for n_branches in range(1, 13):
        sides = rng.integers(2, 5, (n_images, 2)) * 28
        pictures = [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for h, w in sides]
        seen = processor.image_processor(images=pictures, return_tensors="pt")
        prefix = chat_tokens.encode_prefix(processor, seen["image_grid_thw"])
        texts = [("Which layer? " * int(k), "SDO/AIA 171 " * int(m)) for k, m in rng.integers(1, 5, (n_branches, 2))]
        branches = [chat_tokens.encode_branch(processor, *text) for text in texts]
        branches[-1] = chat_tokens.encode_branch(processor, *texts[-1], [("Spots?", "yes")])
        given = processor.image_token_id, prefix, branches, seen["image_grid_thw"], seen["pixel_values"]
        loss, gradient = compared(made, *given)
        worst_loss, worst_gradient = max(worst_loss, loss), max(worst_gradient, gradient)
    print(f"\n{name}, {n_images} image(s), 1-12 branches: loss {worst_loss:.1e}, gradients {worst_gradient:.1e}")
    tally["n"] = tally.get("n", 0) + 12
    for row, worst, bar in (("shared_loss", worst_loss, 1e-5), ("shared_gradients", worst_gradient, 1e-4)):
        tally[row] = max(tally.get(row, 0), worst)
        record(row, tally[row], bar, tally["n"], note="sequences, the worst of them")
    assert worst_loss <= 1e-5
    assert worst_gradient <= 1e-4


# --------------------------------------------------------------------------------------------------------------------
# cut off


def test_resume_at_eight_random_steps_is_bit_exact(tmp_path, record):
    whole = tmp_path / "whole"
    test_checkpoints.run(whole, n_steps=N_STEPS)
    steps = random.Random(5).sample(range(1, N_STEPS), 8)
    for step in steps:
        folder = tmp_path / str(step)
        with pytest.raises(test_checkpoints.CutOff):
            test_checkpoints.run(folder, cut_at=step, n_steps=N_STEPS)
        test_checkpoints.run(folder, n_steps=N_STEPS)
        assert all(torch.equal(value, weights(folder)[name]) for name, value in weights(whole).items()), step
    record("resume", 0, 0, len(steps), note="runs cut off at random steps")
    print(f"\ncut off at steps {sorted(steps)} of {N_STEPS}: weights bit-equal, n = 8")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
import torch
torch.set_num_threads(1)
import test_checkpoints
print("ready", flush=True)
test_checkpoints.run(Path(sys.argv[1]), n_steps=int(sys.argv[2]))
"""


def started(folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(artifacts.REPO)}
    command = [sys.executable, "-c", KILLED, str(folder), str(N_STEPS)]
    quiet = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    process = subprocess.Popen(command, cwd=artifacts.REPO, env=environment, **quiet)
    assert process.stdout.readline() == "ready\n"
    return process


def test_twenty_kills_at_random_moments_leave_nothing_to_repair(tmp_path, record):
    whole = started(tmp_path / "whole")
    begun = time.monotonic()
    assert whole.wait(600) == 0
    seconds, draw = time.monotonic() - begun, random.Random(7)
    kills, n_runs, n_progress = 0, 0, set()
    while kills < 20:
        folder, n_runs = tmp_path / f"run{n_runs}", n_runs + 1
        while True:
            process = started(folder)
            try:
                code = process.wait(draw.uniform(0, 0.6) * seconds if kills < 20 else 600)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                n_progress.add(
                    max((int(p.name[11:]) for p in (folder / "checkpoints").glob("checkpoint-*")), default=0)
                )
                continue
            assert code == 0
            break
        whole_weights = weights(tmp_path / "whole")
        assert all(torch.equal(value, weights(folder)[name]) for name, value in whole_weights.items())
        assert not (folder / "checkpoints").exists()
    record("training_kills", 0, 0, kills, note=f"SIGKILLs in {n_runs} runs")
    print(f"\n{kills} kills in {n_runs} runs, newest checkpoints then {sorted(n_progress)} of {N_STEPS}: bit-equal")


# --------------------------------------------------------------------------------------------------------------------
# processes, and the recipes


def test_sharded_over_two_processes_it_trains_the_same(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    options = ("--num_processes", "2", "--main_process_port", "0", *test_launch.FSDP)
    together = test_launch.launched(tmp_path / "two", *options)
    test_launch.assert_same_training(test_launch.launched(tmp_path / "one", "--num_processes", "1"), together)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("recipes")
    done = chain(outputs, "params/smoke.yaml", "--from", "01", "--to", "03", "-p", "run_id", "recipes")
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs


def chain(outputs, file, *options):
    command = [sys.executable, "-m", "jwvl_lib.run", "-f", file, *options]
    environment = os.environ | {"JWVL_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(artifacts.REPO)}
    return subprocess.run(command, cwd=artifacts.REPO, env=environment, capture_output=True, text=True, check=False)


RECIPES = {
    "astrollava": ("params/astrollava.yaml", ()),
    "radio_llava, full, 1 epoch": ("params/radio_llava.yaml", ()),
    "radio_llava, full, 3 epochs": ("params/radio_llava.yaml", ("-p", "n_epochs", "3")),
    "radio_llava, LoRA": ("params/radio_llava.yaml", ("-p", "method", "lora", "-p", "learning_rate", "0.0001")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_sister_systems_recipes_run_on_the_tiny_base(corpus, name):
    file, changed = RECIPES[name]
    small = {
        "base_model": "models/tiny_base",
        "dtype": "float32",
        "max_steps": 4,
        "images_per_step": 2,
        "run_id": "recipes",
    }
    options = [part for key, value in small.items() for part in ("-p", key, str(value))]
    done = chain(corpus, file, *options, *changed, "--from", "04", "--to", "04", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = artifacts.read_manifest(corpus / "recipes" / "04_training")
    assert manifest["counts"]["n_trainable"] > 0
    if name == "astrollava":
        assert (corpus / "recipes" / "04_training" / "align_log.jsonl").exists()
