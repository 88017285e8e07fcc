"""Non-saturating binary cross entropy."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.registry import at_least, below, loss

_LEAST = 1e-6
"""Probabilities are clamped to [_LEAST, 1 - _LEAST] before the logit is taken."""


@loss("bce")
class BCE(Loss):
    """Non-saturating binary cross entropy, the standard GAN loss.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    D: softplus(-D(x)) + softplus(D(G(z))); G: softplus(-D(G(z))). It is computed with softplus on
    logits, -log sigmoid(s) = softplus(-s), so that large scores do not overflow.

    Args:
        smoothing: one-sided label smoothing (Salimans et al., 2016, arXiv:1606.03498): D's target
            for real images is 1 - smoothing. From 0 (none) to below 1.
    """

    def __init__(self, smoothing: Annotated[float, at_least(0), below(1)] = 0.0) -> None:
        self.smoothing = smoothing

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        # Cross entropy with target t: t softplus(-s) + (1 - t) softplus(s) = softplus(-s) + (1-t) s
        return softplus(-real) + self.smoothing * real + softplus(fake)

    def log_ratio(self, scores: Tensor) -> Tensor:
        if not self.smoothing:
            return scores
        # The optimal D has sigmoid(s) = (1 - smoothing) r / (1 + r), always below 1 - smoothing.
        share = torch.sigmoid(scores) / (1 - self.smoothing)
        return torch.logit(share.clamp(_LEAST, 1 - _LEAST))

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake)
