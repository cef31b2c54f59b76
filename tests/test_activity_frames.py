"""activity_frames: five classes, each of days of its own, none of them to be told by its banner."""

import numpy as np
import pytest

from jwvl_lib import activity_frames, render


@pytest.fixture(scope="module")
def frames():
    return activity_frames.make(20, "test")


def test_the_classes_take_turns_on_days_of_their_own(frames):
    assert [f.activity for f in frames] == list(activity_frames.CLASSES) * 4
    assert len({f.group_id for f in frames}) == 20
    assert {f.group_id[:4] for f in frames} == {"2015"}
    assert {bool(f.damage) for f in frames if f.activity == "corrupted"} == {True}


def test_the_same_call_gives_the_same_pictures(frames):
    again = activity_frames.make(20, "test")[3]
    assert again.image.tobytes() == frames[3].image.tobytes()


def test_years_of_the_splits_do_not_meet():
    spans = sorted(activity_frames.YEARS.values())
    assert all(end < start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


def test_a_flare_outshines_and_a_quiet_sun_does_not(frames):
    def brightest(activity):
        found = [np.asarray(f.image.convert("L"))[:130] for f in frames if f.activity == activity]
        return [(picture > 240).mean() for picture in found]

    assert min(brightest("flare")) > 5 * max(brightest("quiet"))


def test_the_banner_starts_anywhere_whatever_the_class(frames):
    height = render.banner_height(168)
    starts = {}
    for f in frames:
        banner = np.asarray(f.image.convert("L"))[-height:]
        starts.setdefault(f.activity, set()).add(int((banner > 128).any(axis=0).argmax()))
    assert all(len(of_class) > 1 for of_class in starts.values())
