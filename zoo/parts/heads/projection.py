"""The head of the projection discriminator."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("projection")
class Projection(Head):
    """Projection: a plain score plus the inner product of the features with a label embedding.

    psi(phi) + <e(y), phi>, the form of the log density ratio when the class posteriors are softmax
    models. In a trunk with spectral norm, both psi and e are spectrally normalised.

    Paper: Miyato & Koyama (2018), arXiv:1802.05637.
    """

    requires_labels = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        embedding = nn.Embedding(trunk.num_classes, trunk.features)
        # With torch's N(0, 1) the inner product, a sum over all features, would dwarf psi. (The
        # `wrap` of a ResNet redraws it Xavier-uniform like all its layers; see `head_wrap`.)
        nn.init.normal_(embedding.weight, 0.0, 0.02)
        self.embedding = trunk.wrap(embedding)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        matched = (self.embedding(check_labels(self, y)) * features).sum(1)
        return self.score(features).squeeze(1) + matched
