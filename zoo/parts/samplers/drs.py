"""Discriminator rejection sampling."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from zoo.contracts.sampler import Sampler, Scene
from zoo.core.errors import ZooError
from zoo.registry import above, at_least, at_most, sampler

_PROPOSALS = 1000
"""Number of proposals per image after which rejection sampling gives up."""
_ENOUGH = 100
"""Burn-in images per class that keep a percentile of F off the best image, where F is unbounded."""


@sampler("drs")
class DRS(Sampler):
    """Discriminator rejection sampling (DRS): accepts images in proportion to D's density ratio.

    Paper: Azadi et al. (2019), arXiv:1810.06758.

    With s = log p_data / p_G according to D and M the largest s so far (per class, if there are
    classes), an image is accepted with probability sigmoid(F),
    F = s - M - log(1 - exp(s - M - eps)) - gamma. With gamma = 0 the probability is exp(s - M):
    exact rejection sampling. The paper sets gamma to a percentile of F over a burn-in, which
    accepts more images and refines them less.

    Args:
        percentile: percentile of F that gamma is set to, from 0 to 100; null for gamma = 0, where D
            decides alone and may accept few images.
        burn_in: number of images from which the maximum and gamma are estimated.
        eps: keeps F finite at the maximum.
    """

    def __init__(
        self,
        percentile: Annotated[float, at_least(0), at_most(100)] | None = 95.0,
        burn_in: Annotated[int, at_least(2)] = 10_000,
        eps: Annotated[float, above(0)] = 1e-6,
    ) -> None:
        self.percentile = percentile
        self.burn_in = burn_in
        self.eps = eps

    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        groups = torch.zeros(len(z), dtype=torch.int64) if y is None else y
        highest, gamma = self._estimates(scene, groups, y is not None)
        accepted = torch.empty_like(z)
        pending = torch.arange(len(z))
        proposals = z
        for _ in range(_PROPOSALS):
            labels = None if y is None else y[pending]
            scores = scene.scores(proposals, labels)
            highest.scatter_reduce_(0, groups[pending], scores, "amax")
            chance = acceptance(scores - highest[groups[pending]], gamma[groups[pending]], self.eps)
            passed = scene.uniform(len(pending)) < chance
            accepted[pending[passed]] = proposals[passed]
            pending = pending[~passed]
            if not len(pending):
                return accepted
            proposals = scene.draw(len(pending))
        few = self.percentile is not None and self.burn_in < _ENOUGH * len(groups.unique())
        more = f"more than burn_in={self.burn_in} ({_ENOUGH} for each requested class), or "
        lower = "a percentile" if self.percentile is None else "a lower percentile"
        raise ZooError(
            f"sampler drs: fewer than one image in {_PROPOSALS:,} is kept, because D scores nearly "
            f"all far below its best: give {more if few else ''}{lower} (95 is usual)."
        )

    def _estimates(self, scene: Scene, groups: Tensor, labelled: bool) -> tuple[Tensor, Tensor]:
        """Estimate the maximum of the scores and gamma for each requested class.

        Returns:
            Two float64 tensors, indexed by class.
        """
        classes = groups.unique()
        labels = classes.repeat(-(-self.burn_in // len(classes)))
        scores = scene.scores(scene.draw(len(labels)), labels if labelled else None)
        size = int(classes.max()) + 1
        highest = torch.full((size,), -torch.inf, dtype=torch.float64)
        highest.scatter_reduce_(0, labels, scores, "amax")
        gamma = torch.zeros(size, dtype=torch.float64)
        if self.percentile is not None:
            for label in classes:
                values = log_odds(scores[labels == label] - highest[label], self.eps)
                gamma[label] = torch.quantile(values, self.percentile / 100)
        return highest, gamma


def log_odds(lead: Tensor, eps: float) -> Tensor:
    """Return F without gamma, for scores that exceed their maximum by `lead` (0 or less)."""
    return lead - torch.log(-torch.expm1((lead - eps).clamp(max=-eps)))


def acceptance(lead: Tensor, gamma: Tensor | float, eps: float) -> Tensor:
    """Return the probability that a proposal is accepted.

    Args:
        lead: score minus the maximum score, 0 or less.
        gamma: the shift of F.
        eps: keeps F finite at the maximum.
    """
    return logsigmoid(log_odds(lead, eps) - gamma).exp()
