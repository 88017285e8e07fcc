"""The gradient penalty of WGAN-GP."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.registry import at_least, idle_when, regularizer

SLOPE = 0.5
"""Root mean square deviation from the target norm above which the penalty counts as too weak."""


def slope_penalty(gradient: Tensor, center: float, one_sided: bool) -> Tensor:
    """Return E[(|gradient| - center)^2] of gradients (N, C*H*W), as a scalar.

    `vector_norm` has the gradient 0 at 0, where sqrt(sum of squares) would give NaN.

    Args:
        gradient: one row per image.
        center: target of the gradient norm.
        one_sided: whether only norms above `center` count.
    """
    excess = torch.linalg.vector_norm(gradient, dim=1) - center
    if one_sided:
        excess = excess.relu()
    return excess.square().mean()


def slope_off(penalty: float, weight: float, center: float) -> str | None:
    """Describe a gradient penalty that stays large, or return None if the norm is near its target.

    Args:
        penalty: weight · mean((‖∇D‖ - center)²), as logged.
        weight: weight of the penalty.
        center: target of the gradient norm.
    """
    if weight <= 0:
        return None
    distance = math.sqrt(max(penalty, 0.0) / weight)
    if distance <= SLOPE:
        return None
    return (
        f"the critic's gradient norm is {distance:.2g} away from {center:g} (root mean square), so "
        "the penalty does not enforce it. Try a larger weight of the penalty, a smaller "
        "model.lr_d, or more model.d_steps."
    )


def between(update: Update) -> Tensor:
    """Return e x + (1 - e) G(z) with one e in [0, 1) per image, (N, C, H, W) without a graph.

    The images of a pack, which D sees as one (PacGAN), share one e, so that the pack too lies on a
    straight line.
    """
    real, fake = widen(update.real.detach()), widen(update.generated.images.detach())
    packs = len(update.fake_output.scores)
    epsilon = torch.rand(packs, 1, 1, 1, device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, epsilon.repeat_interleave(len(real) // packs, dim=0))


@regularizer("gradient_penalty")
class GradientPenalty(Regularizer):
    """Gradient penalty of WGAN-GP: towards norm 1 on lines between real and generated images.

    Paper: Gulrajani et al. (2017), arXiv:1704.00028.

    penalty * E[(|grad D(x')| - center)^2] with x' = e x + (1 - e) G(z), one e in [0, 1) per image,
    and the norm over all of C*H*W; in fp32.

    Args:
        penalty: lambda, the weight of the penalty.
        center: target of the gradient norm; 0 gives the zero-centred penalty of Thanh-Tung et al.
            (2019), arXiv:1902.03984.
        one_sided: whether to penalise only norms above `center`.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    per_sample = True
    schedulable = ("penalty",)

    def __init__(
        self,
        penalty: Annotated[float, at_least(0)] = 10.0,
        center: Annotated[float, at_least(0)] = 1.0,
        one_sided: Annotated[bool, idle_when(center=0.0)] = False,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.penalty = penalty
        self.center = center
        self.one_sided = one_sided

    def forward(self, update: Update) -> Tensor:
        gradient = update.gradient(between(update))
        return self.penalty * slope_penalty(gradient, self.center, self.one_sided)

    def diagnose(self, value: float) -> str | None:
        return slope_off(value, self.penalty, self.center)
