"""A decoder held in 4 bits: where its adapter starts, and its weights as plain numbers again.

Reads the safetensors of the base, one weight at a time; writes nothing but the adapter's own weights in memory.
"""

import logging
import re
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from huggingface_hub import snapshot_download
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from torch import Tensor, nn

from jwvl_lib import general_task, vlm

log = logging.getLogger(__name__)
_IN_LAYER = re.compile(r"layers\.\d+\.(self_attn|mlp)\.\w+$")  # alike in module names and in files of every age
_N_PICTURES, _ROWS, _SEED = 16, 128, 17  # of the general task; rows of activations kept of each, at most


def start_at_residual(model: PeftModel, base_model: str) -> float:
    """Let the adapter begin as what quantisation took from the decoder; returns the share of the error that is left.

    For each 4-bit layer the product B A of its adapter becomes the closest, of its rank, to W - NF4(W) *in what the
    layer puts out* on pictures of the general task: QERA (Zhang et al. 2024, arXiv:2410.06040, theorem 1), of which
    LoftQ's first step (Li et al. 2023, arXiv:2310.08659) is the case of white inputs. The 4-bit weights stay those of
    plain NF4, so that the adapter loads on them anywhere; on the base in floats the residual is added for nothing.
    Share: squared error of the outputs with the adapter over that without, mean over layers. Does nothing, and
    returns 1, where no layer is in 4 bits. Raises ValueError where the base's files lack a layer.
    """
    layers = _adapted(model)
    if not layers:
        return 1.0
    inputs, files = _inputs(model, layers, vlm.load_processor(base_model)), _files(base_model)
    left = []
    for name, layer in layers.items():
        scale = layer.scaling["default"]
        residual = _weight(files, name).to(layer.base_layer.weight.device, torch.float32) - _floats(layer.base_layer)
        seen = inputs.pop(name).to(residual.device, torch.float32)
        b, a = closest(residual, seen, layer.r["default"])
        with torch.no_grad():
            layer.lora_B["default"].weight[:, : len(a)] = b / scale**0.5
            layer.lora_A["default"].weight[: len(a)] = a / scale**0.5
        left.append(float(((residual - b @ a) @ seen.T).square().sum() / (residual @ seen.T).square().sum()))
    log.info("adapter starts at the residual of 4 bits: %.3f of its squared error left", sum(left) / len(left))
    return sum(left) / len(left)


def closest(residual: Tensor, inputs: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """B (n_out, k) and A (k, n_in), k = `rank` or less, whose product is closest to the residual on these inputs.

    Least squares over `inputs` (n, n_in): U U' R with U the first left singular vectors of R X' (n_out, n), which
    needs no inverse. Column j of B is as long as row j of A, so that both learn alike.
    """
    directions = torch.linalg.svd(residual @ inputs.T, full_matrices=False).U[:, :rank]
    rows = directions.T @ residual
    lengths = rows.norm(dim=1).clamp(min=1e-12).sqrt()
    return directions * lengths, rows / lengths[:, None]


def floats(model: nn.Module) -> dict[str, Tensor]:
    """The 4-bit weights of a model as floats, by the name of their module in the base."""
    found = {_base_name(n): m for n, m in model.named_modules() if isinstance(m, Linear4bit)}
    return {name: _floats(module) for name, module in found.items()}


def _floats(layer: Linear4bit) -> Tensor:
    return dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()


def _base_name(name: str) -> str:
    return name.removeprefix("base_model.model.").removesuffix(".base_layer")


def _adapted(model: PeftModel) -> dict[str, LoraLayer]:
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
    return {name: m for name, m in layers.items() if isinstance(m.base_layer, Linear4bit)}


@torch.no_grad()
def _inputs(model: PeftModel, layers: dict[str, LoraLayer], processor) -> dict[str, Tensor]:
    """What reaches each layer, (n, n_in), on questions and answers of the general task; the model's mode is kept.

    In training mode, because bitsandbytes packs 4-bit weights for inference alone on some processors when asked in
    evaluation mode, and cannot train with them then.
    """
    kept, was_training = {name: [] for name in layers}, model.training

    def keep(name):
        def hook(_, arguments):
            rows = arguments[0].detach().flatten(0, -2)
            kept[name].append(rows[:: -(-len(rows) // _ROWS)].to("cpu"))

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    model.train()
    for picture in general_task.make_pictures(_N_PICTURES, _SEED, n_questions=1):
        question, answer = picture.turns[0][:2]
        text = vlm.prompt_text(processor, question) + answer
        model(**processor(text=[text], images=[picture.image], return_tensors="pt").to(model.device), use_cache=False)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(rows) for name, rows in kept.items()}


def _files(base_model: str) -> dict[str, tuple[Path, str]]:
    """File and key of each linear layer of the decoder, by its name from `layers` on."""
    location, revision = vlm.located(base_model)
    folder = Path(location)
    if not folder.is_dir():
        folder = Path(snapshot_download(location, revision=revision, local_files_only=True))
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            found |= {name: (path, key) for key in weights.keys() if (name := in_decoder(key))}  # noqa: SIM118
    return found


def in_decoder(key: str) -> str:
    """Name, from `layers` on, of the decoder's linear layer that a key of a file holds; empty for all other keys."""
    match = _IN_LAYER.search(key.removesuffix(".weight")) if key.endswith(".weight") else None
    return match.group() if match and "vision" not in key and "visual" not in key else ""


def _weight(files: dict[str, tuple[Path, str]], name: str) -> Tensor:
    match = _IN_LAYER.search(name)
    if not match or match.group() not in files:
        raise ValueError(f"{name!r}: no such weight in the base's safetensors; take method 'lora', or a base with them")
    path, key = files[match.group()]
    with safe_open(path, "pt") as weights:
        return weights.get_tensor(key)
