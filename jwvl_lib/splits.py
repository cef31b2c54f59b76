"""Train, validation and test: whole days, and days that share a region, never come apart.

Reads and writes nothing: works on the columns `group_id` (the day), `sha256` and `facts` of the corpus.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

LOGGER = logging.getLogger(__name__)


def assign_splits(
    days: Sequence[str], regions: Sequence[Sequence[int]], fixed: Mapping[str, str], seed: int
) -> list[str]:
    """Split of each image, given its day and the NOAA numbers on it.

    Days are joined where they share a region, and a joined block goes as a whole: to `fixed[day]` where one of its
    days is fixed (the first such), else by the hash of seed and first day, about 70/10/20. With three blocks or more no
    split stays empty.
    """
    blocks = _blocks(days, regions)
    split_of: dict[str, str] = {}
    for block in blocks:
        forced = next((fixed[day] for day in block if day in fixed), None)
        split_of[block[0]] = forced or _by_hash(_position(block[0], seed))
    free = [block[0] for block in blocks if not any(day in fixed for day in block)]
    _fill_empty(split_of, free, seed)
    of_day = {day: split_of[block[0]] for block in blocks for day in block}
    return [of_day[day] for day in days]


def region_numbers(facts_json: str) -> list[int]:
    """NOAA numbers that the facts of an image speak of."""
    return sorted({f["noaa_ar"] for f in json.loads(facts_json) if f["noaa_ar"] is not None})


def audit_splits(corpus: pd.DataFrame) -> dict[str, int]:
    """How many days, regions and pictures stand in more than one split; all are 0 in a sound corpus."""
    of_regions = corpus[["split", "facts"]].assign(noaa_ar=corpus["facts"].map(region_numbers)).explode("noaa_ar")
    return {
        "days_crossing": _crossing(corpus, "group_id"),
        "regions_crossing": _crossing(of_regions.dropna(subset="noaa_ar"), "noaa_ar"),
        "pictures_crossing": _crossing(corpus, "sha256"),
        "pictures_twice": int(corpus["sha256"].duplicated().sum()),
    }


def _crossing(frame: pd.DataFrame, key: str) -> int:
    return int((frame.groupby(key)["split"].nunique() > 1).sum())


def _blocks(days: Sequence[str], regions: Sequence[Sequence[int]]) -> list[list[str]]:
    """Days joined through shared regions (union-find), each block sorted, blocks in order of their first day."""
    parent: dict[str, str] = {day: day for day in days}

    def root(day: str) -> str:
        while parent[day] != day:
            parent[day] = parent[parent[day]]
            day = parent[day]
        return day

    first_day: dict[int, str] = {}
    for day, numbers in zip(days, regions, strict=True):
        for number in numbers:
            a, b = root(day), root(first_day.setdefault(number, day))
            parent[max(a, b)] = min(a, b)
    blocks: dict[str, list[str]] = {}
    for day in sorted(parent):
        blocks.setdefault(root(day), []).append(day)
    return list(blocks.values())


def _position(day: str, seed: int) -> float:
    """A number in [0, 1) that depends on the seed and the day only: more days do not move those already placed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{day}".encode()).digest()[:8], "big") / 2**64


def _by_hash(position: float) -> str:
    return "train" if position < 0.7 else "val" if position < 0.8 else "test"


def _fill_empty(split_of: dict[str, str], free: Sequence[str], seed: int) -> None:
    """In a small corpus, give an empty split the block whose hash lies nearest to its range."""
    middle = {"train": 0.35, "val": 0.75, "test": 0.9}
    for split in ("train", "val", "test"):
        counts = Counter(split_of.values())
        givers = [block for block in free if counts[split_of[block]] > 1]
        if split not in counts and givers and len(split_of) >= 3:
            split_of[min(givers, key=lambda b: abs(_position(b, seed) - middle[split]))] = split
        elif split not in counts and free:
            LOGGER.warning("split %s is empty: too few days that share no region", split)
