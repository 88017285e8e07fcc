"""R1 by finite differences."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.parts.regularizers.finite_difference import mean_square_slope
from zoo.registry import above, at_least, regularizer


@regularizer("fd_r1")
class FiniteDifferenceR1(Regularizer):
    """R1 by finite differences: D's change from real images to noisy ones; no double backward pass.

    Paper: Hyun et al. (2025), arXiv:2509.24935.

    gamma/2 * E[((D(x + h e) - D(x)) / h)^2], e ~ N(0, I). In expectation over e and for small h
    this is gamma/2 * E[sum (grad D(x))^2]. Computed in fp32 and through the augmentation; both
    passes use the same random numbers in the augmentation and in D. With batch norm, it is the
    slope of each score with respect to all images of the batch.

    Args:
        gamma: strength; 0.1 in the paper.
        distance: h, the size of the step; 0.01 in the paper.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    repeats = ("real",)
    schedulable = ("gamma",)
    flattens = "gamma"

    def __init__(
        self,
        gamma: Annotated[float, at_least(0)] = 0.1,
        distance: Annotated[float, above(0)] = 0.01,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.gamma = gamma
        self.distance = distance

    def forward(self, update: Update) -> Tensor:
        return 0.5 * self.gamma * mean_square_slope(update, "real", self.distance)
