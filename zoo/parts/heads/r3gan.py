"""The head of R3GAN."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("r3gan")
class R3GANHead(Head):
    """<P phi, e(y)>: the projected features against an embedding of the label, and nothing else.

    P is square and has no bias. There is no score without labels (psi of the head `projection`)
    and no scale besides the initialisation: P is drawn as the trunk draws its layers (R3GAN's keeps
    the variance of the features), and e is a linear map of one-hot labels drawn with the gain
    1 / sqrt(F), F the width of the features.

    Paper: Huang et al. (2024), arXiv:2501.05441.
    """

    requires_labels = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.project = trunk.wrap(nn.Linear(trunk.features, trunk.features, bias=False))
        embedding = nn.Embedding(trunk.num_classes, trunk.features)
        deviation = 1 / math.sqrt(trunk.features * trunk.num_classes)
        nn.init.normal_(embedding.weight, 0.0, deviation)
        self.embedding = trunk.wrap(embedding)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return (self.project(features) * self.embedding(check_labels(self, y))).sum(1)
