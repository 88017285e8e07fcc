"""The head of GAT's conditional discriminator."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.shapes import check_labels
from zoo.layers.transformer import ScaledLinear
from zoo.registry import head


@head("gat")
class GATHead(Head):
    """GAT: inner product of the features with a mapped label embedding; no plain score.

    <phi, W2 SiLU(W1 e(y))>: both layers are as wide as the features and have a hundredth of the
    learning rate. In a trunk with spectral norm, the embedding and both layers are spectrally
    normalised instead.

    Paper: Hyun et al. (2025), arXiv:2509.24935.
    """

    requires_labels = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        width = trunk.features
        embedding = nn.Embedding(trunk.num_classes, width)
        nn.init.normal_(embedding.weight, 0.0, 0.02)
        self.embedding = trunk.wrap(embedding)
        self.mapping = nn.Sequential(
            trunk.wrap(ScaledLinear(width, width)),
            nn.SiLU(),
            trunk.wrap(ScaledLinear(width, width)),
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return (self.mapping(self.embedding(check_labels(self, y))) * features).sum(1)
