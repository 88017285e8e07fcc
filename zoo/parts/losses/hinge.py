"""The hinge loss."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import relu

from zoo.contracts.loss import Loss
from zoo.core.errors import ZooError
from zoo.registry import above, at_least, loss


@loss("hinge")
class Hinge(Loss):
    """Hinge loss, commonly paired with spectral normalisation.

    Paper: Lim & Ye (2017), arXiv:1705.02894; used by Miyato et al. (2018), arXiv:1802.05957.

    D: relu(m - D(x)) + relu(m + D(G(z))); G: -D(G(z)), without a hinge.

    Args:
        margin: m; scores beyond it no longer reduce D's loss.
        soft: draw m for each score uniformly from [margin - soft, margin]; 0 for a fixed margin.
            FastGAN uses 0.2 (Liu et al., 2021, arXiv:2101.04775).
    """

    def __init__(
        self, margin: Annotated[float, above(0)] = 1.0, soft: Annotated[float, at_least(0)] = 0.0
    ) -> None:
        if not 0 <= soft <= margin:
            raise ZooError(f"loss hinge: soft={soft} must be from 0 to margin={margin}")
        self.margin = margin
        self.soft = soft

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(self._margin(real) - real) + relu(self._margin(fake) + fake)

    def _margin(self, scores: Tensor) -> Tensor | float:
        return self.margin - self.soft * torch.rand_like(scores) if self.soft else self.margin

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake
