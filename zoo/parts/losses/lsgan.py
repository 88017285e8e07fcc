"""The least-squares loss."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.core.errors import ZooError
from zoo.registry import loss

_LEAST = 1e-4
"""Relative scores are clamped to [_LEAST, 1 - _LEAST] before the logit is taken."""


@loss("lsgan")
class LSGAN(Loss):
    """Least-squares GAN: D's scores are regressed onto fixed targets.

    Paper: Mao et al. (2017), arXiv:1611.04076.

    D: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2; G: (D(G(z)) - c)^2 / 2, on scores without a sigmoid.

    Args:
        a: D's target for generated images.
        b: D's target for real images.
        c: G's target for the scores of its images.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        if a == b:
            raise ZooError(f"loss lsgan: a={a} and b={b} must differ, or D would learn nothing.")
        self.a, self.b, self.c = a, b, c

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - self.b).square() + 0.5 * (fake - self.a).square()

    def log_ratio(self, scores: Tensor) -> Tensor:
        # The optimal D is (b r + a) / (r + 1), which lies between the two targets.
        share = (scores - self.a) / (self.b - self.a)
        return torch.logit(share.clamp(_LEAST, 1 - _LEAST))

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - self.c).square()
