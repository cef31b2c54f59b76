"""The shipped flare model is what its recipe gives from the archive, and its verification holds: about four minutes."""

import numpy as np
import pytest

from jwvl_lib import flare_fit, flare_model, flare_scores, flare_training, rates
from jwvl_lib.flare_sample import Sample

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def trained(shared_data):
    sample = flare_training.sample(rates.read_archive(shared_data / "swpc_text_archive"))
    return sample, *flare_training.leave_one_year_out(sample)


def test_leave_one_year_out_is_the_recorded_one(trained, record):
    sample, regions, disk, _ = trained
    recorded = flare_model.load()["verification"]["scores"]
    for row in (r for r in recorded if r["sample"].startswith("leave one year out")):
        frame, chances = (sample.cases, regions) if row["scope"] == "region" else (sample.days, disk)
        i = flare_training.LEVELS.index(row["level"])
        event, p = frame[row["level"]].to_numpy(), chances[row["method"]][i]
        bss = flare_scores.brier_skill(p, event, chances["climatology"][i])
        print(f"{row['scope']} {row['level']} {row['method']}: BSS {bss:.3f}, AUC {flare_scores.auc(p, event):.3f}")
        if (row["scope"], row["level"], row["method"]) == ("region", "M", "model"):
            note = f"{int(event.sum())} of {len(event)} region-days with an M flare, 2008-2015"
            record("flare_bss", float(bss), 0.25, len(event), note=note)
            record("flare_auc", float(flare_scores.auc(p, event)), 0.92, len(event), note=note)
        assert (len(event), int(event.sum())) == (row["n"], row["n_events"])
        assert bss == pytest.approx(row["bss"], abs=2e-3)
        assert flare_scores.auc(p, event) == pytest.approx(row["auc"], abs=2e-3)


def test_no_region_is_in_two_folds(trained):
    assert trained[0].cases.groupby("noaa_ar")["fold"].nunique().max() == 1


def test_nothing_that_calibrates_a_year_has_seen_it(trained):
    """The inner log-odds of a year's own cases do not exist; changing that year's outcomes changes no other's."""
    sample, *_, one = trained
    fold = sample.cases["fold"].to_numpy()
    inner = np.where(fold != fold.min(), one, np.nan)
    parts = flare_fit.join(sample, inner)
    cases, days = sample.cases.copy(), sample.days.copy()
    for frame in (cases, days):
        own = frame["fold"] == fold.min()
        frame.loc[own, ["C", "M", "X"]] = ~frame.loc[own, ["C", "M", "X"]].astype(bool)
    again = flare_fit.join(Sample(cases, sample.features, days), inner)
    assert again["joined"] == parts["joined"]
    assert again["x_from_m"] == parts["x_from_m"]
    assert again["disk"] == parts["disk"]


def test_shipped_weights_are_those_of_the_recipe(trained):
    sample, *_, held_out = trained
    again, shipped = flare_training.whole_model(sample, held_out, n_members=0), flare_model.load()
    assert again["features"] == shipped["features"]
    for level in ("C", "M"):
        assert np.allclose(again["weights"][level][0], shipped["weights"][level][0], atol=1e-3)
        assert np.allclose(again["joined"][level], shipped["joined"][level], atol=1e-2)
        assert np.allclose(again["disk"][level], shipped["disk"][level], atol=1e-2)
    assert np.allclose(again["x_from_m"][0], shipped["x_from_m"][0], atol=0.01)
