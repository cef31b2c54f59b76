"""Second stage of pretraining the tiny base: the vision tower is frozen and the decoder learns to answer.

A picture is one shared sequence with several questions; bands of text alone stand beside the pictures, since reading is
what takes longest to learn. Reads and writes nothing.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, ProcessorMixin

from jwvl_lib import branch_attention, general_pictures, general_task, optimise, pretrain_words, shared_image
from jwvl_lib.general_pictures import Scene
from jwvl_lib.pretrain_vision import IMAGE_PX, MERGE, N_TOKENS_A_SIDE, TOKEN_PX, VARIED_SHARE, patches, tower
from jwvl_lib.shared_image import SharedSequence

WEIGHTS = {"text": 1.0, "other": 1.0, "words": 0.3}  # of the mean loss of a token of each kind of answer


def train_answers(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    n_steps: int,
    seed: int = 0,
    n_pictures: int = 6,
    n_strips: int = 24,
    n_questions: int = 6,
    n_words: int = 2,
    lr: float = 2e-3,
    muon_lr: float = 4e-3,
) -> list[dict]:
    """Stage 2, in place, vision frozen: each picture once with `n_questions` questions, the text one among them, and
    `n_words` turns about words alone (`pretrain_words`); each strip with the text question.

    Text read, other answers and words are averaged apart and added with `WEIGHTS`, since a text has thirty tokens and
    most answers two. Returns the log, a row each 50 steps: step, seconds, the sum and the three losses of a token.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 2])
    model.model.visual.requires_grad_(False)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimisers = optimise.make_optimisers(trained, lr, muon_lr)
    history = optimise.History("answers", n_steps)
    of_picture = ["text"] + ["other"] * (n_questions - 1) + ["words"] * n_words
    kinds = of_picture * n_pictures + ["text"] * n_strips
    for step in range(n_steps):
        varied = rng.random(n_pictures) < VARIED_SHARE
        scenes = [general_pictures.make_scene(rng, IMAGE_PX, v) for v in varied]
        turns = [(*general_task.ask_several(rng, s, n_questions), *pretrain_words.turns(rng, n_words)) for s in scenes]
        samples = picture_samples(model, processor, scenes, turns) + strip_samples(model, processor, rng, n_strips)
        by_kind = {kind: [] for kind in WEIGHTS}
        for kind, answer in zip(kinds, answer_losses(model, processor, samples), strict=True):
            by_kind[kind].append(answer)
        losses = {kind: torch.cat(answers).mean() for kind, answers in by_kind.items() if answers}
        loss = sum(WEIGHTS[kind] * value for kind, value in losses.items())
        optimise.update(loss, optimisers, optimise.schedule(step, n_steps))
        history.add(step, {"loss": loss.item()} | {f"loss_{kind}": value.item() for kind, value in losses.items()})
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
    strips = [general_pictures.make_strip(rng, IMAGE_PX, varied) for varied in rng.random(n) < VARIED_SHARE]
    if not strips:
        return []
    features = _frozen_features(model, processor, np.stack([np.array(image) for image, _ in strips]))
    grid = torch.tensor([[1, MERGE, N_TOKENS_A_SIDE * MERGE]])
    samples = []
    for (_, text), f in zip(strips, features, strict=True):
        question = general_task.reading_question(rng, general_pictures.pick(rng, ("en", "zh")))
        sequence = shared_image.build_sequence(processor, grid, [(question, "\n".join(text.lines))])
        positions = sequence.position_ids.clone()
        lowest = 0 if text.on_top else N_TOKENS_A_SIDE - 1
        positions[1, 0, sequence.input_ids == processor.image_token_id] += lowest
        samples.append((dataclasses.replace(sequence, position_ids=positions), f))
    return samples


def _frozen_features(model: PreTrainedModel, processor: ProcessorMixin, pictures: np.ndarray) -> Tensor:
    images = processor.image_processor
    with torch.no_grad():
        x = patches(pictures, images.image_mean, images.image_std)
        return tower(model.model.visual, x, pictures.shape[1] // TOKEN_PX, pictures.shape[2] // TOKEN_PX)


def answer_losses(
    model: PreTrainedModel, processor: ProcessorMixin, samples: Sequence[tuple[SharedSequence, Tensor]]
) -> list[Tensor]:
    """Cross entropy of each answer token, a tensor an answer, in the order of the samples and their branches."""
    batch = shared_image.collate(samples, processor.tokenizer.pad_token_id, attention="eager", cached=True)
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits
    losses = F.cross_entropy(logits, labels[labels != shared_image.IGNORE], reduction="none")
    lengths = [_answer_lengths(sequence) for sequence, _ in samples]
    packed = [k for row in branch_attention.pack([len(s.branch) for s, _ in samples]) for k in row]
    by_sequence = dict(zip(packed, losses.split([sum(lengths[k]) for k in packed]), strict=True))
    return [part for k, answers in enumerate(lengths) for part in by_sequence[k].split(answers)]


def _answer_lengths(sequence: shared_image.SharedSequence) -> list[int]:
    answered = sequence.labels != shared_image.IGNORE
    return [int((answered & (sequence.branch == 1 + k)).sum()) for k in range(sequence.n_branches)]
