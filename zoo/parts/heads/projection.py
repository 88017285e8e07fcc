"""The projection head."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("projection")
class Projection(Head):
    """Plain score plus the inner product of the features with an embedding of the label.

    psi(phi) + <e(y), phi>: the log ratio of two softmax-like class models. In a spectral-norm trunk
    both psi and e are normalised.

    Paper: Miyato & Koyama (2018), arXiv:1802.05637.
    """

    requires_labels = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        embedding = nn.Embedding(trunk.num_classes, trunk.features)
        # torch's N(0, 1) would drown psi: the inner product sums over all features. (A ResNet's
        # `wrap` draws it anew, Xavier-uniform as all its layers; see `head_wrap`.)
        nn.init.normal_(embedding.weight, 0.0, 0.02)
        self.embedding = trunk.wrap(embedding)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        matched = (self.embedding(check_labels(self, y)) * features).sum(1)
        return self.score(features).squeeze(1) + matched
