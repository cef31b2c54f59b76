"""Train and verify the flare model on an archive of SWPC texts: `python -m jwvl_lib.flare_training ARCHIVE [UNSEEN]`.

Reads `srs_YEARS.tar.gz` and `events_YEARS.tar.gz`; writes `data/flare_model.json`: coefficients, refits on resampled
regions, recipe, provenance and verification. Every method is scored on the same cases, leaving out one year at a time;
a region belongs with all its days to the year in which it was first listed.
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import artifacts, flare_model, flare_scores, rates
from jwvl_lib.flare_baselines import CLASS_DAYS, METHODS, fill_in, verify
from jwvl_lib.flare_model import LEVELS
from jwvl_lib.flare_sample import Sample, by_class, sample

log = logging.getLogger(__name__)
PENALTY_C = 0.01  # inverse strength of the ridge penalty; 0.003-0.03 give the same skill to 0.005
N_MEMBERS = 40
RECIPE = (
    "A case is a region with spots and a McIntosh class in the SRS issued on day d (00 UT) for which an Edited Events "
    "list of d exists; for the disk, a day with both texts. The event: an X-ray flare (XRA) of the level or stronger "
    "began on d, 00-24 UT, and (for a region) carries its number. Features: the SRS of d and of 7 days before, the "
    "events of the 7 days before d. Ridge logistic regressions for C and M; X follows from the log-odds of M by two "
    "parameters; the disk from the regions as if independent, then by two parameters. Intervals: 5-95 % of refits on "
    "resampled regions. Verification: a region with all its days belongs to the year of its first day; skill is "
    "against the climatology of the training years; intervals resample regions (disk: blocks of 27 days)."
)


# --------------------------------------------------------------------------------------------------------------------
# the model


def fit_regions(s: Sample, train: np.ndarray, n_members: int = 0, seed: int = 0) -> dict:
    """The part of the model that rates C and M of a region, from the cases of the mask `train`.

    The first row of `weights` is the model itself, `n_members` refits on resampled regions follow (for intervals).
    """
    cases = s.cases[train]
    names = [k for k in s.features[0] if k != "mcintosh_class"]
    model = {"features": names, "class_log_odds": {k: _class_log_odds(cases, k) for k in ("C", "M")}}
    features = [f for f, keep in zip(s.features, train, strict=True) if keep]
    matrix = flare_model.design(model, features)
    matrix[:, -2:] = np.column_stack([_own_left_out(cases, level) for level in ("C", "M")])
    model |= {"mean": matrix.mean(axis=0).tolist(), "scale": np.maximum(matrix.std(axis=0), 1e-6).tolist()}
    z = flare_model.standardised(model, matrix)
    draws = [np.ones(len(z)), *flare_scores.resample(cases["noaa_ar"].to_numpy(), n_members, seed)]
    model["weights"] = {k: [_ridge(z, cases[k].to_numpy(), w) for w in draws] for k in ("C", "M")}
    return model


def _ridge(z: np.ndarray, event: np.ndarray, weights: np.ndarray, penalty_c: float = PENALTY_C) -> list[float]:
    """Intercept and coefficients; the intercept is not penalised."""
    from sklearn.linear_model import LogisticRegression  # here, since only training needs it

    used = weights > 0
    fitted = LogisticRegression(C=penalty_c, solver="newton-cholesky", tol=1e-6)
    fitted.fit(z[used], event[used], weights[used])
    return [float(fitted.intercept_[0]), *fitted.coef_[0].tolist()]


def _class_log_odds(cases: pd.DataFrame, level: str) -> dict[str, float]:
    table = {k: _log_odds(n, len_, cases[level].mean()) for k, n, len_ in by_class(cases, level)}
    return {**table, "other": _log_odds(0, 0, cases[level].mean())}


def _own_left_out(cases: pd.DataFrame, level: str) -> np.ndarray:
    """Each case's class frequency without its own region, so that no case sees its own outcome in training."""
    own = cases.groupby(["mcintosh_class", "noaa_ar"])[level].transform
    whole = cases.groupby("mcintosh_class")[level].transform
    return _log_odds(
        whole("sum").to_numpy(float) - own("sum").to_numpy(float),
        whole("size").to_numpy(float) - own("size").to_numpy(float),
        cases[level].mean(),
    )


def _log_odds(n_events: float, n: float, climatology: float) -> float:
    p = (n_events + CLASS_DAYS * climatology) / (n + CLASS_DAYS)
    return np.log(p / (1 - p)) if isinstance(p, np.ndarray) else float(np.log(p / (1 - p)))


def _calibration(logits: np.ndarray, event: np.ndarray) -> list[float]:
    """Offset and slope that turn log-odds into calibrated ones (Platt)."""
    if event.all() or not event.any():
        raise ValueError("an archive without a single flare of this level, or with one every day: give more years")
    return _ridge(logits[:, None], event, np.ones(len(event)), penalty_c=1e4)


def finish(s: Sample, regional: dict, held_out: np.ndarray, seed: int = 1) -> dict:
    """The whole model: to `fit_regions` it adds X from M and the disk, fitted on `held_out` log-odds (C and M, case).

    Only log-odds of cases the regression had not seen tell how far it is over-sure; non-finite ones are left out.
    """
    known = np.isfinite(held_out[1])
    x = s.cases["X"].to_numpy()
    units = s.cases["noaa_ar"].to_numpy()[known]
    pairs = [_calibration(held_out[1, known], x[known])]
    for draw in flare_scores.resample(units, len(regional["weights"]["M"]) - 1, seed):
        again = np.repeat(np.flatnonzero(known), draw)
        pairs.append(_calibration(held_out[1, again], x[again]) if x[again].any() else pairs[0])
    logits = _three(held_out, pairs[0])
    joint, there = _joint(s, logits)
    disk = {k: _calibration(joint[i, there], s.days[k].to_numpy()[there]) for i, k in enumerate(LEVELS)}
    return {**regional, "x_from_m": pairs, "disk": disk}


def _three(held_out: np.ndarray, x_from_m: list[float]) -> np.ndarray:
    x = np.minimum(x_from_m[0] + x_from_m[1] * held_out[1], held_out[1])
    return np.stack([np.maximum(held_out[0], held_out[1]), held_out[1], x])


def _joint(s: Sample, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (level, day) of any region's flare, and which days have all their regions rated."""
    rows = s.cases.groupby("day").indices
    joint = np.full((len(logits), len(s.days)), np.nan)
    for i, day in enumerate(s.days["day"]):
        own = logits[:, rows.get(day, np.array([], int))]
        joint[:, i] = flare_model.joint_logit(1 / (1 + np.exp(-own))) if np.isfinite(own).all() else np.nan
    return joint, np.isfinite(joint).all(axis=0)


# --------------------------------------------------------------------------------------------------------------------
# forecasts of every method, for cases their training has not seen


def leave_one_year_out(s: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Chances of every method, regions {method: (level, case)} and disk {method: (level, day)}; log-odds (2, case).

    X and the disk of a year are calibrated on the held-out log-odds of the other years.
    """
    fold, years = s.cases["fold"].to_numpy(), sorted(s.cases["fold"].unique())
    held_out = np.empty((2, len(fold)))
    for year in years:
        regional = fit_regions(s, fold != year)
        held_out[:, fold == year] = _first_two(regional, s, fold == year)
    regions = {k: np.empty((3, len(fold))) for k in (*METHODS, "climatology")}
    disk = {k: np.empty((3, len(s.days))) for k in regions}
    for year in years:
        test, test_day = fold == year, s.days["fold"].to_numpy() == year
        others = np.where(fold != year, held_out, np.nan)
        parts = finish(s, {"weights": {"M": [[]]}}, others)  # of the regions' part only the number of refits counts
        logits = _three(held_out, parts["x_from_m"][0])
        regions["model"][:, test] = _sigmoid(logits)[:, test]
        disk["model"][:, test_day] = _disk_chances(parts, _joint(s, logits)[0])[:, test_day]
        fill_in(s, ~test, ~test_day, test, test_day, regions, disk)
    return regions, disk, held_out


def unseen(s: Sample, model: dict, later: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Chances of every method, trained on all of `s`, for the cases of `later`: (regions, disk) as above."""
    logits = flare_model.region_logits(model, later.features)[:, 0]
    regions = {k: np.empty((3, len(later.cases))) for k in (*METHODS, "climatology")}
    disk = {k: np.empty((3, len(later.days))) for k in regions}
    regions["model"] = _sigmoid(logits)
    disk["model"] = _disk_chances(model, _joint(later, logits)[0])
    both = Sample(
        pd.concat([s.cases, later.cases], ignore_index=True), [], pd.concat([s.days, later.days], ignore_index=True)
    )
    test, test_day = np.arange(len(both.cases)) >= len(s.cases), np.arange(len(both.days)) >= len(s.days)
    wide = {k: np.empty((3, len(both.cases))) for k in regions}, {k: np.empty((3, len(both.days))) for k in disk}
    fill_in(both, ~test, ~test_day, test, test_day, *wide)
    for name in (*METHODS[1:], "climatology"):
        regions[name], disk[name] = wide[0][name][:, test], wide[1][name][:, test_day]
    return regions, disk


def _first_two(model: dict, s: Sample, mask: np.ndarray) -> np.ndarray:
    z = flare_model.standardised(
        model, flare_model.design(model, [f for f, k in zip(s.features, mask, strict=True) if k])
    )
    weights = np.array([model["weights"][level][0] for level in ("C", "M")])
    return weights[:, :1] + weights[:, 1:] @ z.T


def _disk_chances(model: dict, joint: np.ndarray) -> np.ndarray:
    calibration = np.array([model["disk"][k] for k in LEVELS])
    return _sigmoid(np.minimum.accumulate(calibration[:, :1] + calibration[:, 1:] * joint, axis=0))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


# --------------------------------------------------------------------------------------------------------------------
# the record


def train(archive: str | Path, unseen_archive: str | Path | None = None) -> dict:
    """The content of `data/flare_model.json` from the folder of an archive, verified also on that of later years."""
    texts = rates.read_archive(archive)
    s = sample(texts)
    regions, disk, held_out = leave_one_year_out(s)
    first, last = s.days["fold"].min(), s.days["fold"].max()
    records = [verify(s, regions, disk, f"leave one year out, {first}-{last}")]
    model = finish(s, fit_regions(s, np.ones(len(s.cases), bool), N_MEMBERS), held_out)
    provenance = {"training": texts.provenance}
    if unseen_archive:
        more = rates.read_archive(unseen_archive)
        later = sample(more)
        years = f"{later.days['fold'].min()}-{later.days['fold'].max()}"
        records.append(verify(later, *unseen(s, model, later), f"years never seen, {years}"))
        provenance["unseen"] = more.provenance
    name = f"flare model: ridge logistic regressions, trained on {len(s.cases)} region-days of {first}-{last}"
    head = {"name": name, "recipe": RECIPE, "years": [int(first), int(last)]}
    head |= {"n_region_days": len(s.cases), "n_days": len(s.days)}
    climatology = {k: float(s.cases[k].mean()) for k in LEVELS}
    verification = {k: [row for r in records for row in r[k]] for k in records[0]}
    return {**head, "climatology": climatology, "provenance": provenance, "verification": verification, **model}


def to_text(model: dict) -> str:
    """The artifact as JSON, a top-level entry a line, numbers to five digits."""
    return "{\n" + ",\n".join(f'"{k}": {json.dumps(_rounded(v))}' for k, v in model.items()) + "\n}\n"


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> None:
    """Derive `data/flare_model.json` from the archive of SWPC texts in a folder; verify on later years if given."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.flare_training", description=main.__doc__)
    parser.add_argument("archive")
    parser.add_argument("unseen", nargs="?", help="folder of later years, used for verification only")
    parser.add_argument("--out", default=str(flare_model.MODEL_FILE))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = parser.parse_args(arguments)
    model = train(given.archive, given.unseen)
    artifacts.write_text(Path(given.out), to_text(model))
    log.info("%s: %d region-days", given.out, model["n_region_days"])


if __name__ == "__main__":
    main()
