"""From accepted annotations to planned rows: what training sees, in which order, decided before it starts.

Reads `corpus.parquet` and `accepted.parquet`; writes nothing. Where tower and projector are frozen, each image passes
through them once, here.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from jwvl_lib import chat_tokens, shared_image, tuning
from jwvl_lib.chat_tokens import Branch
from jwvl_lib.general_task import GeneralPicture
from jwvl_lib.shared_image import SharedSequence


@dataclass(frozen=True)
class Sample:
    """An image, or a few, and the annotations; with the features of the frozen tower and projector, or without."""

    image_id: str  # of several: joined by commas
    images: tuple[Image.Image | str, ...]  # or their paths
    features: Tensor | None  # (n_visual, hidden)
    image_grid_thw: Tensor | None  # (n_images, 3), in patches; None outside the Qwen family
    prefix_ids: Tensor  # (P,)
    branches: tuple[Branch, ...]
    visit: int = 0  # see `repeated`


@dataclass(frozen=True)
class Row:
    """The unit of a batch: some branches of one sample, and whole replay samples that go with them.

    `also` holds the sample and branches of visits that go along (see `plan_rows`) and of packed rows (see `packed`).
    """

    sample: int
    branches: tuple[int, ...]
    replay: tuple[int, ...]
    epoch: int
    also: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @property
    def parts(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(sample, branches) of every image of the row, replay left out."""
        return ((self.sample, self.branches), *self.also)


class RowDataset(Dataset):
    """The planned rows, in the plan's order, for a `DataLoader` with `collate`.

    An item is a list of (sequence, vision): the image's, then those of the replay samples. `vision` are the features of
    the samples, or patches where the samples have none.
    """

    def __init__(
        self,
        processor,
        rows: Sequence[Row],
        samples: Sequence[Sample],
        replay: Sequence[Sample] = (),
        shared: bool = True,
    ):
        self.processor, self.shared = processor, shared
        self.pad_token_id = processor.tokenizer.pad_token_id
        self.rows, self.samples, self.replay = list(rows), samples, replay
        self.cached = samples[0].features is not None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> list[tuple[SharedSequence, Tensor | Mapping[str, Tensor]]]:
        row = self.rows[index]
        replayed = [(self.replay[i], range(len(self.replay[i].branches))) for i in row.replay]
        return [
            self._sequence(sample, branches)
            for sample, branches in [*((self.samples[i], branches) for i, branches in row.parts), *replayed]
        ]

    def n_replayed(self, row: Row) -> int:
        """Replayed annotations of a row."""
        return sum(len(self.replay[i].branches) for i in row.replay)

    def collate(self, items: Sequence[list[tuple[SharedSequence, Tensor | Mapping]]], model) -> dict:
        """A batch of items for a model, its mask in the form the model's attention takes; plain where not `shared`."""
        pairs = [pair for item in items for pair in item]
        if not self.shared:
            token_id = self.processor.image_token_id
            return shared_image.collate_separate(pairs, self.pad_token_id, token_id, self.cached)
        attention = model.config.get_text_config()._attn_implementation
        return shared_image.collate(pairs, self.pad_token_id, attention, self.cached)

    def _sequence(self, sample: Sample, branches: Sequence[int]) -> tuple[SharedSequence, Tensor | Mapping]:
        chosen, grids = [sample.branches[b] for b in branches], sample.image_grid_thw
        merge_size = getattr(self.processor.image_processor, "merge_size", 1)
        token_id = self.processor.image_token_id
        sequence = shared_image.assemble(sample.prefix_ids, chosen, grids, token_id, merge_size)
        if self.cached:
            return sequence, sample.features
        pictures = [open_picture(image) for image in sample.images]
        if grids is None:
            return sequence, chat_tokens.encode_images(self.processor, pictures)[1]
        return sequence, self.processor.image_processor(images=pictures, return_tensors="pt")["pixel_values"]


def load_annotations(
    corpus_dir: Path, review_dir: Path, split: str, tasks: str = "description,grounding,ocr,qa"
) -> pd.DataFrame:
    """Accepted annotations of one split, with the corpus columns of their image and its absolute `path`.

    Sorted by image and annotation; those of the comma-separated `tasks` alone ("": all), the number of the others
    stands in `attrs["n_left_out"]`. Raises ValueError for the test split, which training never reads, and where nothing
    of the split was accepted.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split {split!r}: training reads 'train' and 'val' only; the test split is the benchmark's")
    corpus = pd.read_parquet(corpus_dir / "corpus.parquet").query("split == @split")
    accepted = pd.read_parquet(review_dir / "accepted.parquet")
    if "split" in accepted:
        accepted = accepted.drop(columns="split")
    table = accepted.merge(corpus, on="image_id", validate="many_to_one")
    n_accepted, table = len(table), table[table["task"].isin(tasks.split(","))] if tasks else table
    if table.empty:
        raise ValueError(f"split {split!r}: 0 accepted annotations; accept some in 03_review or enlarge the corpus")
    paths = dict(zip(corpus["image_id"], corpus["path"], strict=True))
    more = table["more_images"].map(json.loads) if "more_images" in table else [[]] * len(table)
    table = table.assign(
        path=[str(corpus_dir / path) for path in table["path"]],
        more_paths=[tuple(str(corpus_dir / paths[i]) for i in images) for images in more],
    )
    table = table.sort_values(["image_id", "annotation_id"], ignore_index=True)
    table.attrs["n_left_out"] = n_accepted - len(table)
    return table


def repeated(annotations: pd.DataFrame, repeats: str) -> pd.DataFrame:
    """The table with the annotations of some prompts several times over: "qa.activity=4,qa.hale_likeliest=2".

    For what is hard to learn and asked of few images. The column `visit` counts from 0: each further time the image is
    met anew, at another step, since a step that shows an annotation four times is one step. Sorted as
    `load_annotations` sorts; a prompt that the table does not have changes nothing. Raises ValueError for anything but
    names with whole numbers above 0.
    """
    pairs = [pair.partition("=")[::2] for pair in repeats.split(",") if pair.strip()]
    if wrong := [name for name, times in pairs if not times.strip().isdecimal() or not int(times)]:
        raise ValueError(
            f"repeats {repeats!r}: {wrong[0]!r} has no whole number above 0; write qa.activity=4, or nothing"
        )
    times = annotations["prompt_id"].map({name.strip(): int(n) for name, n in pairs}).fillna(1).astype(int)
    shown = annotations.loc[annotations.index.repeat(times)]
    return shown.assign(visit=shown.groupby(level=0).cumcount()).reset_index(drop=True)


def prepare_samples(
    model,
    processor,
    images: Sequence,
    turns: Sequence[Sequence[tuple]],
    image_ids: Sequence[str],
    batch_size: int = 32,
    progress: bool = False,
) -> list[Sample]:
    """One `Sample` an image (PIL, or a path, opened when its turn comes; or a tuple of them), its turns tokenised.

    A turn is (question, answer), or (question, answer, earlier turns). The features are computed here where nothing in
    tower and projector is free (`tuning.prepare`), else left out, as they are for bases outside Qwen2.5-VL's form.
    """
    groups = [tuple(image) if isinstance(image, tuple | list) else (image,) for image in images]
    samples = []
    for start in tqdm(range(0, len(groups), batch_size), desc="image features", disable=not progress):
        part = slice(start, start + batch_size)
        seen = (_seen_by_qwen if is_qwen(processor) else _seen_by_others)(model, processor, groups[part])
        parts = (image_ids[part], groups[part], seen, turns[part])
        for image_id, group, (features, grids, prefix), exchanges in zip(*parts, strict=True):
            branches = tuple(chat_tokens.encode_branch(processor, *turn) for turn in exchanges)
            samples.append(Sample(image_id, group, features, grids, prefix, branches))
    return samples


def is_qwen(processor) -> bool:
    """Whether images are patches on a grid with rotary positions in rows and columns, as in Qwen2-VL and its heirs."""
    return hasattr(processor.image_processor, "merge_size")


def _seen_by_qwen(model, processor, groups: list[tuple]) -> list[tuple]:
    """(features or None, grids, prefix) of each group of pictures."""
    if tuning.sees_through_free_weights(model):
        grids, features = _grids(processor, groups), [None] * len(groups)
    else:
        features, grids = _encoded(model, processor, groups)
    return [(f, g, chat_tokens.encode_prefix(processor, g)) for f, g in zip(features, grids, strict=True)]


def _grids(processor, groups: list[tuple]) -> list[Tensor]:
    """(n_images, 3) of each group: a grid hangs on the size of a picture alone, so one of each size is prepared."""
    sizes = [[_size(image) for image in group] for group in groups]
    grid = {}
    for size in {size for group in sizes for size in group}:
        made = processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")
        grid[size] = made["image_grid_thw"][0]
    return [torch.stack([grid[size] for size in group]) for group in sizes]


@torch.no_grad()
def _encoded(model, processor, groups: list[tuple]) -> tuple[list[Tensor | None], list[Tensor]]:
    """Features, or None where they cannot be kept, and grids of each group."""
    pictures = [open_picture(image) for group in groups for image in group]
    batch = processor.image_processor(images=pictures, return_tensors="pt").to(model.device)
    grids = batch["image_grid_thw"]
    encoded = model.get_image_features(batch["pixel_values"], grids)
    ends = torch.tensor([len(group) for group in groups]).cumsum(0)[:-1]
    parts = list(grids.cpu().tensor_split(ends.tolist()))
    if getattr(encoded, "deepstack_features", None) is not None:  # Qwen3-VL's tower feeds several layers: not kept
        return [None] * len(groups), parts
    features = iter([feature.cpu() for feature in encoded.pooler_output])
    # torch.cat copies: a slice would keep the whole batch's features alive
    return [torch.cat(list(islice(features, len(group)))) for group in groups], parts


def _seen_by_others(_model, processor, groups: list[tuple]) -> list[tuple]:
    pictures = [[open_picture(image) for image in group] for group in groups]
    return [(None, None, chat_tokens.encode_images(processor, group)[0]) for group in pictures]


def from_annotations(model, processor, annotations: pd.DataFrame, progress: bool = False) -> list[Sample]:
    """One `Sample` an image, a group of images or a visit (`repeated`), in the order of `load_annotations`' table."""
    several = "more_paths" in annotations
    groups = list(annotations.groupby(["image_id", "more_paths"] if several else ["image_id"], sort=False))
    turns = [turns_of(group) for _, group in groups]
    paths = [(group["path"].iloc[0], *(key[1] if several else ())) for key, group in groups]
    names = [
        ",".join([key[0], *(Path(p).stem for p in path[1:])]) for (key, _), path in zip(groups, paths, strict=True)
    ]
    met = prepare_samples(model, processor, paths, turns, names, progress=progress)
    if "visit" not in annotations:
        return met
    return [part for sample, (_, group) in zip(met, groups, strict=True) for part in _visits(sample, group["visit"])]


def _visits(sample: Sample, visits: pd.Series) -> list[Sample]:
    """The sample parted by the visit of each of its branches; all share picture and features."""
    parts = {}
    for branch, visit in zip(sample.branches, visits, strict=True):
        parts.setdefault(int(visit), []).append(branch)
    return [dataclasses.replace(sample, branches=tuple(parts[k]), visit=k) for k in sorted(parts)]


def turns_of(annotations: pd.DataFrame) -> list[tuple]:
    """(question, answer, earlier turns) of each row."""
    said = annotations["turns"].map(json.loads) if "turns" in annotations else [[]] * len(annotations)
    earlier = [[(turn["question"], turn["answer"]) for turn in turns] for turns in said]
    return list(zip(annotations["question"], annotations["answer"], earlier, strict=True))


def from_pictures(model, processor, pictures: Sequence[GeneralPicture], progress: bool = False) -> list[Sample]:
    """Samples of the general task, for replay."""
    turns, names = [p.turns for p in pictures], [f"general_{i:06d}" for i in range(len(pictures))]
    return prepare_samples(model, processor, [p.image for p in pictures], turns, names, progress=progress)


def open_picture(path: str | Path | Image.Image) -> Image.Image:
    """A PNG of the corpus, read wholly, as RGB; a picture stays as it is. Raises OSError for what is no whole one."""
    if isinstance(path, Image.Image):
        return path
    with _opened(path) as image:
        return image.convert("RGB")


def _size(path: str | Path | Image.Image) -> tuple[int, int]:
    """Width and height of a picture; a file is read whole and its checksums compared, nothing is decoded."""
    if isinstance(path, Image.Image):
        return path.size
    with _opened(path) as image:
        size = image.size
        image.verify()
    return size


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError) as error:  # SyntaxError: Pillow's for a chunk whose checksum is wrong
        raise OSError(f"{path}: no whole picture ({error}); delete it and run 01_corpus_curation again") from None


def n_replay_due(n_samples: int, replay_share: float) -> int:
    """Replayed annotations that make up `replay_share` of all those seen beside `n_samples` others."""
    return round(n_samples * replay_share / (1 - replay_share))


def fitting(samples: Sequence[Sample], max_tokens: int) -> tuple[list[Sample], list[dict]]:
    """The samples without the annotations that are longer than `max_tokens` with their image, and a record of each.

    Nothing is cut: an annotation whose image and text do not fit is named (`image_id`, `n_image_tokens`, `n_tokens`)
    and left out whole. 0: everything fits.
    """
    kept, too_long = [], []
    for sample in samples:
        lengths = [len(sample.prefix_ids) + len(branch.input_ids) for branch in sample.branches]
        fits = tuple(b for b, n in zip(sample.branches, lengths, strict=True) if not max_tokens or n <= max_tokens)
        sizes = {"image_id": sample.image_id, "n_image_tokens": len(sample.prefix_ids)}
        too_long += [sizes | {"n_tokens": n} for n in lengths if max_tokens and n > max_tokens]
        if fits:
            kept.append(dataclasses.replace(sample, branches=fits))
    return kept, too_long


def rows_per_epoch(samples: Sequence[Sample], branches_per_image: int, max_tokens: int = 0) -> int:
    """Rows in one pass over all annotations, in the order in which they stand.

    Where `max_tokens` parts an image's annotations, a shuffled pass may take a few rows more or fewer: they pack anew.
    """
    first = [s for s in samples if not s.visit]
    return sum(len(_chunks(s, range(len(s.branches)), branches_per_image, max_tokens)) for s in first)


def plan_rows(
    samples: Sequence[Sample],
    n_rows: int,
    branches_per_image: int,
    seed: int,
    replay: Sequence[Sample] = (),
    replay_share: float = 0.0,
    max_tokens: int = 0,
) -> list[Row]:
    """The whole training, row by row: every epoch shows every annotation once, shuffled, a few branches at a time.

    Further visits of an image (see `repeated`) go along with the rows of others, spread evenly over the epoch: alone
    they would make steps that know one question only.
    `replay_share` is the share of replay in all annotations seen; the samples of `replay` come round in shuffled order,
    whole, as soon as they are due. No sequence grows beyond `max_tokens`, where that is not 0: the branches of an image
    are split. One seed, one plan. Raises ValueError where share and samples contradict each other.
    """
    if not 0 <= replay_share < 1 or (replay_share > 0) != (len(replay) > 0):
        raise ValueError(
            f"replay_share {replay_share} with {len(replay)} replay samples: the share lies in [0, 1) and is above 0 "
            "exactly where there are replay samples; set both or neither"
        )
    rng = np.random.default_rng(seed)
    rows, queue, n_seen, n_replayed, epoch = [], [], 0, 0, 0
    while len(rows) < n_rows:
        for (sample, branches), *also in _shuffled_epoch(samples, branches_per_image, rng, max_tokens):
            n_seen += len(branches) + sum(len(others) for _, others in also)
            drawn = []
            while n_replayed < n_replay_due(n_seen, replay_share):
                queue = queue or rng.permutation(len(replay)).tolist()
                drawn.append(queue.pop())
                n_replayed += len(replay[drawn[-1]].branches)
            rows.append(Row(sample, branches, tuple(drawn), epoch, tuple(also)))
        epoch += 1
    return rows[:n_rows]


def packed(
    rows: Sequence[Row], samples: Sequence[Sample], replay: Sequence[Sample] = (), tokens_per_row: int = 0
) -> list[Row]:
    """Rows joined, in their order, while their sequences fit into `tokens_per_row` together; 0: as they are.

    Nothing is cut and nothing moved: a row that is longer alone stays alone.
    """
    if not tokens_per_row:
        return list(rows)
    joined, room = [], 0
    for row in rows:
        n_tokens = sum(len(samples[i].prefix_ids) + _n_text(samples[i], branches) for i, branches in row.parts)
        again = [replay[i] for i in row.replay]
        n_tokens += sum(len(sample.prefix_ids) + _n_text(sample, range(len(sample.branches))) for sample in again)
        if joined and n_tokens <= room:
            last = joined[-1]
            more = {"also": last.also + row.parts, "replay": last.replay + row.replay}
            joined[-1] = dataclasses.replace(last, epoch=row.epoch, **more)
        else:
            joined.append(row)
            room = tokens_per_row
        room -= n_tokens
    return joined


def _n_text(sample: Sample, branches: Sequence[int]) -> int:
    return sum(len(sample.branches[b].input_ids) for b in branches)


def validation_rows(samples: Sequence[Sample]) -> list[Row]:
    """One row an image with all its annotations, no replay."""
    return [Row(i, tuple(range(len(sample.branches))), (), 0) for i, sample in enumerate(samples)]


def _shuffled_epoch(
    samples: Sequence[Sample], branches_per_image: int, rng, max_tokens: int
) -> list[tuple[tuple[int, tuple[int, ...]], ...]]:
    """((sample, branches), ...) of each row of one pass over all annotations, in random order, visits behind."""
    first, again = [], []
    for i, sample in enumerate(samples):
        order = rng.permutation(len(sample.branches)).tolist()
        chunks = _chunks(sample, order, branches_per_image, max_tokens)
        (again if sample.visit else first).extend((i, chunk) for chunk in chunks)
    first, again = ([chunks[k] for k in rng.permutation(len(chunks))] for chunks in (first, again))
    places = pairwise(round(k * len(again) / len(first)) for k in range(len(first) + 1))
    return [(row, *again[start:end]) for row, (start, end) in zip(first, places, strict=True)]


def _chunks(sample: Sample, order: Sequence[int], n_most: int, max_tokens: int) -> list[tuple[int, ...]]:
    """Branches, in their order, in groups of at most `n_most` whose sequence stays within `max_tokens`."""
    if not max_tokens:
        return [tuple(order[k : k + n_most]) for k in range(0, len(order), n_most)]
    chunks, length = [], 0
    for b in order:
        n = len(sample.branches[b].input_ids)
        if not chunks or len(chunks[-1]) == n_most or length + n > max_tokens:
            chunks.append(())
            length = len(sample.prefix_ids)
        chunks[-1] += (b,)
        length += n
    return chunks
