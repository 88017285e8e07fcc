"""DigGAN."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.distributed import gather_with_gradient
from zoo.registry import at_least, regularizer


@regularizer("dig")
class DIG(Regularizer):
    """Keeps D as steep on reals as on fakes; helps where data is scarce.

    Paper: Fang et al. (2022), arXiv:2211.14694.

    weight * E[(|grad D(x_i)| - |grad D(G(z_i))|)^2], pairs by index; or of `means` weight *
    (E|grad D(x)| - E|grad D(G(z))|)^2 over all processes. The first author's code further averages
    the norms of each index over time, which is not done here. In fp32, through the augmentation.

    Args:
        weight: lambda: 10 on CIFAR-10, 250 on a fifth of it, 1000 on a tenth of CIFAR-100.
        pairing: what is compared.
        every: act on every k-th update of D, with k times the weight.
    """

    per_sample = True
    differentiates = ("real", "fake")
    schedulable = ("weight",)

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 10.0,
        pairing: Literal["index", "means"] = "index",
        every: Annotated[int, at_least(1)] = 4,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.pairing = pairing

    def forward(self, update: Update) -> Tensor:
        real = torch.linalg.vector_norm(update.real_gradient(), dim=1)
        fake = torch.linalg.vector_norm(update.fake_gradient(), dim=1)
        gap = real - fake
        if self.pairing == "means":
            gap = gather_with_gradient(gap).mean()
        return self.weight * gap.square().mean()
