"""Reports of many days in one command, and an index page over them with search.

Reads an archive folder of SWPC products and `<date>/report.json` of earlier runs; writes `<date>/` (see `report`),
`index.html` and `index.json`. A day that is whole and whose sources are unchanged is not made again, so an interrupted
run goes on where it ended. Days are spread over processes or a Dask cluster (`workers`); none stops the others.
"""

import argparse
import base64
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from jwvl_lib import artifacts, knowledge, report, report_page, report_sources
from jwvl_lib.workers import each

log = logging.getLogger(__name__)
DATA = report_page.DATA
INDEX_CSP = "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Made:
    """What became of one day: `made`, `kept` (whole and unchanged) or `failed` with its reason."""

    date: str
    state: str
    reason: str = ""


def backfill(
    start: str,
    end: str,
    swpc_dir: str | Path,
    out_dir: str | Path,
    workers: int = 2,
    force: bool = False,
    dask_address: str = "",
    **options,
) -> list[Made]:
    """Reports of every day from `start` to `end` (both YYYY-MM-DD, inclusive), then the index; in order of date.

    `options` are those of `report.compose`; `dask_address` names a cluster that sees both folders. A day without
    products or with unreadable ones, or whose process dies twice, is `failed` with one line; its neighbours go on.
    May be killed at any time: run again, it goes on and ends with the same files. ValueError where `end` is before
    `start`.
    """
    first, last = report_sources.parse_date(start), report_sources.parse_date(end)
    if last < first:
        raise ValueError(f"end {end} is before start {start}; give the earlier day first")
    days = [f"{first + timedelta(days=i)}" for i in range((last - first).days + 1)]
    swpc_dir, out_dir = Path(swpc_dir).absolute(), Path(out_dir).absolute()  # the workers of a cluster stand elsewhere
    job = partial(make_day, swpc_dir=str(swpc_dir), out_dir=str(out_dir), force=force, options=options)
    made = []
    for done in each(job, days, workers, dask_address):
        made.append(Made(done.item, "failed", done.error) if done.error else done.value)
        if made[-1].state == "failed":
            log.info("%s: no report: %s", made[-1].date, made[-1].reason)
    write_index(out_dir)
    return made


def make_day(day: str, swpc_dir: str, out_dir: str, force: bool = False, options: dict | None = None) -> Made:
    """The report of one day, or the one line why there is none."""
    try:
        sources = report.gather(day, swpc_dir)
        if not force and is_current(Path(out_dir) / day, sources):
            return Made(day, "kept")
        report.write(report.compose(sources, day, **(options or {})), sources, out_dir)
    except (OSError, ValueError) as error:
        return Made(day, "failed", " ".join(str(error).split())[:300])
    return Made(day, "made")


def is_current(folder: Path, sources: Iterable[report_sources.Source]) -> bool:
    """Whether a folder holds a whole report (`report.json` is written last) of exactly these sources."""
    try:
        listed = json.loads((folder / "report.json").read_text(encoding="utf-8"))["sources"]
    except (OSError, ValueError, KeyError):
        return False
    whole = all((folder / name).is_file() for name in ("report.html", "report.md"))
    return whole and [s["sha256"] for s in listed] == [hashlib.sha256(s.raw).hexdigest() for s in sources]


# --------------------------------------------------------------------------------------------------------------------
# the index


def index_rows(out_dir: str | Path) -> list[dict]:
    """One row a report under a folder, the newest first; a folder whose `report.json` cannot be read is left out."""
    rows = []
    for path in sorted(Path(out_dir).glob("[0-9]*-[0-9]*-[0-9]*/report.json"), reverse=True):
        try:
            rows.append(_row(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s: left out of the index (%s)", path.parent.name, error)
    return rows


def _row(made: dict) -> dict:
    regions = made["regions"]
    largest = max((r for r in regions if r["area_msh"] is not None), key=lambda r: r["area_msh"], default=None)
    flare = max(made["flares"], key=lambda f: report.report_facts.goes_flux(f["goes_class"]), default=None)
    watched = [w["noaa_ar"] for w in made["watch_list"]]
    words = [made["report_date"], *knowledge.names("activity_level")[made["activity_level"]["value"]]]
    words += [f"{r['noaa_ar']} {r['mcintosh_class']} {r['hale_class'] or ''} {r['location'] or ''}" for r in regions]
    words += [f["goes_class"] for f in made["flares"] if f["goes_class"][0] in "MX"]
    words += [made["impacts"]["R"]["value"], *(f"watch {n}" for n in watched)]
    return {
        "report_date": made["report_date"],
        "level": made["activity_level"]["value"],
        "n_regions": len(regions) if made["regions_from"] else None,
        "largest": largest and {k: largest[k] for k in ("noaa_ar", "area_msh", "mcintosh_class")},
        "flare": flare and flare["goes_class"],
        "watch": watched,
        "n_warnings": len(made["warnings"]),
        "words": " ".join(words).lower(),
    }


def write_index(out_dir: str | Path) -> Path:
    """Write `index.html` and `index.json` over the reports of a folder. Returns the page's path."""
    rows = index_rows(out_dir)
    artifacts.write_json(Path(out_dir) / "index.json", [{k: v for k, v in r.items() if k != "words"} for r in rows])
    return artifacts.write_text(Path(out_dir) / "index.html", index_html(rows))


def index_html(rows: list[dict]) -> str:
    """The index page: loads nothing, its one style sheet and one script are named by hash in its own policy."""
    css = (DATA / "report.css").read_text(encoding="utf-8")
    script = (DATA / "report_index.js").read_text(encoding="utf-8")
    policy = INDEX_CSP.format(style=_hash(css), script=_hash(script))
    template = report_page._environment(autoescape=True).get_template("report_index.html.j2")
    return template.render(rows=rows, css=css, script=script, policy=policy, term=knowledge.term)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def main(arguments: list[str] | None = None) -> int:
    """Make the reports of every day of a span from an archive folder, resumable, with an index page."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.report_archive", description=main.__doc__)
    parser.add_argument("start", metavar="FROM", help="YYYY-MM-DD")
    parser.add_argument("end", metavar="TO", help="YYYY-MM-DD, inclusive")
    parser.add_argument("--swpc-dir", required=True, help="archive folder of SWPC products")
    parser.add_argument("--out", default="outputs/archive/06_daily_report", help="folder of the reports")
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine")
    parser.add_argument(
        "--dask-address", default="", help="scheduler of a Dask cluster to use instead, tcp://host:8786"
    )
    parser.add_argument("--force", action="store_true", help="make days again that are whole and unchanged")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        places = given.start, given.end, given.swpc_dir, given.out
        done = backfill(*places, given.workers, given.force, given.dask_address)
    except (OSError, ValueError, ImportError) as error:
        log.error("error: %s", error)
        return 2
    counts = {state: sum(d.state == state for d in done) for state in ("made", "kept", "failed")}
    log.info("%s; index: %s", ", ".join(f"{n} {k}" for k, n in counts.items()), Path(given.out) / "index.html")
    return 0 if counts["made"] + counts["kept"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
