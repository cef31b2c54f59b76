"""Prompts: both languages complete, rendered as promised, and a text bound to its version."""

import json
import shutil

import pytest

from jwvl_lib import prompts
from jwvl_lib.artifacts import REPO
from jwvl_lib.facts import Fact
from jwvl_lib.teacher_replies import Reply, parse_reply

FOLDER = REPO / "params" / "prompts"
FAMILIES = (
    "instrument measurement layer region_count largest_quadrant leading_polarity spots_visible"
    " polarity_if_shown mcintosh_if_shown area_if_shown activity"
    " hale_likeliest mcintosh_likeliest"
).split()
MORE = ["grounding.largest", "grounding.all", "multi.same_day", "multi.same_instrument", "multi.higher_layer"]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "prompts")
    return tmp_path / "prompts"


def edit(folder, old, new):
    path = folder / "ocr.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_the_three_tasks_and_every_question_family_are_there():
    loaded = prompts.load_prompts(FOLDER)
    families = [f"qa.{name}" for name in FAMILIES]
    assert sorted(loaded) == sorted(["description", "ocr", *families, *MORE, "multi.conversation"])
    assert {p.task for p in loaded.values()} == set("description qa ocr grounding multi_image multi_turn".split())
    for prompt in loaded.values():
        for language in prompts.LANGUAGES:
            assert list(prompt.text["steps"][language]) == list(prompts.STEPS)
            assert len(prompt.text["questions"][language]) >= 2 or "follow_ups" in prompt.text
            assert prompt.text["role"][language]
            assert prompt.text["examples"][0][language]["answer"]
            assert set(prompt.text["schema"]["answer"]) == set(prompts.LANGUAGES)


def test_the_schema_is_the_one_that_replies_are_checked_by():
    for prompt in prompts.load_prompts(FOLDER).values():
        assert list(prompt.text["schema"]) == list(Reply.model_fields)
        for example in prompt.text["examples"]:
            for language in prompts.LANGUAGES:
                fields = {k: v for k, v in example[language].items() if k != "question"}
                assert parse_reply(json.dumps(fields)).answer == fields["answer"].strip()


def test_the_choices_of_a_family_have_different_names_in_each_language():
    for prompt in prompts.load_prompts(FOLDER).values():
        for language in prompts.LANGUAGES if "choices" in prompt.text else ():
            kind = prompt.about.rpartition(":")[2]
            names = [prompt.name(kind, value, language) for value in prompt.text["choices"]]
            assert len(set(names)) == len(names) >= prompt.text["n_choices"] >= 2


def test_messages_hold_the_image_the_facts_and_the_question():
    prompt = prompts.load_prompts(FOLDER)["qa.layer"]
    facts = [Fact("layer", "corona")]
    system, user = prompts.render_messages(prompt, "en", facts, "data:image/png;base64,AA==", "Which layer?")
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][1]["text"].endswith('- layer: "corona"\n\nWhich layer?')
    assert all(step in system["content"] for step in prompts.STEPS)
    (_, without) = prompts.render_messages(prompt, "zh")
    assert without["content"] == [{"type": "text", "text": prompt.text["questions"]["zh"][0]}]


def test_the_teacher_is_not_given_what_no_viewer_can_see():
    facts = [
        Fact("noaa_ar", 12192, 12192), Fact("area_msh", 2740, 12192), Fact("mcintosh_class", "Fkc", 12192),
        Fact("quadrant", "SW", 12192), Fact("quadrant", "NE", 12193), Fact("n_regions", 2), Fact("layer", "corona"),
    ]  # fmt: skip
    seen = prompts.visible_facts(facts, largest=12192)
    assert [(f.kind, f.value) for f in seen] == [("quadrant", "SW"), ("n_regions", 2), ("layer", "corona")]
    text = prompts.user_text(prompts.load_prompts(FOLDER)["description"], "en", facts=seen)
    assert "12192" not in text
    assert "Fkc" not in text


def test_a_polarity_is_given_to_the_teacher_of_a_magnetogram_only():
    for measurement, n in (("magnetogram", 1), ("171", 0)):
        facts = [Fact("measurement", measurement), Fact("leading_polarity", "positive", 1), Fact("area_msh", 9, 1)]
        assert [f.kind for f in prompts.visible_facts(facts, 1)].count("leading_polarity") == n


def test_several_images_and_earlier_turns_stand_before_the_question():
    prompt = prompts.load_prompts(FOLDER)["multi.conversation"]
    facts = [[Fact("layer", "corona")], [Fact("layer", "photosphere")]]
    text = prompts.user_text(prompt, "en", "And now?", facts[0], more_facts=facts[1:], earlier=[("Which?", "This.")])
    wanted = [
        "Image 1:",
        '- layer: "corona"',
        "Image 2:",
        '- layer: "photosphere"',
        "Q: Which?",
        "A: This.",
        "And now?",
    ]
    assert [line for line in text.splitlines() if line in wanted] == wanted


def test_a_changed_text_under_its_old_version_is_refused(folder):
    edit(folder, "Add nothing, translate nothing.", "Add nothing.")
    with pytest.raises(prompts.PromptError, match="ocr version 2 changed.*raise its version"):
        prompts.load_prompts(folder)
    with pytest.raises(prompts.PromptError, match="raise its version"):
        prompts.renew_lock(folder)


def test_a_new_version_needs_the_lock_and_the_old_one_stays_in_it(folder):
    edit(folder, "Add nothing, translate nothing.", "Add nothing.")
    edit(folder, "version: 2", "version: 3")
    with pytest.raises(prompts.PromptError, match="not in versions.lock"):
        prompts.load_prompts(folder)
    assert prompts.main([str(folder), "--lock"]) == 0
    assert prompts.load_prompts(folder)["ocr"].version == 3
    assert "ocr 2 " in (folder / "versions.lock").read_text()
    edit(folder, "version: 3", "version: 2")
    with pytest.raises(prompts.PromptError, match="changed"):
        prompts.load_prompts(folder)


def test_a_missing_language_or_folder_is_named(folder, tmp_path):
    edit(folder, "    zh: 你负责仔细转录太阳图像中的文字。\n", "")
    with pytest.raises(prompts.PromptError, match=r"lacks role\.zh"):
        prompts.load_prompts(folder)
    with pytest.raises(FileNotFoundError, match="prompts_dir"):
        prompts.load_prompts(tmp_path / "nowhere")
