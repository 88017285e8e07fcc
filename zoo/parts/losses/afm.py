"""The loss of adversarial flow models."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.core.errors import ZooError
from zoo.parts.regularizers.finite_difference import FiniteDifference
from zoo.parts.regularizers.optimal_transport import OptimalTransport
from zoo.registry import above, at_least, at_most, idle_when, loss


@loss("afm")
class AFM(Loss):
    """Adversarial flow models: relativistic pairing, centred scores, finite-difference R1 and R2.

    Paper: Lin et al. (2025), arXiv:2511.22475.

    D: softplus(-(D(x) - D(G(z)))) + centering (D(x) + D(G(z)))^2, plus slope ((D(x') - D(x))/s)^2
    on a share of the reals and of the fakes, with x' = x + s noise (the regularizer
    `finite_difference`). G: softplus(-(D(G(z)) - D(x))), plus transport mean (G(z) - z)^2 if
    `transport` is above 0 (`OptimalTransport`). That term needs latents of the images' shape, and
    it rescales D's gradient with respect to the images to unit rms. The paper lowers its weight
    from 0.2 to 0.005 along a cosine: `model.schedules.regularizer.optimal_transport.weight`.

    Args:
        centering: weight of the term that keeps the scores of a pair centred around 0.
        slope: weight of the squared slopes; 0 disables them.
        sigma: s, the size of the finite-difference step, in units of the images' range [-1, 1].
        share: fraction of the batch on which the slope is computed.
        transport: weight of the optimal-transport term; 0 disables it.
    """

    needs_real = True

    def __init__(
        self,
        centering: Annotated[float, at_least(0)] = 0.01,
        slope: Annotated[float, at_least(0)] = 0.25,
        sigma: Annotated[float, above(0), idle_when(slope=0.0)] = 0.01,
        share: Annotated[float, above(0), at_most(1), idle_when(slope=0.0)] = 0.25,
        transport: Annotated[float, at_least(0)] = 0.0,
    ) -> None:
        self.centering = centering
        self.slope = slope
        self.sigma = sigma
        self.share = share
        self.transport = transport

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real) + self.centering * (real + fake).square()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError("loss afm: the generator's side needs the scores of real images.")
        return softplus(real - fake)

    def regularizers(self) -> list[Regularizer]:
        added: list[Regularizer] = []
        if self.slope:  # the regularizer weighs a squared slope by gamma / 2
            added.append(FiniteDifference(2 * self.slope, sigma=self.sigma, share=self.share))
        if self.transport:
            added.append(OptimalTransport(self.transport))
        return added
