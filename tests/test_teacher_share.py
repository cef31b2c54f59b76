"""The plan of the grounded teacher: what few pictures can answer has its share, and no more is asked than before."""

from collections import Counter

import pandas as pd
import pytest

from jwvl_lib import artifacts, facts, teacher_plan
from jwvl_lib.facts import Fact
from jwvl_lib.prompts import load_prompts

VIEWS = (("HMI", "magnetogram", "photosphere"), ("AIA", "171", "corona"), ("AIA", "304", "chromosphere"))


def _image(day, instrument, measurement, layer):
    n = day % 3
    found = [Fact("observatory", "SDO"), Fact("instrument", instrument), Fact("measurement", measurement)]
    found += [Fact("layer", layer), Fact("n_regions", n), Fact("date_obs", f"2014-01-{day + 1:02d}T00:00:00")]
    for number in range(19000, 19000 + n):
        found += [
            Fact("noaa_ar", number, number),
            Fact("area_msh", 500 - number % 100, number),
            Fact("quadrant", "NE", number),
        ]
        if measurement == "magnetogram":
            found.append(Fact("leading_polarity", "positive", number))
    row = {"image_id": f"{day:02d}-{measurement}", "split": "train", "facts": facts.to_json(found)}
    return row | {"n_regions": n, "measurement": measurement}


@pytest.fixture(scope="module")
def planned():
    corpus = pd.DataFrame([_image(day, *view) for day in range(24) for view in VIEWS])
    prompts = teacher_plan.offering(corpus, load_prompts(artifacts.REPO / "params" / "prompts"))
    return corpus, teacher_plan.plan(corpus, prompts, qa_per_image=5)


def test_every_magnetogram_with_a_region_is_asked_its_polarity_in_both_languages(planned):
    corpus, plan = planned
    asked = Counter(q.image_id for q in plan if q.prompt.prompt_id == "qa.leading_polarity")
    shown = corpus.image_id[(corpus.measurement == "magnetogram") & (corpus.n_regions > 0)]
    assert asked == Counter(dict.fromkeys(shown, 2))


def test_as_many_are_asked_as_before_and_no_question_twice(planned):
    _, plan = planned
    closed = [q for q in plan if q.prompt.task == "qa"]
    assert set(Counter(q.image_id for q in closed).values()) == {5}
    assert len({(q.image_id, q.prompt.prompt_id, q.language) for q in closed}) == len(closed)


def test_what_the_banner_says_gives_way_to_what_must_be_looked_for(planned):
    corpus, plan = planned
    with_regions = set(corpus.image_id[corpus.n_regions > 0])
    plan = [q for q in plan if q.image_id in with_regions]
    banner = Counter(q.prompt.about for q in plan if q.prompt.about in teacher_plan.BANNER_TELLS)
    of_disk = Counter(q.prompt.about for q in plan if q.prompt.about in ("n_regions", "largest:quadrant"))
    assert set(banner) == set(teacher_plan.BANNER_TELLS)
    assert min(of_disk.values()) > max(banner.values())
