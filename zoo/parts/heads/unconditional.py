"""The plain score."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zoo.contracts.head import Head
from zoo.registry import head


@head("unconditional")
class Unconditional(Head):
    """One linear layer on the features; labels are ignored.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.
    """

    def __init__(
        self,
        features: int,
        num_classes: int,
        image_size: int,
        wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        bias: bool = True,
    ) -> None:
        super().__init__(features, num_classes, image_size, wrap, bias)
        self.score = wrap(nn.Linear(features, 1, bias=bias))

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)
