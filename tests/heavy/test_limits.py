"""How far the work is from what this machine can do: memory bandwidth and matrix rate measured in the same run.

One thread, processor time, the best of several tries for the machine's rates and the median for the work.
Floating-point operations are counted by torch itself (`FlopCounterMode`), a multiplication and an addition being two.
"""

import statistics
import time

import numpy as np
import pytest
import torch
from test_render_speed import _ours, full_disk  # noqa: F401  (a fixture)
from torch.utils.flop_counter import FlopCounterMode

from jwvl_lib import artifacts, general_task, gpu_check, shared_image, tuning, vlm

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("one_thread")]
BASE = artifacts.REPO / "models" / "tiny_base"
N = 5


def seconds(work, n=N):
    found = []
    for _ in range(n):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return found


def flops(work):
    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops()


@pytest.fixture(scope="module")
def bandwidth(record):
    """GB/s of a copy that no cache holds, bytes read and written."""
    a = np.ones(32 * 2**20)
    b = np.empty_like(a)
    np.copyto(b, a)  # the pages exist now
    rate = 2 * a.nbytes / min(seconds(lambda: np.copyto(b, a))) / 1e9
    record("limit_1_bandwidth", rate, None, N, what="memory copy, 256 MiB", unit="GB/s", note="the best")
    return rate


@pytest.fixture(scope="module")
def matrix_rate(record):
    """GFLOP/s of float32 products of 1024 x 1024, and of the tiny model's own width."""
    a, wide = torch.randn(1024, 1024), torch.randn(1024, 1024)
    rate = 2 * 1024**3 / min(seconds(lambda: torch.mm(a, wide), 4 * N)) / 1e9
    record("limit_2_matrix", rate, None, 4 * N, what="matrix product, 1024 x 1024", unit="GFLOP/s", note="the best")
    return rate


def of_matrix(record, row, what, n, work, matrix_rate, note):
    work()
    count = flops(work)
    rate = count / statistics.median(seconds(work, n)) / 1e9
    share = rate / matrix_rate
    print(f"\n{what}: {count / 1e9:.2f} GFLOP, {rate:.1f} GFLOP/s, {share:.0%} of {matrix_rate:.0f}")
    more = {"share": share, "of": f"{matrix_rate:.0f} GFLOP/s"}
    record(row, rate, None, n, what=what, unit="GFLOP/s", note=note, **more)
    return share


@pytest.mark.parametrize(("row", "n_visual"), [("limit_3_step_36", 36), ("limit_4_step_400", 400)])
def test_a_training_step(row, n_visual, matrix_rate, record):
    model = tuning.prepare(str(BASE), "lora")
    ids = model.config.image_token_id
    width = model.config.text_config.hidden_size
    given = [(gpu_check.sequence(6, n_visual, ids, seed=k), torch.randn(n_visual, width)) for k in range(2)]
    batch = shared_image.collate(given, 0, "sdpa", cached=True)
    labels = batch.pop("labels")

    def step():
        shared_image.labelled_loss(model(**batch, use_cache=False), labels).backward()

    assert of_matrix(record, row, f"training step, {n_visual} visual tokens, six branches", N, step, matrix_rate,
                     "forward and backward, tower cached") > 0.02  # fmt: skip


def test_answering(matrix_rate, record):
    items = general_task.make_items(120, seed=12)
    model, processor = vlm.load_model(BASE), vlm.load_processor(BASE)
    images, index = [item.image for item in items[:20]], [k for k in range(20) for _ in range(6)]

    def answer():
        vlm.answer(model, processor, images, [item.question for item in items], index, 32)

    share = of_matrix(record, "limit_5_answering", "120 answers about 20 images", 3, answer, matrix_rate, "generated")
    assert share > 0.005


@pytest.mark.parametrize("full_disk", ["plain"], indirect=True)
def test_rendering(full_disk, bandwidth, record):  # noqa: F811
    _ours(full_disk)
    least = full_disk.stat().st_size + 4 * 4096 * 4096 + 3 * 1024 * 1024  # the file, its pixels as floats, the picture
    rate = least / statistics.median(seconds(lambda: _ours(full_disk))) / 1e9
    print(f"\nrendering: {rate:.2f} GB/s of {bandwidth:.1f}")
    more = {"share": rate / bandwidth, "of": f"{bandwidth:.1f} GB/s"}
    note = "bytes that must be touched once: the file, its pixels as floats, the picture"
    record("limit_6_rendering", rate, None, N, what="4096 x 4096 FITS to PNG", unit="GB/s", note=note, **more)
    assert rate / bandwidth > 0.005
