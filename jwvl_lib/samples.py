"""From accepted annotations to planned rows: what training sees, in which order, decided before it starts.

Reads `corpus.parquet` and `accepted.parquet`; writes nothing. Where tower and projector are frozen, each image passes
through them once, here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from jwvl_lib import shared_image, tuning
from jwvl_lib.general_task import GeneralPicture
from jwvl_lib.shared_image import Branch, SharedSequence

# a sequence holds one image and single exchanges with it: what needs a second image or earlier turns is left out
LEFT_OUT_TASKS = ("multi_image", "multi_turn")


@dataclass(frozen=True)
class Sample:
    """One image and its annotations, tokenised; with the features of the frozen tower and projector, or without."""

    image_id: str
    image: Image.Image | str  # or its path
    features: Tensor | None  # (n_visual, hidden)
    image_grid_thw: Tensor  # (1, 3), in patches
    prefix_ids: Tensor  # (P,)
    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class Row:
    """The unit of a batch: some branches of one sample, and whole replay samples that go with them."""

    sample: int
    branches: tuple[int, ...]
    replay: tuple[int, ...]
    epoch: int


class RowDataset(Dataset):
    """The planned rows, in the plan's order, for a `DataLoader` with `collate`.

    An item is a list of (sequence, vision): the image's, then those of the replay samples. `vision` are the features of
    the samples, or patches where the samples have none.
    """

    def __init__(self, processor, rows: Sequence[Row], samples: Sequence[Sample], replay: Sequence[Sample] = ()):
        self.image_token_id = processor.image_token_id
        self.image_processor = processor.image_processor
        self.pad_token_id = processor.tokenizer.pad_token_id
        self.rows, self.samples, self.replay = list(rows), samples, replay
        self.cached = samples[0].features is not None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> list[tuple[SharedSequence, Tensor]]:
        row = self.rows[index]
        replayed = [(self.replay[i], range(len(self.replay[i].branches))) for i in row.replay]
        return [
            self._sequence(sample, branches)
            for sample, branches in [(self.samples[row.sample], row.branches), *replayed]
        ]

    def n_replayed(self, row: Row) -> int:
        """Replayed annotations of a row."""
        return sum(len(self.replay[i].branches) for i in row.replay)

    def collate(self, items: Sequence[list[tuple[SharedSequence, Tensor]]], model) -> dict:
        """A batch of items for a model, its mask in the form the model's attention takes."""
        pairs = [pair for item in items for pair in item]
        return shared_image.collate(pairs, self.pad_token_id, model.config._attn_implementation, self.cached)

    def _sequence(self, sample: Sample, branches: Sequence[int]) -> tuple[SharedSequence, Tensor]:
        chosen = [sample.branches[b] for b in branches]
        grid = sample.image_grid_thw
        merge_size = self.image_processor.merge_size
        sequence = shared_image.assemble(sample.prefix_ids, chosen, grid, self.image_token_id, merge_size)
        if self.cached:
            return sequence, sample.features
        return sequence, self.image_processor(images=[open_picture(sample.image)], return_tensors="pt")["pixel_values"]


def load_annotations(corpus_dir: Path, review_dir: Path, split: str) -> pd.DataFrame:
    """Accepted annotations of one split, with the corpus columns of their image and its absolute `path`.

    Sorted by image and annotation, without `LEFT_OUT_TASKS`, whose number stands in `attrs["n_left_out"]`. Raises
    ValueError for the test split, which training never reads, and where nothing of the split was accepted.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split {split!r}: training reads 'train' and 'val' only; the test split is the benchmark's")
    corpus = pd.read_parquet(corpus_dir / "corpus.parquet").query("split == @split")
    accepted = pd.read_parquet(review_dir / "accepted.parquet")
    if "split" in accepted:
        accepted = accepted.drop(columns="split")
    table = accepted.merge(corpus, on="image_id", validate="many_to_one")
    n_accepted, table = len(table), table[~table["task"].isin(LEFT_OUT_TASKS)]
    if table.empty:
        raise ValueError(f"split {split!r}: 0 accepted annotations; accept some in 03_review or enlarge the corpus")
    table = table.assign(path=[str(corpus_dir / path) for path in table["path"]])
    table = table.sort_values(["image_id", "annotation_id"], ignore_index=True)
    table.attrs["n_left_out"] = n_accepted - len(table)
    return table


@torch.no_grad()
def prepare_samples(
    model,
    processor,
    images: Sequence,
    turns: Sequence[Sequence[tuple[str, str]]],
    image_ids: Sequence[str],
    batch_size: int = 32,
    progress: bool = False,
) -> list[Sample]:
    """One `Sample` an image (PIL, or a path, opened when its turn comes): its turns (question, answer) tokenised.

    Its features are computed here where nothing in tower and projector is free (`tuning.prepare`), else left out.
    """
    cached = not tuning.sees_through_free_weights(model)
    samples = []
    for start in tqdm(range(0, len(images), batch_size), desc="image features", disable=not progress):
        part = slice(start, start + batch_size)
        pictures = [open_picture(image) for image in images[part]]
        batch = processor.image_processor(images=pictures, return_tensors="pt").to(model.device)
        grids = batch["image_grid_thw"]
        features = [None] * len(grids)
        if cached:  # copies: a slice would keep the whole batch's features alive
            encoded = model.get_image_features(batch["pixel_values"], grids).pooler_output
            features = [feature.cpu().clone() for feature in encoded]
        parts = (image_ids[part], images[part], features, grids.cpu(), turns[part])
        for image_id, image, feature, grid, pairs in zip(*parts, strict=True):
            prefix = shared_image.encode_prefix(processor, grid)
            branches = tuple(shared_image.encode_branch(processor, *pair) for pair in pairs)
            samples.append(Sample(image_id, image, feature, grid[None], prefix, branches))
    return samples


def from_annotations(model, processor, annotations: pd.DataFrame, progress: bool = False) -> list[Sample]:
    """One `Sample` an image of `load_annotations`' table, in the order of the table."""
    groups = list(annotations.groupby("image_id", sort=False))
    turns = [list(zip(group["question"], group["answer"], strict=True)) for _, group in groups]
    paths = [group["path"].iloc[0] for _, group in groups]
    return prepare_samples(model, processor, paths, turns, [key for key, _ in groups], progress=progress)


def from_pictures(model, processor, pictures: Sequence[GeneralPicture], progress: bool = False) -> list[Sample]:
    """Samples of the general task, for replay."""
    turns, names = [p.turns for p in pictures], [f"general_{i:06d}" for i in range(len(pictures))]
    return prepare_samples(model, processor, [p.image for p in pictures], turns, names, progress=progress)


def open_picture(path: str | Path | Image.Image) -> Image.Image:
    """A PNG of the corpus, read wholly, as RGB; a picture stays as it is."""
    if isinstance(path, Image.Image):
        return path
    with Image.open(path) as image:
        return image.convert("RGB")


def n_replay_due(n_samples: int, replay_share: float) -> int:
    """Replayed annotations that make up `replay_share` of all those seen beside `n_samples` others."""
    return round(n_samples * replay_share / (1 - replay_share))


def rows_per_epoch(samples: Sequence[Sample], branches_per_image: int) -> int:
    """Rows in one pass over all annotations."""
    return sum(-(-len(sample.branches) // branches_per_image) for sample in samples)


def plan_rows(
    samples: Sequence[Sample],
    n_rows: int,
    branches_per_image: int,
    seed: int,
    replay: Sequence[Sample] = (),
    replay_share: float = 0.0,
) -> list[Row]:
    """The whole training, row by row: every epoch shows every annotation once, shuffled, a few branches at a time.

    `replay_share` is the share of replay in all annotations seen; the samples of `replay` come round in shuffled order,
    whole, as soon as they are due. One seed, one plan. Raises ValueError where share and samples contradict each other.
    """
    if not 0 <= replay_share < 1 or (replay_share > 0) != (len(replay) > 0):
        raise ValueError(
            f"replay_share {replay_share} with {len(replay)} replay samples: the share lies in [0, 1) and is above 0 "
            "exactly where there are replay samples; set both or neither"
        )
    rng = np.random.default_rng(seed)
    rows, queue, n_seen, n_replayed, epoch = [], [], 0, 0, 0
    while len(rows) < n_rows:
        for sample, branches in _shuffled_epoch(samples, branches_per_image, rng):
            n_seen += len(branches)
            drawn = []
            while n_replayed < n_replay_due(n_seen, replay_share):
                queue = queue or rng.permutation(len(replay)).tolist()
                drawn.append(queue.pop())
                n_replayed += len(replay[drawn[-1]].branches)
            rows.append(Row(sample, branches, tuple(drawn), epoch))
        epoch += 1
    return rows[:n_rows]


def validation_rows(samples: Sequence[Sample]) -> list[Row]:
    """One row an image with all its annotations, no replay."""
    return [Row(i, tuple(range(len(sample.branches))), (), 0) for i, sample in enumerate(samples)]


def _shuffled_epoch(samples: Sequence[Sample], branches_per_image: int, rng) -> list[tuple[int, tuple[int, ...]]]:
    """(sample, branches) of one pass over all annotations, in random order."""
    chunks = []
    for i, sample in enumerate(samples):
        order = rng.permutation(len(sample.branches)).tolist()
        chunks += [(i, tuple(order[k : k + branches_per_image])) for k in range(0, len(order), branches_per_image)]
    return [chunks[k] for k in rng.permutation(len(chunks))]
