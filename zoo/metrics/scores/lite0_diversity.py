"""Diversity on features that come in a package."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from zoo.layers.perceptual import PerceptualDistance
from zoo.metrics.scores.diversity import Diversity
from zoo.registry import at_least, metric


@metric("lite0_diversity")
class Lite0Diversity(Diversity):
    """The mean distance, in EfficientNet-Lite0's maps, of random pairs of generated images.

    As diversity by LPIPS, on features that need no network: its values are not those of LPIPS.
    Near 0 a generator draws one image, and one image of each class where pairs are of one class.
    The note says what real images reach.

    Paper: Zhang et al. (2018), arXiv:1801.03924.

    Args:
        pairs: drawn at random, each of one class where there are labels.
    """

    figures = ("lite0_diversity",)
    higher_is_better = ("lite0_diversity",)
    order = 140

    def __init__(self, pairs: Annotated[int, at_least(1)] = 1000) -> None:
        super().__init__(pairs)

    def network(self) -> nn.Module:
        return PerceptualDistance("metric lite0_diversity")
