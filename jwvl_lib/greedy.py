"""Greedy decoding of many rows that each bring their own cache, and the plain way, one question at a time.

What `model.generate` does for greedy decoding, without its bookkeeping: at a few million parameters that costs as much
as the model. A row leaves when its answer ends. Reads and writes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from transformers import (
    BatchFeature,
    DynamicCache,
    PreTrainedModel,
    ProcessorMixin,
    RepetitionPenaltyLogitsProcessor,
)

from jwvl_lib import chat_tokens

Model = PreTrainedModel | PeftModel
# what a generation config may say while greedy decoding stays the largest logit, a repetition penalty apart
HARMLESS = set(
    "_from_model_config bos_token_id eos_token_id pad_token_id do_sample temperature top_k top_p repetition_penalty "
    "max_length max_new_tokens use_cache transformers_version output_attentions output_hidden_states".split()
)


@dataclass(frozen=True)
class Start:
    """n prompts that the model has read, W tokens with padding on the left."""

    logits: Tensor  # (n, vocabulary), after the last token
    cache: DynamicCache  # n rows
    mask: Tensor  # (n, W), 0 for padding
    text: Tensor  # (n, W), token ids; padding repeats one of the row's own, so that no penalty falls on another
    position: Tensor  # (n_axes, n, 1), of the last token


@dataclass(frozen=True)
class Spoken:
    """The n tokens of an answer as the model weighed them while it wrote; nothing weighed where nobody asked."""

    ids: list[int]
    own: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (n,), log-probability of each
    rival_ids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=int))  # (n, k), the likeliest there
    rivals: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # (n, k), their log-probability


def bare(model: Model) -> PreTrainedModel:
    """The transformers model under a PEFT wrapper, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def is_argmax(model: Model) -> bool:
    """Whether the model's generation settings leave greedy decoding the largest logit, a repetition penalty apart."""
    return set(bare(model).generation_config.to_diff_dict()) <= HARMLESS


def join(starts: Sequence[Start]) -> Start:
    """The rows of several starts of one width, in their order."""
    if len(starts) == 1:
        return starts[0]
    layers = zip(*(start.cache for start in starts), strict=True)
    cache = [(torch.cat([layer[0] for layer in same]), torch.cat([layer[1] for layer in same])) for same in layers]
    return Start(
        torch.cat([start.logits for start in starts]),
        DynamicCache(cache),
        torch.cat([start.mask for start in starts]),
        torch.cat([start.text for start in starts]),
        torch.cat([start.position for start in starts], dim=1),
    )


def write(model: Model, start: Start, max_new_tokens: int, n_rivals: int) -> list[Spoken]:
    """The tokens of each row's answer, without the one that ends it; the cache of `start` is used up.

    Each token with its probability and its `n_rivals` likeliest rivals (0: neither).
    """
    logits, cache, mask, text, position = start.logits, start.cache, start.mask, start.text, start.position
    written: list[list[int]] = [[] for _ in logits]
    heard: list[list[tuple]] = [[] for _ in logits]
    alive, ends, adjust = torch.arange(len(logits)), _ends(model), _adjustment(model)
    for step in range(1, max_new_tokens + 1):
        chosen = adjust(text, logits.float()).argmax(-1)
        going = ~torch.isin(chosen, ends)
        if not going.all():
            still = going.nonzero()[:, 0]
            cache.batch_select_indices(still)
            alive, chosen, mask, text = alive[still.cpu()], chosen[still], mask[still], text[still]
            position, logits = position[:, still], logits[still]
        for row, token in zip(alive.tolist(), chosen.tolist(), strict=True):
            written[row].append(token)
        if n_rivals:
            for row, *weighed in zip(alive.tolist(), *_weights(logits, chosen, n_rivals), strict=True):
                heard[row].append(weighed)
        if step == max_new_tokens or not len(alive):
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        text = torch.cat([text, chosen[:, None]], dim=1)
        logits = model(
            input_ids=chosen[:, None],
            position_ids=squeezed(position + step),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return [_spoken(ids, weighed) for ids, weighed in zip(written, heard, strict=True)]


def _weights(logits: Tensor, chosen: Tensor, n_rivals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row the log-probability of its token, (n,), the likeliest tokens and theirs, (n, n_rivals) each."""
    logits = logits.float()
    total = logits.logsumexp(-1, keepdim=True)
    top = logits.topk(min(n_rivals, logits.shape[-1]), dim=-1)
    own = (logits.gather(-1, chosen[:, None]) - total)[:, 0]
    return own.cpu().numpy(), top.indices.cpu().numpy(), (top.values - total).cpu().numpy()


def _spoken(ids: list[int], weighed: list) -> Spoken:
    return Spoken(ids, *(np.array(column) for column in zip(*weighed, strict=True))) if weighed else Spoken(ids)


def squeezed(positions: Tensor) -> Tensor:
    """(n_axes, n, length) as the model takes it: (n, length) where it knows one axis only."""
    return positions if len(positions) > 1 else positions[0]


def _ends(model: Model) -> Tensor:
    """The tokens that end an answer, (n,); none where the model names none."""
    ends = bare(model).generation_config.eos_token_id
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    return torch.tensor(ends, dtype=torch.long, device=model.device)


def _adjustment(model: Model) -> Callable[[Tensor, Tensor], Tensor]:
    """What the model's own generation settings do to the logits before the largest is taken."""
    penalty = bare(model).generation_config.repetition_penalty
    return RepetitionPenaltyLogitsProcessor(penalty) if penalty not in (None, 1.0) else lambda text, logits: logits


def plain_answer(
    model: Model, processor: ProcessorMixin, image: Image.Image, question: str, max_new_tokens: int
) -> str:
    """One answer by the library's own `generate`, the image encoded for it."""
    inputs = _inputs(model, processor, image, question)
    generated = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return processor.tokenizer.decode(generated[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@torch.inference_mode()
def plain_weighed(
    model: Model, processor: ProcessorMixin, image: Image.Image, question: str, max_new_tokens: int, n_rivals: int
) -> tuple[str, Spoken]:
    """`plain_answer` and, by a second pass over the text, how the model weighs its tokens (0 rivals: not asked)."""
    text = plain_answer(model, processor, image, question, max_new_tokens)
    ids = processor.tokenizer(text, add_special_tokens=False).input_ids
    if not ids or not n_rivals:
        return text, Spoken(ids)
    answer = torch.tensor(ids, device=model.device)
    logits = _plain_logits(model, processor, image, question, answer)
    return text, Spoken(ids, *_weights(logits, answer, n_rivals))


def plain_score(model: Model, processor: ProcessorMixin, image: Image.Image, question: str, answer: Tensor) -> float:
    """Mean log-likelihood of an answer's tokens (n,) by one pass over the whole text."""
    answer = answer.to(model.device)
    logits = _plain_logits(model, processor, image, question, answer)
    return logits.float().log_softmax(-1).gather(-1, answer[:, None]).mean().item()


def _plain_logits(model: Model, processor: ProcessorMixin, image: Image.Image, question: str, answer: Tensor) -> Tensor:
    """The logits before each of an answer's tokens, (n, vocabulary)."""
    inputs = _inputs(model, processor, image, question)
    n_prompt = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer[None]], dim=1)
    for key, value in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", 0)):
        if key in inputs:
            more = inputs[key].new_full((1, len(answer)), value)
            inputs[key] = torch.cat([inputs[key], more], dim=1)
    return model(**inputs).logits[0, n_prompt - 1 : -1]


def _inputs(model: Model, processor: ProcessorMixin, image: Image.Image, question: str) -> BatchFeature:
    text = processor.apply_chat_template(
        chat_tokens.chat_messages(question), tokenize=False, add_generation_prompt=True
    )
    if hasattr(bare(model).model, "rope_deltas"):
        bare(model).model.rope_deltas = None  # state of the call before would be taken for this one's
    return processor(text=[text], images=[[image]], return_tensors="pt").to(model.device)
