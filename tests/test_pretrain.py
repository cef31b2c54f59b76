"""The two stages of pretraining: targets, losses, optimiser."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from jwvl_lib import (
    general_pictures,
    general_task,
    optimise,
    pretrain_answers,
    pretrain_vision,
    pretrain_words,
    tiny_base,
    vlm,
)


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(tiny_base.FOLDER)


@pytest.fixture
def model(processor):
    return tiny_base.build_model(processor.tokenizer, seed=0)


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(1)
    return [general_pictures.make_scene(rng) for _ in range(24)]


def test_batched_tower_gives_the_numbers_of_the_stock_one(model, processor, scenes):
    images = processor.image_processor
    pictures = np.stack([np.array(s.image) for s in scenes[:3]])
    with torch.inference_mode():
        x = pretrain_vision.patches(pictures, images.image_mean, images.image_std)
        features = pretrain_vision.tower(model.model.visual, x, 6, 6)
    stock = torch.stack(vlm.image_features(model, processor, [s.image for s in scenes[:3]]))
    torch.testing.assert_close(features, stock, atol=2e-5, rtol=1e-4)


def test_strips_too(model, processor):
    strip, _ = general_pictures.make_strip(np.random.default_rng(0))
    images = processor.image_processor
    with torch.inference_mode():
        x = pretrain_vision.patches(np.array(strip)[None], images.image_mean, images.image_std)
        features = pretrain_vision.tower(model.model.visual, x, 1, 6)
    (stock,) = vlm.image_features(model, processor, [strip])
    torch.testing.assert_close(features[0], stock, atol=2e-5, rtol=1e-4)


def read_back(targets):
    """The first and the second line that the targets (6, 16) of a band spell."""
    rows = targets.reshape(6, 2, -1).transpose(1, 0, 2).reshape(2, -1)
    return ["".join(pretrain_vision.CHARACTERS[k - 1] for k in row if k) for row in rows]


@pytest.mark.parametrize("varied", [False, True])
def test_characters_stand_in_the_token_they_are_drawn_in(varied):
    rng = np.random.default_rng(3)
    n_cut = 0
    for _ in range(60):
        strip, text = general_pictures.make_strip(rng, varied_text=varied)
        targets = pretrain_vision.character_targets(text)
        n_cut += read_back(targets)[: len(text.lines)] != list(text.lines)
        lit = np.asarray(strip.convert("L")).max(0) > 100
        for row in targets.reshape(6, -1)[[not lit[28 * k : 28 * k + 28].any() for k in range(6)]]:
            assert not row.any() or set(row) <= {0, 1 + pretrain_vision.CHARACTERS.index(" ")}
    assert n_cut <= 3 * varied  # more than eight characters of the smallest font on one line of a token


def test_a_character_drawn_alone_stands_in_its_token():
    lines, font = ("AB", "2014-02-03 12:34 UT"), general_pictures.band_font(28)
    middles = tuple(general_pictures._middles(line, font, 2) for line in lines)
    targets = pretrain_vision.character_targets(general_pictures.Writing(lines, middles))
    assert read_back(targets) == list(lines)
    canvas = Image.new("L", (168, 28))
    general_pictures.ImageDraw.Draw(canvas).text((2 + font.getlength("2014-02-0"), 0), "3", font=font, fill=255)
    columns = np.nonzero(np.asarray(canvas).sum(0))[0]
    assert 1 + pretrain_vision.CHARACTERS.index("3") in targets[int(columns.mean() // 28)][8:]


def test_varied_text_may_stand_above_and_moves_what_is_below():
    rng = np.random.default_rng(5)
    drawn = [general_pictures.make_scene(rng, varied_text=True) for _ in range(40)]
    assert {s.text.on_top for s in drawn} == {True, False}
    assert {len(s.text.lines) for s in drawn} == {1, 2}
    for scene in drawn:
        picture = np.asarray(scene.image)
        band = picture[:28] if scene.text.on_top else picture[-28:]
        assert np.mean(band == 0) > 0.5
        assert band.max() > 200
        low, high = (28, 168) if scene.text.on_top else (0, 140)
        assert all(low < t.y < high for t in scene.things)
        assert all(0 < x < 168 for line in scene.text.middles for x in line)
        for t in scene.things[:1]:
            vertical = "upper" if t.y < (low + high) / 2 else "lower"
            if abs(t.y - (low + high) / 2) > 5:
                assert general_task.truth(scene, "place").startswith(vertical)


def test_words_are_repeated_and_translated_and_no_question_is_among_them():
    turns = pretrain_words.turns(np.random.default_rng(1), 400)
    assert all(answer and answer.strip() for _, answer in turns)
    repeated = [answer in question for question, answer in turns]
    assert 0.4 < np.mean(repeated) < 0.6
    assert not any(
        answer.endswith(("?", "？", ".", "。")) for (_, answer), same in zip(turns, repeated, strict=True) if same
    )
    names = pretrain_words.pairs()
    for question, answer in (t for t, same in zip(turns, repeated, strict=True) if not same):
        assert any(answer in n.values() and any(word in question for word in n.values()) for n in names)


def test_the_largest_thing_has_a_class_of_its_own(scenes):
    n = len(pretrain_vision.THING_CLASSES) - 1
    for scene in scenes:
        targets = pretrain_vision.thing_targets(scene)
        assert (targets > n).sum() == bool(scene.things)
        assert 0 < (targets > 0).sum() <= len(scene.things) or not scene.things


def test_scene_targets_say_what_the_questions_ask(scenes):
    for scene in scenes:
        named = dict(zip(pretrain_vision.SCENE_CLASSES, pretrain_vision.scene_targets(scene), strict=True))
        assert pretrain_vision.SCENE_CLASSES["count"][named["count"]] == len(scene.things)
        for task in ("kind", "colour", "place", "polarity"):
            if task in general_task.tasks_of(scene):
                assert pretrain_vision.SCENE_CLASSES[task][named[task]] == general_task.truth(scene, task)


def test_loss_of_the_shared_sequence_is_the_likelihood_of_the_answer(model, processor, scenes):
    rng = np.random.default_rng(0)
    turns = [[general_task.ask(rng, s, task, "zh")[:2] for task in ("ocr", "count", "kind")] for s in scenes[:2]]
    samples = pretrain_answers.picture_samples(model, processor, scenes[:2], turns)
    losses = pretrain_answers.answer_losses(model, processor, samples)
    flat = [(question, answer, k) for k, t in enumerate(turns) for question, answer in t]
    questions, answers, index = zip(*flat, strict=True)
    expected = vlm.answer_log_likelihood(model, processor, [s.image for s in scenes[:2]], questions, index, answers)
    assert [-x.mean().item() for x in losses] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("on_top", [False, True])
def test_a_strip_sits_where_the_band_of_a_picture_does(model, processor, scenes, monkeypatch, on_top):
    image, text = general_pictures.make_strip(np.random.default_rng(0))
    drawn = image, dataclasses.replace(text, on_top=on_top)
    monkeypatch.setattr(general_pictures, "make_strip", lambda *_: drawn)
    (whole, _), (strip, features) = (
        *pretrain_answers.picture_samples(model, processor, scenes[:1], [[("Read the text.", "A")]]),
        *pretrain_answers.strip_samples(model, processor, np.random.default_rng(0), 1),
    )
    of_image = [s.position_ids[:, 0, s.input_ids == processor.image_token_id] for s in (whole, strip)]
    assert torch.equal(of_image[0][:, :6] if on_top else of_image[0][:, -6:], of_image[1])
    of_text = [s.position_ids[:, 0, s.branch == 1][:, 0] for s in (whole, strip)]
    assert torch.equal(*of_text)
    assert features.shape == (6, model.config.text_config.hidden_size)


def test_answers_stage_leaves_the_vision_tower_alone(model, processor):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    history = pretrain_answers.train_answers(model, processor, n_steps=2, n_pictures=2, n_strips=3, n_questions=3)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert not any("visual" in name for name in changed)
    assert all(p.requires_grad for p in model.parameters())
    assert history[-1]["step"] == 2


def test_vision_stage_learns_and_leaves_the_decoder_alone(model, processor):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    first = pretrain_vision.train_vision(model, processor, n_steps=1, n_pictures=2, n_strips=2)
    later = pretrain_vision.train_vision(model, processor, n_steps=12, n_pictures=2, n_strips=2)
    assert later[-1]["loss"] < first[-1]["loss"]
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("visual" in name for name in changed)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalise_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(optimise.orthogonalise(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_takes_the_matrices_and_adamw_the_rest(model):
    adamw, muon = optimise.make_optimisers(list(model.named_parameters()), lr=1e-3, muon_lr=1e-3)
    assert all(p.ndim == 2 for p in muon.param_groups[0]["params"])
    taken = [id(p) for o in (adamw, muon) for p in o.param_groups[0]["params"]]
    assert sorted(taken) == sorted(id(p) for p in model.parameters())
    embeddings = model.get_input_embeddings().weight
    assert any(p is embeddings for p in adamw.param_groups[0]["params"])


def test_schedule_warms_up_and_ends_low():
    factors = [optimise.schedule(k, 400) for k in range(400)]
    assert factors[0] < 0.05
    assert max(factors) == pytest.approx(1, abs=0.05)
    assert factors[-1] == pytest.approx(0.02, abs=0.01)
    assert all(b <= a for a, b in zip(factors[50:], factors[51:], strict=False))
