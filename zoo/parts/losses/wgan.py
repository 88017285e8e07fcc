"""The Wasserstein loss with weight clipping."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.parts.regularizers.weight_clipping import WeightClipping
from zoo.registry import above, loss


@loss("wgan")
class WGAN(Loss):
    """Wasserstein loss (WGAN); also clips D's weights.

    Paper: Arjovsky et al. (2017), arXiv:1701.07875.

    D: -D(x) + D(G(z)); G: -D(G(z)). The paper trains with RMSprop at a learning rate of 5e-5 and
    five updates of D per update of G.

    Args:
        clip: bound to which D's weights are clamped, [-clip, clip]; None where something else
            (spectral norm, a penalty) keeps D Lipschitz.
    """

    def __init__(self, clip: Annotated[float, above(0)] | None = 0.01) -> None:
        self.clip = clip

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake

    def regularizers(self) -> list[Regularizer]:
        return [] if self.clip is None else [WeightClipping(self.clip)]
