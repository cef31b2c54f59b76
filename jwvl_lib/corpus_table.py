"""The table of a corpus, row group by row group from its finished jobs, so that memory hardly grows with the pictures.

Reads `work/<job>.json`, which the jobs of `corpus` leave; writes `corpus.parquet`. In memory stands an `Entry` a
picture, a few hundred bytes of the five thousand that its facts take.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jwvl_lib import artifacts, splits

COLUMNS = (
    "image_id path sha256 source observatory instrument detector measurement wavelength_angstrom layer date_obs width "
    "height simulated stretch split group_id banner_text facts boxes"
).split()
NUMBERS = {"wavelength_angstrom": pa.float64(), "width": pa.int64(), "height": pa.int64(), "simulated": pa.bool_()}
SCHEMA = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in COLUMNS])
SORTED_BY = ["date_obs", "group_id", "split"]  # what a reader may skip row groups by
ROW_GROUP = 10_000  # rows; what a reader must hold at once


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture: its job and its place among that job's rows, and what duplicates and splits are decided by.

    `pixels` is the digest of its values, 32 bytes.
    """

    job: str
    place: int
    path: str
    source: str
    pixels: bytes
    group_id: str
    simulated: bool
    regions: tuple[int, ...]


def entries(job: str, rows: Iterable[dict]) -> Iterator[Entry]:
    """The entries of the rows of a job, in their order."""
    for place, row in enumerate(rows):
        kept = {k: row[k] for k in ("path", "source", "group_id", "simulated")}
        regions = tuple(splits.region_numbers(row["facts"]))
        yield Entry(job, place, pixels=bytes.fromhex(row["pixels"]), regions=regions, **kept)


def without_duplicates(found: Sequence[Entry]) -> tuple[list[Entry], list[dict]]:
    """The first entry of each picture, and a reject (path, reason) for every later one with the same pixels."""
    first = _repeats(found)
    kept = [entry for place, entry in enumerate(found) if place not in first] if first else list(found)
    reason = "same pixels as {}; the first is kept"
    rejects = [
        {"path": found[place].source, "reason": reason.format(found[earlier].source)}
        for place, earlier in first.items()
    ]
    return kept, rejects


def _repeats(found: Sequence[Entry]) -> dict[int, int]:
    """Place of each entry whose digest came before -> place of the first such entry, in order.

    Sorts the first eight bytes of all digests in one array and looks closely only at those that have company: a
    hash table of all of them outgrows the processor's cache, and a row of a large corpus then costs twice that of a
    small one.
    """
    leading = np.frombuffer(b"".join([entry.pixels for entry in found]), np.uint64)[::4]
    order = leading.argsort()
    alike = np.flatnonzero(leading[order[1:]] == leading[order[:-1]])
    first, repeats = {}, {}
    for place in np.union1d(order[alike], order[alike + 1]).tolist():
        earlier = first.setdefault(found[place].pixels, place)
        if earlier != place:
            repeats[place] = earlier
    return repeats


def split_names(kept: Sequence[Entry], real_split: str, seed: int) -> list[str]:
    """The split of each entry; real ones go to `real_split`, or where it is "" by day like the others."""
    fixed = {e.group_id: real_split for e in kept if not e.simulated} if real_split else {}
    return splits.assign_splits([e.group_id for e in kept], [e.regions for e in kept], fixed, seed)


def write(folder: Path, kept: Sequence[Entry], split: Sequence[str]) -> Path:
    """Write `corpus.parquet` in the order of the entries; the same entries give the same bytes on the same pyarrow."""
    rows = _rows(folder, kept, split)
    with (
        artifacts.replacing(folder / "corpus.parquet") as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd", write_statistics=SORTED_BY) as writer,
    ):
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA), row_group_size=ROW_GROUP)
    return folder / "corpus.parquet"


def _rows(folder: Path, kept: Sequence[Entry], split: Sequence[str]) -> Iterator[dict]:
    for job, chosen in groupby(zip(kept, split, strict=True), key=lambda pair: pair[0].job):
        rows = json.loads((folder / "work" / job).read_bytes())["rows"]
        for entry, name in chosen:
            yield {**rows[entry.place], "split": name}
