"""Weight clipping."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from zoo.contracts.regularizer import Regularizer
from zoo.core import torch_internals
from zoo.registry import above, at_least, regularizer


@regularizer("weight_clipping")
class WeightClipping(Regularizer):
    """Weight clipping (WGAN): clamps every weight of D to a small box, so that D stays Lipschitz.

    Paper: Arjovsky et al. (2017), arXiv:1701.07875.

    Args:
        clip: weights are clamped to [-clip, clip] after D's update.
        every: clip after every k-th update of D.
    """

    def __init__(
        self, clip: Annotated[float, above(0)] = 0.01, every: Annotated[int, at_least(1)] = 1
    ) -> None:
        super().__init__(every)
        self.clip = clip

    def after_update(self, network: nn.Module) -> None:
        # Frozen weights (`freeze_d`) are left unchanged.
        weights: list[torch.Tensor] = [p for p in network.parameters() if p.requires_grad]
        torch_internals.clamp_min_(weights, -self.clip)
        torch_internals.clamp_max_(weights, self.clip)
