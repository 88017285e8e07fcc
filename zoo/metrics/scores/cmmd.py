"""CMMD, the maximum mean discrepancy of features of unit length."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import BLOCK
from zoo.metrics.scores.base import Metric
from zoo.registry import above, metric


@metric("cmmd")
class CMMD(Metric):
    """1000 · MMD² of features of unit length under the kernel exp(-|x - y|²/(2σ²)).

    MMD² is the biased estimate, over all pairs, and therefore never negative. The value is called
    `cmmd` on CLIP's features (features=clip), as published, and `mmd_rbf` on other features.

    Paper: Jayasumana et al. (2024), arXiv:2401.09603.

    Args:
        sigma: the width of the kernel.
    """

    figures = ("cmmd", "mmd_rbf")
    order = 25

    def __init__(self, sigma: Annotated[float, above(0)] = 10.0) -> None:
        self.sigma = sigma

    def settings(self) -> str:
        return f"CMMD sigma {self.sigma:g}"

    def __call__(self, data: Comparison) -> dict[str, float]:
        name = self.name if self.name in data.network.standard_for else "mmd_rbf"
        return {name: unit_mmd(data.vectors, data.reference_vectors, self.sigma)}


def unit_mmd(generated: Tensor, reference: Tensor, sigma: float = 10.0) -> float:
    """Return 1000 · (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)) of vectors (N, D), (M, D)."""
    x, y = (F.normalize(side.double(), dim=1) for side in (generated, reference))
    means = [_mean_kernel(a, b, sigma) for a, b in ((x, x), (y, y), (x, y))]
    return 1000 * (means[0] + means[1] - 2 * means[2])


def _mean_kernel(a: Tensor, b: Tensor, sigma: float) -> float:
    total = 0.0
    for block in a.split(BLOCK):
        # For unit vectors, |x - y|² = 2 - 2 x·y.
        total += torch.exp((block @ b.T - 1) / sigma**2).sum().item()
    return total / (len(a) * len(b))
