"""The daily report over whole archives: every day gives a report or its reason, and every number leads to a raw line.

Reads the real runs and the archive of 2008-2015 (`shared_data`). Years are chosen with JWVL_REPORT_YEARS ("2014" or
"2008-2015", the default); one process, about half a second of CPU a day.
"""

import json
import os
import random
import re
import shutil
import time
from collections import Counter
from datetime import date, timedelta

import jsonschema
import pytest

from jwvl_lib import report, report_archive, report_facts, report_numbers, report_page, swpc

pytestmark = pytest.mark.heavy
YEARS = [int(y) for y in os.environ.get("JWVL_REPORT_YEARS", "2008-2015").split("-")]
PROGRESS = os.environ.get("JWVL_PROGRESS", "")  # a file that gets a line every 100 days
SCHEMA = jsonschema.Draft202012Validator(json.loads((report_page.DATA / report.SCHEMA).read_text(encoding="utf-8")))
FIRST_X_FLARES = {  # region: (day of its first X flare, run that holds the days before)
    11158: ("2011-02-15", "ar11158_2011feb"),
    11429: ("2012-03-05", "ar11429_2012mar"),
    12192: ("2014-10-19", "ar12192_2014oct"),
}


def _tally(day: str, swpc_dir, out, counts: Counter, problems: list) -> None:
    made = report_archive.make_day(day, str(swpc_dir), str(out))
    counts[made.state] += 1
    if made.state == "failed":
        assert made.reason
        counts[f"reason: {made.reason.split(':')[-1][:60]}"] += 1
        return
    problems += [(day, p) for p in report.check(out / day)]
    made_json = json.loads((out / day / "report.json").read_text(encoding="utf-8"))
    problems += [(day, error.message[:200]) for error in SCHEMA.iter_errors(made_json)]
    for number in report_numbers.resolve(out / day):
        counts[f"{number.file}"] += 1
        counts[f"number {number.how or 'unresolved'}"] += 1
        if not number.how:
            problems.append((day, number))
    shutil.rmtree(out / day)


def test_every_day_of_the_real_runs(shared_data, tmp_path, record):
    counts, problems = Counter(), []
    for run in sorted((shared_data / "swpc_text_runs").iterdir()):
        for path in sorted((run / "srs").glob("*SRS.txt")):
            day = f"{path.name[:4]}-{path.name[4:6]}-{path.name[6:8]}"
            _tally(day, run, tmp_path / run.name, counts, problems)
    print("\nreal runs:", dict(counts))
    n_numbers, n_lost = sum(v for k, v in counts.items() if k.startswith("number ")), counts["number unresolved"]
    record("report_runs", counts["failed"], 0, counts["made"] + counts["failed"])
    record("report_numbers", n_lost, 0, n_numbers, note=f"numbers of {counts['made']} days of the real runs")
    assert problems == []
    assert counts["made"] == 73
    assert counts["failed"] == 0


def test_every_day_of_the_archive(archive, tmp_path):
    counts, problems, start, cpu = Counter(), [], time.monotonic(), time.process_time()
    every = [d for y in range(YEARS[0], YEARS[-1] + 1) for d in _days_of(y)]
    days = [d for first in range(16) for d in every[first::16]]  # a run cut short has seen all years
    for i, day in enumerate(days):
        _tally(day, archive, tmp_path, counts, problems)
        if PROGRESS and i % 100 == 99:
            with open(PROGRESS, "a") as progress:
                print(day, f"{time.process_time() - cpu:.0f} s CPU", len(problems), dict(counts), file=progress)
    print(
        f"\narchive {YEARS}: {len(days)} days, {time.monotonic() - start:.0f} s, {time.process_time() - cpu:.0f} s CPU"
    )
    print(dict(counts))
    assert problems == []
    assert counts["made"] + counts["failed"] == len(days)
    assert counts["made"] >= 0.99 * len(days)


NUMBERS_OF_REGIONS = {  # where a digit is changed: numbers a reader takes from the three files
    "report.html": r'class="n"[^>]*>([\dNSEWX.C]*\d[\d.:]*)<',
    "report.md": r"(?m)^\| (\d{5} \|.*?)(?=\| [a-z]+_\d)",
    "report.json": r'"(?:noaa_ar|area_msh|n_spots|location|goes_class|peak|begin|value)": "?([NSX]?[\d.]+)',
}


@pytest.mark.parametrize("name", NUMBERS_OF_REGIONS)
def test_a_digit_changed_anywhere_is_found(shared_data, tmp_path, name, record, tally):
    """The reading can fail: of 40 digits changed one at a time `check` finds all, `resolve` alone most of them."""
    day, run = "2014-10-25", shared_data / "swpc_text_runs" / "ar12192_2014oct"
    assert report_archive.make_day(day, str(run), str(tmp_path)).state == "made"
    path, rng = tmp_path / day / name, random.Random(0)
    good = path.read_text(encoding="utf-8")
    places = [i for m in re.finditer(NUMBERS_OF_REGIONS[name], good) for i in range(*m.span(1)) if good[i].isdigit()]
    checked = resolved = 0
    for i in rng.sample(places, 40):
        other = rng.choice([d for d in "0123456789" if d != good[i]])
        path.write_text(good[:i] + other + good[i + 1 :], encoding="utf-8")
        checked += bool(report.check(tmp_path / day))
        resolved += any(not n.how for n in report_numbers.resolve(tmp_path / day))
    print(f"\n{name}: of 40 changed digits of {len(places)} check finds {checked}, resolve alone {resolved}")
    tally[name] = 40 - checked
    record("report_digits", sum(tally.values()), 0, 40 * len(tally))
    assert checked == 40
    assert resolved >= 20


def _days_of(year: int) -> list[str]:
    first = date(year, 1, 1)
    return [f"{first + timedelta(days=i)}" for i in range((date(year + 1, 1, 1) - first).days)]


@pytest.mark.parametrize("number", FIRST_X_FLARES)
def test_flagged_before_its_first_x_flare(shared_data, number, record, tally):
    """A report made on an earlier day than the flare lists the region."""
    flare_day, run = FIRST_X_FLARES[number]
    folder, first = shared_data / "swpc_text_runs" / run, None
    for path in sorted((folder / "srs").glob("*SRS.txt")):
        day = f"{path.name[:4]}-{path.name[4:6]}-{path.name[6:8]}"
        if day < flare_day and first is None:
            made = report.compose(report.gather(day, folder), day)
            first = next(((day, w["reasons"]) for w in made["watch_list"] if w["noaa_ar"] == number), None)
    print(f"\n{number}: first X flare on {flare_day}, first flagged on {first}")
    tally[number] = first is not None
    record("flagged", sum(tally.get(n, False) for n in FIRST_X_FLARES), 3, len(FIRST_X_FLARES))
    assert first is not None


def test_watching_everything_would_not_pass(archive):
    """Over the archive the rules choose few regions, and those flare far more often than the others."""
    regions, watched, flagged_days, days, hits, strong = 0, 0, 0, 0, 0, 0
    for day in (d for y in range(2008, 2016) for d in _days_of(y)):
        try:
            facts = report_facts.read_day(report.gather(day, archive), day).facts
        except (OSError, ValueError):
            continue
        chosen = {w["noaa_ar"] for w in facts["watch_list"]}
        days, flagged_days = days + 1, flagged_days + bool(chosen)
        regions, watched = regions + len(facts["regions"]), watched + len(chosen)
        events = _events_of(archive, day)
        flaring = {f["noaa_ar"] for f in events if f["goes_class"] and f["goes_class"][0] in "MX"}
        here = flaring & {r["noaa_ar"] for r in facts["regions"]}
        strong, hits = strong + len(here), hits + len(here & chosen)
    print(
        f"\nwatch list over {days} days of 2008-2015: {flagged_days} days with a region to watch "
        f"({flagged_days / days:.1%}), {watched} of {regions} region-days ({watched / regions:.1%}); "
        f"of {strong} region-days with an M or X flare on the day itself {hits} were on it ({hits / strong:.1%})"
    )
    assert watched / regions < 0.2
    assert hits / strong > 3 * watched / regions


def _events_of(archive, day: str) -> list[dict]:
    name = f"{day.replace('-', '')}events.txt"
    path = archive / f"{day[:4]}_events" / name
    try:
        return swpc.parse_events(path.read_bytes(), name)
    except (OSError, ValueError):
        return []
