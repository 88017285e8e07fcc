"""The hinge loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from zoo.contracts.loss import Loss
from zoo.core.errors import above
from zoo.registry import loss


@loss("hinge")
class Hinge(Loss):
    """Hinge loss, the standard with spectral normalisation.

    Paper: Lim & Ye (2017), arXiv:1705.02894; used by Miyato et al. (2018), arXiv:1802.05957.

    D: relu(m - D(x)) + relu(m + D(G(z))); G: -D(G(z)), which is never hinged.

    Args:
        margin: m, the score beyond which D gains nothing more.
    """

    def __init__(self, margin: float = 1.0) -> None:
        above(0, "loss hinge: ", margin=margin)
        self.margin = margin

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(self.margin - real) + relu(self.margin + fake)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake
