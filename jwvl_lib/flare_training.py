"""Train and verify the flare model on an archive of SWPC texts: `python -m jwvl_lib.flare_training ARCHIVE [UNSEEN]`.

Reads `srs_YEARS.tar.gz` and `events_YEARS.tar.gz`; writes `data/flare_model.json`: coefficients, refits on resampled
regions, recipe, provenance and verification. Every method is scored on the same cases, leaving out one year at a time;
a region belongs with all its days to the year in which it was first listed.
"""

import argparse
import itertools
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from jwvl_lib import artifacts, flare_fit, flare_model, rates
from jwvl_lib.flare_baselines import METHODS, fill_in, verify
from jwvl_lib.flare_model import LEVELS, sigmoid
from jwvl_lib.flare_sample import STEPS, Sample, sample

log = logging.getLogger(__name__)
N_MEMBERS = 40
RECIPE = (
    "A case is a region with spots and a McIntosh class in the SRS issued on day d (00 UT) for which an Edited Events "
    "list of d exists; for the disk, a day with both texts. The event: an X-ray flare (XRA) of the level or stronger "
    "began on d, 00-24 UT, and (for a region) carries its number. Features: the SRS of d and of 7 days before, the "
    "events of the 7 days before d. Ridge logistic regressions at C1, C3, C5 and M1; C and M are logistic regressions "
    "on their four log-odds for held-out years (C straightened at its median); X follows from the log-odds of M by "
    "two parameters; the disk from the regions as if independent, then by three parameters. Intervals: 5-95 % of "
    "refits on resampled regions. Verification is nested: for each year left out, joining and calibrations come from "
    "leaving out each of the other years in turn. The ridge strength is the one that cross-validation within the "
    "training years chose for each of the eight years (M regression, first set of features). A region with all its "
    "days belongs to the year of its first day; skill is against the climatology of the training years; intervals "
    "resample regions (disk: blocks of 27 days)."
)


# --------------------------------------------------------------------------------------------------------------------
# forecasts of every method, for cases their training has not seen


def held_out_logits(s: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of the steps for cases their training lacks: (step, case) and (year, step, case).

    The first leaves out the case's own year; the second the year of its first axis too (NaN for that year's cases):
    what may be used to calibrate a forecast of that year.
    """
    fold, years = s.cases["fold"].to_numpy(), sorted(s.cases["fold"].unique())
    one = np.full((len(STEPS), len(fold)), np.nan)
    two = np.full((len(years), *one.shape), np.nan)
    for left_out in [*itertools.combinations(years, 1), *itertools.combinations(years, 2)]:
        part = flare_fit.fit_steps(s, ~np.isin(fold, left_out))
        for year in left_out:
            test = fold == year
            target = one if len(left_out) == 1 else two[years.index(next(y for y in left_out if y != year))]
            target[:, test] = flare_fit.step_logits(part, s, test)
    return one, two


def leave_one_year_out(s: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Chances of every method, regions {method: (level, case)} and disk {method: (level, day)}; held-out log-odds.

    Nested: nothing that rates a year, joining and calibrations among it, has seen that year.
    """
    fold, years = s.cases["fold"].to_numpy(), sorted(s.cases["fold"].unique())
    one, two = held_out_logits(s)
    regions = {k: np.empty((3, len(fold))) for k in (*METHODS, "climatology")}
    disk = {k: np.empty((3, len(s.days))) for k in regions}
    for year, inner in zip(years, two, strict=True):
        test, test_day = fold == year, s.days["fold"].to_numpy() == year
        parts = flare_fit.join(s, inner)
        logits = flare_fit.chances_logits(parts, one)
        regions["model"][:, test] = sigmoid(logits[:, test])
        disk["model"][:, test_day] = flare_fit.disk_chances(parts, s, logits)[:, test_day]
        fill_in(s, ~test, ~test_day, test, test_day, regions, disk)
    return regions, disk, one


def unseen(s: Sample, model: dict, later: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Chances of every method, trained on all of `s`, for the cases of `later`: (regions, disk) as above."""
    logits = flare_model.region_logits(model, later.features)[:, 0]
    regions = {k: np.empty((3, len(later.cases))) for k in (*METHODS, "climatology")}
    disk = {k: np.empty((3, len(later.days))) for k in regions}
    regions["model"], disk["model"] = sigmoid(logits), flare_fit.disk_chances(model, later, logits)
    both = Sample(
        pd.concat([s.cases, later.cases], ignore_index=True), [], pd.concat([s.days, later.days], ignore_index=True)
    )
    test, test_day = np.arange(len(both.cases)) >= len(s.cases), np.arange(len(both.days)) >= len(s.days)
    wide = {k: np.empty((3, len(both.cases))) for k in regions}, {k: np.empty((3, len(both.days))) for k in disk}
    fill_in(both, ~test, ~test_day, test, test_day, *wide)
    for name in (*METHODS[1:], "climatology"):
        regions[name], disk[name] = wide[0][name][:, test], wide[1][name][:, test_day]
    return regions, disk


def whole_model(s: Sample, held_out: np.ndarray, n_members: int = N_MEMBERS) -> dict:
    """The model from all cases; joining and calibrations from the held-out log-odds (step, case) of all years."""
    parts = flare_fit.join(s, held_out, n_members)
    regional = flare_fit.fit_steps(s, np.ones(len(s.cases), bool), n_members)
    return {**regional, "weights": flare_fit.collapsed(regional, parts["joined"]), **parts}


# --------------------------------------------------------------------------------------------------------------------
# the record


def train(archive: str | Path, unseen_archive: str | Path | None = None) -> dict:
    """`from_texts` of the folder of an archive and that of later years; errors are those of `rates.read_archive`."""
    return from_texts(rates.read_archive(archive), rates.read_archive(unseen_archive) if unseen_archive else None)


def from_texts(texts: rates.Archive, unseen_texts: rates.Archive | None = None) -> dict:
    """The content of `data/flare_model.json` from an archive, verified also on one of later years."""
    s = sample(texts)
    regions, disk, held_out = leave_one_year_out(s)
    first, last = s.days["fold"].min(), s.days["fold"].max()
    records = [verify(s, regions, disk, f"leave one year out, {first}-{last}")]
    model = whole_model(s, held_out)
    provenance = {"training": texts.provenance}
    if unseen_texts:
        later = sample(unseen_texts)
        years = f"{later.days['fold'].min()}-{later.days['fold'].max()}"
        records.append(verify(later, *unseen(s, model, later), f"years never seen, {years}"))
        provenance["unseen"] = unseen_texts.provenance
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


def main(arguments: list[str] | None = None) -> int:
    """Derive `data/flare_model.json` from the archive of SWPC texts in a folder; verify on later years if given."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.flare_training", description=main.__doc__)
    parser.add_argument("archive")
    parser.add_argument("unseen", nargs="?", help="folder of later years, used for verification only")
    parser.add_argument("--out", default=str(flare_model.MODEL_FILE))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = parser.parse_args(arguments)
    try:
        texts, later = rates.read_archive(given.archive), rates.read_archive(given.unseen) if given.unseen else None
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    model = from_texts(texts, later)
    artifacts.write_text(Path(given.out), to_text(model))
    log.info("%s: %d region-days", given.out, model["n_region_days"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
