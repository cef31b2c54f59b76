"""`python -m jwvl_lib.merge --adapter outputs/tiny/04_training/adapter --out merged`: an adapter merged into its base.

Reads the adapter and its base, writes a whole model that plain transformers, vLLM and others load (safetensors,
processor beside it), but only after a gate: merged and adapted model must give the same logits and the same greedy
answers.
"""

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image
from transformers import PreTrainedModel

from jwvl_lib import artifacts, general_task, vlm

log = logging.getLogger(__name__)
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}  # of a logit, absolute; merging rounds each weight once


class MergeError(RuntimeError):
    """The merged model answers otherwise than base and adapter."""


def merge(base_model: str, adapter_dir: str | Path, out: str | Path, dtype: str = "float32", n_items: int = 12) -> dict:
    """Merge an adapter into its base and write the whole model to `out`; returns the gate's figures (see `compare`).

    The gate asks `n_items` questions of the general task. An adapter trained on 4 bits is merged, on the CPU, into what
    those bits stand for: PEFT itself would round the sum to 4 bits again, and into the base in floats it does not
    belong. Raises MergeError, and leaves no folder, where the gate fails.
    """
    processor = vlm.load_processor(base_model)
    quantised = (artifacts.resolve(adapter_dir) / vlm.QUANTISED).exists()
    adapted = vlm.load_model(base_model, adapter_dir, dtype, device="cpu" if quantised else "")
    items = general_task.make_items(n_items, seed=31)
    pictures, questions = [item.image for item in items], [item.question for item in items]
    before = _responses(adapted, processor, pictures, questions)
    merged = adapted.merge_and_unload() if isinstance(adapted, PeftModel) else adapted
    _write(merged, processor, Path(out))
    figures = compare(before, _responses(vlm.load_model(out, dtype=dtype), processor, pictures, questions))
    if figures["largest_logit_difference"] > TOLERANCE[dtype] or not figures["greedy_answers_equal"]:
        shutil.rmtree(out)
        raise MergeError(
            f"{out}: merged model differs from base and adapter ({json.dumps(figures)}; a logit may differ by "
            f"{TOLERANCE[dtype]}); merge in float32, or serve the adapter unmerged"
        )
    artifacts.write_json(Path(out) / "merge_gate.json", figures | {"base_model": str(base_model), "dtype": dtype})
    return figures


def compare(first: tuple[torch.Tensor, list[str]], second: tuple[torch.Tensor, list[str]]) -> dict:
    """`n`, `largest_logit_difference` and `greedy_answers_equal` of two responses (logits, answers)."""
    difference = float((first[0] - second[0]).abs().max())
    return {
        "n": len(first[1]),
        "largest_logit_difference": difference,
        "greedy_answers_equal": first[1] == second[1],
    }


@torch.inference_mode()
def _responses(
    model: PreTrainedModel | PeftModel, processor, pictures: Sequence[Image.Image], questions: Sequence[str]
) -> tuple[torch.Tensor, list[str]]:
    """Logits after each prompt (n, vocabulary) and the greedy answers."""
    model.eval()
    logits = []
    for picture, question in zip(pictures, questions, strict=True):
        text = vlm.prompt_text(processor, question)
        inputs = processor(text=[text], images=[picture], return_tensors="pt").to(model.device)
        logits.append(model(**inputs, logits_to_keep=1).logits[0, -1].float().cpu())
    indices = range(len(pictures))
    return torch.stack(logits), vlm.answer(model, processor, pictures, questions, indices, max_new_tokens=32)


def _write(model: PreTrainedModel, processor, folder: Path) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        weights.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's docstring. Exit status 1 where the gate fails, 2 where a folder is missing."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.merge", description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="models/tiny_base", help="folder, or hub id@commit")
    parser.add_argument("--adapter", required=True, help="adapter/ folder of a training run")
    parser.add_argument("--out", required=True, type=Path, help="folder of the merged model; must not exist")
    parser.add_argument("--dtype", default="float32", choices=TOLERANCE)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if chosen.out.exists():
        print(f"error: {chosen.out} exists; give a folder that does not", file=sys.stderr)
        return 2
    try:
        log.info("%s", json.dumps(merge(chosen.base, chosen.adapter, chosen.out, chosen.dtype)))
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MergeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
