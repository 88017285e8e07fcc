"""The label as a part of the input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.contracts.head import Head
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("label_input")
class LabelInput(Head):
    """The label as an extra image plane, learned per class; then the plain score.

    The plane is not spectrally normalised: it is a constant in x, so that it cannot change the
    slope that the norm bounds.

    Paper: Mirza & Osindero (2014), arXiv:1411.1784.
    """

    input_channels = 1
    requires_labels = True

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
        self.plane = nn.Embedding(num_classes, image_size * image_size)

    def prepare(self, x: Tensor, y: Tensor | None) -> Tensor:
        plane = self.plane(check_labels(self, y)).to(x.dtype)
        return torch.cat([x, plane.view(len(x), 1, *x.shape[2:])], dim=1)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)
