"""Answers and scores of many questions about few images: an image is paid for once, however much is asked about it.

An image and the questions about it are one sequence, the questions its branches (`shared_image`), so the image passes
through the tower and the decoder once. For answers, every question then takes its part of the decoder's cache and goes
on alone, all of a batch together, a row leaving when its answer ends. For scores, the answers are branches of their
question in turn. The text is that of `model.generate`, question by question, which is also what bases that cannot share
go through. Reads and writes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from jwvl_lib import branch_attention, chat_tokens, greedy, shared_image
from jwvl_lib.chat_tokens import Branch
from jwvl_lib.greedy import Model, Spoken, bare
from jwvl_lib.shared_image import SharedSequence

# their shared sequences give the numbers of separate ones (tests/test_answering.py); a family is added with its test
SHARING = ("qwen2_5_vl", "qwen3_vl", "llava", "idefics3", "smolvlm")
TAKE_MASKS = ("eager", "sdpa", branch_attention.NAME)  # attention that takes a 4-D mask
MOST_READ = 4096  # tokens of prompts, padding included, that the model reads at a time
MOST_CACHED = 2**15  # tokens of prompts, padding included, that are answered at a time: 1.2 GB for Qwen2.5-VL-3B


@dataclass(frozen=True)
class Seen:
    """An image as the decoder takes it; of a base that cannot share, the image alone."""

    image: Image.Image
    prefix_ids: Tensor | None = None  # (P,): the chat up to the end of the image
    vision: Tensor | dict[str, Tensor] | None = None  # features (n_visual, hidden), or what the model takes of pixels
    image_grid_thw: Tensor | None = None  # (1, 3), in patches; None outside the Qwen family


@dataclass(frozen=True)
class _Asked:
    """An image, n questions about it and, where answers are scored, their tokens but the last: L tokens."""

    numbers: list[int]  # of the questions, or of the answers to score, in the caller's order
    seen: Seen
    sequence: SharedSequence
    tail: Tensor  # (L,): 0 in image and questions, 1… in the answers
    places: list[Tensor]  # whose next token is wanted: the end of each question, or an answer's tokens before each


def shares(model: Model, processor: ProcessorMixin) -> bool:
    """Whether questions can share their image: the family is known to, attention takes masks, the image comes first."""
    config = bare(model).config
    if config.model_type not in SHARING or config.get_text_config()._attn_implementation not in TAKE_MASKS:
        return False
    try:
        return bool(chat_tokens.chat_parts(processor))
    except ValueError:  # the chat template asks before it shows
        return False


@torch.no_grad()  # not inference_mode: features may go into a training step
def see(
    model: Model, processor: ProcessorMixin, images: Sequence[Image.Image | Seen], batch_size: int = 32
) -> list[Seen]:
    """The images as the decoder takes them, encoded once: to be given to `answer` and to scoring alike.

    What is seen already is left as it is. It belongs to this model's tower.
    """
    seen: list[Seen] = []
    for start in range(0, len(images), batch_size):
        part = list(images[start : start + batch_size])
        fresh = [image for image in part if not isinstance(image, Seen)]
        encoded = iter(_encode(model, processor, fresh) if fresh else [])
        seen += [image if isinstance(image, Seen) else next(encoded) for image in part]
    return seen


def _encode(model: Model, processor: ProcessorMixin, images: list[Image.Image]) -> list[Seen]:
    if not shares(model, processor):
        return [Seen(image) for image in images]
    if not _has_plain_features(model):
        taken = [chat_tokens.encode_images(processor, [image]) for image in images]
        return [Seen(image, *pair, pair[1].get("image_grid_thw")) for image, pair in zip(images, taken, strict=True)]
    batch = processor.image_processor(images=images, return_tensors="pt").to(model.device)
    grids = batch["image_grid_thw"]
    features = bare(model).get_image_features(batch["pixel_values"], grids).pooler_output
    prefixes = {tuple(grid): chat_tokens.encode_prefix(processor, torch.tensor(grid)) for grid in grids.tolist()}
    rows = zip(images, features, grids.cpu(), strict=True)
    return [Seen(image, prefixes[tuple(grid.tolist())], feature, grid[None]) for image, feature, grid in rows]


def _has_plain_features(model: Model) -> bool:
    """Whether the image is one row of vectors to the decoder: Qwen3-VL's tower feeds several layers, others tile."""
    vision = getattr(bare(model).config, "vision_config", None)
    return bare(model).config.model_type.startswith("qwen") and not hasattr(vision, "deepstack_visual_indexes")


@torch.inference_mode()
def answer(
    model: Model,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    max_new_tokens: int = 64,
    batch_size: int = 256,
) -> list[str]:
    """Greedy answers; question i is about `images[image_index[i]]`.

    Gives the text that plain `model.generate` gives, question by question, many times faster where several questions
    are about one image. At most `batch_size` are answered at a time. Returns the answers in the order of the
    questions, special tokens and outer white space removed.
    """
    weighed = answer_weighed(model, processor, images, questions, image_index, max_new_tokens, batch_size, n_rivals=0)
    return [text for text, _ in weighed]


@torch.inference_mode()
def answer_weighed(
    model: Model,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    max_new_tokens: int = 64,
    batch_size: int = 256,
    n_rivals: int = 12,
) -> list[tuple[str, Spoken]]:
    """The answers of `answer`, each with its tokens, their probability and the `n_rivals` likeliest at each place.

    The probabilities are the model's own, noted while it writes: they cost next to nothing.
    """
    if not (shares(model, processor) and greedy.is_argmax(model)):
        rows = zip(questions, image_index, strict=True)
        alone = [(model, processor, _picture(images[i]), question) for question, i in rows]
        return [greedy.plain_weighed(*one, max_new_tokens, n_rivals) for one in alone]
    answers = [("", Spoken([]))] * len(questions)
    asked = _sequences(model, processor, images, questions, image_index, None, batch_size)
    for together in _batches(asked, batch_size, lambda some: len(_numbers(some)) * _prompt_width(some), MOST_CACHED):
        starts, numbers = [], []
        for batch in _reading(together):
            starts.append(_start(model, processor, batch, _prompt_width(together)))
            numbers += _numbers(batch)
        written = greedy.write(model, greedy.join(starts), max_new_tokens, n_rivals)
        texts = processor.tokenizer.batch_decode([spoken.ids for spoken in written], skip_special_tokens=True)
        for number, text, spoken in zip(numbers, texts, written, strict=True):
            answers[number] = text.strip(), spoken
    return answers


@torch.inference_mode()
def answer_log_likelihood(
    model: Model,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    answers: Sequence[str],
    batch_size: int = 256,
) -> list[float]:
    """Mean log-likelihood (natural log, per token, end-of-turn token included) of each answer to its question."""
    end = chat_tokens.turn_end(processor)
    tails = [torch.tensor(ids) for ids in _tokens(processor, [answer + end for answer in answers])]
    if not shares(model, processor):
        rows = zip(questions, image_index, tails, strict=True)
        return [greedy.plain_score(model, processor, _picture(images[i]), q, tail) for q, i, tail in rows]
    scores = [0.0] * len(answers)
    asked = _sequences(model, processor, images, questions, image_index, tails, batch_size)
    for batch in _reading(asked):
        logits, wanted, _ = _forward(model, processor, batch)
        targets = torch.cat([tails[number] for number in _numbers(batch)]).to(logits.device)
        token_scores = logits[wanted, targets] - logits.logsumexp(-1)[wanted]
        lengths = [len(tails[number]) for number in _numbers(batch)]
        for number, part in zip(_numbers(batch), token_scores.split(lengths), strict=True):
            scores[number] = part.mean().item()
    return scores


def _picture(image: Image.Image | Seen) -> Image.Image:
    return image.image if isinstance(image, Seen) else image


def _numbers(batch: Sequence[_Asked]) -> list[int]:
    return [number for asked in batch for number in asked.numbers]


def _tokens(processor: ProcessorMixin, texts: Sequence[str]) -> list[list[int]]:
    return processor.tokenizer(list(texts), add_special_tokens=False).input_ids if texts else []


def _sequences(
    model: Model,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    tails: Sequence[Tensor] | None,
    batch_size: int,
) -> list[_Asked]:
    """A sequence an image, or several where more than `batch_size` questions are about it."""
    about: dict[int, dict[str | int, list[int]]] = {}
    for number, (question, i) in enumerate(zip(questions, image_index, strict=True)):
        same = number if tails is None else question  # answers to one question share it
        about.setdefault(i, {}).setdefault(same, []).append(number)
    _, before, after = chat_tokens.chat_parts(processor)
    ids = [torch.tensor(t) for t in _tokens(processor, [before + question + after for question in questions])]
    asked = []
    for seen, same in zip(see(model, processor, [images[i] for i in about]), about.values(), strict=True):
        groups = list(same.values())
        for start in range(0, len(groups), batch_size):
            asked.append(_assemble(processor, seen, groups[start : start + batch_size], ids, tails))
    return asked


def _assemble(
    processor: ProcessorMixin, seen: Seen, groups: list[list[int]], ids: list[Tensor], tails: Sequence[Tensor] | None
) -> _Asked:
    """One sequence of an image, its questions (a group of the caller's numbers each) and the answers to them."""
    branches, owners, places, at = [], [torch.zeros_like(seen.prefix_ids)], [], len(seen.prefix_ids)
    for group in groups:
        question = ids[group[0]]
        fed = [question[:0] if tails is None else tails[number][:-1] for number in group]
        owners += [torch.zeros_like(question)]
        owners += [torch.full_like(part, len(places) + k) for k, part in enumerate(fed, start=1)]
        last, start = at + len(question) - 1, at + len(question)
        for part in fed:
            places.append(torch.cat([torch.tensor([last]), start + torch.arange(len(part))]))
            start += len(part)
        branches.append(Branch(torch.cat([question, *fed]), len(question)))
        at = start
    merge_size = getattr(processor.image_processor, "merge_size", 1)
    token_id, grid = processor.image_token_id, seen.image_grid_thw
    sequence = shared_image.assemble(seen.prefix_ids, branches, grid, token_id, merge_size)
    for place in places:  # every answer goes on from the end of its question
        end = sequence.position_ids[..., place[:1]]
        sequence.position_ids[..., place[1:]] = end + torch.arange(1, len(place))
    return _Asked(sum(groups, []), seen, sequence, torch.cat(owners), places)


def _batches(
    asked: Sequence[_Asked], most_answers: int, tokens: Callable[[list[_Asked]], int], most_tokens: int
) -> Iterable[list[_Asked]]:
    """Sequences of like length together, within both limits (or one sequence alone)."""
    batch: list[_Asked] = []
    for one in sorted(asked, key=lambda a: len(a.tail)):
        more = [*batch, one]
        if batch and (len(_numbers(more)) > most_answers or tokens(more) > most_tokens):
            yield batch
            more = [one]
        batch = more
    if batch:
        yield batch


def _reading(asked: Sequence[_Asked]) -> Iterable[list[_Asked]]:
    """What the model reads at a time: few tokens, since on a CPU what lies in its caches is fast."""
    return _batches(asked, len(_numbers(asked)), lambda some: len(some) * len(some[-1].tail), MOST_READ)


def _prompt_width(asked: Sequence[_Asked]) -> int:
    """Tokens of the longest prompt: the image and one question."""
    return max(len(a.seen.prefix_ids) + int(a.sequence.branch.bincount()[1:].max()) for a in asked)


def _forward(model: Model, processor: ProcessorMixin, batch: Sequence[_Asked]) -> tuple[Tensor, Tensor, DynamicCache]:
    """Logits, (n, vocabulary); which of them each of `places` wants, in turn; the cache, a row a sequence."""
    sequences = [asked.sequence for asked in batch]
    owner = _padded([torch.zeros_like(s.branch) for s in sequences], shared_image.PADDING)
    branch, tail = _padded([s.branch for s in sequences]), _padded([asked.tail for asked in batch])
    mask = (shared_image.block_mask(owner, branch) & shared_image.block_mask(owner, tail)).to(model.device)
    is_eager = bare(model).config.get_text_config()._attn_implementation == "eager"
    positions = _padded([s.position_ids[:, 0].T for s in sequences]).permute(2, 0, 1)
    width = branch.shape[1]
    places = torch.cat([row * width + place for row, asked in enumerate(batch) for place in asked.places])
    kept, wanted = places.unique(return_inverse=True)
    keep = torch.zeros(branch.numel(), dtype=torch.bool)
    keep[kept] = True
    out = model(
        input_ids=_padded([s.input_ids for s in sequences], processor.tokenizer.pad_token_id).to(model.device),
        position_ids=greedy.squeezed(positions).to(model.device),
        attention_mask=shared_image.additive(mask) if is_eager else mask,
        logits_to_keep=keep.view_as(branch).to(model.device),
        use_cache=True,
        **_vision(model, [asked.seen.vision for asked in batch]),
    )
    logits = out.logits.reshape(-1, out.logits.shape[-1]).float()
    return logits, wanted.to(logits.device), out.past_key_values


def _vision(model: Model, visions: Sequence[Tensor | dict[str, Tensor]]) -> dict:
    if isinstance(visions[0], dict):
        return {key: value.to(model.device) for key, value in shared_image.join_visions(visions).items()}
    return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=(torch.cat(visions),))}}


def _padded(rows: Sequence[Tensor], value: int = 0) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)


def _start(model: Model, processor: ProcessorMixin, batch: Sequence[_Asked], width: int) -> greedy.Start:
    """Every question of a batch with its own part of the cache: that of its image and its own."""
    logits, wanted, cache = _forward(model, processor, batch)
    rows, columns, positions = [], [], []
    for row, asked in enumerate(batch):
        branch = asked.sequence.branch
        for k, place in enumerate(asked.places):
            rows.append(row)
            columns.append(((branch == 0) | (branch == k + 1)).nonzero()[:, 0])
            positions.append(asked.sequence.position_ids[:, 0, place[0]])
    own = torch.stack([torch.nn.functional.pad(c, (width - len(c), 0), value=-1) for c in columns]).to(model.device)
    at, column = torch.tensor(rows, device=model.device)[:, None], own.clamp(min=0)
    text = _padded([asked.sequence.input_ids for asked in batch]).to(model.device)
    taken = [tuple(part[at, :, column].transpose(1, 2) for part in layer[:2]) for layer in cache]
    return greedy.Start(
        logits=logits[wanted],
        cache=DynamicCache(taken),
        mask=(own >= 0).long(),
        text=text[at, column.where(own >= 0, own[:, -1:])],
        position=torch.stack(positions, dim=1)[..., None].to(model.device),
    )
