"""The tiny base: a Qwen2.5-VL of a few million parameters, built offline and pretrained on the general task.

Reads `data/tokenizer_terms.txt`; writes a model folder that plain transformers loads (safetensors in bfloat16,
configuration, tokenizer, chat template, image processor) and `recipe.json`, which says how it was made and how well
it does on held-out items of the general task.
"""

import json
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedModel, ProcessorMixin, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from jwvl_lib import artifacts, general_pictures, general_task, pretrain_answers, pretrain_vision, pretrain_words, vlm

FOLDER = "models/tiny_base"
HELD_OUT_SEED = 20_140_203  # of the items that no training stage draws
SPECIAL_TOKENS = (
    "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"
).split()
# the chat template of Qwen2.5-VL (Apache 2.0), word for word
CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer(seed: int = 0, vocab_size: int = 1500) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer in Qwen's form: digits stay single, solar terms in both languages are one or a few.

    Trained on questions of the general task and the terms of `data/tokenizer_terms.txt`; text in pictures is left out,
    so that random words are read letter by letter.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        min_frequency=20,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_tokenizer_texts(seed), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    result = Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=[tuple(m) for m in trained["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=SPECIAL_TOKENS[1:],
        model_max_length=2048,
    )
    result.chat_template = CHAT_TEMPLATE
    result.padding_side = "left"
    return result


def _tokenizer_texts(seed: int) -> list[str]:
    terms = [t for line in pretrain_words.terms() for t in (line, f" {line}", f"({line}") if t]
    chat = ["system\nYou are a helpful assistant.", "user\n", "assistant\n"]
    rng = np.random.default_rng(seed)
    texts = (terms + chat) * 50
    for _ in range(500):
        scene = general_pictures.make_scene(rng, 56)
        for task in general_task.tasks_of(scene):
            for language in ("en", "zh"):
                question, answer, _ = general_task.ask(rng, scene, task, language)
                texts += [question] if task == "ocr" else [question, answer]
    return texts


def build_model(tokenizer: Qwen2Tokenizer, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """The randomly initialised model, 3.2 million parameters; every linear width is a multiple of 64 (NF4 needs it).

    Against the large models: one rotary pair an axis in turn and a base of 100 instead of 1e6, since 36 image tokens
    and 100 text tokens are far apart otherwise too little; full attention in every vision block.
    """
    ids = dict(zip(SPECIAL_TOKENS, tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [1] * 32},
            "initializer_range": 0.05,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_heads": 4,
            "out_hidden_size": 192,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [0, 1, 2, 3],
            "initializer_range": 0.05,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def build_processor(tokenizer: Qwen2Tokenizer) -> vlm.ImageTextProcessor:
    """Image and text processor; pictures of 168 px give 12 x 12 patches and 36 image tokens."""
    images = Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 336 * 336}
    )
    return vlm.ImageTextProcessor(images, tokenizer, chat_template=CHAT_TEMPLATE)


def save(model: PreTrainedModel, processor: ProcessorMixin, folder: str | Path) -> Path:
    """Write the model folder, weights in bfloat16. The files name Qwen's own classes, so that plain
    `AutoProcessor` and `AutoModelForImageTextToText` read it wherever torchvision is installed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items() if k != "lm_head.weight"}  # tied
    model.save_pretrained(folder, state_dict=state)
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "bfloat16"
    processor.tokenizer.save_pretrained(folder)
    image_settings = json.loads(processor.image_processor.to_json_string()) | {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
    artifacts.write_json(folder / "config.json", config)
    artifacts.write_json(folder / "preprocessor_config.json", image_settings)
    return folder


def build(
    folder: str | Path, seed: int = 0, n_vision_steps: int = 4500, n_answer_steps: int = 3000, n_eval: int = 800
) -> dict:
    """Train a tiny base from nothing into `folder` and return its recipe, which is written there too.

    First the vision tower, then the decoder with the tower frozen. Every picture is drawn for the step that uses it.
    The same seed gives the same pictures and first weights; the trained weights differ in rounding from one processor
    to the next.
    """
    tokenizer = build_tokenizer(seed)
    model, processor = build_model(tokenizer, seed), build_processor(tokenizer)
    history = pretrain_vision.train_vision(model, processor, n_vision_steps, seed)
    history += pretrain_answers.train_answers(model, processor, n_answer_steps, seed)
    return finish(model, processor, folder, history, seed, n_eval)


def finish(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    folder: str | Path,
    history: list[dict],
    seed: int,
    n_eval: int,
) -> dict:
    """Save a trained model, ask the saved one the held-out questions and write `recipe.json`; returns the recipe."""
    folder = save(model, processor, folder)
    items = general_task.make_items(n_eval, HELD_OUT_SEED)
    scores = accuracy(evaluate(vlm.load_model(folder), processor, items))
    recipe = {
        "schema_version": 1,
        "profile": "tiny",
        "task": "general task (jwvl_lib/general_task.py) and the field's words, repeated and translated "
        "(jwvl_lib/pretrain_words.py): no solar image, no sentence or question about one",
        "seed": seed,
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "history": history,
        "held_out_seed": HELD_OUT_SEED,
        "held_out": json.loads(scores.to_json(orient="records", double_precision=4)),
        "weights_sha256": artifacts.sha256(folder / "model.safetensors"),
        "packages": {
            name: metadata.version(name) for name in ("torch", "transformers", "tokenizers", "pillow", "numpy")
        },
    }
    artifacts.write_json(folder / "recipe.json", recipe)
    return recipe


def install(folder: str | Path, destination: str | Path = FOLDER) -> Path:
    """Copy a built model folder over the shipped one."""
    destination = artifacts.resolve(destination)
    shutil.copytree(folder, destination, dirs_exist_ok=True)
    return destination


def read_recipe(folder: str | Path = FOLDER) -> dict:
    """`recipe.json` of a model folder, after a check that its weights are those the recipe speaks of.

    Raises ValueError where the sha256 of `model.safetensors` differs.
    """
    folder = artifacts.resolve(folder)
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    found = artifacts.sha256(folder / "model.safetensors")
    if found != recipe["weights_sha256"]:
        raise ValueError(
            f"{folder}: model.safetensors has sha256 {found[:12]}…, its recipe says {recipe['weights_sha256'][:12]}…; "
            "restore the folder from git or rebuild it with notebook 00"
        )
    return recipe


def evaluate(
    model: PreTrainedModel, processor: ProcessorMixin, items: Sequence[general_task.GeneralItem]
) -> pd.DataFrame:
    """Ask every item: task, language, closed, question, target, prediction, correct (exact match)."""
    questions = [item.question for item in items]
    predictions = vlm.answer(model, processor, [item.image for item in items], questions, range(len(items)))
    rows = [
        {
            "task": item.task,
            "language": item.language,
            "closed": bool(item.choices),
            "question": item.question,
            "target": item.answer,
            "prediction": prediction,
            "correct": prediction == item.answer,
        }
        for item, prediction in zip(items, predictions, strict=True)
    ]
    return pd.DataFrame(rows)


def accuracy(predictions: pd.DataFrame) -> pd.DataFrame:
    """Share of exact answers: task ("qa" is all but reading), language ("all" is both), accuracy, n."""
    parts = [predictions, predictions[predictions["task"] != "ocr"].assign(task="qa")]
    parts += [part.assign(language="all") for part in parts]
    table = pd.concat(parts).groupby(["task", "language"], sort=True)["correct"].agg(accuracy="mean", n="size")
    return table.reset_index()


def parameter_table(model: PreTrainedModel) -> pd.DataFrame:
    """Number of parameters by part: patch embedding, vision blocks, merger, embeddings (tied), decoder."""
    parts = {
        "vision: patch embedding": model.model.visual.patch_embed,
        "vision: blocks": model.model.visual.blocks,
        "vision: merger": model.model.visual.merger,
        "decoder: token embeddings (tied with the output)": model.get_input_embeddings(),
        "decoder: layers and norm": torch.nn.ModuleList(
            [model.model.language_model.layers, model.model.language_model.norm]
        ),
    }
    rows = [(name, sum(p.numel() for p in part.parameters())) for name, part in parts.items()]
    return pd.DataFrame(rows, columns=["part", "n_parameters"])
