"""Pictures that are the same to the eye: re-encoded, shifted by a pixel, brighter or darker.

Reads pictures of a corpus, writes nothing. Two disks of one channel look alike to any hash of the whole picture, so
only the middle of the disk counts, where the limb is out of sight; a perceptual hash proposes pairs of one channel, and
the correlation of their fine detail decides. Of the 67,000 pairs of a channel in a tiny run one is taken for a copy;
re-encoded, shifted and brightened copies are found, but for spotless days in continuum light, which show nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

HASH_SIDE = 16  # 256 bits
MOST_BITS = 60
LEAST_LIKENESS = 0.94
DULL, LEAST_OF_DULL = 3.5, 0.97  # display levels of detail; below, a spotless disk is like any other
LEAST_DETAIL = 0.5  # display levels: less is an empty picture, like only by being empty
SHIFT_PX = 2
NEAR_MINUTES = 30.0
CHANNEL = ["observatory", "instrument", "measurement"]
DISK_FILLS = 0.92  # see render
MIDDLE = 0.9 * DISK_FILLS / 2 / 2**0.5  # half a side of a square inside nine tenths of the disk, in field heights


def middle_of(picture: Image.Image) -> Image.Image:
    """Grey square from the middle of the disk; of one that is empty there (a coronagraph) all above the banner."""
    field = picture.convert("L").crop((0, 0, picture.width, picture.height - round(picture.height / 6)))
    half, x, y = MIDDLE * field.height, (field.width - 1) / 2, (field.height - 1) / 2
    square = field.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    return square if _detail(square).std() > LEAST_DETAIL else field


def picture_hash(picture: Image.Image) -> np.ndarray:
    """256 bits of the middle of a picture (discrete cosine transform, `imagehash.phash`) as four uint64."""
    import imagehash  # only for whole corpora

    bits = imagehash.phash(middle_of(picture), hash_size=HASH_SIDE).hash
    return np.packbits(bits.ravel()).view(np.uint64)


def likeness(first: Image.Image, second: Image.Image) -> float:
    """Correlation (-1 to 1) of the fine detail of two middles, at the best shift of up to two pixels each way."""
    a, b = _detail(middle_of(first)), _detail(middle_of(second))
    if a.shape != b.shape or min(a.std(), b.std()) < LEAST_DETAIL:
        return 0.0
    inner = b[SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    steps = range(2 * SHIFT_PX + 1)
    windows = (a[y : y + inner.shape[0], x : x + inner.shape[1]] for y in steps for x in steps)
    return max(float(np.corrcoef(window.ravel(), inner.ravel())[0, 1]) for window in windows)


def _detail(square: Image.Image) -> np.ndarray:
    """Detail between one and six pixels: neither noise of encoding nor limb darkening and brightness."""
    values = np.asarray(square, dtype=np.float64)
    return ndimage.gaussian_filter(values - ndimage.gaussian_filter(values, 6), 1)


def near_in_time(paths: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of positions, the earlier one first: one channel, at most `NEAR_MINUTES` apart.

    Channel and time stand in the name of a corpus's picture (`<channel>_<time>_<digest>.png`).
    """
    named = [Path(path).stem.rsplit("_", 2) for path in paths]
    times = pd.to_datetime([stamp for _, stamp, _ in named], format="%Y%m%dT%H%M%S").to_numpy()
    order = sorted(range(len(paths)), key=lambda i: (named[i][0], times[i], i))
    for place, a in enumerate(order):
        for b in order[place + 1 :]:
            if named[a][0] != named[b][0] or (times[b] - times[a]) / np.timedelta64(1, "m") > NEAR_MINUTES:
                break
            yield min(a, b), max(a, b)


def same_to_the_eye(paths: Sequence[str], folder: str | Path) -> dict[int, tuple[int, float]]:
    """Position of a repeated picture -> the earlier position it repeats and their likeness, of one channel and time.

    `paths` are those of the corpus below `folder`. A quiet Sun of another hour is another picture.
    """
    repeated: dict[int, tuple[int, float]] = {}
    for a, b in sorted(near_in_time(paths)):
        if a in repeated or b in repeated:
            continue
        value = _sameness(folder, paths[a], paths[b], _bits(_hash_of(folder, paths[a]), _hash_of(folder, paths[b])))
        if value is not None:
            repeated[b] = (a, value)
    return repeated


def across_splits(corpus: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Pairs of one channel in different splits that are the same to the eye, whatever their dates say.

    Columns image_id, split, other_image_id, other_split, bits (of 256 that differ), likeness. Within a channel every
    picture is compared with every other, so the time grows with the square of their number.
    """
    hashes = np.stack([_hash_of(folder, path) for path in corpus["path"]]) if len(corpus) else np.empty((0, 4), "u8")
    splits, found = corpus["split"].to_numpy(), []
    for positions in corpus.reset_index(drop=True).groupby(CHANNEL, sort=False).indices.values():
        for i, a in enumerate(positions[:-1]):
            later = positions[i + 1 :]
            later = later[splits[later] != splits[a]]
            bits = np.bitwise_count(hashes[later] ^ hashes[a]).sum(axis=1, dtype=int)
            found += [(a, b, int(n)) for b, n in zip(later[bits <= MOST_BITS], bits[bits <= MOST_BITS], strict=True)]
    rows = []
    for a, b, bits in found:
        first, second = corpus.iloc[a], corpus.iloc[b]
        value = _sameness(folder, first["path"], second["path"], bits)
        if value is not None:
            rows.append((first["image_id"], first["split"], second["image_id"], second["split"], bits, round(value, 3)))
    return pd.DataFrame(rows, columns=["image_id", "split", "other_image_id", "other_split", "bits", "likeness"])


def _sameness(folder: str | Path, first: str, second: str, bits: int) -> float | None:
    """Likeness of two pictures whose hashes differ in so many bits, None where it makes them two."""
    if bits > MOST_BITS:
        return None
    pictures = [_opened(str(folder), path) for path in (first, second)]
    dull = min(_detail(middle_of(picture)).std() for picture in pictures) < DULL
    value = likeness(*pictures)
    return value if value >= (LEAST_OF_DULL if dull else LEAST_LIKENESS) else None


def _bits(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.bitwise_count(first ^ second).sum())


def _hash_of(folder: str | Path, path: str) -> np.ndarray:
    return picture_hash(_opened(str(folder), path))


@lru_cache(maxsize=8)
def _opened(folder: str, path: str) -> Image.Image:
    with Image.open(Path(folder) / path) as picture:
        return picture.convert("L")
