"""Answers and scores of shared images are those of one question at a time, in every family."""

import numpy as np
import pytest
import tiny_others
import torch
from PIL import Image
from transformers import GenerationConfig

from jwvl_lib import answering, chat_tokens, general_task, greedy, tiny_base, vlm

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS = ["Which layer?", "日面上有多少个黑子？", "Describe the image in one sentence.", "Spots?", "Which layer?"]
INDEX = [0, 1, 0, 0, 1]
ANSWERS = ["corona", "2", "yes, two", "no", "a much longer answer than the others"]


def pictures():
    rng = np.random.default_rng(1)
    sizes = [(56, 56), (56, 84)]
    return [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="module", params=["tiny", *tiny_others.FAMILIES])
def asked(request, tmp_path_factory):
    torch.manual_seed(0)
    is_tiny = request.param == "tiny"
    folder = tiny_base.FOLDER if is_tiny else tiny_others.save(request.param, tmp_path_factory.mktemp(request.param))
    model = vlm.load_model(folder)
    if not is_tiny:  # logits of a fresh model lie so close that rounding decides
        torch.nn.init.normal_(model.lm_head.weight, std=1.0)
    return model, vlm.load_processor(folder)


@pytest.fixture(scope="module")
def tiny():
    return vlm.load_model(tiny_base.FOLDER), vlm.load_processor(tiny_base.FOLDER)


def one_by_one(model, processor, images, questions=QUESTIONS, index=INDEX, n_tokens=12):
    return [
        greedy.plain_answer(model, processor, images[i], q, n_tokens) for q, i in zip(questions, index, strict=True)
    ]


def test_an_answer_is_weighed_while_it_is_written_as_by_a_second_pass(asked):
    model, processor = asked
    images = pictures()
    weighed = vlm.answer_weighed(model, processor, images, QUESTIONS, INDEX, 12)
    assert [text for text, _ in weighed] == vlm.answer(model, processor, images, QUESTIONS, INDEX, 12)
    n_compared = 0
    for question, i, (_, spoken) in zip(QUESTIONS, INDEX, weighed, strict=True):
        assert len(spoken.ids) == len(spoken.own) == len(spoken.rivals) == len(spoken.rival_ids)
        if not spoken.ids:  # a fresh model may end at once
            continue
        assert (spoken.rival_ids[:, 0] == spoken.ids).all()  # greedy: the likeliest is the one that was written
        assert spoken.rivals[:, 0] == pytest.approx(spoken.own, abs=1e-5)
        _, again = greedy.plain_weighed(model, processor, images[i], question, 12, 3)
        if again.ids == spoken.ids:
            n_compared += 1
            assert again.own == pytest.approx(spoken.own, abs=1e-3)
    assert n_compared or not type(model).__name__.startswith("Qwen2_5")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_answers_and_scores_equal_those_of_one_question_at_a_time(asked, attention):
    model, processor = asked
    images = pictures()
    model.set_attn_implementation(attention)
    assert answering.shares(model, processor)
    assert vlm.answer(model, processor, images, QUESTIONS, INDEX, 12) == one_by_one(model, processor, images)
    scores = vlm.answer_log_likelihood(model, processor, images, QUESTIONS, INDEX, ANSWERS)
    end = chat_tokens.turn_end(processor)
    for question, i, text, score in zip(QUESTIONS, INDEX, ANSWERS, scores, strict=True):
        tail = torch.tensor(processor.tokenizer(text + end, add_special_tokens=False).input_ids)
        with torch.inference_mode():
            alone = greedy.plain_score(model, processor, images[i], question, tail)
        assert score == pytest.approx(alone, abs=1e-4)


def test_a_base_that_cannot_share_goes_the_plain_way(asked, monkeypatch):
    model, processor = asked
    images, choices = pictures(), [["corona", "photosphere"], ["1", "2"], ["a", "b"], ["yes", "no"], ["corona", "x"]]
    shared = (
        vlm.answer(model, processor, images, QUESTIONS, INDEX, 8),
        vlm.choose(model, processor, images, QUESTIONS, INDEX, choices),
    )
    monkeypatch.setattr(answering, "SHARING", ())
    monkeypatch.setattr(answering, "_forward", None)
    plain = (
        vlm.answer(model, processor, images, QUESTIONS, INDEX, 8),
        vlm.choose(model, processor, vlm.see(model, processor, images), QUESTIONS, INDEX, choices),
    )
    assert plain == shared


def test_a_chat_that_asks_before_it_shows_goes_the_plain_way(tiny, monkeypatch):
    model, processor = tiny[0], vlm.load_processor(tiny_base.FOLDER)
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] if c['type'] == 'text' }}{% endfor %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% endfor %}"
    )
    monkeypatch.setattr(processor, "chat_template", template)
    assert not answering.shares(model, processor)
    assert vlm.answer(model, processor, pictures(), QUESTIONS[:2], [0, 1], 4) == one_by_one(
        model, processor, pictures(), QUESTIONS[:2], [0, 1], 4
    )


def test_limits_split_the_work_and_change_nothing(tiny, monkeypatch):
    items = general_task.make_items(4, seed=3)
    images, questions = [item.image for item in items], [item.question for item in items] * 3
    index = [(k + k // 4) % 4 for k in range(12)]
    want = one_by_one(*tiny, images, questions, index)
    calls = []
    forward = answering._forward
    monkeypatch.setattr(answering, "_forward", lambda *a: calls.append(len(a[2])) or forward(*a))
    assert vlm.answer(*tiny, images, questions, index, 12) == want
    assert calls == [4]
    monkeypatch.setattr(answering, "MOST_READ", 300)
    assert vlm.answer(*tiny, images, questions, index, 12, batch_size=2) == want
    assert len(calls) > 4
    assert max(calls[1:]) <= 3
    monkeypatch.setattr(answering, "MOST_CACHED", 10)  # less than one prompt: one sequence at a time
    assert vlm.answer(*tiny, images, questions, index, 12) == want
    assert vlm.answer(*tiny, images, [], []) == vlm.answer_log_likelihood(*tiny, images, [], [], []) == []


def test_an_image_is_seen_once_for_answers_and_choices(tiny, monkeypatch):
    model, processor = tiny
    n_encoded, encode = [], model.get_image_features
    monkeypatch.setattr(model, "get_image_features", lambda px, grid: n_encoded.append(len(grid)) or encode(px, grid))
    images = pictures()
    seen = vlm.see(model, processor, images)
    answers = vlm.answer(model, processor, seen, QUESTIONS, INDEX, 4)
    chosen = vlm.choose(model, processor, seen, QUESTIONS, INDEX, [["yes", "no"]] * 5)
    assert sum(n_encoded) == 2
    assert vlm.see(model, processor, seen) == seen
    assert answers == vlm.answer(model, processor, images, QUESTIONS, INDEX, 4)
    assert chosen == vlm.choose(model, processor, [images[0], seen[1]], QUESTIONS, INDEX, [["yes", "no"]] * 5)
    assert sum(n_encoded) == 2 + 2 + 1


@pytest.mark.parametrize("settings", [{"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 1}])
def test_the_generation_settings_of_a_model_are_kept(tiny, monkeypatch, settings):
    """A repetition penalty, as Qwen2.5-VL ships one, counts the prompt; any other setting is left to `generate`."""
    model, processor = tiny
    plain = one_by_one(model, processor, pictures())
    known = {"eos_token_id": [model.generation_config.eos_token_id, 7], "pad_token_id": 0}
    monkeypatch.setattr(model, "generation_config", GenerationConfig(**known, **settings))
    assert greedy.is_argmax(model) == ("repetition_penalty" in settings)
    penalised = one_by_one(model, processor, pictures())
    assert penalised != plain
    assert vlm.answer(model, processor, pictures(), QUESTIONS, INDEX, 12) == penalised
