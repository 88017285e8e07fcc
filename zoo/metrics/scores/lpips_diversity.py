"""Diversity by LPIPS, which needs the weights of AlexNet."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from zoo.layers.lpips import load_lpips
from zoo.metrics.scores.diversity import Diversity
from zoo.registry import at_least, metric


@metric("lpips_diversity")
class LpipsDiversity(Diversity):
    """The mean LPIPS (version 0.1, AlexNet) of random pairs of generated images.

    For images smaller than 64x64, AlexNet's last maps carry little information. A note gives the
    value of real images.

    Paper: Zhang et al. (2018), arXiv:1801.03924.

    Args:
        pairs: the number of random pairs, each within one class if there are labels.
        weights: the file alexnet-owt-7be5be79.pth; None takes it from torch's hub folder, or
            downloads it there.
    """

    figures = ("lpips_diversity",)
    higher_is_better = ("lpips_diversity",)
    order = 145

    def __init__(
        self, pairs: Annotated[int, at_least(1)] = 1000, weights: str | None = None
    ) -> None:
        super().__init__(pairs)
        self.weights = weights

    def network(self) -> nn.Module:
        return load_lpips("metric lpips_diversity", self.weights)
