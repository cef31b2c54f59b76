"""Pretraining of the tiny base in two stages, both on pictures drawn on the fly and never seen twice.

Stage 1 teaches the vision tower alone: linear heads, thrown away afterwards, read characters, things and scene
properties off its output tokens. Stage 2 freezes it and teaches the decoder to answer. Trained end to end from
scratch the model stays on a plateau for far longer than both stages take. Reads and writes nothing.
"""

import dataclasses
import logging
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, ProcessorMixin
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import rotate_half

from jwvl_lib import general_pictures, general_task, optimise, shared_image
from jwvl_lib.general_pictures import Scene
from jwvl_lib.shared_image import SharedSequence

log = logging.getLogger(__name__)

IMAGE_PX, PATCH, MERGE = 168, 14, 2
TOKEN_PX = PATCH * MERGE
N_TOKENS_A_SIDE = IMAGE_PX // TOKEN_PX
CHARACTERS = " " + string.ascii_letters + string.digits + "/-:."
N_SLOTS = 8  # characters of a token: four on each line
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


def character_targets(lines: Sequence[str], text_x: int) -> np.ndarray:
    """(6, 8) classes of the characters whose centres lie in each token of the band; 0 = empty slot."""
    advance = general_pictures.band_font(TOKEN_PX).getlength("M")
    targets = np.zeros((N_TOKENS_A_SIDE, 2, N_SLOTS // 2), np.int64)
    for row, line in enumerate(lines):
        taken = [0] * N_TOKENS_A_SIDE
        for k, character in enumerate(line):
            column = int((text_x + advance * (k + 0.5)) // TOKEN_PX)
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


def scene_targets(scene: Scene) -> list[int]:
    """Class of each property in `SCENE_CLASSES`; "" where the scene has no such property."""
    truths = [general_task.truth(scene, p) if p in general_task.tasks_of(scene) else "" for p in SCENE_CLASSES]
    return [[str(c) for c in classes].index(t) for classes, t in zip(SCENE_CLASSES.values(), truths, strict=True)]


class DenseHeads(nn.Module):
    """Linear readers of the tower's tokens: characters, things, and scene properties from the mean token."""

    def __init__(self, hidden: int):
        super().__init__()
        self.characters = nn.Linear(hidden, N_SLOTS * (len(CHARACTERS) + 1))
        self.things = nn.Linear(hidden, 2 * len(THING_CLASSES) - 1)
        self.scene = nn.Linear(hidden, sum(map(len, SCENE_CLASSES.values())))

    def read_characters(self, features: Tensor) -> Tensor:
        """(..., 8, n_classes) logits of tokens (..., hidden)."""
        return self.characters(features).unflatten(-1, (N_SLOTS, -1))

    def read_scene(self, features: Tensor) -> list[Tensor]:
        """Logits (B, n_classes) of each property from features (B, n_tokens, hidden)."""
        return self.scene(features.mean(1)).split([len(c) for c in SCENE_CLASSES.values()], -1)


@dataclass(frozen=True)
class DenseBatch:
    """Pictures (B, 168, 168, 3) with targets, and strips (S, 28, 168, 3) that hold a text band only."""

    pictures: np.ndarray
    strips: np.ndarray
    characters: Tensor  # (B + S, 6, 8)
    things: Tensor  # (B, 36)
    scene: Tensor  # (B, n_properties)


def dense_batch(rng: np.random.Generator, n_pictures: int, n_strips: int) -> DenseBatch:
    """A batch of fresh pictures. A strip costs a sixth of a picture, and reading is what takes longest to learn."""
    scenes = [general_pictures.make_scene(rng, IMAGE_PX) for _ in range(n_pictures)]
    strips = [general_pictures.make_strip(rng, IMAGE_PX) for _ in range(n_strips)]
    written = [(s.lines, s.text_xy[0]) for s in scenes] + [(lines, x) for _, lines, x in strips]
    return DenseBatch(
        np.stack([np.array(s.image) for s in scenes]),
        np.stack([np.array(image) for image, _, _ in strips]),
        torch.from_numpy(np.stack([character_targets(lines, x) for lines, x in written])),
        torch.from_numpy(np.stack([thing_targets(s) for s in scenes])),
        torch.tensor([scene_targets(s) for s in scenes]),
    )


def dense_loss(visual: nn.Module, heads: DenseHeads, batch: DenseBatch, mean, std) -> tuple[Tensor, dict[str, float]]:
    """Loss of the heads on one batch and the accuracies (characters over filled slots, things over filled tokens)."""
    side = N_TOKENS_A_SIDE
    features = tower(visual, patches(batch.pictures, mean, std), side, side)
    strips = tower(visual, patches(batch.strips, mean, std), 1, side)
    bands = torch.cat([features[:, -side:], strips])
    characters, things = heads.read_characters(bands), heads.things(features)
    scene = heads.read_scene(features)
    loss = _sparse_cross_entropy(characters, batch.characters) + 2 * _sparse_cross_entropy(things, batch.things)
    loss = loss + 0.5 * sum(F.cross_entropy(logits, batch.scene[:, k]) for k, logits in enumerate(scene))
    scores = {
        "characters": _accuracy(characters, batch.characters, batch.characters > 0),
        "things": _accuracy(things, batch.things, batch.things > 0),
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
    n_pictures: int = 8,
    n_strips: int = 24,
    lr: float = 1.5e-3,
    muon_lr: float = 4e-3,
) -> list[dict]:
    """Stage 1, in place; returns the log, a row each 50 steps: step, seconds, loss and training accuracies."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    visual, images = model.model.visual, processor.image_processor
    heads = DenseHeads(model.config.text_config.hidden_size)
    optimisers = optimise.make_optimisers([*visual.named_parameters(), *heads.named_parameters()], lr, muon_lr)
    history = _History("vision", n_steps)
    for step in range(n_steps):
        batch = dense_batch(rng, n_pictures, n_strips)
        loss, scores = dense_loss(visual, heads, batch, images.image_mean, images.image_std)
        _update(loss, optimisers, optimise.schedule(step, n_steps))
        history.add(step, {"loss": loss.item()} | scores)
    return history.rows


# --------------------------------------------------------------------------------------------------------------------
# stage 2: answers


def train_answers(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    n_steps: int,
    seed: int = 0,
    n_pictures: int = 8,
    n_strips: int = 16,
    n_questions: int = 4,
    lr: float = 2e-3,
    muon_lr: float = 4e-3,
) -> list[dict]:
    """Stage 2, in place, vision frozen: each picture once with `n_questions` questions, the text one among them, and
    each strip with the text question.

    Returns the log, a row each 50 steps: step, seconds, loss of a token of text read and of another answer.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 2])
    model.model.visual.requires_grad_(False)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimisers = optimise.make_optimisers(trained, lr, muon_lr)
    history = _History("answers", n_steps)
    for step in range(n_steps):
        scenes = [general_pictures.make_scene(rng, IMAGE_PX) for _ in range(n_pictures)]
        samples = picture_samples(model, processor, scenes, [_turns(rng, s, n_questions) for s in scenes])
        samples += strip_samples(model, processor, rng, n_strips)
        losses = answer_losses(model, processor, samples)
        loss = torch.cat(losses).mean()
        _update(loss, optimisers, optimise.schedule(step, n_steps))
        n_turns = n_pictures * n_questions
        is_text = [k >= n_turns or k % n_questions == 0 for k in range(len(losses))]
        text, other = (torch.cat([x for x, t in zip(losses, is_text, strict=True) if t == w]) for w in (True, False))
        history.add(step, {"loss": loss.item(), "loss_text": text.mean().item(), "loss_other": other.mean().item()})
    model.model.visual.requires_grad_(True)
    return history.rows


def picture_samples(
    model: PreTrainedModel, processor: ProcessorMixin, scenes: Sequence[Scene], turns: Sequence[Sequence[tuple]]
) -> list[tuple[SharedSequence, Tensor]]:
    """Shared sequence and features (36, hidden) of each scene with its turns (question, answer)."""
    features = _frozen_features(model, processor, np.stack([np.array(s.image) for s in scenes]))
    grid = torch.tensor([[1, N_TOKENS_A_SIDE * MERGE, N_TOKENS_A_SIDE * MERGE]])
    return [(shared_image.build_sequence(processor, grid, t), f) for t, f in zip(turns, features, strict=True)]


def strip_samples(
    model: PreTrainedModel, processor: ProcessorMixin, rng: np.random.Generator, n: int
) -> list[tuple[SharedSequence, Tensor]]:
    """`n` text bands alone with the question to read them, at the positions that a band has in a whole picture."""
    strips = [general_pictures.make_strip(rng, IMAGE_PX) for _ in range(n)]
    if not strips:
        return []
    features = _frozen_features(model, processor, np.stack([np.array(image) for image, _, _ in strips]))
    grid = torch.tensor([[1, MERGE, N_TOKENS_A_SIDE * MERGE]])
    samples = []
    for (_, lines, _), f in zip(strips, features, strict=True):
        question = general_task.reading_question(rng, general_pictures.pick(rng, ("en", "zh")))
        sequence = shared_image.build_sequence(processor, grid, [(question, "\n".join(lines))])
        positions = sequence.position_ids.clone()
        positions[1, 0, sequence.input_ids == processor.image_token_id] += N_TOKENS_A_SIDE - 1  # the lowest row
        samples.append((dataclasses.replace(sequence, position_ids=positions), f))
    return samples


def _frozen_features(model: PreTrainedModel, processor: ProcessorMixin, pictures: np.ndarray) -> Tensor:
    images = processor.image_processor
    with torch.no_grad():
        x = patches(pictures, images.image_mean, images.image_std)
        return tower(model.model.visual, x, pictures.shape[1] // TOKEN_PX, pictures.shape[2] // TOKEN_PX)


def _turns(rng: np.random.Generator, scene: Scene, n_questions: int) -> list[tuple[str, str]]:
    """Question and answer of the text, then of other tasks drawn at random; a task may come twice, in other words."""
    others = [t for t in general_task.tasks_of(scene) if t != "ocr"]
    rng.shuffle(others)
    tasks = ["ocr", *others, *others][:n_questions]
    return [general_task.ask(rng, scene, task, general_pictures.pick(rng, ("en", "zh")))[:2] for task in tasks]


def answer_losses(
    model: PreTrainedModel, processor: ProcessorMixin, samples: Sequence[tuple[SharedSequence, Tensor]]
) -> list[Tensor]:
    """Cross entropy of each answer token, a tensor an answer, in the order of the samples and their branches."""
    batch = shared_image.collate(samples, processor.tokenizer.pad_token_id, attention="eager", cached=True)
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits
    losses = F.cross_entropy(logits, labels[labels != shared_image.IGNORE], reduction="none")
    lengths = [_answer_lengths(sequence) for sequence, _ in samples]
    packed = [k for row in shared_image.pack([len(s.branch) for s, _ in samples]) for k in row]
    by_sequence = dict(zip(packed, losses.split([sum(lengths[k]) for k in packed]), strict=True))
    return [part for k, answers in enumerate(lengths) for part in by_sequence[k].split(answers)]


def _answer_lengths(sequence: shared_image.SharedSequence) -> list[int]:
    answered = sequence.labels != shared_image.IGNORE
    return [int((answered & (sequence.branch == 1 + k)).sum()) for k in range(sequence.n_branches)]


def _update(loss: Tensor, optimisers: Sequence[torch.optim.Optimizer], factor: float) -> None:
    loss.backward()
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak_lr"] * factor
    parameters = [p for o in optimisers for g in o.param_groups for p in g["params"] if p.grad is not None]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


class _History:
    """Means of what was measured over each 50 steps; logged as they come."""

    def __init__(self, stage: str, n_steps: int):
        self.stage, self.n_steps, self.rows = stage, n_steps, []
        self._pending: list[dict[str, float]] = []
        self._start = time.perf_counter()

    def add(self, step: int, values: dict[str, float]) -> None:
        self._pending.append(values)
        if (step + 1) % 50 and step + 1 < self.n_steps:
            return
        means = {k: round(float(np.nanmean([v[k] for v in self._pending])), 4) for k in values}
        self.rows.append(
            {"stage": self.stage, "step": step + 1, "seconds": round(time.perf_counter() - self._start, 1), **means}
        )
        self._pending = []
        log.info("%s", self.rows[-1])
