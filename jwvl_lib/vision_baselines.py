"""Specialists that see the picture and read no question: what a vision-language model has to match on S1 to S7.

Reads pictures and the classes of `solar_tasks`; writes nothing. Three of them, on the same splits: a linear probe on
the features that the decoder itself receives (mean of all tokens, or of each quadrant), the tower fine-tuned with a
linear head a task, and a small convolutional network. One network serves all tasks, a head each, losses of the tasks
that an image has summed. Each answers the benchmark's items by its likeliest class among the options offered.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from jwvl_lib import vlm
from jwvl_lib.solar_tasks import ANSWER_COLUMNS

POOLINGS = ("mean", "quadrants")
NAMES = ("probe", "cnn", "encoder")
PROBE_C = 0.1  # inverse regularisation, fixed beforehand: there is no test data to choose it by
Labels = Mapping[str, Mapping[str, str]]  # task -> image_id -> class
Scores = Mapping[str, pd.DataFrame]  # task -> a row an image, a column a class: higher is likelier


def labels_of(items: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The class of each image by task, from the items that ask about it."""
    first = items.drop_duplicates(["solar_task", "image_id"])
    return {t: dict(zip(rows.image_id, rows.code, strict=True)) for t, rows in first.groupby("solar_task", sort=False)}


def answers(items: pd.DataFrame, scores: Scores, model: str) -> pd.DataFrame:
    """The answers of a specialist to the items, in the form of `solar_tasks.answers`; unknown classes come last."""
    items, said = items[items.solar_task.isin(list(scores))], []
    for task, image_id, codes in zip(items.solar_task, items.image_id, items.codes, strict=True):
        row = scores[task].loc[image_id]
        said.append(max(json.loads(codes), key=lambda code: row.get(code, -np.inf)))
    return items.assign(answer=said, model=model)[ANSWER_COLUMNS]


def majority(labels: Labels, asked: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Scores that are the frequencies of the training labels, whatever the picture."""
    found = {}
    for task, rows in asked[asked.solar_task.isin(list(labels))].groupby("solar_task"):
        counts = pd.Series(labels[task]).value_counts()
        ids = rows.image_id.unique()
        found[task] = pd.DataFrame(np.tile(counts.to_numpy(float), (len(ids), 1)), index=ids, columns=counts.index)
    return found


def answer_items(
    names: Sequence[str],
    model,
    processor,
    images: Mapping[str, Image.Image],
    labels: Labels,
    items: pd.DataFrame,
    seed: int = 0,
) -> pd.DataFrame:
    """The answers of `majority` and of the named specialists (`NAMES`) to the items, in the form of `answers`.

    They learn from `labels` alone (tasks without any are not answered); `images` holds what they learn from and what
    they are asked about. Raises ValueError for an unknown name.
    """
    if unknown := set(names) - set(NAMES):
        raise ValueError(f"baselines names {sorted(unknown)}; choose among {', '.join(NAMES)}")
    found = {"majority": majority(labels, items)}
    if "probe" in names:
        pooled = features(model, processor, images)
        found |= {f"probe {name}": probe(pooled[name], labels, items, seed) for name in POOLINGS}
    if "cnn" in names:
        found["cnn"] = network(Convolutions, pixel_batch, images, labels, items, n_epochs=12, seed=seed)
    if "encoder" in names:
        found["encoder"] = network(
            partial(Tower, model), partial(patch_batch, processor), images, labels, items, seed=seed
        )
    return pd.concat([answers(items, scores, name) for name, scores in found.items()], ignore_index=True)


# --------------------------------------------------------------------------------------------------------------------
# linear probe


def features(model, processor, images: Mapping[str, Image.Image]) -> dict[str, pd.DataFrame]:
    """Pooled features by pooling, a row an image: (n, hidden) for `mean`, (n, 4 * hidden) for `quadrants`."""
    tokens = vlm.image_features(model, processor, list(images.values()))
    grids = [_on_grid(f.float().cpu().numpy(), image.size) for f, image in zip(tokens, images.values(), strict=True)]
    pooled = {"mean": [g.mean((0, 1)) for g in grids], "quadrants": [_quadrants(g) for g in grids]}
    return {name: pd.DataFrame(np.stack(rows), index=list(images)) for name, rows in pooled.items()}


def _on_grid(tokens: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(rows, columns, hidden): the grid of that many tokens whose shape is nearest to the picture's (width, height)."""
    n = len(tokens)
    rows = min((r for r in range(1, n + 1) if n % r == 0), key=lambda r: abs(np.log(r * r / n * size[0] / size[1])))
    return tokens.reshape(rows, n // rows, -1)


def _quadrants(grid: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [part.mean((0, 1)) for half in np.array_split(grid, 2) for part in np.array_split(half, 2, 1)]
    )


def probe(pooled: pd.DataFrame, labels: Labels, asked: pd.DataFrame, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Class probabilities of a multinomial logistic regression a task, fitted on `labels`, for the images asked about.

    A task with a single class among its labels says that class.
    """
    found = {}
    for task, rows in asked[asked.solar_task.isin(list(labels))].groupby("solar_task"):
        ids, known = rows.image_id.unique(), pd.Series(labels[task])
        if known.nunique() == 1:
            found[task] = pd.DataFrame(1.0, index=ids, columns=[known.iloc[0]])
            continue
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, max_iter=300, random_state=seed))
        fitted.fit(pooled.loc[known.index].to_numpy(), known.to_numpy())
        found[task] = pd.DataFrame(fitted.predict_proba(pooled.loc[ids].to_numpy()), index=ids, columns=fitted.classes_)
    return found


# --------------------------------------------------------------------------------------------------------------------
# networks


class Convolutions(nn.Module):
    """Five strided convolutions, then a 4 x 4 grid of means: 168 px in, 1536 numbers out, 220,608 weights."""

    width = 96 * 16

    def __init__(self):
        super().__init__()
        sizes = (3, 24, 48, 96, 96, 96)
        layers = [
            part
            for k, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False))
            for part in (nn.Conv2d(a, b, 5 if k == 0 else 3, 2, 2 if k == 0 else 1), nn.BatchNorm2d(b), nn.ReLU())
        ]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, height, width) in 0..1 to (B, `width`)."""
        return self.body(pixels * 2 - 1)


class Tower(nn.Module):
    """A model's own tower and projector, copied and free to learn; its tokens pooled by quadrant, as for the probe."""

    def __init__(self, model):
        super().__init__()
        self.base = copy.deepcopy(getattr(model, "get_base_model", lambda: model)()).float()
        for name, weight in self.base.named_parameters():
            weight.requires_grad_("visual" in name)
        self.width = 4 * self.base.config.text_config.hidden_size

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """(patches, grids) of square pictures to (B, 4 * hidden)."""
        tokens = torch.stack(list(self.base.get_image_features(*batch).pooler_output))
        side = round(tokens.shape[1] ** 0.5)
        grid = tokens.unflatten(1, (side, side)).movedim(-1, 1)
        return nn.functional.adaptive_avg_pool2d(grid, 2).flatten(1)


def pixel_batch(images: Sequence[Image.Image]) -> torch.Tensor:
    """(B, 3, height, width) in 0..1, for `Convolutions`."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).movedim(-1, 1).float() / 255


def patch_batch(processor, images: Sequence[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
    """(patches, grids), for `Tower`."""
    batch = processor.image_processor(images=list(images), return_tensors="pt")
    return batch["pixel_values"], batch["image_grid_thw"]


def network(
    make_body: Callable[[], nn.Module],
    as_batch: Callable[[Sequence[Image.Image]], object],
    images: Mapping[str, Image.Image],
    labels: Labels,
    asked: pd.DataFrame,
    *,
    n_epochs: int = 4,
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Train a network with a linear head a task on `labels` (AdamW, one cycle); scores of the images asked about.

    `images` holds both; `as_batch` makes of some of them what the network takes. The seed decides weights and order.
    """
    torch.manual_seed(seed)
    body = make_body()
    classes = {task: sorted(set(known.values())) for task, known in labels.items()}
    heads = nn.ModuleDict({t.replace(".", "_"): nn.Linear(body.width, len(c)) for t, c in classes.items()})
    ids = sorted({i for known in labels.values() for i in known})
    wanted = {t: torch.tensor([classes[t].index(k[i]) if i in k else -100 for i in ids]) for t, k in labels.items()}
    weights = [w for w in (*body.parameters(), *heads.parameters()) if w.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.05)
    n_steps = n_epochs * -(-len(ids) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=n_steps, pct_start=0.2)
    body.train()
    for _ in range(n_epochs):
        for part in torch.randperm(len(ids)).split(batch_size):
            seen = body(as_batch([images[ids[k]] for k in part]))
            losses = [_loss(heads[t.replace(".", "_")](seen), target[part]) for t, target in wanted.items()]
            optimiser.zero_grad()
            sum(losses).backward()
            optimiser.step()
            schedule.step()
    body.eval()
    return _scores(body, heads, as_batch, images, classes, asked, batch_size)


def _loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the images that have this task; 0 where none has."""
    n = (target != -100).sum().clamp(min=1)
    return nn.functional.cross_entropy(logits, target, reduction="sum", label_smoothing=0.05) / n


@torch.inference_mode()
def _scores(body, heads, as_batch, images, classes, asked, batch_size) -> dict[str, pd.DataFrame]:
    ids = list(dict.fromkeys(asked.image_id))
    parts = [ids[k : k + batch_size] for k in range(0, len(ids), batch_size)]
    seen = torch.cat([body(as_batch([images[i] for i in part])) for part in parts])
    found = {}
    for task in (t for t in asked.solar_task.unique() if t in classes):
        logits = heads[task.replace(".", "_")](seen).log_softmax(-1).numpy()
        found[task] = pd.DataFrame(logits, index=ids, columns=classes[task])
    return found
