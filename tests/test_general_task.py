"""The general task: pictures and the questions about them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwvl_lib import general_pictures, general_task

ITEMS = general_task.make_items(240, seed=3)


def scenes(n, seed=0):
    rng = np.random.default_rng(seed)
    return [general_pictures.make_scene(rng) for _ in range(n)]


def test_same_seed_gives_the_same_items_and_another_seed_others():
    again = general_task.make_items(20, seed=3)
    for item, other in zip(ITEMS, again, strict=False):
        assert item.image.tobytes() == other.image.tobytes()
        assert (item.question, item.answer, item.choices) == (other.question, other.answer, other.choices)
    assert general_task.make_items(1, seed=4)[0].image.tobytes() != ITEMS[0].image.tobytes()


def test_all_tasks_and_both_languages_occur_and_a_quarter_is_reading():
    assert {i.task for i in ITEMS} == set(general_task.TASKS)
    assert {i.language for i in ITEMS} == {"en", "zh"}
    assert 0.15 < np.mean([i.task == "ocr" for i in ITEMS]) < 0.35


def test_about_half_of_the_other_questions_are_closed_and_list_their_answer_once():
    others = [i for i in ITEMS if i.task != "ocr"]
    assert 0.4 < np.mean([bool(i.choices) for i in others]) < 0.75
    for item in (i for i in others if i.choices):
        assert 2 <= len(item.choices) <= 6
        assert item.choices.count(item.answer) == 1
        form = "从中选择：{}。" if item.language == "zh" else " Choose from: {}."
        assert item.question.endswith(form.format(" / ".join(item.choices)))


def test_the_first_choice_is_not_given_away():
    positions = [i.choices.index(i.answer) / (len(i.choices) - 1) for i in ITEMS if i.choices]
    assert 0.35 < np.mean(positions) < 0.65


def test_nothing_solar_is_asked_or_written():
    text = " ".join(f"{i.question} {i.answer}" for i in ITEMS).lower()
    for word in ("sun", "solar", "magnetogram", "sdo", "aia", "corona", "太阳", "日冕", "活动区", "黑子"):
        assert word not in text.replace("sunday", "")


@pytest.mark.parametrize("image_px", [112, 168, 224])
def test_text_band_is_the_lower_sixth_and_the_rest_is_not_touched_by_it(image_px):
    for item in general_task.make_items(6, seed=1, image_px=image_px):
        picture = np.asarray(item.image)
        assert picture.shape == (image_px, image_px, 3)
        band = picture[-round(image_px / 6) :]
        assert band.max() == 255
        assert np.mean(band == 0) > 0.5


def test_right_answers_follow_from_the_pixels():
    for scene in scenes(120):
        picture = np.asarray(scene.image.convert("L"), float)
        if not scene.things or min(t.radius for t in scene.things[:1]) < 8:
            continue
        t = scene.things[0]
        x, y, r = round(t.x), round(t.y), round(t.radius)
        patch = picture[max(0, y - r // 2) : y + r // 2 + 1, max(0, x - r) : x + r + 1]
        if scene.kind == "pairs":
            half = patch.shape[1] // 2
            brighter = "left" if patch[:, :half].mean() > patch[:, -half:].mean() else "right"
            assert general_task.truth(scene, "polarity") == brighter
        if scene.kind in ("bright spots", "dark spots"):
            rng_x, rng_y = round(scene.centre[0]), round(scene.centre[1])
            disk = np.median(picture[rng_y - 30 : rng_y + 30, rng_x - 30 : rng_x + 30])
            assert (patch.mean() > disk) == (scene.kind == "bright spots")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_things_are_apart_inside_and_clearly_in_one_quadrant(seed):
    scene = general_pictures.make_scene(np.random.default_rng(seed))
    height = scene.image.height - round(scene.image.width / 6)
    for k, t in enumerate(scene.things):
        assert 0 < t.x < scene.image.width
        assert 0 < t.y < height
        assert min(abs(t.x - scene.centre[0]), abs(t.y - scene.centre[1])) >= 8
        assert k == 0 or t.radius <= 0.6 * scene.things[0].radius + 1e-9
        assert all(math.dist((t.x, t.y), (o.x, o.y)) > t.radius + o.radius for o in scene.things[:k])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_lines_are_short_printable_and_never_padded(seed):
    line = general_pictures.random_line(np.random.default_rng(seed))
    assert 1 <= len(line) <= 20
    assert line == line.strip()
    assert "  " not in line
    assert all(c.isascii() and c.isprintable() for c in line)


def test_an_empty_disk_has_no_largest_thing_to_ask_about():
    empty = next(s for s in scenes(60) if not s.things)
    assert not {"place", "polarity", "size", "shape"} & set(general_task.tasks_of(empty))
    assert general_task.truth(empty, "kind") == "nothing"
    assert general_task.truth(empty, "count_range") == "0"
