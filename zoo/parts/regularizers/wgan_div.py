"""The gradient penalty of WGAN-div."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.parts.regularizers.gradient_penalty import between
from zoo.registry import at_least, regularizer


@regularizer("wgan_div")
class WGANDivPenalty(Regularizer):
    """WGAN-div penalty: a power of D's gradient norm, the sixth by default.

    Paper: Wu et al. (2018), arXiv:1712.01026.

    k E|grad D(x')|^p, in fp32 because the sixth power needs its range.

    Args:
        k: weight of the penalty.
        p: power; below 1 the penalty's gradient would be unbounded where D is flat.
        points: `between`: x' = e x + (1 - e) G(z), as in the paper; `ends`: the mean of the terms
            on reals and on fakes, as in some implementations, which reuses the update's own passes.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    per_sample = True
    schedulable = ("k",)

    def __init__(
        self,
        k: Annotated[float, at_least(0)] = 2.0,
        p: Annotated[float, at_least(1)] = 6.0,
        points: Literal["between", "ends"] = "between",
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.k = k
        self.p = p
        if points == "ends":
            self.differentiates = ("real", "fake")  # type: ignore[misc]  # per instance
        self.points = points

    def forward(self, update: Update) -> Tensor:
        if self.points == "ends":
            both = self._power(update.real_gradient()) + self._power(update.fake_gradient())
            return self.k * both / 2
        return self.k * self._power(update.gradient(between(update)))

    def _power(self, gradient: Tensor) -> Tensor:
        return torch.linalg.vector_norm(gradient, dim=1).pow(self.p).mean()
