"""Diversity on features whose weights come in a Python package."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from zoo.layers.perceptual import PerceptualDistance
from zoo.metrics.scores.diversity import Diversity
from zoo.registry import at_least, metric


@metric("lite0_diversity")
class Lite0Diversity(Diversity):
    """The mean distance, in EfficientNet-Lite0's maps, of random pairs of generated images.

    It works like diversity by LPIPS but needs no network connection; its values are not comparable
    with those of LPIPS. A value near 0 means that the generator produces a single image, or a
    single image per class if pairs are drawn within classes. A note gives the value of real images.

    Paper: Zhang et al. (2018), arXiv:1801.03924.

    Args:
        pairs: the number of random pairs, each within one class if there are labels.
    """

    figures = ("lite0_diversity",)
    higher_is_better = ("lite0_diversity",)
    order = 140

    def __init__(self, pairs: Annotated[int, at_least(1)] = 1000) -> None:
        super().__init__(pairs)

    def network(self) -> nn.Module:
        return PerceptualDistance("metric lite0_diversity")
