"""The corpus: from observations, real and simulated, to pictures with facts, boxes and splits.

Reads image files (sunpy's test observations, a local folder) and Solar Region Summaries; simulates days. Writes into
the stage's folder `images/`, `corpus.parquet` and `rejects.parquet`, besides `raw/` (the simulated FITS and SRS files)
and `work/` (finished jobs, from which a rerun goes on). Real and simulated files take the same way through the same
readers. A bad file is a row of the rejects and stops nothing.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from jwvl_lib import (
    activity_frames,
    artifacts,
    corpus_table,
    duplicates,
    image_rows,
    instruments,
    light_curves,
    observations,
    online_sources,
    quality,
    simulate,
)
from jwvl_lib.sources import Job, list_jobs, named, summaries_by_day
from jwvl_lib.workers import Done, each

LOGGER = logging.getLogger(__name__)
# words of the system and of astropy, which keeps no error number
NO_ROOM = re.compile("No space left|Not enough space on disk|quota exceeded|File too large")
LIBRARY = Path(__file__).parent
WORKED_BY = (
    "activity_frames banner_styles corpus facts geometry heliographic image_facts image_files image_rows "
    "instruments knowledge lettering light_curves measured_facts observations quality render scene scene_views "
    "simulate sources swpc view_variety"
).split()


def build_corpus(
    folder: str | Path,
    sources: str = "sunpy,simulated",
    local_dir: str | Path = "",
    swpc_dir: str | Path = "",
    n_simulated_days: int = 150,
    tstart: str = "2013-01-01",
    tend: str = "2014-12-31",
    rare_views: bool = False,
    bare_share: float = 0.0,
    vary_banners: bool = False,
    image_px: int = 168,
    real_split: str = "test",
    region_crops: bool = False,
    channels: str = "AIA 171, AIA 193, AIA 304, HMI continuum, HMI magnetogram",
    cadence_hours: float = 24.0,
    max_fetched: int = 50,
    jsoc_email: str = "",
    n_activity_frames: int = 0,
    seed: int = 0,
    workers: int = 2,
    dask_address: str = "",
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build the corpus in `folder`; returns (corpus, rejects), as written to the two Parquet files.

    `sources` names sunpy, simulated and those of `online_sources`, separated by commas: online, `channels` every
    `cadence_hours` from `tstart` to `tend`, at most `max_fetched` images a source. `local_dir` adds a folder of image
    files, `swpc_dir` the Solar Region Summaries of their days; `region_crops` adds a picture of each region;
    `rare_views` lets the simulator draw every instrument of its table, each picture in a manner of its own;
    `bare_share` of the simulated pictures have no banner, so that the Sun itself has to be looked at; `vary_banners`
    gives the others a place, font, size and form of their own; `n_activity_frames` adds frames whose activity is known,
    on days after `tend` (`activity_frames`). Real images go to `real_split` ("" splits them by day
    like the others).
    May be killed at any time: run again, it goes on and ends with the same bytes, whatever `workers` (processes here)
    and `dask_address` (a cluster that sees the same folders) are. Raises ValueError for an unknown source or a folder
    without images, FileNotFoundError for a missing folder.
    """
    folder = Path(folder).absolute()  # the workers of a cluster stand elsewhere
    if real_split not in ("", "train", "val", "test"):
        raise ValueError(f"real_split={real_split!r} is no split; one of train, val, test, or '' to split by day")
    if not 0 <= bare_share <= 1:
        raise ValueError(f"bare_share={bare_share} is no share; give 0 (every picture has a banner) to 1 (none has)")
    online = set(online_sources.SOURCES) & named(sources)
    span = (channels, tstart, tend, cadence_hours, max_fetched, jsoc_email)
    fetched = online_sources.acquire(folder / "fetched", online, *span) if online else []
    jobs = list_jobs(
        folder, sources, local_dir, n_simulated_days, tstart, tend, seed, fetched, rare_views, n_activity_frames
    )
    summaries_by_day(str(swpc_dir))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    shown = (image_px, region_crops, bare_share, vary_banners)
    work = _Worker(folder, shown, str(swpc_dir), str(folder / "fetched" / "swpc"), _code_key())
    done = tqdm(each(work, jobs, workers, dask_address), total=len(jobs), disable=not progress, unit="job")
    found, rejects, used = _collect(done)
    rejects = [{"path": f.name, "reason": f.error} for f in fetched if f.error] + rejects
    if not found:
        raise ValueError(
            f"none of {len(jobs)} files could be read as an image; the first: {rejects[0]['path']}: "
            f"{rejects[0]['reason']}"
        )
    kept, twice = corpus_table.without_duplicates(found)
    kept, alike = _without_alike(kept, folder)
    rejects = pd.DataFrame(rejects + twice + alike, columns=["path", "reason"], dtype="str")
    rejects = rejects.drop_duplicates(ignore_index=True)
    table = corpus_table.write(folder, kept, corpus_table.split_names(kept, real_split, seed))
    artifacts.write_parquet(folder / "rejects.parquet", rejects)
    _prune(folder, {Path(e.path).name for e in kept}, used, {job.day.name for job in jobs if job.day})
    LOGGER.info("%d images, %d rejects from %d jobs", len(kept), len(rejects), len(jobs))
    return pd.read_parquet(table), rejects


# --------------------------------------------------------------------------------------------------------------------
# doing it


@dataclass(frozen=True)
class _Worker:
    """Does one job, or finds it done in `work/<key>.json`; the key covers the code, the parameters and the file."""

    folder: Path
    shown: tuple[int, bool, float, bool]  # image_px, region_crops, bare_share, vary_banners
    swpc_dir: str
    fetched_dir: str
    code: str

    def __call__(self, job: Job) -> tuple[str, dict]:
        content = "" if job.day else artifacts.sha256(job.path)
        key = [self.code, *self.shown, job.source, repr(job.day), job.activity, content]
        name = f"{_digest(key)[:24]}.json"
        outcome = self._finished(name)
        if outcome is None:
            outcome = self._simulate(job) if job.day else self._image(job.source, Path(job.path))
            (self.folder / "work" / name).write_text(json.dumps(outcome), encoding="utf-8")
        return name, outcome

    def _finished(self, name: str) -> dict | None:
        """The outcome of a job that is done and whose files are all as they were left; else None."""
        try:
            outcome = json.loads((self.folder / "work" / name).read_text(encoding="utf-8"))
            whole = all(artifacts.sha256(self.folder / path) == sha for path, sha in outcome["files"])
            whole &= all(_srs_digest(self._srs(day)) == digest for day, digest in outcome["srs"])
        except (OSError, ValueError, KeyError):
            return None
        return outcome if whole else None

    def _srs(self, day: str) -> tuple[str, bytes]:
        """Source and bytes of the summary of a day, ("", b"") where there is none."""
        source, path = summaries_by_day(self.swpc_dir, self.fetched_dir).get(day, ("", None))
        return source, path.read_bytes() if path else b""

    def _simulate(self, job: Job) -> dict:
        if job.activity:
            written = activity_frames.write_frame(job.day, job.activity, job.path)
        else:
            written = simulate.simulate_day(job.day, job.path)
        srs, images = ([p for p in written if p.suffix == suffix] for suffix in (".txt", ".fits"))
        summary = (f"{job.source}/{srs[0].name}", srs[0].read_bytes()) if srs else ("", b"")
        raw = [(f"raw/{job.day.name}/{p.name}", artifacts.sha256(p)) for p in written]
        outcome = {"rows": [], "rejects": [], "files": raw, "srs": []}
        for path in images:
            part = self._image(f"{job.source}/{path.name}", path, summary)
            outcome = {key: value + part[key] if key != "srs" else value for key, value in outcome.items()}
        return outcome

    def _image(self, source: str, path: Path, srs: tuple[str, bytes] | None = None) -> dict:
        try:
            if srs is None and light_curves.is_light_curve(path):
                return self._curve(source, path)
            obs = observations.open_observation(path)
            drawn = obs.header.get("ACTIVITY") if obs.header.get("SIMULATED") else None
            if drawn != "corrupted" and (reason := quality.defect(obs)):  # a frame drawn as damaged is kept for it
                raise observations.UnreadableImage(path, reason)
            summary = srs or self._srs(obs.date_obs[:10])
            rows, rejects = image_rows.image_rows(obs, source, summary, self.folder, *self.shown)
            seen = [(obs.date_obs[:10], _srs_digest(summary))]
        except (observations.UnreadableImage, OSError) as error:
            if NO_ROOM.search(str(error)):
                raise  # of the disk, not of the file: nothing is to be kept of it
            reason = getattr(error, "reason", None) or f"{type(error).__name__}: {error.strerror or error}"
            return {"rows": [], "rejects": [{"path": source, "reason": reason}], "files": [], "srs": []}
        return {"rows": rows, "rejects": rejects, "files": [(r["path"], r["sha256"]) for r in rows], "srs": seen}

    def _curve(self, source: str, path: Path) -> dict:
        row = light_curves.light_curve_row(path, source, self.folder, self.shown[0])
        return {"rows": [row], "rejects": [], "files": [(row["path"], row["sha256"])], "srs": []}


def _collect(done: Iterable[Done]) -> tuple[list, list[dict], set[str]]:
    """Entries, rejects and the names of the finished jobs."""
    found, rejects, used = [], [], set()
    for one in done:
        if NO_ROOM.search(one.error):
            raise OSError(f"{one.item.source} could not be written ({one.error}): free disk space and run again")
        if one.error:
            LOGGER.warning("%s: %s", one.item.source, one.error)
            rejects.append({"path": one.item.source, "reason": one.error})
            continue
        name, outcome = one.value
        used.add(name)
        found += corpus_table.entries(name, outcome["rows"])
        rejects += outcome["rejects"]
    return found, rejects, used


def _without_alike(kept: list, folder: Path) -> tuple[list, list[dict]]:
    """Entries without those that repeat an earlier one to the eye, and their rejects."""
    repeated = duplicates.same_to_the_eye([entry.path for entry in kept], folder)
    rejects = [
        {"path": kept[i].source, "reason": f"duplicate of {kept[first].source} to the eye (likeness {value:.3f})"}
        for i, (first, value) in sorted(repeated.items())
    ]
    return [entry for i, entry in enumerate(kept) if i not in repeated], rejects


def _prune(folder: Path, images: set[str], work: set[str], days: set[str]) -> None:
    """Take away what an earlier run with other parameters, or a killed one, has left."""
    for path in sorted((folder / "images").iterdir()):
        if path.name not in images:
            path.unlink()
    for path in sorted((folder / "work").iterdir()):
        if path.name not in work:
            path.unlink()
    for path in sorted((folder / "raw").glob("*")):
        if path.name not in days:
            shutil.rmtree(path)


# --------------------------------------------------------------------------------------------------------------------
# hashes


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _srs_digest(summary: tuple[str, bytes]) -> str:
    return hashlib.sha256(summary[0].encode() + summary[1]).hexdigest()


@lru_cache(maxsize=1)
def _code_key() -> str:
    """Of everything that shapes an outcome: the modules at work and the tables they read."""
    files = [LIBRARY / f"{name}.py" for name in WORKED_BY] + [
        simulate.REGION_CLASSES,
        simulate.VIEWS,
        instruments.TABLE,
    ]
    return _digest([artifacts.sha256(path) for path in files])
