"""A worked example of a plugin: a loss that the zoo does not include."""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor

from zoo import Loss, ZooError, above, loss


@loss("ralsgan")
class RaLSGAN(Loss):
    """Relativistic average least squares: each score is compared with the mean of the other side.

    Paper: Jolicoeur-Martineau (2018), arXiv:1807.00734.

    With r = D(x), f = D(G(z)) and means over the batch (of one process),
    D: (r - mean f - m)^2 + (f - mean r + m)^2; G: (f - mean r - m)^2 + (r - mean f + m)^2.
    Only differences of scores count: adding a constant to all scores changes nothing.

    Args:
        margin: m, the difference by which one side's scores should exceed the other's; 1 in the
            paper.
    """

    needs_real: ClassVar[bool] = True  # G's loss needs the scores of real images too

    def __init__(self, margin: Annotated[float, above(0)] = 1.0) -> None:
        self.margin = margin

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        above, below = real - fake.mean(), fake - real.mean()
        return (above - self.margin).square() + (below + self.margin).square()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError("loss ralsgan: the generator's side needs the scores of real images.")
        return self.discriminator(fake, real)  # the same loss with the sides exchanged
