"""activity_frames: five classes on days of their own, none to be told by its banner, all of them facts of a corpus."""

import json

import numpy as np
import pytest
from PIL import Image

from jwvl_lib import activity_frames, claims, corpus, facts, image_facts, render

SPAN = ("2013-01-01", "2014-12-31")
N_FRAMES = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of one simulated day and frames: folder, table."""
    folder = tmp_path_factory.mktemp("frames")
    table, rejects = corpus.build_corpus(folder, "simulated", n_simulated_days=1, n_activity_frames=N_FRAMES, workers=1)
    assert rejects.empty
    return folder, table


@pytest.fixture(scope="module")
def frames(made):
    """(class, picture) of each frame."""
    folder, table = made
    known = [
        (facts.find(facts.from_json(text), "activity"), path)
        for text, path in zip(table.facts, table.path, strict=True)
    ]
    return [(f.value, Image.open(folder / path)) for f, path in known if f is not None]


def test_the_classes_take_turns_on_days_after_all_others(made):
    plan = activity_frames.plan(N_FRAMES, *SPAN)
    assert [activity for _, activity in plan] == list(activity_frames.CLASSES) * 4
    assert len({day.name for day, _ in plan}) == N_FRAMES
    assert min(day.name for day, _ in plan) > "20141231"
    assert max(day.name for day, _ in plan) <= "20161231"
    assert activity_frames.plan(0, *SPAN) == []


def test_more_frames_than_days_are_refused():
    with pytest.raises(ValueError, match="n_activity_frames=11 does not fit into the 10 days after 2013-01-10"):
        activity_frames.plan(11, "2013-01-01", "2013-01-10")


def test_a_corpus_knows_the_class_of_each_frame_and_of_no_other_picture(made, frames):
    _, table = made
    assert sorted(activity for activity, _ in frames) == sorted(list(activity_frames.CLASSES) * 4)
    alone = table[table.facts.str.contains('"activity"')]
    known = [facts.from_json(text) for text in alone.facts]
    counts = {activity: [] for activity in activity_frames.CLASSES}
    for of_frame in known:
        counts[facts.find(of_frame, "activity").value].append(facts.find(of_frame, "n_regions"))
    assert set(counts["corrupted"]) == {None}  # it may hide some
    assert {count.value for count in counts["quiet"]} == {0}
    assert min(count.value for count in counts["flare"]) > 0
    assert None not in counts["filament"] + counts["hole"]
    assert (alone.boxes[alone.facts.str.contains("corrupted")] == "[]").all()
    assert len(table) - len(alone) == 6  # those of the simulated day
    origins = {f["origin"] for text in alone.facts for f in json.loads(text) if f["kind"] == "activity"}
    assert origins == {"simulator"}


def test_the_same_call_gives_the_same_bytes(tmp_path):
    day, activity = activity_frames.plan(5, *SPAN)[3]
    first, again = (activity_frames.write_frame(day, activity, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == [path.name for path in again]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_the_card_of_an_observation_is_no_truth():
    assert image_facts.activity_facts({"ACTIVITY": "flare"}, "x") == []
    assert image_facts.activity_facts({"ACTIVITY": "flare", "SIMULATED": True}, "x")[0].value == "flare"


def test_a_flare_outshines_and_a_quiet_sun_does_not(frames):
    def brightest(wanted):
        found = [np.asarray(picture.convert("L"))[:130] for activity, picture in frames if activity == wanted]
        return [(picture > 240).mean() for picture in found]

    assert min(brightest("flare")) > 5 * max(brightest("quiet"))


def test_the_banner_starts_anywhere_whatever_the_class(frames):
    height = render.banner_height(168)
    starts = {}
    for activity, picture in frames:
        banner = np.asarray(picture.convert("L"))[-height:]
        starts.setdefault(activity, set()).add(int((banner > 128).any(axis=0).argmax()))
    assert all(len(of_class) > 1 for of_class in starts.values())


@pytest.mark.parametrize(
    ("answer", "value"), [("a coronal hole", "hole"), ("A quiet Sun.", "quiet"), ("暗条", "filament")]
)
def test_a_bare_answer_claims_its_class(answer, value):
    (claim,) = claims.extract(answer, about="activity")
    assert (claim.kind, claim.value) == ("activity", value)
    known = [facts.Fact("activity", "hole")]
    verdict = claims.check(answer, known, about="activity")[0]["verdict"]
    assert verdict == ("supported" if value == "hole" else "contradicted")
