"""vision_baselines: a specialist learns what pictures hold, nothing from permuted labels, and answers the options."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jwvl_lib import vision_baselines as baselines
from jwvl_lib import vlm
from jwvl_lib.solar_tasks import ANSWER_COLUMNS

CLASSES = ("left", "right")
BASE = "models/tiny_base"


@pytest.fixture(scope="module")
def world():
    """Sixty pictures of 56 px, a red square left or a blue one right; the first forty are for learning."""
    rng, images, code = np.random.default_rng(0), {}, {}
    for k in range(60):
        pixels = rng.integers(0, 60, (56, 56, 3)).astype(np.uint8)
        row, column = rng.integers(4, 40), rng.integers(4, 14) + 28 * (k % 2)
        pixels[row : row + 10, column : column + 10] = ((250, 0, 0), (0, 0, 250))[k % 2]
        images[f"p{k:02d}"], code[f"p{k:02d}"] = Image.fromarray(pixels), CLASSES[k % 2]
    labels = {"S7": {i: c for i, c in code.items() if i < "p40"}}
    asked = pd.DataFrame({"image_id": [i for i in images if i >= "p40"]}).assign(solar_task="S7", group_id="d")
    asked = asked.assign(code=asked.image_id.map(code), codes=json.dumps(CLASSES[::-1]), simulated=True, language="en")
    return images, labels, asked.assign(shuffle=0)


def accuracy(asked, scores):
    found = baselines.answers(asked, scores, "probe")
    assert list(found.columns) == ANSWER_COLUMNS
    return (found.answer == found.code).mean()


@pytest.fixture(scope="module")
def pooled(world):
    return baselines.features(vlm.load_model(BASE), vlm.load_processor(BASE), world[0])


def test_the_probe_sees_what_the_decoder_is_given(world, pooled):
    _, labels, asked = world
    assert {name: frame.shape for name, frame in pooled.items()} == {"mean": (60, 192), "quadrants": (60, 768)}
    for name in baselines.POOLINGS:
        assert accuracy(asked, baselines.probe(pooled[name], labels, asked)) >= 0.9


def test_permuted_training_labels_teach_nothing(world, pooled):
    _, labels, asked = world
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(5):
        dealt = dict(zip(labels["S7"], rng.permutation(list(labels["S7"].values())), strict=True))
        scores.append(accuracy(asked, baselines.probe(pooled["mean"], {"S7": dealt}, asked)))
    assert 0.2 < np.mean(scores) < 0.8


def test_networks_learn_and_the_seed_decides(world):
    images, labels, asked = world
    runs = [
        baselines.network(baselines.Convolutions, baselines.pixel_batch, images, labels, asked, n_epochs=6, seed=s)
        for s in (0, 0)
    ]
    assert accuracy(asked, runs[0]) >= 0.9
    assert np.allclose(runs[0]["S7"], runs[1]["S7"], atol=1e-4)


def test_the_tower_is_a_copy_and_learns(world):
    images, labels, asked = world
    model, processor = vlm.load_model(BASE), vlm.load_processor(BASE)
    before = model.model.visual.blocks[0].attn.qkv.weight.clone()
    bodies = []

    def tower():
        bodies.append(baselines.Tower(model))
        return bodies[0]

    few = {"S7": dict(list(labels["S7"].items())[:24])}
    scores = baselines.network(tower, lambda p: baselines.patch_batch(processor, p), images, few, asked, n_epochs=6)
    assert accuracy(asked, scores) >= 0.8
    assert (model.model.visual.blocks[0].attn.qkv.weight == before).all()
    assert not (bodies[0].base.model.visual.blocks[0].attn.qkv.weight == before).all()


def test_a_specialist_answers_within_the_options(world):
    _, labels, asked = world
    scores = baselines.majority({"S7": dict(labels["S7"]) | {"more": "right"}}, asked)
    assert accuracy(asked, scores) == pytest.approx((asked.code == "right").mean())
    unseen = asked.assign(codes=json.dumps(["up", "left"]))
    assert set(baselines.answers(unseen, scores, "majority").answer) == {"left"}


@pytest.mark.parametrize(
    ("n", "size", "shape"), [(36, (168, 168), (6, 6)), (24, (168, 112), (4, 6)), (7, (28, 196), (7, 1))]
)
def test_tokens_find_their_grid(n, size, shape):
    assert baselines._on_grid(np.zeros((n, 5)), size).shape == (*shape, 5)
