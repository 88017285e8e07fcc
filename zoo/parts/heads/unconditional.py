"""The unconditional head."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.registry import head


@head("unconditional")
class Unconditional(Head):
    """Plain score: one linear layer on the features, ignoring labels.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)
