"""The head of R3GAN's conditional discriminator."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("r3gan")
class R3GANHead(Head):
    """R3GAN: inner product of projected features with a label embedding, <P phi, e(y)>.

    P is square and has no bias. There is neither an unconditional score (psi of the head
    `projection`) nor a scale besides the initialisation: P is initialised like the trunk's layers
    (R3GAN's preserve the variance of the features), and e is a linear map of one-hot labels,
    initialised with the gain 1 / sqrt(F), where F is the width of the features.

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
