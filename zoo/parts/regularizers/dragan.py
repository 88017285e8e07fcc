"""The gradient penalty of DRAGAN."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.core.distributed import deviation_over_processes
from zoo.parts.regularizers.gradient_penalty import slope_off, slope_penalty
from zoo.registry import at_least, idle_when, regularizer


@regularizer("dragan")
class Dragan(Regularizer):
    """DRAGAN: gradient penalty towards norm 1 around the real images.

    Paper: Kodali et al. (2017), arXiv:1705.07215.

    penalty * E[(|grad D(x + strength * std(x) * u)| - center)^2], with u uniform in [0, 1) per
    value, std over the whole batch of all processes, and the norm over all of C*H*W; in fp32.

    Args:
        penalty: lambda, the weight of the penalty.
        center: k, the target of the gradient norm.
        strength: size of the perturbation, in standard deviations of the images.
        one_sided: whether to penalise only norms above `center`; the paper's penalty is two-sided.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    per_sample = True
    schedulable = ("penalty",)

    def __init__(
        self,
        penalty: Annotated[float, at_least(0)] = 10.0,
        center: Annotated[float, at_least(0)] = 1.0,
        strength: Annotated[float, at_least(0)] = 0.5,
        one_sided: Annotated[bool, idle_when(center=0.0)] = False,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.penalty = penalty
        self.center = center
        self.strength = strength
        self.one_sided = one_sided

    def forward(self, update: Update) -> Tensor:
        real = widen(update.real.detach())
        deviation = deviation_over_processes(real)
        perturbed = real + self.strength * deviation * torch.rand_like(real)
        return self.penalty * slope_penalty(update.gradient(perturbed), self.center, self.one_sided)

    def diagnose(self, value: float) -> str | None:
        return slope_off(value, self.penalty, self.center)
