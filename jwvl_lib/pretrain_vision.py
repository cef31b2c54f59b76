"""First stage of pretraining the tiny base: the vision tower alone learns to see, on pictures never seen twice.

Linear heads, thrown away afterwards, read characters, things and scene properties off the tower's output tokens.
Trained end to end from random weights the model stays on a plateau for far longer than this takes. Reads and writes
nothing.
"""

import logging
import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, ProcessorMixin
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import rotate_half

from jwvl_lib import general_pictures, general_task, optimise
from jwvl_lib.general_pictures import Scene, Writing

log = logging.getLogger(__name__)

IMAGE_PX, PATCH, MERGE = 168, 14, 2
TOKEN_PX = PATCH * MERGE
N_TOKENS_A_SIDE = IMAGE_PX // TOKEN_PX
CHARACTERS = " " + string.ascii_letters + string.digits + "/-:."
VARIED_SHARE = 0.6  # of the text: other fonts, sizes, places
N_SLOTS = 16  # characters of a token: eight on each line, of which small fonts need seven or so
SCENE_CLASSES = {
    "kind": (*general_pictures.KINDS, "nothing"),
    "colour": tuple(general_task.COLOURS),
    "shape": ("", *general_task.SHAPES),
    "count": tuple(range(5)),
    "place": ("", *general_task.PLACES),
    "polarity": ("", *general_task.SIDES),
    "size": ("", *general_task.SIZES),
}
# what a token may hold: nothing, a shape, a bright or dark spot, a pair (bright left, bright right); largest or not
THING_CLASSES = ("", *general_task.SHAPES, "bright spots", "dark spots", "left", "right")


# --------------------------------------------------------------------------------------------------------------------
# vision tower on equal pictures


def patches(pictures: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Patches (B, n_patches, 588) of equal uint8 pictures (B, H, W, 3), in Qwen's order: 2 x 2 neighbours together.

    The two equal frames that Qwen2.5-VL makes of a still picture are left out: `tower` folds them into the weights.
    """
    n, height, width, _ = pictures.shape
    x = (torch.from_numpy(pictures).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    rows, columns = height // TOKEN_PX, width // TOKEN_PX
    x = x.reshape(n, rows, MERGE, PATCH, columns, MERGE, PATCH, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    return x.reshape(n, rows * columns * MERGE**2, 3 * PATCH**2)


def tower(visual: nn.Module, x: Tensor, rows: int, columns: int) -> Tensor:
    """The vision tower on patches (B, rows * columns * 4, 588) of equal pictures: features (B, rows * columns, hidden).

    The same numbers as `visual(...)`, whose attention goes picture by picture and whose patch embedding is a slow 3-D
    convolution on a CPU. Full attention in every block only.
    """
    weight = visual.patch_embed.proj.weight.sum(2).flatten(1)
    hidden = F.linear(x, weight)
    ids = torch.stack(torch.meshgrid(torch.arange(rows * MERGE), torch.arange(columns * MERGE), indexing="ij"), -1)
    ids = ids.reshape(rows, MERGE, columns, MERGE, 2).permute(0, 2, 1, 3, 4).reshape(-1, 2)
    cos, sin = (t[:, None] for t in visual.rotary_pos_emb(hidden[0], ids))
    for block in visual.blocks:
        hidden = hidden + _attention(block.attn, block.norm1(hidden), cos, sin)
        hidden = hidden + block.mlp(block.norm2(hidden))
    return visual.merger(hidden.flatten(0, 1)).unflatten(0, (len(x), rows * columns))


def _attention(layer: nn.Module, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    q, k, v = layer.qkv(hidden).unflatten(-1, (3, layer.num_heads, -1)).unbind(2)
    q, k = (t * cos + rotate_half(t) * sin for t in (q, k))
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    weights = (q @ k.transpose(2, 3) * layer.scaling).softmax(-1)
    return layer.proj((weights @ v).transpose(1, 2).flatten(2))


# --------------------------------------------------------------------------------------------------------------------
# stage 1: dense targets


def character_targets(text: Writing) -> np.ndarray:
    """(6, 16) classes of the characters whose middles lie in each token of the band; 0 = empty slot."""
    targets = np.zeros((N_TOKENS_A_SIDE, 2, N_SLOTS // 2), np.int64)
    for row, (line, middles) in enumerate(zip(text.lines, text.middles, strict=True)):
        taken = [0] * N_TOKENS_A_SIDE
        for character, x in zip(line, middles, strict=True):
            column = int(x // TOKEN_PX)
            if column < N_TOKENS_A_SIDE and taken[column] < N_SLOTS // 2:
                targets[column, row, taken[column]] = 1 + CHARACTERS.index(character)
                taken[column] += 1
    return targets.reshape(N_TOKENS_A_SIDE, N_SLOTS)


def thing_targets(scene: Scene) -> np.ndarray:
    """(36,) classes of what is centred in each token: `THING_CLASSES`, and the same again for the largest thing."""
    targets = np.zeros((N_TOKENS_A_SIDE, N_TOKENS_A_SIDE), np.int64)
    for k, thing in reversed(list(enumerate(scene.things))):
        name = thing.bright_side or scene.shape or scene.kind
        token = int(thing.y // TOKEN_PX), int(thing.x // TOKEN_PX)
        targets[token] = THING_CLASSES.index(name) + (len(THING_CLASSES) - 1) * (k == 0)
    return targets.flatten()


def token_positions() -> Tensor:
    """(36, 2) row and column of each token."""
    return torch.cartesian_prod(torch.arange(N_TOKENS_A_SIDE), torch.arange(N_TOKENS_A_SIDE))


def scene_targets(scene: Scene) -> list[int]:
    """Class of each property in `SCENE_CLASSES`; "" where the scene has no such property."""
    truths = [general_task.truth(scene, p) if p in general_task.tasks_of(scene) else "" for p in SCENE_CLASSES]
    return [[str(c) for c in classes].index(t) for classes, t in zip(SCENE_CLASSES.values(), truths, strict=True)]


class DenseHeads(nn.Module):
    """Linear readers of the tower's tokens: characters, things, row and column, and scene properties from their mean.

    Row and column matter since the tower has no absolute positions and the decoder sees them in its rotary angles only:
    without this target the base answers where a thing is no better than by guessing.
    """

    def __init__(self, hidden: int):
        super().__init__()
        self.characters = nn.Linear(hidden, N_SLOTS * (len(CHARACTERS) + 1))
        self.things = nn.Linear(hidden, 2 * len(THING_CLASSES) - 1)
        self.position = nn.Linear(hidden, 2 * N_TOKENS_A_SIDE)
        self.scene = nn.Linear(hidden, sum(map(len, SCENE_CLASSES.values())))

    def read_characters(self, features: Tensor) -> Tensor:
        """(..., 16, n_classes) logits of tokens (..., hidden)."""
        return self.characters(features).unflatten(-1, (N_SLOTS, -1))

    def read_scene(self, features: Tensor) -> list[Tensor]:
        """Logits (B, n_classes) of each property from features (B, n_tokens, hidden)."""
        return self.scene(features.mean(1)).split([len(c) for c in SCENE_CLASSES.values()], -1)


@dataclass(frozen=True)
class DenseBatch:
    """Pictures (B, 168, 168, 3) with targets, and strips (S, 28, 168, 3) that hold a text band only."""

    pictures: np.ndarray
    strips: np.ndarray
    on_top: Tensor  # (B,) where the band of a picture stands
    characters: Tensor  # (B + S, 6, 16)
    things: Tensor  # (B, 36)
    scene: Tensor  # (B, n_properties)


def dense_batch(rng: np.random.Generator, n_pictures: int, n_strips: int) -> DenseBatch:
    """A batch of fresh pictures. A strip costs a sixth of a picture, and reading is what takes longest to learn."""
    scenes = [general_pictures.make_scene(rng, IMAGE_PX, varied) for varied in rng.random(n_pictures) < VARIED_SHARE]
    strips = [general_pictures.make_strip(rng, IMAGE_PX, varied) for varied in rng.random(n_strips) < VARIED_SHARE]
    written = [s.text for s in scenes] + [text for _, text in strips]
    return DenseBatch(
        np.stack([np.array(s.image) for s in scenes]),
        np.stack([np.array(image) for image, _ in strips]),
        torch.tensor([s.text.on_top for s in scenes]),
        torch.from_numpy(np.stack([character_targets(text) for text in written])),
        torch.from_numpy(np.stack([thing_targets(s) for s in scenes])),
        torch.tensor([scene_targets(s) for s in scenes]),
    )


def dense_loss(visual: nn.Module, heads: DenseHeads, batch: DenseBatch, mean, std) -> tuple[Tensor, dict[str, float]]:
    """Loss of the heads on one batch and the accuracies (characters over filled slots, things over filled tokens)."""
    side = N_TOKENS_A_SIDE
    features = tower(visual, patches(batch.pictures, mean, std), side, side)
    strips = tower(visual, patches(batch.strips, mean, std), 1, side)
    bands = torch.where(batch.on_top[:, None, None], features[:, :side], features[:, -side:])
    bands = torch.cat([bands, strips])
    characters, things = heads.read_characters(bands), heads.things(features)
    position = heads.position(features).unflatten(-1, (2, side))
    scene = heads.read_scene(features)
    loss = _sparse_cross_entropy(characters, batch.characters) + 2 * _sparse_cross_entropy(things, batch.things)
    loss = loss + 0.5 * sum(F.cross_entropy(logits, batch.scene[:, k]) for k, logits in enumerate(scene))
    loss = loss + 0.5 * F.cross_entropy(position.flatten(0, 2), token_positions().repeat(len(features), 1).flatten())
    scores = {
        "characters": _accuracy(characters, batch.characters, batch.characters > 0),
        "things": _accuracy(things, batch.things, batch.things > 0),
        "position": (position.argmax(-1) == token_positions()).float().mean().item(),
    }
    for k, name in enumerate(SCENE_CLASSES):
        scores[name] = _accuracy(scene[k], batch.scene[:, k], torch.ones_like(batch.scene[:, k], dtype=torch.bool))
    return loss, scores


def _sparse_cross_entropy(logits: Tensor, targets: Tensor, empty_weight: float = 0.15) -> Tensor:
    """Cross entropy where most targets are 0 (an empty slot, an empty token), which therefore count for less."""
    weight = torch.ones(logits.shape[-1])
    weight[0] = empty_weight
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), weight=weight)


def _accuracy(logits: Tensor, targets: Tensor, where: Tensor) -> float:
    return (logits.argmax(-1) == targets)[where].float().mean().item()


def train_vision(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    n_steps: int,
    seed: int = 0,
    n_pictures: int = 16,
    n_strips: int = 48,
    lr: float = 1.5e-3,
    muon_lr: float = 4e-3,
) -> list[dict]:
    """Stage 1, in place; returns the log, a row each 50 steps: step, seconds, loss and training accuracies."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    visual, images = model.model.visual, processor.image_processor
    heads = DenseHeads(model.config.text_config.hidden_size)
    optimisers = optimise.make_optimisers([*visual.named_parameters(), *heads.named_parameters()], lr, muon_lr)
    history = optimise.History("vision", n_steps)
    for step in range(n_steps):
        batch = dense_batch(rng, n_pictures, n_strips)
        loss, scores = dense_loss(visual, heads, batch, images.image_mean, images.image_std)
        optimise.update(loss, optimisers, optimise.schedule(step, n_steps))
        history.add(step, {"loss": loss.item()} | scores)
    return history.rows
