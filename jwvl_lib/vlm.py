"""One way to load, ask and score every model tier, from the embedded tiny base to a 32-billion-parameter Qwen2.5-VL.

Reads a model folder or hub id and, where given, the folder of an adapter or of a tuned model; writes nothing. The
vision tower runs once per image however many questions are asked about it.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    Idefics3Processor,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLProcessor,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import logging as transformers_logging

from jwvl_lib import artifacts

transformers_logging.disable_progress_bar()  # of loading weights: it would stand in every notebook

IMAGE_TOKEN = "<|image_pad|>"


class ImageTextProcessor(Qwen2_5_VLProcessor):
    """`Qwen2_5_VLProcessor` without its video part, which cannot be built where torchvision is absent.

    The sub-processors of a processor are inferred from the signature of `__init__`: leaving `video_processor` out of
    it is what keeps transformers from asking for one.
    """

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        self.image_token, self.video_token = IMAGE_TOKEN, "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def model_location(name: str | Path) -> str:
    """The folder of a model where there is one (absolute, or relative to the repository), else `name` as a hub id.

    Raises FileNotFoundError for a path that is neither.
    """
    if (folder := artifacts.resolve(name)) is not None and (folder / "config.json").exists():
        return str(folder)
    if str(name).count("/") != 1 or str(name).startswith((".", "/", "models/", "outputs/")):
        raise FileNotFoundError(f"no model in {str(name)!r} (no config.json there): give a model folder or a hub id")
    return str(name)


def located(name: str | Path) -> tuple[str, str]:
    """Location (see `model_location`) and revision of a model: hub ids take the form `owner/name@revision`.

    A revision is a commit of the hub, so that what is loaded cannot change; "main" where none is given.
    """
    bare, at, revision = str(name).partition("@")
    return (model_location(bare), revision) if at and "/" not in revision else (model_location(name), "main")


def load_processor(base_model: str | Path) -> ProcessorMixin:
    """The processor of a model folder or hub id, tokenizer padding on the left as generation needs it.

    Without torchvision `AutoProcessor` fails on, or silently returns a bare tokenizer for, the Qwen family; then
    `ImageTextProcessor` stands in for it, and for SmolVLM, which adds but the video, that of Idefics3. Raises TypeError
    where no image processor was found.
    """
    location, revision = located(base_model)
    cls = AutoProcessor
    if not importlib.util.find_spec("torchvision"):  # the video part of some processors cannot be built without it
        kind = AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False).model_type
        cls = ImageTextProcessor if kind.startswith("qwen") else Idefics3Processor if kind == "smolvlm" else cls
    processor = cls.from_pretrained(location, revision=revision, trust_remote_code=False)
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise TypeError(f"{location}: {type(processor).__name__} reads no images; give a vision-language model")
    processor.tokenizer.padding_side = "left"
    return processor


def load_model(
    base_model: str | Path,
    adapter_dir: str | Path = "",
    dtype: str = "float32",
    quantization_config: BitsAndBytesConfig | None = None,
    device: str = "",
) -> PreTrainedModel | PeftModel:
    """The model in evaluation mode, with the adapter of `adapter_dir` on it where that is not empty.

    A folder with a whole model (`config.json`: what full tuning saves) stands in for the base. `dtype` is a torch name
    ("float32", "bfloat16"); `device` defaults to the GPU where there is one. On a CPU eager attention is faster than
    SDPA at the sizes a CPU can run. Raises FileNotFoundError for an adapter folder without `adapter_config.json`.
    """
    if (folder := artifacts.resolve(adapter_dir)) is not None and (folder / "config.json").exists():
        base_model, folder = folder, None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    location, revision = located(base_model)
    model = AutoModelForImageTextToText.from_pretrained(
        location,
        revision=revision,
        dtype=getattr(torch, dtype),
        attn_implementation="eager" if device == "cpu" else "sdpa",
        quantization_config=quantization_config,
        device_map=device if quantization_config else None,
        trust_remote_code=False,
    )
    if not quantization_config:
        model = model.to(device)
    if folder is not None:
        if not (folder / "adapter_config.json").exists():
            raise FileNotFoundError(f"{folder}: no adapter_config.json; give the adapter/ folder that training wrote")
        model = PeftModel.from_pretrained(model, folder)
    return model.eval()


def chat_messages(question: str, n_images: int = 1) -> list[dict]:
    """One user turn in the content-part form of Hugging Face and OpenAI: the images, then the question."""
    images = [{"type": "image"} for _ in range(n_images)]
    return [{"role": "user", "content": [*images, {"type": "text", "text": question}]}]


def prompt_text(processor: ProcessorMixin, question: str) -> str:
    """The prompt of one question about one image, as text, ending where the answer begins."""
    return processor.apply_chat_template(chat_messages(question), tokenize=False, add_generation_prompt=True)


def prompt_ids(processor: ProcessorMixin, question: str, n_image_tokens: int) -> list[int]:
    """Token ids of `prompt_text`, the image token repeated as often as the image has features."""
    text = prompt_text(processor, question).replace(IMAGE_TOKEN, IMAGE_TOKEN * n_image_tokens, 1)
    return processor.tokenizer(text, add_special_tokens=False).input_ids


def image_features(
    model: PreTrainedModel | PeftModel, processor: ProcessorMixin, images: Sequence[Image.Image], batch_size: int = 32
) -> list[torch.Tensor]:
    """Vision features of each image, (n_tokens, hidden): what the decoder sees in place of the image tokens."""
    return _features_and_grids(model, processor, images, batch_size)[0]


@torch.inference_mode()
def answer(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    image_index: Sequence[int],
    max_new_tokens: int = 64,
    batch_size: int = 32,
) -> list[str]:
    """Greedy answers; question i is about `images[image_index[i]]`.

    Gives the text that plain `model.generate` gives, question by question; faster because an image is encoded once
    and questions of like length share a batch. Returns the answers in the order of the questions, special tokens and
    outer white space removed.
    """
    features, grids = _features_and_grids(model, processor, images)
    rows = [prompt_ids(processor, q, len(features[i])) for q, i in zip(questions, image_index, strict=True)]
    answers = [""] * len(rows)
    for batch in _batches_of_like_length(rows, batch_size):
        picked = [image_index[k] for k in batch]
        inputs = _left_padded(processor, [rows[k] for k in batch], model.device)
        _bare(model).model.rope_deltas = None  # state of the call before would be taken for this one's
        generated = model.generate(
            **inputs,
            image_grid_thw=grids[picked],
            mm_encoder_outputs={"image": _as_encoder_output([features[i] for i in picked])},
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )
        texts = processor.tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for k, text in zip(batch, texts, strict=True):
            answers[k] = text.strip()
    return answers


def choose(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    image_index: Sequence[int],
    choices: Sequence[Sequence[str]],
    batch_size: int = 32,
) -> list[str]:
    """For each question the choice of highest mean token log-likelihood, end-of-turn token included.

    A comparison that does not depend on a model knowing the answer format. Raises ValueError for an empty choice list.
    """
    weighed = choose_weighed(model, processor, images, questions, image_index, choices, batch_size)
    return [choice for choice, _ in weighed]


def choose_weighed(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    image_index: Sequence[int],
    choices: Sequence[Sequence[str]],
    batch_size: int = 32,
) -> list[tuple[str, float]]:
    """The choices of `choose`, each with its probability: how sure is the model, were it to say one of the choices?

    The probability is the softmax over the choices of their whole log-likelihood (sum over tokens), not of the mean by
    which the choice is made: a mean is no probability of a text.
    """
    if empty := [q for q, c in zip(questions, choices, strict=True) if not c]:
        raise ValueError(f"no choices for {empty[0]!r}: ask open questions with answer()")
    flat = [(k, choice) for k, row in enumerate(choices) for choice in row]
    scores = answer_log_likelihood(
        model,
        processor,
        images,
        [questions[k] for k, _ in flat],
        [image_index[k] for k, _ in flat],
        [c for _, c in flat],
        batch_size,
    )
    ends = np.cumsum([len(row) for row in choices])
    return [
        _likeliest(processor, row, np.asarray(scores[end - len(row) : end]))
        for row, end in zip(choices, ends, strict=True)
    ]


def _likeliest(processor: ProcessorMixin, choices: Sequence[str], means: np.ndarray) -> tuple[str, float]:
    """The choice of highest mean log-likelihood (the first of equals) and its share of the probability."""
    n_tokens = [len(processor.tokenizer(c, add_special_tokens=False).input_ids) + 1 for c in choices]
    totals = means * n_tokens
    shares = np.exp(totals - totals.max())
    best = int(means.argmax())
    return choices[best], float(shares[best] / shares.sum())


@torch.inference_mode()
def answer_log_likelihood(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    image_index: Sequence[int],
    answers: Sequence[str],
    batch_size: int = 32,
) -> list[float]:
    """Mean log-likelihood (natural log, per token, end-of-turn token included) of each answer to its question."""
    features, grids = _features_and_grids(model, processor, images)
    end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
    heads = [prompt_ids(processor, q, len(features[i])) for q, i in zip(questions, image_index, strict=True)]
    tails = [[*processor.tokenizer(a, add_special_tokens=False).input_ids, end] for a in answers]
    rows = [head + tail for head, tail in zip(heads, tails, strict=True)]
    scores = [0.0] * len(rows)
    for batch in _batches_of_like_length(rows, batch_size):
        picked = [image_index[k] for k in batch]
        inputs = _left_padded(processor, [rows[k] for k in batch], model.device)
        _bare(model).model.rope_deltas = None
        longest = max(len(tails[k]) for k in batch)
        logits = model(
            **inputs,
            image_grid_thw=grids[picked],
            mm_encoder_outputs={"image": _as_encoder_output([features[i] for i in picked])},
            logits_to_keep=longest + 1,
        ).logits[:, :-1]
        targets = inputs["input_ids"][:, -longest:, None]
        token_scores = logits.float().log_softmax(-1).gather(-1, targets)[..., 0]
        for row, k in enumerate(batch):
            scores[k] = token_scores[row, -len(tails[k]) :].mean().item()
    return scores


def _bare(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The transformers model under a PEFT wrapper, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


@torch.no_grad()  # not inference_mode: features may go into a training step
def _features_and_grids(
    model: PreTrainedModel | PeftModel, processor: ProcessorMixin, images: Sequence[Image.Image], batch_size: int = 32
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Features of each image, and the grids (n_images, 3) in patches: time, height, width."""
    features, grids = [], []
    for start in range(0, len(images), batch_size):
        batch = processor.image_processor(images=list(images[start : start + batch_size]), return_tensors="pt")
        pixels, grid = batch["pixel_values"].to(model.device), batch["image_grid_thw"].to(model.device)
        features += _bare(model).get_image_features(pixels, grid).pooler_output
        grids.append(grid)
    return features, torch.cat(grids)


def _as_encoder_output(features: list[torch.Tensor]) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(pooler_output=tuple(features))


def _batches_of_like_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterable[list[int]]:
    """Row numbers in batches, sorted so that little padding is needed and like questions end together."""
    order = sorted(range(len(rows)), key=lambda k: (len(rows[k]), rows[k][-12:]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _left_padded(processor: ProcessorMixin, rows: list[list[int]], device: torch.device) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and mm_token_type_ids (1 = image; without it M-RoPE silently becomes 1-D)."""
    width = max(map(len, rows))
    pad = processor.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    image = processor.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": (ids == image).int()}
