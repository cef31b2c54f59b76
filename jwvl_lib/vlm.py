"""One way to load, ask and score every model tier, from the embedded tiny base to a 32-billion-parameter Qwen2.5-VL.

Reads a model folder or hub id and, where given, the folder of an adapter or of a tuned model; writes nothing. How many
questions about one image pay for it once stands in `answering`.
"""

import importlib.util
import json
from collections.abc import Sequence
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
from transformers.utils import logging as transformers_logging

from jwvl_lib import artifacts
from jwvl_lib.answering import Seen, answer, answer_log_likelihood, answer_weighed, see
from jwvl_lib.chat_tokens import chat_messages

__all__ = [
    "ImageTextProcessor",
    "answer",
    "answer_log_likelihood",
    "answer_weighed",
    "chat_messages",
    "choose",
    "choose_weighed",
    "image_features",
    "load_model",
    "load_processor",
    "located",
    "model_location",
    "prompt_ids",
    "prompt_text",
    "see",
]

transformers_logging.disable_progress_bar()  # of loading weights: it would stand in every notebook

IMAGE_TOKEN = "<|image_pad|>"
QUANTISED = "base_quantization.json"  # beside an adapter trained on 4 bits: how its base is quantised


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

    A folder with a whole model (`config.json`: what full tuning saves) stands in for the base. An adapter trained on 4
    bits gets its base so: in 4 bits on a GPU, on a CPU the same numbers as floats (faster there; it merges exactly).
    `dtype` is a torch name ("float32", "bfloat16"); `device` defaults to the GPU where there is one. On a CPU eager
    attention is faster than SDPA. Raises FileNotFoundError for an adapter folder without `adapter_config.json`.
    """
    if (folder := artifacts.resolve(adapter_dir)) is not None and (folder / "config.json").exists():
        base_model, folder = folder, None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    location, revision = located(base_model)
    as_floats = quantization_config is None and device == "cpu"
    quantization_config = quantization_config or _quantised_base(folder)
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
    elif as_floats:
        model = model.dequantize(dtype=getattr(torch, dtype))
    if folder is not None:
        if not (folder / "adapter_config.json").exists():
            raise FileNotFoundError(f"{folder}: no adapter_config.json; give the adapter/ folder that training wrote")
        model = PeftModel.from_pretrained(model, folder)
    return model.eval()


def _quantised_base(adapter_dir: Path | None) -> BitsAndBytesConfig | None:
    """How the base of an adapter was quantised in training; None where it was not."""
    if adapter_dir is None or not (adapter_dir / QUANTISED).exists():
        return None
    return BitsAndBytesConfig.from_dict(json.loads((adapter_dir / QUANTISED).read_text(encoding="utf-8")))


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
    return [seen.vision for seen in see(model, processor, images, batch_size)]


def choose(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    choices: Sequence[Sequence[str]],
    batch_size: int = 256,
) -> list[str]:
    """For each question the choice of highest mean token log-likelihood, end-of-turn token included.

    A comparison that does not depend on a model knowing the answer format. Raises ValueError for an empty choice list.
    """
    weighed = choose_weighed(model, processor, images, questions, image_index, choices, batch_size)
    return [choice for choice, _ in weighed]


def choose_weighed(
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image | Seen],
    questions: Sequence[str],
    image_index: Sequence[int],
    choices: Sequence[Sequence[str]],
    batch_size: int = 256,
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
