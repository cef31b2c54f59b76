"""A chat's model in this process: any model tier, its answer as it is generated.

Reads a model folder or hub id and an adapter; writes nothing. The conversation goes through the processor's chat
template in the message form that training and serving use, several pictures and turns included.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from jwvl_lib import artifacts, vlm

LONGEST_TOKENS = 160


@dataclass(frozen=True)
class LocalModel:
    """A loaded model and its processor; one answer at a time."""

    name: str
    model: torch.nn.Module
    processor: object
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Stopped(StoppingCriteria):
    def __init__(self, stop: threading.Event):
        self.stop = stop

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        return torch.full((len(input_ids),), self.stop.is_set(), device=input_ids.device)


def load(base_model: str, adapter_dir: str = "", dtype: str = "float32") -> LocalModel:
    """The model with its adapter, named by both; errors are those of `vlm.load_model`."""
    adapter = artifacts.resolve(adapter_dir)
    name = f"{base_model} + {'/'.join(adapter.parts[-3:])}" if adapter else base_model
    return LocalModel(name, vlm.load_model(base_model, adapter_dir, dtype), vlm.load_processor(base_model))


def messages(turns: Sequence[tuple[str, Sequence[str], str]]) -> tuple[list[dict], list[str]]:
    """(messages, picture ids in their order) of turns (question, picture ids, answer), the last one open.

    A picture stands in the turn in which it is first spoken of, as at an endpoint.
    """
    made, order = [], []
    for question, image_ids, answer in turns:
        new = [i for i in image_ids if i not in order]
        order += new
        made += vlm.chat_messages(question, len(new))
        if answer:
            made.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return made, order


def stream(
    local: LocalModel, conversation: Sequence[dict], images: Sequence[Image.Image], stop: threading.Event
) -> Iterator[str]:
    """Pieces of the greedy answer as they are generated, until it ends or `stop` is set; its error is raised."""
    processor, failed = local.processor, []
    text = processor.apply_chat_template(list(conversation), tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=list(images) or None, return_tensors="pt").to(local.model.device)
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)

    def generate() -> None:
        try:
            with local.lock, torch.inference_mode():
                _forget_positions(local.model)
                stopping = StoppingCriteriaList([_Stopped(stop)])
                local.model.generate(
                    **inputs,
                    streamer=streamer,
                    stopping_criteria=stopping,
                    max_new_tokens=LONGEST_TOKENS,
                    do_sample=False,
                )
        except Exception as error:  # whatever it was, it belongs to the thread that reads
            failed.append(error)
            streamer.end()

    thread = threading.Thread(target=generate, daemon=True)
    thread.start()
    yield from (piece for piece in streamer if piece)
    thread.join()
    if failed:
        raise failed[0]


def _forget_positions(model: torch.nn.Module) -> None:
    """mRoPE offsets of the answer before would be taken for this one's."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    bare.model.rope_deltas = None
