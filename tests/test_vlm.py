"""Loading, asking and scoring, on the tiny base that ships with the project."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer, ProcessorMixin

from jwvl_lib import general_task, vlm

BASE = "models/tiny_base"


@pytest.fixture(scope="module")
def model():
    return vlm.load_model(BASE)


@pytest.fixture(scope="module")
def processor():
    return vlm.load_processor(BASE)


@pytest.fixture(scope="module")
def items():
    return general_task.make_items(12, seed=7)


def plain_generate(model, processor, image, question, max_new_tokens):
    """What the documentation of transformers shows, one question at a time."""
    messages = vlm.chat_messages(question)
    messages[0]["content"][0]["image"] = image
    inputs = processor.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    model.model.rope_deltas = None
    generated = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return processor.tokenizer.decode(generated[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_processor_reads_images_and_text(processor):
    assert isinstance(processor, ProcessorMixin)
    assert processor.tokenizer.padding_side == "left"
    batch = processor.image_processor(images=[Image.new("RGB", (168, 168))], return_tensors="pt")
    assert batch["image_grid_thw"].tolist() == [[1, 12, 12]]


def test_answers_equal_plain_generate_whatever_the_batch(model, processor, items):
    images, questions = [i.image for i in items], [i.question for i in items]
    batched = vlm.answer(model, processor, images, questions, range(len(items)), max_new_tokens=40, batch_size=5)
    assert len({len(q) for q in questions}) > 3  # so that rows were padded
    for item, answer in zip(items, batched, strict=True):
        assert answer == plain_generate(model, processor, item.image, item.question, 40)


def test_pictures_of_unequal_size_and_repeated_use(model, processor, items):
    images = [items[0].image, items[1].image.resize((112, 224))]
    index = [1, 0, 1, 0]
    questions = [items[2].question, items[3].question, items[3].question, items[2].question]
    batched = vlm.answer(model, processor, images, questions, index, max_new_tokens=12)
    for k, i in enumerate(index):
        assert batched[k] == plain_generate(model, processor, images[i], questions[k], 12)


def test_vision_runs_once_an_image(model, processor, items, monkeypatch):
    n_encoded = []
    encode = model.get_image_features
    monkeypatch.setattr(model, "get_image_features", lambda px, grid: n_encoded.append(len(grid)) or encode(px, grid))
    vlm.answer(model, processor, [items[0].image], [i.question for i in items], [0] * len(items), max_new_tokens=2)
    assert sum(n_encoded) == 1


def test_features_are_what_the_tower_gives(model, processor, items):
    (features,) = vlm.image_features(model, processor, [items[0].image])
    assert features.shape == (36, model.config.text_config.hidden_size)
    batch = processor.image_processor(images=[items[0].image], return_tensors="pt")
    expected = model.model.visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"]).pooler_output
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


def test_log_likelihood_is_that_of_separate_unpadded_samples(model, processor, items):
    answers = ["red", "3 or more", "左上"]
    index = [0, 1, 2]
    questions = [items[i].question for i in index]
    scores = vlm.answer_log_likelihood(model, processor, [i.image for i in items], questions, index, answers)
    for i, answer, score in zip(index, answers, scores, strict=True):
        n_image_tokens = 36
        head = vlm.prompt_ids(processor, items[i].question, n_image_tokens)
        tail = processor.tokenizer(answer + "<|im_end|>").input_ids
        ids = torch.tensor([head + tail])
        batch = processor.image_processor(images=[items[i].image], return_tensors="pt")
        model.model.rope_deltas = None
        with torch.inference_mode():
            logits = model(input_ids=ids, mm_token_type_ids=(ids == processor.image_token_id).int(), **batch).logits[
                0, len(head) - 1 : -1
            ]
        expected = logits.log_softmax(-1)[np.arange(len(tail)), tail].mean()
        assert score == pytest.approx(expected.item(), abs=1e-4)


def test_choose_takes_the_likeliest_choice(model, processor, items):
    closed = [i for i in items if i.choices]
    images, questions = [i.image for i in closed], [i.question for i in closed]
    chosen = vlm.choose(model, processor, images, questions, range(len(closed)), [i.choices for i in closed])
    for k, item in enumerate(closed):
        n = len(item.choices)
        scores = vlm.answer_log_likelihood(model, processor, images, [item.question] * n, [k] * n, item.choices)
        assert chosen[k] == item.choices[int(np.argmax(scores))]


def test_a_choice_is_weighed_by_the_whole_likelihood(model, processor, items):
    item = next(i for i in items if len(set(map(len, i.choices))) > 1)
    choices, n = list(item.choices), len(item.choices)
    (choice, share), *_ = vlm.choose_weighed(model, processor, [item.image], [item.question], [0], [choices])
    means = vlm.answer_log_likelihood(model, processor, [item.image], [item.question] * n, [0] * n, choices)
    totals = [m * (len(processor.tokenizer(c).input_ids) + 1) for m, c in zip(means, choices, strict=True)]
    assert choice == choices[int(np.argmax(means))]
    assert share == pytest.approx(np.exp(totals[choices.index(choice)]) / np.exp(totals).sum(), rel=1e-3)


def test_choose_refuses_an_empty_choice_list(model, processor, items):
    with pytest.raises(ValueError, match="no choices"):
        vlm.choose(model, processor, [items[0].image], ["What?"], [0], [[]])


def test_adapter_changes_the_answers_and_merges_to_the_same(model, processor, items, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    targets = r".*language_model\.layers\.\d+\.self_attn\.(q|v)_proj"
    tuned = get_peft_model(vlm.load_model(BASE), LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    loaded = vlm.load_model(BASE, tmp_path / "adapter")
    images, questions, index = [i.image for i in items], [i.question for i in items], range(len(items))
    answers = vlm.answer(loaded, processor, images, questions, index, max_new_tokens=8)
    assert answers != vlm.answer(model, processor, images, questions, index, max_new_tokens=8)
    merged = loaded.merge_and_unload()
    assert answers == vlm.answer(merged, processor, images, questions, index, max_new_tokens=8)


def test_plain_transformers_reads_the_folder():
    folder = vlm.model_location(BASE)
    assert AutoModelForImageTextToText.from_pretrained(folder).config.model_type == "qwen2_5_vl"
    tokens = AutoTokenizer.from_pretrained(folder)("2014-02-03", add_special_tokens=False).input_ids
    assert len(tokens) == 10


def test_missing_model_and_adapter_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"models/none.*model folder or a hub id"):
        vlm.load_model("models/none")
    with pytest.raises(FileNotFoundError, match="adapter_config"):
        vlm.load_model(BASE, tmp_path)
    assert vlm.model_location("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"


def test_a_text_only_folder_is_refused(tmp_path, monkeypatch):
    AutoTokenizer.from_pretrained(vlm.model_location(BASE)).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    with pytest.raises((TypeError, OSError)):
        vlm.load_processor(tmp_path)
