"""The chat as tokens: what stands before and in the images, and each exchange after them, with what is supervised.

Takes a processor of any `AutoModelForImageTextToText` whose chat template puts the images before the question; reads
and writes nothing.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE = -100  # label of an unsupervised token, as in torch's cross_entropy
_MARKS = [chr(0xE000 + k) for k in range(64)]  # private-use characters that stand for texts while a chat is taken apart
_AFTER_IMAGE = "<|vision_end|>"  # of the Qwen family: belongs to the image, not to the question


@dataclass(frozen=True)
class Branch:
    """One question and its answer, or several in turn, tokenised.

    `n_question` tokens come before the first supervised one; `later_prompts` are the stretches (start, stop) of further
    questions of a conversation, not supervised either.
    """

    input_ids: Tensor  # (n,), the question's rest of the user turn, the assistant header, the answer, <|im_end|>
    n_question: int
    later_prompts: tuple[tuple[int, int], ...] = ()

    @property
    def labels(self) -> Tensor:
        """(n,), IGNORE outside the answers and the token that ends each."""
        labels = self.input_ids.clone()
        for start, stop in ((0, self.n_question), *self.later_prompts):
            labels[start:stop] = IGNORE
        return labels


def chat_messages(question: str, n_images: int = 1) -> list[dict]:
    """One user turn in the content-part form of Hugging Face and OpenAI: the images, then the question."""
    images = [{"type": "image"} for _ in range(n_images)]
    return [{"role": "user", "content": [*images, {"type": "text", "text": question}]}]


def encode_prefix(processor, image_grid_thw: Tensor) -> Tensor:
    """Token ids (P,) of the chat up to and with the last image, with a placeholder for each visual token.

    `image_grid_thw` (n_images, 3) in patches, of the Qwen family; for others see `encode_images`.
    """
    grids = image_grid_thw.reshape(-1, 3)
    text, *rest = chat_parts(processor, 1, len(grids))[0].split(processor.image_token)
    for grid, after in zip(grids, rest, strict=True):
        text += processor.image_token * (int(grid.prod()) // processor.image_processor.merge_size**2) + after
    return _ids(processor, text)


def encode_images(processor, images: Sequence) -> tuple[Tensor, dict[str, Tensor]]:
    """Prefix (P,) and what the model takes of the images, both as the processor itself makes them: any base."""
    head = chat_parts(processor, 1, len(images))[0]
    made = dict(processor(text=[head], images=[list(images)], return_tensors="pt"))
    prefix = made.pop("input_ids")[0]
    return prefix, {k: v for k, v in made.items() if k not in ("attention_mask", "mm_token_type_ids")}


def encode_branch(processor, question: str, answer: str, earlier: Sequence[tuple[str, str]] = ()) -> Branch:
    """Tokenise what follows the images: the question, the assistant header, the answer and the token that ends it.

    `earlier` are the turns (question, answer) of a conversation before it, whose answers are supervised as well.
    Prompt and answer are tokenised apart, as generation sees them: no token may straddle the border.
    """
    turns = [*earlier, (question, answer)]
    _, *around = chat_parts(processor, len(turns))
    end = turn_end(processor)
    pieces, later, n_question, length = [], [], 0, 0
    for k, (asked, answered) in enumerate(turns):
        between = around[2 * k].removeprefix(end) if k else around[0]
        prompt = _ids(processor, between + asked + around[2 * k + 1])
        reply = _ids(processor, answered + end)
        if k:
            later.append((length, length + len(prompt)))
        else:
            n_question = len(prompt)
        pieces += [prompt, reply]
        length += len(prompt) + len(reply)
    return Branch(torch.cat(pieces), n_question, tuple(later))


@functools.lru_cache(maxsize=8)  # rendering the template costs more than the tokens of a branch
def turn_end(processor) -> str:
    """The token that ends an answer: what the chat template puts there, else the tokenizer's end of text."""
    answered = [*chat_messages(_MARKS[0]), _said("assistant", _MARKS[1])]
    tail = processor.apply_chat_template(answered, tokenize=False).partition(_MARKS[1])[2].lstrip()
    special = [str(token) for token in processor.tokenizer.added_tokens_decoder.values()]
    ends = [token for token in special if tail.startswith(token)]
    return max(ends, key=len) if ends else processor.tokenizer.eos_token


def _said(role: str, text: str) -> dict:
    return {"role": role, "content": [{"type": "text", "text": text}]}


@functools.lru_cache(maxsize=64)
def chat_parts(processor, n_turns: int = 1, n_images: int = 1) -> list[str]:
    """The rendered chat: up to the end of the last image, from there to the question, after the question; where there
    are more turns, from an answer to the next question and from there to the next answer.
    """
    marks = _MARKS[: 2 * n_turns - 1]
    messages = chat_messages(marks[0], n_images)
    for asked, answered in zip(marks[2::2], marks[1::2], strict=True):
        messages += [_said("assistant", answered), _said("user", asked)]
    chat = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, image, after = chat.rpartition(processor.image_token)
    if not image or any(mark not in after for mark in marks):
        raise ValueError(
            f"chat template {chat[:80]!r}: shared sequences need the image before the question; reorder it"
        )
    head = before + image + (_AFTER_IMAGE if after.startswith(_AFTER_IMAGE) else "")
    parts, rest = [head], chat[len(head) :]
    for mark in marks:
        part, _, rest = rest.partition(mark)
        parts.append(part)
    return [*parts, rest]


def tokens_used(processor, texts: Iterable[str]) -> list[int]:
    """The ids of all tokens that stand in some texts, in order: those whose embeddings these texts can teach."""
    return sorted({i for text in set(texts) for i in processor.tokenizer(text, add_special_tokens=False)["input_ids"]})


def stops(processor) -> tuple[int, ...]:
    """The ids of the tokens that end a sentence: a full stop, Western or Chinese, with nothing but marks beside it."""
    tokenizer = processor.tokenizer
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return tuple(i for i, text in enumerate(texts) if re.fullmatch(r"\W*[.。]\W*", text))


def _ids(processor, text: str) -> Tensor:
    return torch.tensor(_tokenised(processor, text), dtype=torch.long)


@functools.lru_cache(maxsize=2**14)  # the same questions and answers stand under many images
def _tokenised(processor, text: str) -> tuple[int, ...]:
    return tuple(processor.tokenizer(text, add_special_tokens=False)["input_ids"])
