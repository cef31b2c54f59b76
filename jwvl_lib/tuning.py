"""Which weights move: LoRA, DoRA, QLoRA or full tuning of the decoder; projector and vision tower free or frozen.

Reads a model folder or hub id; writes the tuned weights, either an adapter (PEFT) or a whole model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, PreTrainedModel

from jwvl_lib import artifacts, branch_attention, last_layer, lora_linear, vlm

STAGES = ("sft", "align,sft")  # supervised tuning; the projector on descriptions first
METHODS = ("lora", "dora", "qlora", "full")
# names of transformers: Qwen-VL, LLaVA and its heirs, the Idefics family (SmolVLM among them)
DECODER_LAYERS = r".*(language_model|text_model)\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
TOWER_LAYERS = (
    r".*(visual\.blocks|(vision_tower|vision_model)\.[a-z_.]*layers)\.\d+\."
    r"(attn\.(qkv|proj)|self_attn\.(q|k|v|out)_proj|mlp\.(gate_proj|up_proj|down_proj|linear_fc1|linear_fc2|fc1|fc2))"
)
PROJECTORS = ("merger", "deepstack_merger_list", "multi_modal_projector", "connector")
TOWERS = ("visual", "vision_tower", "vision_model")


def prepare(
    base_model: str,
    method: str,
    lora_r: int = 16,
    lora_alpha: int = 32,
    lora_dropout: float = 0.0,
    train_projector: bool = False,
    train_tower: bool = False,
    dtype: str = "float32",
    train_tokens: Sequence[int] = (),
    seed: int = 0,
) -> PreTrainedModel | PeftModel:
    """The model with exactly the asked weights free; an adapter starts from weights that `seed` draws.

    `lora` (Hu et al. 2021, arXiv:2106.09685) and `dora` (Liu et al. 2024, arXiv:2402.09353) add an adapter to the
    linear layers of the decoder's attention and feed-forward blocks; `qlora` (Dettmers et al. 2023, arXiv:2305.14314)
    adds it to a decoder held in 4 bits; `full` frees the decoder itself. `train_tower` treats the blocks of the vision
    tower the same way (never in 4 bits: an adapter on whole weights); `train_projector` frees the projector wholly,
    since it is small. `train_tokens` are ids whose embeddings move beside an adapter (peft's trainable tokens): a base
    that never read a word has only learnt not to say it, and where the output head shares the embeddings, an adapter
    hardly makes it easy to say. Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: not a way of tuning here; one of {', '.join(METHODS)}")
    model = vlm.load_model(base_model, dtype=dtype, quantization_config=nf4(dtype) if method == "qlora" else None)
    if method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        keep_unpacked(model)
    if model.device.type == "cpu":
        branch_attention.use(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuned = adapt(model, method, lora_r, lora_alpha, lora_dropout, train_projector, train_tower, train_tokens)
    last_layer.use(tuned)
    if method != "full":  # the base as given, so that the adapter is portable
        name, _, revision = base_model.partition("@")
        tuned.peft_config["default"].base_model_name_or_path = name
        tuned.peft_config["default"].revision = revision or None
    return tuned


def adapt(
    model: PreTrainedModel,
    method: str,
    lora_r: int = 16,
    lora_alpha: int = 32,
    lora_dropout: float = 0.0,
    train_projector: bool = False,
    train_tower: bool = False,
    train_tokens: Sequence[int] = (),
) -> PreTrainedModel | PeftModel:
    """A loaded model with exactly the asked weights free; see `prepare`. Works on the `meta` device too."""
    if method == "full":
        return _free(model, train_projector, train_tower)
    lora = LoraConfig(
        r=lora_r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        use_dora=method == "dora",
        target_modules=f"({DECODER_LAYERS})|({TOWER_LAYERS})" if train_tower else DECODER_LAYERS,
        modules_to_save=_projectors(model) if train_projector else None,
        trainable_token_indices={"embed_tokens": sorted(train_tokens)} if len(train_tokens) else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    if method == "lora":  # a layer in 4 bits is a `torch.nn.Linear` too
        lora._register_custom_module({torch.nn.Linear: lora_linear.Linear})
    return get_peft_model(model, lora)


def is_projector(name: str) -> bool:
    """Whether a parameter of this name lies between vision tower and decoder."""
    return not set(PROJECTORS).isdisjoint(name.split("."))


def is_tower(name: str) -> bool:
    """Whether a parameter of this name lies in the vision tower."""
    return not is_projector(name) and not set(TOWERS).isdisjoint(name.split("."))


def _projectors(model: PreTrainedModel) -> list[str]:
    """Names of the projector's modules as PEFT takes them: a list of modules by its members."""
    found = [(name, m) for name, m in model.named_modules() if name.rpartition(".")[2] in PROJECTORS]
    return [
        f"{name}.{k}" if isinstance(module, torch.nn.ModuleList) else name
        for name, module in found
        for k in range(len(module) if isinstance(module, torch.nn.ModuleList) else 1)
    ]


def nf4(dtype: str = "bfloat16") -> BitsAndBytesConfig:
    """4 bits, NF4, double quantisation, for the decoder alone (arXiv:2305.14314, section 3)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
        llm_int8_skip_modules=["model.visual", "vision_tower", "vision_model", *PROJECTORS[2:], "lm_head"],
    )


def keep_unpacked(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from packing 4-bit weights for inference alone, as when a model in training is evaluated.

    On a CPU with bfloat16 it does so at the first evaluation, and computes in bfloat16 without gradients from then on.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def check_stages(stages: str, train_projector: bool) -> None:
    """Refuse stages that are not known, and an alignment of a projector that is frozen; one line each."""
    if stages not in STAGES:
        raise ValueError(f"stages {stages!r}: not an order of training here; one of {', '.join(map(repr, STAGES))}")
    if stages.startswith("align") and not train_projector:
        raise ValueError(f"stages {stages!r} with train_projector false: alignment moves the projector; set it true")


@contextmanager
def projector_only(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """Within it the projector alone is free, as in LLaVA's first stage (Liu et al. 2023, arXiv:2304.08485, 4.2)."""
    free = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for name, parameter in free:
        parameter.requires_grad_(is_projector(name))
    try:
        yield
    finally:
        for _, parameter in free:
            parameter.requires_grad_(True)


def sees_through_free_weights(model: PreTrainedModel | PeftModel) -> bool:
    """Whether a free weight lies in tower or projector, so that what they make of an image changes with every step."""
    return any(p.requires_grad and (is_tower(n) or is_projector(n)) for n, p in model.named_parameters())


def save(model: PreTrainedModel | PeftModel, folder: str | Path, state_dict: dict | None = None) -> None:
    """The adapter, or with full tuning the whole model, as safetensors readable for all; `vlm.load_model` takes both.

    Beside an adapter on 4 bits stands `base_quantization.json`: how its base is quantised, since it has learnt
    to make good for that; on the base in floats it loads too, and answers otherwise. `vlm.load_model` heeds the file;
    in plain transformers hand it to `from_pretrained` as `BitsAndBytesConfig`, or merge (`jwvl_lib.merge`).
    `state_dict` holds the weights where the model itself has only its share of them (FSDP). PEFT's README is left out:
    an empty template that names this machine's folders; `model_card` writes a full one.
    """
    folder = Path(folder)
    model.save_pretrained(folder, state_dict=state_dict)
    (folder / "README.md").unlink(missing_ok=True)
    if quantised := getattr(model.config, "quantization_config", None):
        artifacts.write_json(folder / vlm.QUANTISED, quantised.to_diff_dict())
    for weights in folder.glob("*.safetensors"):
        weights.chmod(0o644)


def _free(model: PreTrainedModel, train_projector: bool, train_tower: bool) -> PreTrainedModel:
    for name, parameter in model.named_parameters():
        if is_projector(name):
            parameter.requires_grad_(train_projector)
        elif is_tower(name):
            parameter.requires_grad_(train_tower)
        else:
            parameter.requires_grad_(True)
    return model
