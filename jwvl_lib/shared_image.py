"""Shared-image sequences: several annotations of one image, or of the same few, as one sequence that holds it once.

A sequence is [prefix with the images][branch 1][branch 2]…; a branch is one question and its answer, or a conversation.
A branch sees the prefix and itself, never another branch, and its positions restart right after the image, so every
branch computes what a separate sample would: same loss, same gradients, the image paid for once. The same mask lets
sequences about different images share a row of the batch. Reads and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from transformers.modeling_outputs import BaseModelOutputWithPooling

from jwvl_lib import branch_attention
from jwvl_lib.chat_tokens import IGNORE, Branch, encode_branch, encode_prefix

PADDING = -1  # owner of a padding token in `collate`
USUAL_STATEMENT = 8  # tokens: the length at which `statement_weights` are 1


@dataclass(frozen=True)
class SharedSequence:
    """An image prefix and its branches. L tokens; `branch` is 0 in the prefix, 1… in the branches."""

    input_ids: Tensor  # (L,)
    position_ids: Tensor  # (3, 1, L): time, height, width of the Qwen family's rotary positions; (1, 1, L) of others
    labels: Tensor  # (L,), IGNORE outside the answers
    branch: Tensor  # (L,)
    image_grid_thw: Tensor | None  # (n_images, 3), in patches; None where the model has no such thing
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


def assemble(
    prefix_ids: Tensor,
    branches: Sequence[Branch],
    image_grid_thw: Tensor | None,
    image_token_id: int,
    merge_size: int = 2,
) -> SharedSequence:
    """One sequence from a tokenised prefix and its branches; positions restart after the images for every branch.

    With grids (n_images, 3), positions follow Qwen2.5-VL (arXiv:2502.13923, section 2.1.2): the visual tokens of an
    image share one time and take row and column, and the text goes on from the largest position + 1. Without them,
    they count the tokens, as in LLaVA and Idefics.
    """
    if not branches:
        raise ValueError("0 branches: a shared sequence needs at least one question and answer; leave the image out")
    if image_grid_thw is None:
        prefix_positions = torch.arange(len(prefix_ids))[None]
    else:
        image_grid_thw = image_grid_thw.reshape(-1, 3)
        prefix_positions = _prefix_positions(prefix_ids, image_grid_thw, image_token_id, merge_size)
    start, n_axes = int(prefix_positions.max()) + 1, len(prefix_positions)
    lengths = [len(b.input_ids) for b in branches]
    positions = [prefix_positions, *((start + torch.arange(n)).expand(n_axes, n) for n in lengths)]
    owner = torch.arange(len(branches) + 1).repeat_interleave(torch.tensor([len(prefix_ids), *lengths]))
    return SharedSequence(
        input_ids=torch.cat([prefix_ids, *(b.input_ids for b in branches)]),
        position_ids=torch.cat(positions, dim=1)[:, None],
        labels=torch.cat([torch.full_like(prefix_ids, IGNORE), *(b.labels for b in branches)]),
        branch=owner,
        image_grid_thw=image_grid_thw,
        n_branches=len(branches),
    )


def build_sequence(processor, image_grid_thw: Tensor, turns: Sequence[tuple[str, str]]) -> SharedSequence:
    """One sequence for the images of a grid (n_images, 3) in patches and their turns (question, answer).

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


def collate(
    pairs: Sequence[tuple[SharedSequence, Tensor | Mapping[str, Tensor]]],
    pad_token_id: int,
    attention: str,
    cached: bool,
) -> dict:
    """A batch from (sequence, vision) pairs; short sequences share a row behind one another, isolated (see `pack`).

    `vision` is the images' features (n_visual, hidden) where `cached`, else their patches (n_patches, patch_dim); of a
    base outside the Qwen family the mapping of `chat_tokens.encode_images`.
    `attention` is the decoder's implementation: eager attention needs another form of mask, FlexAttention a BlockMask,
    `branch_attention` none but a `branch_layout`; its sequences stand in one row behind one another, without padding.
    Keys: `input_ids` and `labels` (B, L), `position_ids` (3, B, L) or (B, L), `attention_mask` (B, 1, L, L),
    `logits_to_keep` (B, L) bool, and either `mm_encoder_outputs` or `pixel_values` with what belongs to them.
    """
    if attention == branch_attention.NAME:
        return _collate_in_a_row(pairs) | _vision(pairs, cached)
    lengths = [len(sequence.branch) for sequence, _ in pairs]
    rows = [[pairs[i] for i in row] for row in branch_attention.pack(lengths)]
    sequences = [[sequence for sequence, _ in row] for row in rows]
    labels = _padded(sequences, "labels", IGNORE)
    positions = _pad([torch.cat([s.position_ids[:, 0].T for s in row]) for row in sequences]).permute(2, 0, 1)
    batch = {
        "input_ids": _padded(sequences, "input_ids", pad_token_id),
        "position_ids": positions if len(positions) > 1 else positions[0],
        "attention_mask": _mask(sequences, attention),
        "logits_to_keep": torch.roll(labels != IGNORE, -1, dims=1),
        "labels": labels,
    }
    return batch | _vision([pair for row in rows for pair in row], cached)


def _mask(rows: Sequence[Sequence[SharedSequence]], attention: str) -> Tensor | BlockMask:
    """Who attends to whom in rows of sequences, as the attention takes it."""
    owner = _pad([torch.cat([torch.full_like(s.branch, k) for k, s in enumerate(row)]) for row in rows], PADDING)
    branch = _padded(rows, "branch", 0)
    if attention == "flex_attention":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return branch_attention.block_mask(owner.to(device), branch.to(device))
    mask = block_mask(owner, branch)
    return additive(mask) if attention == "eager" else mask


def _collate_in_a_row(pairs: Sequence[tuple[SharedSequence, Tensor | Mapping[str, Tensor]]]) -> dict:
    """The text of `collate` as a batch of one row; the mask is a placeholder that keeps the model from making one."""
    sequences = [sequence for sequence, _ in pairs]
    labels = torch.cat([s.labels for s in sequences])[None]
    positions = torch.cat([s.position_ids for s in sequences], dim=2)
    return {
        "input_ids": torch.cat([s.input_ids for s in sequences])[None],
        "position_ids": positions if len(positions) > 1 else positions[0],
        "attention_mask": torch.zeros(1, 1, 1, 1),
        "branch_layout": branch_attention.layout([s.branch for s in sequences]),
        "logits_to_keep": torch.roll(labels != IGNORE, -1, dims=1),
        "labels": labels,
    }


def _vision(pairs: Sequence[tuple[SharedSequence, Tensor | Mapping[str, Tensor]]], cached: bool) -> dict:
    """What the model takes of the images, in the order in which the batch names them."""
    visions = [vision for _, vision in pairs]
    if isinstance(visions[0], Mapping):
        return join_visions(visions)
    if cached:
        features = BaseModelOutputWithPooling(pooler_output=(torch.cat(visions),))
        return {"mm_encoder_outputs": {"image": features}}
    grids = torch.cat([sequence.image_grid_thw for sequence, _ in pairs])
    return {"pixel_values": torch.cat(visions), "image_grid_thw": grids}


def join_visions(visions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The images of several prefixes as one: behind one another along their own axis.

    The Idefics family keeps the tiles of a sample on a second axis: (1, n_tiles, 3, height, width) and its mask.
    """
    tiled = visions[0]["pixel_values"].ndim == 5
    return {key: torch.cat([v[key] for v in visions], dim=int(tiled)) for key in visions[0]}


def collate_separate(
    pairs: Sequence[tuple[SharedSequence, Tensor | Mapping[str, Tensor]]],
    pad_token_id: int,
    image_token_id: int,
    cached: bool,
) -> dict:
    """The same annotations as plain samples, each with its own copy of the images: for bases that cannot share.

    Mask and positions are left to the model. Keys as `collate`, with `attention_mask` (B, L) and, where there are
    grids, `mm_token_type_ids` (B, L) instead of positions.
    """
    copies = [(s, v, b) for s, v in pairs for b in range(1, s.n_branches + 1)]
    own = [(s.branch == 0) | (s.branch == b) for s, _, b in copies]
    labels = _pad([s.labels[kept] for (s, _, _), kept in zip(copies, own, strict=True)], IGNORE)
    ids = _pad([s.input_ids[kept] for (s, _, _), kept in zip(copies, own, strict=True)], pad_token_id)
    batch = {
        "input_ids": ids,
        "attention_mask": _pad([kept[kept].long() for kept in own]),
        "logits_to_keep": torch.roll(labels != IGNORE, -1, dims=1),
        "labels": labels,
    }
    if copies[0][0].image_grid_thw is not None:
        batch["mm_token_type_ids"] = (ids == image_token_id).int()
    vision = _vision([(s, v) for s, v, _ in copies], cached)
    if cached:  # the model counts positions from the grids
        vision["image_grid_thw"] = torch.cat([s.image_grid_thw for s, _, _ in copies])
    return batch | vision


def additive(mask: Tensor) -> Tensor:
    """A bool mask as the float that eager attention adds to its scores: 0 to attend, the lowest float32 to mask.

    transformers hands a 4-D mask through as it is; eager attention would add a bool as 0 and 1 and mask nothing.
    """
    return torch.where(mask, 0.0, torch.finfo(torch.float32).min)


def labelled_loss(
    outputs,
    labels: Tensor,
    num_items_in_batch: Tensor | int | None = None,
    length_exponent: float = 0.0,
    stops: Sequence[int] = (),
) -> Tensor:
    """Cross entropy over the supervised tokens of `collate`'s batch, in nats a token.

    `outputs.logits` are flat (n_supervised, vocabulary), as `logits_to_keep` asks for. `num_items_in_batch` is the
    number of supervised tokens of the whole accumulated batch; without it the mean of this batch is returned.
    Where gradients are taken, a token weighs `statement_weights`; a validation loss stays in nats a token.
    """
    targets = labels[labels != IGNORE]
    losses = torch.nn.functional.cross_entropy(outputs.logits.float(), targets, reduction="none")
    if length_exponent and torch.is_grad_enabled():
        losses = losses * statement_weights(labels, length_exponent, stops)
    return losses.sum() / (len(targets) if num_items_in_batch is None else num_items_in_batch)


def statement_weights(labels: Tensor, exponent: float, stops: Sequence[int] = ()) -> Tensor:
    """(n_supervised,) weights of the tokens: (USUAL_STATEMENT / tokens of their statement) to the power of `exponent`.

    A statement is an answer, or a sentence of one: `stops` are the tokens that end a sentence (`chat_tokens.stops`), so
    that the count in a description counts as much as the same count asked for. At 0 every token counts alike, and an
    answer of one word hardly moves a weight beside a banner or a description; at 1 every statement counts alike;
    between them lies what InternVL2.5 calls square averaging (Chen et al. 2024, arXiv:2412.05271: exponent .5). No sum
    over the batch takes part, so accumulated parts add up to the whole. Raises ValueError for an exponent outside
    [0, 1].
    """
    if not 0 <= exponent <= 1:
        raise ValueError(f"length_exponent {exponent}: lies in [0, 1]; 0: every token counts alike, 1: every statement")
    flat = labels.flatten()
    supervised = flat != IGNORE
    # a question stands before every answer, so answers never touch
    first = (supervised & ~torch.roll(supervised, 1))[supervised]
    ended = torch.roll(torch.isin(flat[supervised], torch.tensor(stops, dtype=flat.dtype, device=flat.device)), 1)
    turn_ends = torch.roll(first, -1)  # the last token of an answer ends the turn, and belongs to its last sentence
    statement = (first | (ended & ~turn_ends)).cumsum(0)
    lengths = torch.bincount(statement)[statement]
    return (USUAL_STATEMENT / lengths) ** exponent


def _prefix_positions(prefix_ids: Tensor, grids: Tensor, image_token_id: int, merge_size: int) -> Tensor:
    """(3, P) positions of images with text before, between and after them."""
    is_image = prefix_ids == image_token_id
    parts, at, start = [], 0, 0
    for time, height, width in grids.tolist():
        rows, columns = height // merge_size, width // merge_size
        left = is_image[at:].nonzero()
        n_text = int(left[0]) if len(left) else 0
        end = at + n_text + rows * columns
        ends_here = end == len(prefix_ids) or not is_image[end:][:1].any()
        if time != 1 or not len(left) or not is_image[at + n_text : end].all() or end > len(is_image) or not ends_here:
            raise ValueError(
                f"{int(is_image.sum())} image tokens for a grid of {time}x{rows}x{columns}: still images of these "
                "sizes, in this order; encode them with encode_prefix and the images' own grids"
            )
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        first = start + n_text
        parts.append((start + torch.arange(n_text)).expand(3, -1))
        parts.append(first + torch.stack([torch.zeros(rows * columns, dtype=torch.long), y.flatten(), x.flatten()]))
        at, start = end, first + max(rows, columns)
    if is_image[at:].any():
        raise ValueError(f"{int(is_image[at:].sum())} image tokens after {len(grids)} grids; give a grid an image")
    return torch.cat([*parts, (start + torch.arange(len(prefix_ids) - at)).expand(3, -1)], dim=1)


def _padded(rows: Sequence[Sequence[SharedSequence]], field: str, value: int) -> Tensor:
    return _pad([torch.cat([getattr(sequence, field) for sequence in row]) for row in rows], value)


def _pad(parts: Sequence[Tensor], value: int = 0) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)
