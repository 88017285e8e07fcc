"""The gradient-gap penalty of DigGAN."""

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
    """DigGAN: keeps D's gradient norms on reals and fakes alike; helps with little data.

    Paper: Fang et al. (2022), arXiv:2211.14694.

    weight * E[(|grad D(x_i)| - |grad D(G(z_i))|)^2] over pairs at the same index, or with
    `pairing=means` weight * (E|grad D(x)| - E|grad D(G(z))|)^2 over all processes. The first
    author's code further averages the norms of each index over time, which is not done here.
    Computed in fp32 and through the augmentation.

    Args:
        weight: lambda, the weight of the penalty; 10 on CIFAR-10, 250 on a fifth of it, 1000 on a
            tenth of CIFAR-100.
        pairing: whether to compare the norms pair by pair (`index`) or their `means`.
        every: apply the penalty to every k-th update of D, with k times the weight.
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
