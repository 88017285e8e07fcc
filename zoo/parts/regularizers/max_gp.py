"""The maximum gradient penalty of Lipschitz GANs."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.distributed import gather_with_gradient
from zoo.parts.regularizers.gradient_penalty import between
from zoo.registry import at_least, regularizer


@regularizer("max_gp")
class MaxGP(Regularizer):
    """Maximum gradient penalty (LGAN): limits D's largest gradient norm between reals and fakes.

    Paper: Zhou et al. (2019), arXiv:1902.05687.

    penalty * max_i |grad D(x'_i)|^2 over the images of all processes, with x' = e x + (1 - e) G(z);
    in fp32.

    Args:
        penalty: lambda, the weight of the penalty.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    per_sample = True
    schedulable = ("penalty",)

    def __init__(
        self, penalty: Annotated[float, at_least(0)] = 10.0, every: Annotated[int, at_least(1)] = 1
    ) -> None:
        super().__init__(every)
        self.penalty = penalty

    def forward(self, update: Update) -> Tensor:
        steepest = update.gradient(between(update)).square().sum(1).max()
        return self.penalty * gather_with_gradient(steepest[None]).max()
