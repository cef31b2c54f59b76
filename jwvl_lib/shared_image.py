"""Shared-image sequences: several annotations of one image as one sequence that holds the image once.

A sequence is [prefix with the image][branch 1][branch 2]…; a branch is one question and its answer. A branch sees the
prefix and itself, never another branch, and its positions restart right after the image, so every branch computes
what a separate sample would: same loss, same gradients, the image paid for once. The same mask lets sequences about
different images share a row of the batch. Reads and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from jwvl_lib import vlm

IGNORE = -100  # label of an unsupervised token, as in torch's cross_entropy
PADDING = -1  # owner of a padding token in `collate`
_MARK = "\ue000"  # private-use character that stands for the question while the chat template is taken apart


@dataclass(frozen=True)
class Branch:
    """One question and its answer, tokenised. `n_question` tokens come before the first supervised one."""

    input_ids: Tensor  # (n,), the question's rest of the user turn, the assistant header, the answer, <|im_end|>
    n_question: int


@dataclass(frozen=True)
class SharedSequence:
    """An image prefix and its branches. L tokens; `branch` is 0 in the prefix, 1… in the branches."""

    input_ids: Tensor  # (L,)
    position_ids: Tensor  # (3, 1, L): time, height, width of Qwen2.5-VL's multimodal rotary positions
    labels: Tensor  # (L,), IGNORE outside the answers
    branch: Tensor  # (L,)
    image_grid_thw: Tensor  # (1, 3), in patches
    n_branches: int

    @property
    def attention_mask(self) -> Tensor:
        """(1, 1, L, L) bool, True = attend."""
        return block_mask(torch.zeros_like(self.branch)[None], self.branch[None])

    @property
    def logits_to_keep(self) -> Tensor:
        """Indices of the positions whose next token is supervised: one before each label."""
        return (self.labels != IGNORE).nonzero().squeeze(-1) - 1

    @property
    def n_prefix(self) -> int:
        return int((self.branch == 0).sum())

    @property
    def n_tokens_separate(self) -> int:
        """Tokens that the same annotations need as separate samples, each with its own copy of the image."""
        return len(self.branch) + (self.n_branches - 1) * self.n_prefix


def encode_prefix(processor, image_grid_thw: Tensor) -> Tensor:
    """Token ids (P,) of the chat up to and with `<|vision_end|>`, with a placeholder for each visual token."""
    text = _chat_parts(processor)[0]
    n_visual = int(image_grid_thw.prod()) // processor.image_processor.merge_size**2
    return _ids(processor, text.replace(processor.image_token, processor.image_token * n_visual))


def encode_branch(processor, question: str, answer: str) -> Branch:
    """Tokenise what follows the image: the question, the assistant header, the answer and `<|im_end|>`.

    Prompt and answer are tokenised apart, as generation sees them: no token may straddle the border.
    """
    _, between, after = _chat_parts(processor)
    prompt = _ids(processor, between + question + after)
    return Branch(torch.cat([prompt, _ids(processor, answer + "<|im_end|>")]), len(prompt))


def assemble(
    prefix_ids: Tensor, branches: Sequence[Branch], image_grid_thw: Tensor, image_token_id: int, merge_size: int = 2
) -> SharedSequence:
    """One sequence from a tokenised prefix and its branches; positions restart after the image for every branch.

    Positions follow Qwen2.5-VL (arXiv:2502.13923, section 2.1.2): the visual tokens of an image share one time and
    take row and column, and the text goes on from the largest position + 1.
    """
    if not branches:
        raise ValueError("0 branches: a shared sequence needs at least one question and answer; leave the image out")
    prefix_positions = _prefix_positions(prefix_ids, image_grid_thw, image_token_id, merge_size)
    start = int(prefix_positions.max()) + 1
    lengths = [len(b.input_ids) for b in branches]
    positions = [prefix_positions, *((start + torch.arange(n)).expand(3, n) for n in lengths)]
    owner = torch.arange(len(branches) + 1).repeat_interleave(torch.tensor([len(prefix_ids), *lengths]))
    return SharedSequence(
        input_ids=torch.cat([prefix_ids, *(b.input_ids for b in branches)]),
        position_ids=torch.cat(positions, dim=1)[:, None],
        labels=torch.cat([torch.full_like(prefix_ids, IGNORE), *(_labels(b) for b in branches)]),
        branch=owner,
        image_grid_thw=image_grid_thw.reshape(1, 3),
        n_branches=len(branches),
    )


def build_sequence(processor, image_grid_thw: Tensor, turns: Sequence[tuple[str, str]]) -> SharedSequence:
    """One sequence for one image (grid (1, 3) in patches) and its turns (question, answer): the image once.

    Labels stand on the answers and their `<|im_end|>` only.
    """
    return assemble(
        encode_prefix(processor, image_grid_thw),
        [encode_branch(processor, question, answer) for question, answer in turns],
        image_grid_thw,
        processor.image_token_id,
        processor.image_processor.merge_size,
    )


def token_table(processor, sequence: SharedSequence) -> pd.DataFrame:
    """A row a token: `position` (time, height, width), `branch`, `token`, `role` and whether it is `supervised`."""
    supervised = (sequence.labels != IGNORE).numpy()
    is_image = (sequence.input_ids == processor.image_token_id).numpy()
    return pd.DataFrame(
        {
            "position": [tuple(p) for p in sequence.position_ids[:, 0].T.tolist()],
            "branch": sequence.branch.tolist(),
            "token": [processor.tokenizer.decode([i]) for i in sequence.input_ids.tolist()],
            "role": np.select([is_image, supervised], ["image", "answer"], "prompt"),
            "supervised": supervised,
        }
    )


def block_mask(owner: Tensor, branch: Tensor) -> Tensor:
    """Who attends to whom, (B, 1, L, L) bool, from each token's sequence (`owner`) and branch (0 = prefix), (B, L).

    True where key and query belong to one sequence, the key is not later, and the key is in the prefix or in the
    query's own branch. Padding is a sequence of its own, so that no row of the mask is empty (softmax would be NaN).
    """
    length = owner.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=owner.device).tril()
    same_sequence = owner[:, :, None] == owner[:, None, :]
    visible = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    return (causal & same_sequence & visible)[:, None]


def pack(lengths: Sequence[int]) -> list[list[int]]:
    """Which sequences share a row: first fit, longest first, no row longer than the longest sequence."""
    rows, space = [], []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((k for k, left in enumerate(space) if left >= lengths[i]), len(rows))
        if row == len(rows):
            rows.append([])
            space.append(max(lengths))
        rows[row].append(i)
        space[row] -= lengths[i]
    return rows


def collate(pairs: Sequence[tuple[SharedSequence, Tensor]], pad_token_id: int, attention: str, cached: bool) -> dict:
    """A batch from (sequence, vision) pairs; short sequences share a row behind one another, isolated (see `pack`).

    `vision` is the image's features (n_visual, hidden) where `cached`, else its patches (n_patches, patch_dim).
    `attention` is the model's implementation: eager attention needs another form of mask.
    Keys: `input_ids` and `labels` (B, L), `position_ids` (3, B, L), `attention_mask` (B, 1, L, L), `logits_to_keep`
    (B, L) bool, and either `mm_encoder_outputs` or `pixel_values` with `image_grid_thw`.
    """
    rows = [[pairs[i] for i in row] for row in pack([len(sequence.branch) for sequence, _ in pairs])]
    sequences = [[sequence for sequence, _ in row] for row in rows]
    labels = _padded(sequences, "labels", IGNORE)
    owner = _pad([torch.cat([torch.full_like(s.branch, k) for k, s in enumerate(row)]) for row in sequences], PADDING)
    mask = block_mask(owner, _padded(sequences, "branch", 0))
    batch = {
        "input_ids": _padded(sequences, "input_ids", pad_token_id),
        "position_ids": _pad([torch.cat([s.position_ids[:, 0].T for s in row]) for row in sequences]).permute(2, 0, 1),
        "attention_mask": additive(mask) if attention == "eager" else mask,
        "logits_to_keep": torch.roll(labels != IGNORE, -1, dims=1),
        "labels": labels,
    }
    vision = torch.cat([image for row in rows for _, image in row])
    if cached:
        return batch | {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=(vision,))}}
    grids = torch.cat([sequence.image_grid_thw for row in sequences for sequence in row])
    return batch | {"pixel_values": vision, "image_grid_thw": grids}


def additive(mask: Tensor) -> Tensor:
    """A bool mask as the float that eager attention adds to its scores: 0 to attend, the lowest float32 to mask.

    transformers hands a 4-D mask through as it is; eager attention would add a bool as 0 and 1 and mask nothing.
    """
    return torch.where(mask, 0.0, torch.finfo(torch.float32).min)


def labelled_loss(outputs, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Cross entropy over the supervised tokens of `collate`'s batch, in nats a token.

    `outputs.logits` are flat (n_supervised, vocabulary), as `logits_to_keep` asks for. `num_items_in_batch` is the
    number of supervised tokens of the whole accumulated batch; without it the mean of this batch is returned.
    """
    targets = labels[labels != IGNORE]
    total = torch.nn.functional.cross_entropy(outputs.logits.float(), targets, reduction="sum")
    return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)


def _chat_parts(processor) -> tuple[str, str, str]:
    """The rendered chat: up to the end of the image, from there to the question, and after the question."""
    chat = processor.apply_chat_template(vlm.chat_messages(_MARK), tokenize=False, add_generation_prompt=True)
    head, end, tail = chat.partition("<|vision_end|>")
    between, mark, after = tail.partition(_MARK)
    if not (end and mark):
        raise ValueError(
            f"chat template {chat[:80]!r}: shared sequences need the image before the question; reorder it"
        )
    return head + end, between, after


def _ids(processor, text: str) -> Tensor:
    return torch.tensor(processor.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.long)


def _labels(branch: Branch) -> Tensor:
    labels = branch.input_ids.clone()
    labels[: branch.n_question] = IGNORE
    return labels


def _prefix_positions(prefix_ids: Tensor, image_grid_thw: Tensor, image_token_id: int, merge_size: int) -> Tensor:
    """(3, P) positions of one image with text before and after it."""
    time, height, width = (int(n) for n in image_grid_thw.reshape(3))
    rows, columns = height // merge_size, width // merge_size
    is_image = prefix_ids == image_token_id
    if time != 1 or int(is_image.sum()) != rows * columns:
        raise ValueError(
            f"{int(is_image.sum())} image tokens for a grid of {time}x{rows}x{columns}: one still image a prefix; "
            "encode it with encode_prefix and the image's own grid"
        )
    n_before = int(is_image.nonzero()[0])
    n_after = len(prefix_ids) - n_before - rows * columns
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    image = n_before + torch.stack([torch.zeros(rows * columns, dtype=torch.long), y.flatten(), x.flatten()])
    after = n_before + max(rows, columns) + torch.arange(n_after)
    return torch.cat([torch.arange(n_before).expand(3, -1), image, after.expand(3, -1)], dim=1)


def _padded(rows: Sequence[Sequence[SharedSequence]], field: str, value: int) -> Tensor:
    return _pad([torch.cat([getattr(sequence, field) for sequence in row]) for row in rows], value)


def _pad(parts: Sequence[Tensor], value: int = 0) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)
