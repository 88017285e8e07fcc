"""The head of StyleGAN2's conditional discriminator."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.mapping import LabelMapping
from zoo.layers.shapes import check_labels
from zoo.registry import at_least, head


@head("stylegan2")
class MappedProjection(Head):
    """StyleGAN2: inner product of projected features with a label embedding from a mapping network.

    <A phi, f(y)> / sqrt(width), without a plain score. f embeds and normalises the label, then
    applies `layers` layers with leaky ReLU at a hundredth of the learning rate.

    Paper: Karras et al. (2020), arXiv:2006.06676.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        width: width of A phi and of f(y).
        layers: number of layers of f.
    """

    requires_labels = True

    def __init__(
        self,
        trunk: Trunk,
        width: Annotated[int, at_least(1)] = 512,
        layers: Annotated[int, at_least(1)] = 8,
    ) -> None:
        super().__init__(trunk)
        self.width = width
        self.project = trunk.wrap(nn.Linear(trunk.features, width, bias=trunk.bias))
        self.mapping = LabelMapping(trunk.num_classes, width, layers)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        label = self.mapping(check_labels(self, y))
        return (self.project(features) * label).sum(1) / math.sqrt(self.width)
