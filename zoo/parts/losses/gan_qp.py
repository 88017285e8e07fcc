"""The loss of GAN-QP."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.parts.regularizers.gan_qp import GANQPPenalty
from zoo.registry import above, loss


@loss("gan_qp")
class GANQP(Loss):
    """Quadratic potential loss (GAN-QP), without Lipschitz constraint; also adds its penalty.

    Paper: Su (2018), arXiv:1811.07296.

    With lead = D(x) - D(G(z)) for pairs at the same index,
    D: -lead + lead^2 / (2 scale d(x, G(z))), whose second term is the regularizer `gan_qp`;
    G: lead, implemented as -D(G(z)) since D(x) is constant for G.

    Args:
        scale: lambda.
        distance: d: `l1`, the mean absolute difference of a pair's images, or `l2`, the root of
            their mean squared difference.
    """

    def __init__(
        self, scale: Annotated[float, above(0)] = 10.0, distance: Literal["l1", "l2"] = "l1"
    ) -> None:
        self.scale = scale
        self.distance: Literal["l1", "l2"] = distance

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake

    def regularizers(self) -> list[Regularizer]:
        return [GANQPPenalty(self.scale, self.distance)]
