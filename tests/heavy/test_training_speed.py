"""Samples a second beside TRL's `SFTTrainer`: same corpus, model, batch, loss; paired medians of process time.

ms-swift too, which refuses packing where there is no flash attention: without it. The peers live in environments of
their own (`make peers`; `JWVL_PEERS_PYTHON` and `JWVL_SWIFT_PYTHON` name others). One thread on both sides, so
that process time is what the work costs on any machine; the legs alternate, so that what the host does meanwhile hits
both alike.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from step_clock import Clock
from test_tuning import settings
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from jwvl_lib import artifacts, samples, tiny_base, train, tuning, vlm

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]
N_STEPS, N_ROUNDS = int(os.environ.get("JWVL_STEPS", "4")), int(os.environ.get("JWVL_ROUNDS", "5"))
N_BRANCHES, N_EPOCHS = 6, 3
FULL_BLOCKS = json.loads(os.environ.get("JWVL_FULL_BLOCKS", "[0, 1, 2, 3, 4, 5]"))  # [2, 5]: windows in the others
SIDES = {36: 168, 400: 560, 784: 784}  # visual tokens: pixels
BARS = {(400, "frozen"): (8, 6), (400, "trained"): (5,), (784, "frozen"): (12,), (784, "trained"): (6.5,)}


@contextlib.contextmanager
def started(named, folder, script):
    """A peer's own Python at its script: named by an environment variable, or in the folder that `make peers` fills."""
    python = os.environ.get(named) or str(artifacts.REPO / folder / "bin" / "python")
    if not shutil.which(python):
        pytest.skip(f"no {python}: run make peers, or name another Python with the peer in {named}")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with subprocess.Popen([python, str(Path(__file__).with_name(script))], env=environment, **pipes) as process:
        yield process
        process.stdin.close()
        process.wait(60)


@pytest.fixture(scope="module")
def trl():
    with started("JWVL_PEERS_PYTHON", ".venv-peers", "trl_step.py") as process:
        yield process


@pytest.fixture(scope="module")
def swift():
    with started("JWVL_SWIFT_PYTHON", ".venv-peers-swift", "swift_step.py") as process:
        yield process


def asked(peer, folder):
    peer.stdin.write(f"{folder}\n")
    peer.stdin.flush()
    return json.loads(peer.stdout.readline() or pytest.fail("the peer ended; run its script by hand to see why"))


def small_model(tokenizer):
    """Qwen2.5-VL's shape, small, every block of the tower attending to the whole picture as the tiny base's do."""
    ids = dict(zip(tiny_base.SPECIAL_TOKENS, tokenizer.convert_tokens_to_ids(tiny_base.SPECIAL_TOKENS), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 2048,
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 6, 6]},
            "initializer_range": 0.05,
            "bos_token_id": ids["<|endoftext|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 6,
            "hidden_size": 224,
            "intermediate_size": 672,
            "num_heads": 7,
            "out_hidden_size": 256,
            "window_size": 112,
            "fullatt_block_indexes": FULL_BLOCKS,
            "initializer_range": 0.05,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(config)


def made_job(folder, side, tower):
    """A folder both sides read: model, pictures, six questions and answers each, settings, the first adapter."""
    rng = np.random.default_rng(side)
    processor = vlm.load_processor(tiny_base.FOLDER)
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 1008 * 1008}
    tiny_base.save(small_model(processor.tokenizer), processor, folder / "model")
    words = "sunspot region quiet limb bright loop HMI AIA 171 Angstrom north east hole filament corona".split()
    text = lambda n: " ".join(rng.choice(words, n))  # noqa: E731
    rows = []
    for k in range(N_STEPS):
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(folder / f"{k}.png")
        turns = [(text(rng.integers(18, 26)), text(rng.integers(20, 30))) for _ in range(N_BRANCHES)]
        rows.append({"image": f"{k}.png", "turns": turns})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    trained = tuning.prepare(str(folder / "model"), "lora", train_tower=tower == "trained")
    adapter = trained.peft_config["default"]
    lora = {"r": adapter.r, "lora_alpha": adapter.lora_alpha, "target_modules": adapter.target_modules}
    artifacts.write_json(
        folder / "job.json",
        {"lora": lora, "n_steps": N_STEPS, "samples_per_step": N_BRANCHES, "learning_rate": 1e-3},
    )
    torch.save({n: p.detach() for n, p in trained.named_parameters() if p.requires_grad}, folder / "start.pt")
    return folder


def ours(folder, tower):
    """The project's way through the same job: seconds and loss of every step, seconds an image of the cache."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    processor = vlm.load_processor(folder / "model")
    model = tuning.prepare(str(folder / "model"), "lora", train_tower=tower == "trained")
    named = dict(model.named_parameters())
    for name, value in torch.load(folder / "start.pt", weights_only=True).items():
        named[name].data.copy_(value)
    begun = time.process_time()
    turns, paths = [row["turns"] for row in rows], [str(folder / row["image"]) for row in rows]
    data = samples.prepare_samples(model, processor, paths, turns, paths)
    cache = (time.process_time() - begun) / len(rows)
    planned = samples.validation_rows(data)
    assert [len(row.branches) for row in planned] == [N_BRANCHES] * N_STEPS
    train_set, val_set = samples.RowDataset(processor, planned, data), samples.RowDataset(processor, planned[:1], data)
    assert train_set.cached == (tower == "frozen")
    rate = dict(learning_rate=job["learning_rate"], lr_scheduler_type="constant", weight_decay=0.0, logging_steps=1)
    arguments = settings(folder / "ours", max_steps=N_STEPS, per_device_train_batch_size=1, **rate)
    clock = Clock()
    result = train.fit(model, train_set, val_set, arguments, folder / "adapter", folder / "log.jsonl", [clock])
    n_free = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "seconds": clock.seconds,
        "losses": result.log["loss"].dropna().tolist(),
        "n_trainable": n_free,
        "cache": cache,
    }


@pytest.mark.parametrize("tower", ["frozen", "trained"])
@pytest.mark.parametrize("n_visual", SIDES)
def test_faster_than_trl_at_the_same_loss(trl, tmp_path, n_visual, tower, record):
    folder = made_job(tmp_path, SIDES[n_visual], tower)
    rounds, cached_epochs, legs = [], [], []
    for _ in range(N_ROUNDS):
        theirs, own = asked(trl, folder), ours(folder, tower)
        assert own["n_trainable"] == theirs["n_trainable"]
        assert own["losses"] == pytest.approx(theirs["losses"], rel=2e-4)  # the log rounds to 4 digits
        slow, fast = (statistics.median(leg["seconds"][1:]) for leg in (theirs, own))  # the first step warms up
        legs.append((slow, fast, own["cache"]))
        rounds.append(slow / fast)
        cached_epochs.append(N_EPOCHS * slow / (N_EPOCHS * fast + own["cache"]))
    ratio, with_cache = statistics.median(rounds), statistics.median(cached_epochs)
    slow, fast, cache = (statistics.median(column) for column in zip(*legs, strict=True))
    print(
        f"\n{n_visual} visual tokens, tower {tower}, n = {N_ROUNDS} pairs: TRL {theirs['trl']} {slow:.3f} s a step, "
        f"here {fast:.3f} s: {ratio:.1f}x ({min(rounds):.1f}-{max(rounds):.1f})"
        + (f"; cache {cache:.2f} s an image, over {N_EPOCHS} epochs {with_cache:.1f}x" if tower == "frozen" else "")
        + f"; losses {own['losses']} and {theirs['losses']}"
    )
    row, seconds = f"train_{n_visual}_{tower}", {"seconds": [fast, slow], "peer": f"TRL {theirs['trl']} SFTTrainer"}
    bars = (*BARS.get((n_visual, tower), ()), None)
    record(row, ratio, bars[0], N_ROUNDS, pairs=rounds, note="process seconds of a step, one thread", **seconds)
    if tower == "frozen" and bars[1:] and bars[1] is not None:
        record(f"{row}_cache", with_cache, bars[1], N_ROUNDS, pairs=cached_epochs, peer=seconds["peer"])
    for bar, value in zip(BARS.get((n_visual, tower), (1,)), (ratio, with_cache), strict=False):
        assert value >= bar


def test_faster_than_ms_swift_at_the_same_loss(swift, tmp_path, record):
    folder, pairs = made_job(tmp_path, SIDES[400], "frozen"), []
    for _ in range(N_ROUNDS):
        theirs, own = asked(swift, folder), ours(folder, "frozen")
        assert own["n_trainable"] == theirs["n_trainable"]
        assert own["losses"] == pytest.approx(theirs["losses"], rel=2e-4)
        pairs.append(statistics.median(theirs["seconds"][1:]) / statistics.median(own["seconds"][1:]))
    ratio = statistics.median(pairs)
    print(f"\n400 visual tokens, tower frozen, n = {N_ROUNDS} pairs: {ratio:.1f}x ms-swift without packing")
    note = "process seconds of a step, one thread; packing is refused where there is no flash attention"
    record("train_swift_plain", ratio, None, N_ROUNDS, pairs=pairs, note=note, peer=f"ms-swift {theirs['swift']}")
    assert ratio >= 1.5
