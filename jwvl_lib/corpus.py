"""The corpus: from observations, real and simulated, to pictures with facts, boxes and splits.

Reads image files (sunpy's test observations, a local folder) and Solar Region Summaries; simulates days. Writes into
the stage's folder `images/`, `corpus.parquet` and `rejects.parquet`, besides `raw/` (the simulated FITS and SRS files)
and `work/` (finished jobs, from which a rerun goes on). Real and simulated files take the same way through the same
readers. A bad file is a row of the rejects and stops nothing.
"""

import hashlib
import json
import logging
import math
import re
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from jwvl_lib import artifacts, image_facts, instruments, measured_facts, observations, render, simulate, splits, swpc
from jwvl_lib.facts import Fact, to_json
from jwvl_lib.geometry import DiskGeometry, disk_geometry, patch_geometry
from jwvl_lib.sources import Job, list_jobs, summaries_by_day
from jwvl_lib.workers import each

LOGGER = logging.getLogger(__name__)
COLUMNS = (
    "image_id path sha256 source observatory instrument detector measurement wavelength_angstrom layer date_obs width "
    "height simulated stretch split group_id banner_text facts boxes"
).split()
SMALLEST_DISK = 0.6  # of the picture's height above the banner: smaller, and it is a coronagraph's occulted disk
LIBRARY = Path(__file__).parent
WORKED_BY = (
    "corpus facts geometry heliographic image_facts image_files instruments measured_facts observations render "
    "scene scene_views simulate sources swpc"
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
    image_px: int = 168,
    real_split: str = "test",
    seed: int = 0,
    workers: int = 2,
    dask_address: str = "",
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build the corpus in `folder`; returns (corpus, rejects), as written to the two Parquet files.

    `sources` names sunpy and simulated, separated by commas; `local_dir` adds a folder of image files, `swpc_dir` the
    Solar Region Summaries of their days. Real images go to `real_split` ("" splits them by day like the others).
    `rare_views` lets the simulator draw every instrument of its table.
    May be killed at any time: run again, it goes on and ends with the same bytes, whatever `workers` (processes here)
    and `dask_address` (a cluster that sees the same folders) are. Raises ValueError for an unknown source or a folder
    without images, FileNotFoundError for a missing folder.
    """
    folder = Path(folder).absolute()  # the workers of a cluster stand elsewhere
    if real_split not in ("", "train", "val", "test"):
        raise ValueError(f"real_split={real_split!r} is no split; one of train, val, test, or '' to split by day")
    jobs = list_jobs(folder, sources, local_dir, n_simulated_days, tstart, tend, seed, rare_views)
    summaries_by_day(str(swpc_dir))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "work").mkdir(exist_ok=True)
    rows, rejects, used = [], [], set()
    work = _Worker(folder, image_px, str(swpc_dir), _code_key())
    for done in tqdm(each(work, jobs, workers, dask_address), total=len(jobs), disable=not progress, unit="job"):
        if done.error:
            LOGGER.warning("%s: %s", done.item.source, done.error)
            rejects.append({"path": done.item.source, "reason": done.error})
            continue
        name, outcome = done.value
        used.add(name)
        rows += outcome["rows"]
        rejects += outcome["rejects"]
    if not rows:
        raise ValueError(
            f"none of {len(jobs)} files could be read as an image; the first: {rejects[0]['path']}: "
            f"{rejects[0]['reason']}"
        )
    rows, twice = _without_duplicates(rows)
    corpus = _with_splits(pd.DataFrame(rows), real_split, seed)[COLUMNS]
    rejects = pd.DataFrame(rejects + twice, columns=["path", "reason"], dtype="str").drop_duplicates(ignore_index=True)
    artifacts.write_parquet(folder / "corpus.parquet", corpus)
    artifacts.write_parquet(folder / "rejects.parquet", rejects)
    _prune(folder, {Path(p).name for p in corpus["path"]}, used, {job.day.name for job in jobs if job.day})
    LOGGER.info("%d images, %d rejects from %d jobs", len(corpus), len(rejects), len(jobs))
    return corpus, rejects


# --------------------------------------------------------------------------------------------------------------------
# doing it


@dataclass(frozen=True)
class _Worker:
    """Does one job, or finds it done in `work/<key>.json`; the key covers the code, the parameters and the file."""

    folder: Path
    image_px: int
    swpc_dir: str
    code: str

    def __call__(self, job: Job) -> tuple[str, dict]:
        content = "" if job.day else artifacts.sha256(job.path)
        name = f"{_digest([self.code, self.image_px, job.source, repr(job.day), content])[:24]}.json"
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
        source, path = summaries_by_day(self.swpc_dir).get(day, ("", None))
        return source, path.read_bytes() if path else b""

    def _simulate(self, job: Job) -> dict:
        srs, *images = simulate.simulate_day(job.day, job.path)
        raw = [(f"raw/{job.day.name}/{p.name}", artifacts.sha256(p)) for p in (srs, *images)]
        outcome = {"rows": [], "rejects": [], "files": raw, "srs": []}
        for path in images:
            part = self._image(f"{job.source}/{path.name}", path, (f"{job.source}/{srs.name}", srs.read_bytes()))
            outcome = {key: value + part[key] if key != "srs" else value for key, value in outcome.items()}
        return outcome

    def _image(self, source: str, path: Path, srs: tuple[str, bytes] | None = None) -> dict:
        try:
            obs = observations.open_observation(path)
            day = obs.date_obs[:10]
            summary = srs or self._srs(day)
            row, rejects = _image_row(obs, source, summary, self.folder, self.image_px)
        except (observations.UnreadableImage, OSError) as error:
            reason = getattr(error, "reason", None) or f"{type(error).__name__}: {error.strerror or error}"
            return {"rows": [], "rejects": [{"path": source, "reason": reason}], "files": [], "srs": []}
        return {
            "rows": [row],
            "rejects": rejects,
            "files": [(row["path"], row["sha256"])],
            "srs": [(day, _srs_digest(summary))],
        }


# --------------------------------------------------------------------------------------------------------------------
# one image


def _image_row(obs, source: str, summary: tuple[str, bytes], folder: Path, image_px: int) -> tuple[dict, list[dict]]:
    """Render, gather facts and boxes, write the picture; the row lacks its split. Second: rejects (a bad SRS)."""
    name = instruments.display_name(obs.observatory, obs.instrument, obs.measurement)
    short = instruments.banner_name(obs.observatory, obs.instrument, obs.measurement)
    banner = [short, f"{obs.date_obs[:16].replace('T', ' ')} UT"]
    picture = render.render(obs, image_px, banner, x_offset=_x_offset(source))
    pixels = hashlib.sha256(repr(obs.data.shape).encode() + obs.data.tobytes()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    image_id = f"{slug}_{obs.date_obs.replace('-', '').replace(':', '')}_{pixels[:8]}"
    png = render.png_bytes(picture.image)
    (folder / "images" / f"{image_id}.png").write_bytes(png)
    found = [*image_facts.header_facts(obs, source)]
    found.append(Fact("banner_text", "\n".join(banner), origin="render", source=source))
    if not obs.header.get("SIMULATED"):  # the simulator's own truth is better than any detector
        found += measured_facts.measured_facts(measured_facts.measure(obs), source)
    about_regions, boxes, rejects = _region_facts(obs, source, summary, picture)
    row = {
        "image_id": image_id,
        "path": f"images/{image_id}.png",
        "sha256": hashlib.sha256(png).hexdigest(),
        "source": source,
        **{k: getattr(obs, k) for k in ("observatory", "instrument", "detector", "measurement")},
        "wavelength_angstrom": obs.wavelength_angstrom if math.isfinite(obs.wavelength_angstrom) else None,
        "layer": obs.layer,
        "date_obs": obs.date_obs,
        "width": picture.image.width,
        "height": picture.image.height,
        "simulated": bool(obs.header.get("SIMULATED", False)),
        "stretch": _stretch_text(obs, picture),
        "group_id": obs.date_obs[:10],
        "banner_text": "\n".join(banner),
        "facts": to_json([*found, *about_regions]),
        "boxes": json.dumps(boxes),
        "pixels": pixels,
    }
    return row, rejects


def _x_offset(source: str) -> int:
    """2 to 6 px, by the hash of the source: a reader must not learn one column by heart."""
    return 2 + hashlib.sha256(source.encode()).digest()[0] % 5


def _stretch_text(obs, picture: render.Rendered) -> str:
    if not obs.header.get("SIMULATED"):
        return picture.stretch
    return f"{picture.stretch}; simulated, sunspots {simulate.SPOT_ENLARGEMENT:g} times their linear size"


def _region_facts(obs, source: str, summary: tuple[str, bytes], picture: render.Rendered) -> tuple[list, list, list]:
    """Facts and boxes of the day's regions that the image shows, seen from the Earth; third: rejects."""
    srs_source, raw = summary
    geometry = patch_geometry(obs) or disk_geometry(obs)
    if not srs_source or geometry is None or not image_facts.seen_from_earth(obs.header):
        return [], [], []
    if picture.full_disk and _disk_height(geometry, picture) < SMALLEST_DISK * picture.image.height:
        return [], [], []
    try:
        seen = image_facts.regions_seen(swpc.parse_srs(raw, srs_source), obs.date_obs, geometry.b0_deg)
    except swpc.SwpcFormatError as error:
        return [], [], [{"path": srs_source, "reason": str(error)}]
    if not picture.full_disk:
        seen = image_facts.regions_in_field(seen, geometry, obs.data.shape)
    found = image_facts.srs_facts(raw, seen, srs_source, picture.full_disk)
    found += image_facts.polarity_facts(obs.header, seen, source)
    boxes = [{"noaa_ar": r.record["noaa_ar"], "box": image_facts.region_box(r, geometry, picture)} for r in seen]
    return found, boxes, []


def _disk_height(geometry: DiskGeometry, picture: render.Rendered) -> float:
    """Pixels from north to south limb in the picture."""
    top, bottom = picture.to_png(geometry.to_pixel([(0, 1), (0, -1)]))[:, 1]
    return float(bottom - top)


# --------------------------------------------------------------------------------------------------------------------
# the table


def _without_duplicates(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """The first row of each picture, and a reject for every later one with the same pixels."""
    first, kept, rejects = {}, [], []
    for row in rows:
        if earlier := first.get(row["pixels"]):
            rejects.append({"path": row["source"], "reason": f"same pixels as {earlier}; the first is kept"})
            continue
        first[row["pixels"]] = row["source"]
        kept.append(row)
    return kept, rejects


def _with_splits(corpus: pd.DataFrame, real_split: str, seed: int) -> pd.DataFrame:
    real_days = corpus.loc[~corpus["simulated"], "group_id"]
    fixed = dict.fromkeys(real_days, real_split) if real_split else {}
    regions = corpus["facts"].map(splits.region_numbers)
    corpus = corpus.astype({"wavelength_angstrom": "float64", "simulated": "bool"})
    return corpus.assign(split=splits.assign_splits(corpus["group_id"], regions, fixed, seed))


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
