"""Calibrations of D's scores, fitted to scores of real and of generated images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Calibration = Callable[[Tensor], Tensor]
"""A function from scores (N,) to log p_data / p_G."""


def logistic(real: Tensor, fake: Tensor) -> Calibration:
    """Fit a logistic regression of "is real" on the score, a + b s.

    Paper: Platt (1999), Probabilistic outputs for support vector machines, whose targets, (n + 1) /
    (n + 2) and 1 / (n + 2), keep the fit finite if the scores separate the two sides. Both sides
    have equal weight, whatever their numbers of images.

    Args:
        real, fake: scores of real and of generated images, (n,) and (m,).
    """
    scores = torch.cat((real, fake)).double()
    mean, spread = scores.mean(), scores.std().clamp(min=1e-12)
    inputs = torch.stack((torch.ones_like(scores), (scores - mean) / spread), dim=1)
    n, m = len(real), len(fake)
    targets = torch.cat((torch.full((n,), (n + 1) / (n + 2)), torch.full((m,), 1 / (m + 2))))
    weights = torch.cat((torch.full((n,), 1 / n), torch.full((m,), 1 / m))).double()
    targets = targets.double()

    def loss(theta: Tensor) -> Tensor:
        logits = inputs @ theta
        entropies = torch.nn.functional.softplus(logits) - targets * logits
        return (weights * entropies).sum()

    theta = torch.zeros(2, dtype=torch.float64)
    for _ in range(100):  # Newton's method; a step is halved while it increases the loss
        p = torch.sigmoid(inputs @ theta)
        gradient = inputs.T @ (weights * (p - targets))
        hessian = inputs.T @ (inputs * (weights * p * (1 - p))[:, None])
        step = torch.linalg.solve(hessian + 1e-12 * torch.eye(2, dtype=torch.float64), gradient)
        size = 1.0
        while size > 1e-6 and loss(theta - size * step) > loss(theta):
            size /= 2
        theta = theta - size * step
        if step.abs().max() < 1e-10:
            break
    return lambda s: theta[0] + theta[1] * (s.double() - mean) / spread


def isotonic(real: Tensor, fake: Tensor) -> Calibration:
    """Fit the best rising step function from the score to "is real".

    Paper: Zadrozny & Elkan (2002), Transforming classifier scores into accurate multiclass
    probability estimates. It is found by pooling adjacent violators and interpolated linearly
    between the scores it was fitted to.

    Args:
        real, fake: scores of real and of generated images, (n,) and (m,).
    """
    n, m = len(real), len(fake)
    scores, order = torch.cat((real, fake)).double().sort(stable=True)
    weight = torch.cat((torch.full((n,), 1 / n), torch.full((m,), 1 / m))).double()[order]
    hit = torch.cat((torch.ones(n), torch.zeros(m))).double()[order]
    knots, place = scores.unique_consecutive(return_inverse=True)
    mass = torch.zeros(len(knots), dtype=torch.float64).index_add_(0, place, weight)
    hits = torch.zeros(len(knots), dtype=torch.float64).index_add_(0, place, weight * hit)
    blocks: list[list[float]] = []  # hits, mass and number of knots of each
    for h, w in zip(hits.tolist(), mass.tolist(), strict=True):
        blocks.append([h, w, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    share = torch.cat([torch.full((int(c),), h / w, dtype=torch.float64) for h, w, c in blocks])
    least = 1 / (min(n, m) + 2)
    ratio = torch.logit(share.clamp(least, 1 - least))

    def calibrated(s: Tensor) -> Tensor:
        s = s.double()
        right = torch.searchsorted(knots, s).clamp(1, max(1, len(knots) - 1))
        right = right.clamp(max=len(knots) - 1)
        left = (right - 1).clamp(min=0)
        gap = (knots[right] - knots[left]).clamp(min=1e-300)
        t = ((s - knots[left]) / gap).clamp(0, 1)
        return ratio[left] + t * (ratio[right] - ratio[left])

    return calibrated


CALIBRATIONS: dict[str, Callable[[Tensor, Tensor], Calibration]] = {
    "logistic": logistic,
    "isotonic": isotonic,
}
"""Calibrations by name: each is fitted to scores of real and of generated images."""
