"""`python -m jwvl_lib.serve --model models/tiny_base --port 8001`: any model tier behind an OpenAI-compatible API.

The server is transformers' own (`transformers serve`); this launcher gives it the workshop's way of loading, which
works without torchvision and takes an adapter. Reads the model and adapter folders, listens on 127.0.0.1 only.
"""

import argparse
import sys
from collections.abc import Sequence

from transformers import PreTrainedModel, ProcessorMixin
from transformers.cli import serve as transformers_serve
from transformers.cli.serving import model_manager

from jwvl_lib import vlm


class WorkshopModels(model_manager.ModelManager):
    """The model manager of `transformers serve`, loading through `jwvl_lib.vlm`; an adapter is merged into its base."""

    adapter_dir = ""

    def _load_processor(self, model_id_and_revision: str, gguf_file: str | None = None) -> ProcessorMixin:
        return vlm.load_processor(model_id_and_revision)

    def _load_model(self, model_id_and_revision: str, **_) -> PreTrainedModel:
        model = vlm.load_model(model_id_and_revision, self.adapter_dir, self.dtype_name)
        in_4_bits = getattr(model, "is_loaded_in_4bit", False)  # merged, it would be rounded to 4 bits again
        return model.merge_and_unload() if self.adapter_dir and not in_4_bits else model

    @property
    def dtype_name(self) -> str:
        """float32 where transformers would take the stored type: bfloat16 is slow on most CPUs."""
        return "float32" if self.dtype in (None, "auto") else str(self.dtype).removeprefix("torch.")

    def get_gen_models(self, cache_dir: str | None = None) -> list[dict]:
        """What `/v1/models` lists: the one model served."""
        return [{"id": self.force_model, "object": "model", "created": 0, "owned_by": "jwvl"}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted. Exit status 2, with one line, for a model that cannot be loaded."""
    parser = argparse.ArgumentParser(prog="python -m jwvl_lib.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="models/tiny_base", help="model folder or hub id; also its name in the API")
    parser.add_argument("--adapter", default="", help="adapter/ folder of a training run")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16 or float16")
    parser.add_argument("--port", type=int, default=8001)
    chosen = parser.parse_args(arguments)
    WorkshopModels.adapter_dir = chosen.adapter
    model_manager.ModelManager = WorkshopModels  # `Serve` looks the class up there when it starts
    try:
        vlm.located(chosen.model)
        transformers_serve.Serve(force_model=chosen.model, host="127.0.0.1", port=chosen.port, dtype=chosen.dtype)
    except (OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
