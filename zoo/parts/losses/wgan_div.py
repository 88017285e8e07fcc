"""The loss of WGAN-div."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.parts.regularizers.wgan_div import WGANDivPenalty
from zoo.registry import at_least, loss


@loss("wgan_div")
class WGANDiv(Loss):
    """Wasserstein divergence loss (WGAN-div); also adds its gradient penalty.

    Paper: Wu et al. (2018), arXiv:1712.01026.

    D: D(G(z)) - D(x) + k E|grad D|^p; G: -D(G(z)). Needs no Lipschitz constraint.

    Args:
        k: weight of the penalty.
        p: power of the gradient norm.
        points: where the gradient is taken, see the regularizer `wgan_div`.
    """

    def __init__(
        self,
        k: Annotated[float, at_least(0)] = 2.0,
        p: Annotated[float, at_least(1)] = 6.0,
        points: Literal["between", "ends"] = "between",
    ) -> None:
        self.k = k
        self.p = p
        self.points: Literal["between", "ends"] = points

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake

    def regularizers(self) -> list[Regularizer]:
        return [WGANDivPenalty(self.k, self.p, self.points)]
