"""Adversarial flow models."""

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
    """Adversarial flow models: relativistic pairing, centred scores, slopes by finite differences.

    Paper: Lin et al. (2025), arXiv:2511.22475.

    D: softplus(-(D(x) - D(G(z)))) + centering (D(x) + D(G(z)))^2, and slope ((D(x') - D(x))/s)^2
    for a part of the reals and of the fakes, x' = x + s noise (the regularizer
    `finite_difference`). G: softplus(-(D(G(z)) - D(x))), and with `transport` above 0
    transport mean (G(z) - z)^2 (`OptimalTransport`), for which latents need the shape of the images
    and D's gradient into G is brought to unit rms. The paper lowers it from 0.2 to 0.005 along a
    cosine: `model.schedules.regularizer.optimal_transport.weight`.

    Args:
        centering: keeps the scores of a pair around 0.
        slope: weight of the squared slopes; 0 for none.
        sigma: s, the size of the step, in units of the images' [-1, 1].
        share: part of the batch whose slope is taken.
        transport: weight of the optimal-transport term; 0 for none.
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
        if self.slope:  # gamma/2 is the weight of a squared slope
            added.append(FiniteDifference(2 * self.slope, sigma=self.sigma, share=self.share))
        if self.transport:
            added.append(OptimalTransport(self.transport))
        return added
