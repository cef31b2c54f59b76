"""Attention of shared-image sequences that computes only what a branch can see.

A dense mask lets every token score every other one and throws most of it away: ten branches of 45 tokens behind a
prefix of 40 need a seventh of it. Here the branches of an image are gathered into short rows that all read the prefix
of their image: the same numbers, less work. A plain attention function of transformers' `AttentionInterface`
(https://huggingface.co/docs/transformers/attention_interface), in use where `use` was called; calls that bring no
`branch_layout` (generation, separate samples) go to SDPA as they are. Reads and writes nothing.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.functional import embedding, scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "branches"
ROW = 64  # tokens of a row of branches, at least: fewer rows read the prefix less often, longer ones waste more
MASKED = -1e30  # finite in bfloat16 too


class Layout(TypedDict):
    """Where the tokens of sequences laid behind one another stand, by their numbers, T in all.

    n images with prefixes of at most P tokens, m rows of branches of at most Q tokens; the mask is added to the scores.
    """

    prefix: Tensor  # (n, P), read causally
    context: Tensor  # (m, P): the prefix that a row of branches reads
    branches: Tensor  # (m, Q)
    branch_mask: Tensor  # (m, 1, Q, P + Q)
    place: Tensor  # (T,): where a token stands in prefix and branches, flattened and joined


def use(model: PreTrainedModel) -> None:
    """Let the decoder of a model attend by `attend` and the rest by SDPA, in training faster than eager at any size."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls without a layout
    model.set_attn_implementation("sdpa")
    model.set_attn_implementation({"text_config": NAME})


def pack(lengths: Sequence[int], room: int = 0) -> list[list[int]]:
    """Which pieces share a row: first fit, longest first, no row longer than `room` or the longest piece."""
    room = max([room, *lengths])
    rows, space = [], []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((k for k, left in enumerate(space) if left >= lengths[i]), len(rows))
        if row == len(rows):
            rows.append([])
            space.append(room)
        rows[row].append(i)
        space[row] -= lengths[i]
    return rows


def layout(sequences: Sequence[Tensor]) -> Layout:
    """The layout of sequences laid behind one another, each given by the branch of its tokens (0 = prefix)."""
    prefixes, contexts, rows, marks, start = [], [], [], [], 0
    room = max(ROW, *(int(torch.bincount(branch)[1:].max()) for branch in sequences))
    for branch in sequences:
        lengths = torch.bincount(branch).tolist()
        prefix, *parts = (start + torch.arange(len(branch))).split(lengths)
        for group in pack(lengths[1:], room):
            contexts.append(len(prefixes))
            rows.append(torch.cat([parts[k] for k in group]))
            marks.append(torch.cat([torch.full_like(parts[k], k) for k in group]))
        prefixes.append(prefix)
        start += len(branch)
    prefix, branches, mark = _pad(prefixes), _pad(rows), _pad(marks)
    context = prefix[contexts]
    own = (mark[:, :, None] == mark[:, None]) & _causal(mark.shape[1])
    seen = torch.cat([(context >= 0)[:, None].expand(-1, mark.shape[1], -1), own], dim=-1)
    laid = torch.cat([prefix.flatten(), branches.flatten()])
    place = torch.empty(start, dtype=torch.long)
    place[laid[laid >= 0]] = (laid >= 0).nonzero().squeeze(-1)
    return Layout(
        prefix=prefix.clamp(min=0),
        context=context.clamp(min=0),
        branches=branches.clamp(min=0),
        branch_mask=_additive(seen),
        place=place,
    )


def block_mask(owner: Tensor, branch: Tensor) -> BlockMask:
    """The rule of `shared_image.block_mask` for FlexAttention, from `owner` and `branch` (B, L): for GPUs.

    Blocks in which no token sees another are never computed. On a CPU FlexAttention has no backward pass.
    """

    def sees(b, _head, query, key):
        visible = (branch[b, key] == 0) | (branch[b, key] == branch[b, query])
        return (key <= query) & (owner[b, key] == owner[b, query]) & visible

    n_rows, length = owner.shape
    return create_block_mask(sees, n_rows, None, length, length, device=owner.device.type)


def attend(
    module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    branch_layout: Layout | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """Attention in the form that transformers calls: (B, heads, L, head_dim) in, (B, L, heads, head_dim) out."""
    if branch_layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    at, rows = branch_layout, [part[0].transpose(0, 1).flatten(1) for part in (query, key, value)]
    options = {"scale": kwargs.get("scaling"), "dropout_p": kwargs.get("dropout", 0.0)}

    def seen(asked: Tensor, read: Tensor, **how) -> Tensor:
        picked = [_pick(row, n, query.shape[-1]) for row, n in zip(rows, (asked, read, read), strict=True)]
        out = scaled_dot_product_attention(*picked, **how, **options, enable_gqa=True)
        return out.transpose(1, 2).flatten(0, 1).flatten(1)

    prefix = seen(at["prefix"], at["prefix"], is_causal=True)  # its padding comes last, where no token looks
    read = torch.cat([at["context"], at["branches"]], dim=1)
    branches = seen(at["branches"], read, attn_mask=at["branch_mask"].to(query.dtype))
    out = embedding(at["place"], torch.cat([prefix, branches]))
    return out.unflatten(-1, (-1, query.shape[-1]))[None], None


def _pick(tokens: Tensor, numbers: Tensor, width: int) -> Tensor:
    """(T, heads * width) and token numbers (n, length) -> (n, heads, length, width).

    `embedding` gathers as an index does, and its backward pass is faster on a CPU.
    """
    return embedding(numbers, tokens).unflatten(-1, (-1, width)).transpose(1, 2)


def _pad(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


def _causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


def _additive(mask: Tensor) -> Tensor:
    """Finite, since a row of padding sees nothing, and softmax of nothing would be NaN."""
    return torch.where(mask, 0.0, MASKED)[:, None]
