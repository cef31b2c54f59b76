"""Muon in float32, and the rate schedule of the tiny base's pretraining. Reads and writes nothing."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


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
