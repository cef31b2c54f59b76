"""Where the images of a corpus come from: sunpy's test observations, a local folder, fetched files, simulated days.

Reads the names of files only; writes nothing. Each source becomes a list of jobs in a fixed order, and each Solar
Region Summary is found by the day that it describes.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from jwvl_lib import activity_frames, artifacts, observations, online_sources, simulate
from jwvl_lib.fetching import Fetched

SOURCES = ("sunpy", "local", *online_sources.SOURCES, "simulated")
BESIDE_IMAGES = {".txt", ".md", ".json", ".csv", ".yaml", ".yml", ".html", ".pdf", ".py"}


@dataclass(frozen=True)
class Job:
    """One unit of work: an image file, or a day to be simulated into the folder `path`.

    `activity` makes of a simulated day the one frame of `activity_frames` that shows this class.
    """

    source: str
    path: str
    day: simulate.SimulatedDay | None = None
    activity: str = ""


def named(sources: str, local_dir: str | Path = "") -> set[str]:
    """The sources that a text names, separated by commas; ValueError with the nearest name for an unknown one."""
    wanted = {_known_source(name.strip()) for name in sources.split(",") if name.strip()}
    return wanted | {"local"} if str(local_dir) else wanted


def list_jobs(
    folder: Path,
    sources: str,
    local_dir: str | Path,
    n_simulated_days: int,
    tstart: str,
    tend: str,
    seed: int,
    fetched: Sequence[Fetched] = (),
    rare_views: bool = False,
    n_activity_frames: int = 0,
) -> list[Job]:
    """The jobs of a corpus in their order: sunpy's files, local files, fetched images, simulated days and frames.

    `fetched` are files in `folder/fetched`; `rare_views` lets the simulator draw every instrument of its
    table. Raises ValueError where there is no job at all, FileNotFoundError for a missing folder.
    """
    wanted = named(sources, local_dir)
    jobs = []
    if "sunpy" in wanted:
        root = observations.sunpy_data()
        jobs += [Job(f"sunpy/{p.relative_to(root).as_posix()}", str(p)) for p in observations.sample_files()]
    if "local" in wanted:
        root = _local_root(local_dir)
        jobs += [Job(f"local/{p.relative_to(root).as_posix()}", str(p)) for p in _image_files(root)]
    images = [f.name for f in fetched if not f.error and not f.name.endswith("SRS.txt")]
    jobs += [Job(f"fetched/{name}", str(folder / "fetched" / name)) for name in images]
    if "simulated" in wanted:
        days = simulate.plan_days(n_simulated_days, tstart, tend, seed, rare_views)
        frames = activity_frames.plan(n_activity_frames, tstart, tend, seed)
        drawn = [*((day, "") for day in days), *frames]
        jobs += [Job(f"simulated/{day.name}", str(folder / "raw" / day.name), day, activity) for day, activity in drawn]
    if not jobs:
        failed = next((f"; not fetched: {f.error}" for f in fetched if f.error), "")
        raise ValueError(
            f"sources={sources!r}, n_simulated_days={n_simulated_days} give no image; name one of"
            f" {', '.join(SOURCES)}, or simulate at least one day{failed}"
        )
    return jobs


def _known_source(name: str) -> str:
    if name not in SOURCES:
        nearest = difflib.get_close_matches(name, SOURCES, n=1, cutoff=0.0)[0]
        raise ValueError(f"sources: {name!r} is not known; did you mean {nearest!r}? One of {', '.join(SOURCES)}")
    return name


def _local_root(local_dir: str | Path) -> Path:
    root = artifacts.resolve(local_dir)
    if root is None or not root.is_dir():
        raise FileNotFoundError(f"local_dir={str(local_dir)!r} is no folder; give the folder that holds your images")
    return root


def _image_files(root: Path) -> list[Path]:
    """Every file below `root` that may be meant as an image, in order of name; texts and hidden files are not."""
    files = [p for p in root.rglob("*") if p.is_file() and p.suffix.lower() not in BESIDE_IMAGES]
    files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    if not files:
        raise ValueError(f"local_dir={str(root)!r} holds no image file; put FITS, JPEG2000 or PNG files into it")
    return sorted(files, key=lambda p: p.relative_to(root).as_posix())


@lru_cache(maxsize=4)
def summaries_by_day(swpc_dir: str, fetched_dir: str = "") -> dict[str, tuple[str, Path]]:
    """Day described ("2014-10-23") -> (source, path) of its summary, which was issued on the following day.

    Those among sunpy's test files, before them those below `fetched_dir`, before all those below `swpc_dir`.
    """
    found = [(f"sunpy/SRS/{p.name}", p) for p in observations.sample_srs_files()]
    found += [(f"fetched/swpc/{p.name}", p) for p in sorted(Path(fetched_dir).glob("*SRS.txt")) if fetched_dir]
    if swpc_dir:
        root = artifacts.resolve(swpc_dir)
        if not root.is_dir():
            raise FileNotFoundError(f"swpc_dir={swpc_dir!r} is no folder; give the one with YYYYMMDDSRS.txt files")
        found += [(f"swpc/{p.relative_to(root).as_posix()}", p) for p in sorted(root.rglob("*SRS.txt"))]
    days = {}
    for source, path in found:
        try:
            issued = datetime.strptime(path.name, "%Y%m%dSRS.txt")
        except ValueError:
            continue
        days[f"{issued - timedelta(days=1):%Y-%m-%d}"] = (source, path)
    return days
