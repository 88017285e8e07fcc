"""The R2 gradient penalty."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.registry import at_least, regularizer


@regularizer("r2")
class R2(Regularizer):
    """R2: zero-centred gradient penalty on generated images.

    Paper: Mescheder et al. (2018), arXiv:1801.04406.

    gamma/2 * E[sum (grad D(G(z)))^2], computed in fp32 and through the augmentation.

    Args:
        gamma: strength, as in `r1`.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    per_sample = True
    schedulable = ("gamma",)
    flattens = "gamma"
    differentiates = ("fake",)

    def __init__(
        self, gamma: Annotated[float, at_least(0)] = 10.0, every: Annotated[int, at_least(1)] = 1
    ) -> None:
        super().__init__(every)
        self.gamma = gamma

    def forward(self, update: Update) -> Tensor:
        return 0.5 * self.gamma * update.fake_gradient().square().sum(1).mean()
