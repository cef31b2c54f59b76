"""What both stages of the tiny base's pretraining share: Muon in float32, rates, a step, the log.

Reads and writes nothing.
"""

import logging
import math
import time
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates (Jordan 2024, kellerjordan.github.io/posts/muon), in float32.

    torch's own orthogonalises in bfloat16, three times slower than float32 on a CPU without AVX512-BF16. Rates are
    scaled to the size of an AdamW update (Liu et al. 2025, arXiv:2502.16982). Matrices only.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(average, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-0.2 * max(p.shape) ** 0.5 * group["lr"])


def orthogonalise(matrix: Tensor, n_iterations: int = 5) -> Tensor:
    """The matrix with all singular values near 1 (0.7 to 1.2), by the quintic Newton-Schulz iteration of Muon."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(n_iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def make_optimisers(
    named: Sequence[tuple[str, nn.Parameter]], lr: float, muon_lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of attention and feed-forward layers, AdamW for all else."""
    inner = ("attn.", "mlp.")
    muon = [
        p
        for name, p in named
        if p.ndim == 2 and any(part in name for part in inner) and "merger" not in name and muon_lr
    ]
    chosen = {id(p) for p in muon}
    rest = [p for _, p in named if id(p) not in chosen]
    adamw = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    optimisers = [adamw, Muon(muon, muon_lr)] if muon_lr else [adamw]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak_lr"] = group["lr"]
    return optimisers


def schedule(step: int, n_steps: int, n_warmup: int = 50, floor: float = 0.02) -> float:
    """Linear warm-up, then a cosine down to `floor`; the factor on the peak rate."""
    return min(1.0, (step + 1) / n_warmup) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / n_steps)))


def update(loss: Tensor, optimisers: Sequence[torch.optim.Optimizer], factor: float) -> None:
    """One step: gradients clipped to norm 1, every rate at `factor` of its peak, gradients dropped."""
    loss.backward()
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak_lr"] * factor
    parameters = [p for o in optimisers for g in o.param_groups for p in g["params"] if p.grad is not None]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


class History:
    """Means of what was measured over each 50 steps; logged as they come."""

    def __init__(self, stage: str, n_steps: int):
        self.stage, self.n_steps, self.rows = stage, n_steps, []
        self._pending: list[dict[str, float]] = []
        self._start = time.perf_counter()

    def add(self, step: int, values: dict[str, float]) -> None:
        self._pending.append(values)
        if (step + 1) % 50 and step + 1 < self.n_steps:
            return
        means = {k: round(float(np.nanmean([v[k] for v in self._pending])), 4) for k in values}
        self.rows.append(
            {"stage": self.stage, "step": step + 1, "seconds": round(time.perf_counter() - self._start, 1), **means}
        )
        self._pending = []
        log.info("%s", self.rows[-1])
