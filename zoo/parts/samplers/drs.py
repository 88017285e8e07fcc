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
"""Proposals per image after which rejection is given up."""
_ENOUGH = 100
"""Images of a class whose percentiles are not those of its best image, where F is without bound."""


@sampler("drs")
class DRS(Sampler):
    """Discriminator rejection sampling: keeps images in proportion to how real D finds them.

    Paper: Azadi et al. (2019), arXiv:1810.06758.

    With s = log p_data / p_G by D and M its maximum so far (of the class, where there are some), an
    image is kept with probability sigmoid(F), F = s - M - log(1 - exp(s - M - eps)) - gamma. With
    gamma = 0 that is exp(s - M): exact rejection. The paper's gamma is a percentile of F over a
    burn-in, which keeps more images and refines less.

    Args:
        percentile: of F that becomes gamma, from 0 to 100; null is gamma = 0, where D decides alone
            and few images may be kept.
        burn_in: images by which the maximum and gamma are estimated.
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
        most, gamma = self._estimates(scene, groups, y is not None)
        found = torch.empty_like(z)
        left = torch.arange(len(z))
        proposals = z
        for _ in range(_PROPOSALS):
            labels = None if y is None else y[left]
            scores = scene.scores(proposals, labels)
            most.scatter_reduce_(0, groups[left], scores, "amax")
            chance = acceptance(scores - most[groups[left]], gamma[groups[left]], self.eps)
            kept = scene.uniform(len(left)) < chance
            found[left[kept]] = proposals[kept]
            left = left[~kept]
            if not len(left):
                return found
            proposals = scene.draw(len(left))
        few = self.percentile is not None and self.burn_in < _ENOUGH * len(groups.unique())
        more = f"more than burn_in={self.burn_in} ({_ENOUGH} for each class asked for), or "
        lower = "a percentile" if self.percentile is None else "a lower percentile"
        raise ZooError(
            f"sampler drs: fewer than one image in {_PROPOSALS:,} is kept, for D tells nearly all "
            f"from its best: give {more if few else ''}{lower} (95 is usual)."
        )

    def _estimates(self, scene: Scene, groups: Tensor, labelled: bool) -> tuple[Tensor, Tensor]:
        """The maximum of the scores and gamma, of each class that is asked for."""
        asked = groups.unique()
        of = asked.repeat(-(-self.burn_in // len(asked)))
        scores = scene.scores(scene.draw(len(of)), of if labelled else None)
        size = int(asked.max()) + 1
        most = torch.full((size,), -torch.inf, dtype=torch.float64)
        most.scatter_reduce_(0, of, scores, "amax")
        gamma = torch.zeros(size, dtype=torch.float64)
        if self.percentile is not None:
            for group in asked:
                values = log_odds(scores[of == group] - most[group], self.eps)
                gamma[group] = torch.quantile(values, self.percentile / 100)
        return most, gamma


def log_odds(lead: Tensor, eps: float) -> Tensor:
    """F without gamma of scores below their maximum by -`lead`."""
    return lead - torch.log(-torch.expm1((lead - eps).clamp(max=-eps)))


def acceptance(lead: Tensor, gamma: Tensor | float, eps: float) -> Tensor:
    """The probability that a proposal is kept."""
    return logsigmoid(log_odds(lead, eps) - gamma).exp()
