"""TRL's side of `test_training_speed.py`, run by the peer's own Python (`make peers`), which lacks this project.

Reads a job folder a line of standard input, answers with one line of JSON: process seconds and loss of every step.
TRL as it comes, but for what favours it: no gradient checkpointing, no bfloat16, pictures decoded beforehand.
"""

import contextlib
import json
import random
import sys
from pathlib import Path

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from step_clock import Clock
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    ProcessorMixin,
    Qwen2_5_VLProcessor,
    set_seed,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


class ImageTextProcessor(Qwen2_5_VLProcessor):
    """Without the video part, which cannot be built where torchvision is absent."""

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def load_processor(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    images = Qwen2VLImageProcessorPil.from_pretrained(folder)
    return ImageTextProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


def dataset(folder, processor):
    """One plain sample an annotation: prompt with the image, completion with the token that ends the turn."""
    rows = []
    for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for question, answer in row["turns"]:
            content = [{"type": "image"}, {"type": "text", "text": question}]
            prompt = processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            rows.append({"images": [str(folder / row["image"])], "prompt": prompt, "completion": answer + "<|im_end|>"})
    return Dataset.from_list(rows)


class Opened(trl.trainer.sft_trainer.DataCollatorForVisionLanguageModeling):
    """TRL's own collator, the pictures taken from memory."""

    def torch_call(self, examples):
        return super().torch_call([e | {"images": [opened(path) for path in e["images"]]} for e in examples])


def opened(path, kept={}):  # noqa: B006
    if path not in kept:
        kept[path] = Image.open(path).convert("RGB")
    return kept[path]


def run(folder):
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    set_seed(0)
    random.seed(0)
    processor = load_processor(folder / "model")
    model = AutoModelForImageTextToText.from_pretrained(folder / "model", dtype=torch.float32)
    lora = LoraConfig(**job["lora"], task_type="CAUSAL_LM", bias="none")
    quiet = dict(report_to="none", disable_tqdm=True, save_strategy="no", use_cpu=True, logging_steps=1)
    plain = dict(gradient_checkpointing=False, bf16=False, max_length=None, train_sampling_strategy="sequential")
    size = dict(per_device_train_batch_size=job["samples_per_step"], max_steps=job["n_steps"])
    arguments = trl.SFTConfig(
        output_dir=str(folder / "trl"), learning_rate=job["learning_rate"], lr_scheduler_type="constant",
        dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False,
        max_grad_norm=1.0, weight_decay=0.0, seed=0, **quiet, **plain, **size,
    )  # fmt: skip
    clock, rows = Clock(), dataset(folder, processor)
    collator = Opened(processor, completion_only_loss=True)
    trainer = trl.SFTTrainer(
        model, arguments, train_dataset=rows, processing_class=processor, peft_config=lora, data_collator=collator,
        callbacks=[clock],
    )  # fmt: skip
    named = dict(trainer.model.named_parameters())
    for name, value in torch.load(folder / "start.pt", weights_only=True).items():  # the same first adapter
        named[name].data.copy_(value)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    free = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    return {"trl": trl.__version__, "seconds": clock.seconds, "losses": losses, "n_trainable": free}


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            answer = run(Path(line.strip()))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
