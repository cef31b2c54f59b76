"""ms-swift's side of `test_training_speed.py`, run by its own Python (`make peers`), which lacks this project.

Reads a job folder a line of standard input, answers with one line of JSON: process seconds and loss of every step.
ms-swift as it comes, without packing, which it refuses where there is no flash attention; no gradient checkpointing.
"""

import contextlib
import functools
import json
import re
import sys
from importlib import metadata
from pathlib import Path

import torch


def import_torchvision():
    """ms-swift reads images through torchvision, whose wheel wants the CUDA build of torch: its operators, of which no
    image needs one, are declared and left empty."""
    library = torch.library.Library("torchvision", "DEF")
    while "torchvision" not in sys.modules:
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            (name,) = re.findall(r"operator torchvision::(\w+) does not exist", str(error))
            library.define(f"{name}(Tensor boxes) -> Tensor")
            for module in [module for module in sys.modules if module.startswith("torchvision")]:
                del sys.modules[module]
    return library


LIBRARY = import_torchvision()  # its operators live as long as it

from step_clock import Clock  # noqa: E402
from swift import sft_main  # noqa: E402
from swift.template import TEMPLATE_MAPPING  # noqa: E402
from swift.template.templates.qwen import Qwen2VLTemplate  # noqa: E402
from transformers import AutoTokenizer, Trainer, TrainerCallback  # noqa: E402


class Watch(TrainerCallback):
    """Gives the model the first adapter of both sides, and keeps what was logged."""

    def __init__(self, start):
        self.start, self.losses, self.n_free = start, [], 0

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        named = dict(model.named_parameters())
        for name, value in torch.load(self.start, weights_only=True).items():
            named[name].data.copy_(value)
        self.n_free = sum(p.numel() for p in named.values() if p.requires_grad)

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.losses += [logs["loss"]] if "loss" in logs else []


@contextlib.contextmanager
def watched(*callbacks):
    """Every trainer that is made within it has these callbacks too."""
    init = Trainer.__init__

    @functools.wraps(init)
    def with_callbacks(self, *args, **kwargs):
        init(self, *args, **kwargs)
        for callback in callbacks:
            self.add_callback(callback)

    Trainer.__init__ = with_callbacks
    try:
        yield
    finally:
        Trainer.__init__ = init


def write_dataset(folder):
    """One plain sample an annotation, in ms-swift's own form."""
    rows = []
    for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for question, answer in row["turns"]:
            said = [{"role": "user", "content": f"<image>{question}"}, {"role": "assistant", "content": answer}]
            rows.append(json.dumps({"messages": said, "images": [str(folder / row["image"])]}))
    (folder / "swift.jsonl").write_text("\n".join(rows), encoding="utf-8")


def run(folder):
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    write_dataset(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")  # of a small vocabulary: other ids than Qwen's
    Qwen2VLTemplate.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    TEMPLATE_MAPPING["qwen2_5_vl"].suffix = ["<|im_end|>"]  # as many tokens supervised as on the other side
    clock, watch = Clock(), Watch(folder / "start.pt")
    lora = job["lora"]
    options = {
        "model": folder / "model", "model_type": "qwen2_5_vl", "template": "qwen2_5_vl",
        "dataset": folder / "swift.jsonl", "split_dataset_ratio": 0, "dataset_shuffle": "false",
        "train_dataloader_shuffle": "false", "dataloader_num_workers": 0, "max_length": 4096,
        "max_pixels": 1008 * 1008, "tuner_type": "lora", "target_regex": lora["target_modules"],
        "lora_rank": lora["r"], "lora_alpha": lora["lora_alpha"], "lora_dropout": 0, "torch_dtype": "float32",
        "bf16": "false", "fp16": "false", "attn_impl": "sdpa", "gradient_checkpointing": "false",
        "per_device_train_batch_size": job["samples_per_step"], "gradient_accumulation_steps": 1,
        "max_steps": job["n_steps"], "learning_rate": job["learning_rate"], "lr_scheduler_type": "constant",
        "warmup_ratio": 0, "weight_decay": 0, "adam_beta2": 0.999, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "use_cpu": "true", "use_hf": "true", "output_dir": folder / "swift",
    }  # fmt: skip
    with watched(clock, watch):
        sft_main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    found = {"seconds": clock.seconds, "losses": watch.losses, "n_trainable": watch.n_free}
    return found | {"swift": metadata.version("ms_swift")}


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            answer = run(Path(line.strip()))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
