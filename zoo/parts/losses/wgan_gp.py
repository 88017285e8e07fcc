"""The Wasserstein loss with a gradient penalty."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.parts.regularizers.gradient_penalty import GradientPenalty
from zoo.registry import at_least, loss


@loss("wgan_gp")
class WGANGP(Loss):
    """Wasserstein loss (WGAN-GP); also adds the gradient penalty.

    Paper: Gulrajani et al. (2017), arXiv:1704.00028.

    D: -D(x) + D(G(z)) + penalty * E[(|grad D| - 1)^2] on points between reals and fakes; G:
    -D(G(z)). The paper trains with Adam at a learning rate of 1e-4, betas (0, 0.9), and five
    updates of D per update of G.

    Args:
        penalty: lambda, the weight of the gradient penalty.
        one_sided: whether to penalise only gradient norms above 1.
    """

    def __init__(
        self, penalty: Annotated[float, at_least(0)] = 10.0, one_sided: bool = False
    ) -> None:
        self.penalty = penalty
        self.one_sided = one_sided

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake

    def regularizers(self) -> list[Regularizer]:
        return [GradientPenalty(self.penalty, one_sided=self.one_sided)]
