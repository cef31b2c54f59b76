"""Six questions an image: how many times faster than one `model.generate` a question, vision included; same text.

Processor time, pairs in turn, median of the ratios. `pytest tests/heavy/test_answering_speed.py -s` prints the figures.
Images are the general task's pictures; the tuned model is that of `JWVL_TESTED_RUN` (or outputs/tiny), else a random
adapter stands in for it.
"""

import os
import statistics
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from jwvl_lib import artifacts, general_task, greedy, vlm

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]
BASE = "models/tiny_base"
N_IMAGES, N_QUESTIONS, N_PAIRS, N_TOKENS = 20, 6, 5, 64
BAR = 4.0


@pytest.fixture(scope="module", params=["base", "tuned"])
def asked(request):
    """(name, model, processor, images, questions, image_index): every image with six questions."""
    items = general_task.make_items(N_IMAGES * N_PAIRS * N_QUESTIONS, seed=12)
    images = [item.image for item in items[: N_IMAGES * N_PAIRS]]
    index = [k for k in range(len(images)) for _ in range(N_QUESTIONS)]
    questions = [item.question for item in items]
    return request.param, _model(request.param), vlm.load_processor(BASE), images, questions, index


def _model(name):
    adapter = Path(os.environ.get("JWVL_TESTED_RUN") or artifacts.REPO / "outputs" / "tiny") / "04_training" / "adapter"
    if name == "base" or adapter.is_dir():
        return vlm.load_model(BASE, adapter if name == "tuned" else "")
    torch.manual_seed(0)
    targets = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
    return get_peft_model(
        vlm.load_model(BASE), LoraConfig(r=16, target_modules=targets, init_lora_weights=False)
    ).eval()


def timed(work):
    start = time.process_time()
    done = work()
    return done, time.process_time() - start


def test_six_questions_an_image_against_generate_one_by_one(asked, record):
    name, model, processor, images, questions, index = asked
    vlm.answer(model, processor, images[:1], questions[:2], [0, 0], 4)
    ratios, n_answers = [], 0
    for pair in range(N_PAIRS):
        part = slice(pair * N_IMAGES * N_QUESTIONS, (pair + 1) * N_IMAGES * N_QUESTIONS)
        rows = list(zip(questions[part], index[part], strict=True))

        def one_by_one(rows=rows):
            return [greedy.plain_answer(model, processor, images[i], q, N_TOKENS) for q, i in rows]

        def together(rows=rows):
            return vlm.answer(model, processor, images, [q for q, _ in rows], [i for _, i in rows], N_TOKENS)

        order = (one_by_one, together) if pair % 2 else (together, one_by_one)
        measured = {work.__name__: timed(work) for work in order}
        assert measured["together"][0] == measured["one_by_one"][0]
        n_answers += len(rows)
        ratios.append(measured["one_by_one"][1] / measured["together"][1])
    median, each = statistics.median(ratios), [round(ratio, 1) for ratio in ratios]
    line = f"{name}: {median:.1f} times, {n_answers} answers the same; pairs {each}"
    print(line)
    peer = f"generate of transformers {metadata.version('transformers')}, one by one"
    record(f"answer_{name}", median, BAR, N_PAIRS, pairs=ratios, note=f"{n_answers} answers, all the same", peer=peer)
    assert n_answers >= 600
    assert median >= BAR
