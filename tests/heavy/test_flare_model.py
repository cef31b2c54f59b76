"""The shipped flare model is what its recipe gives from the archive, and its verification holds: about a minute."""

import numpy as np
import pytest

from jwvl_lib import flare_model, flare_scores, flare_training, rates

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def trained(shared_data):
    sample = flare_training.sample(rates.read_archive(shared_data / "swpc_text_archive"))
    return sample, *flare_training.leave_one_year_out(sample)


def test_leave_one_year_out_is_the_recorded_one(trained):
    sample, regions, disk, _ = trained
    recorded = flare_model.load()["verification"]["scores"]
    for row in (r for r in recorded if r["sample"].startswith("leave one year out")):
        frame, chances = (sample.cases, regions) if row["scope"] == "region" else (sample.days, disk)
        i = flare_training.LEVELS.index(row["level"])
        event, p = frame[row["level"]].to_numpy(), chances[row["method"]][i]
        bss = flare_scores.brier_skill(p, event, chances["climatology"][i])
        print(f"{row['scope']} {row['level']} {row['method']}: BSS {bss:.3f}, AUC {flare_scores.auc(p, event):.3f}")
        assert (len(event), int(event.sum())) == (row["n"], row["n_events"])
        assert bss == pytest.approx(row["bss"], abs=2e-3)
        assert flare_scores.auc(p, event) == pytest.approx(row["auc"], abs=2e-3)


def test_no_region_is_in_two_folds(trained):
    assert trained[0].cases.groupby("noaa_ar")["fold"].nunique().max() == 1


def test_shipped_weights_are_those_of_the_recipe(trained):
    sample, *_, held_out = trained
    everything = np.ones(len(sample.cases), bool)
    again = flare_training.finish(sample, flare_training.fit_regions(sample, everything), held_out)
    shipped = flare_model.load()
    assert again["features"] == shipped["features"]
    for level in ("C", "M"):
        assert np.allclose(again["weights"][level][0], shipped["weights"][level][0], atol=1e-3)
    assert np.allclose(again["x_from_m"][0], shipped["x_from_m"][0], atol=0.01)
