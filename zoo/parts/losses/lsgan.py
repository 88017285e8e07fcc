"""Least squares."""

from __future__ import annotations

from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.registry import loss


@loss("lsgan")
class LSGAN(Loss):
    """Least-squares GAN: scores are regressed to targets.

    Paper: Mao et al. (2017), arXiv:1611.04076.

    D: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2; G: (D(G(z)) - c)^2 / 2, on scores without a sigmoid.

    Args:
        a: D's target for generated images.
        b: D's target for real images.
        c: the score that G wants for its images.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        self.a, self.b, self.c = a, b, c

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - self.b).square() + 0.5 * (fake - self.a).square()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - self.c).square()
