"""A head that feeds the label into the trunk as an image plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.sizes import height_width
from zoo.layers.shapes import check_labels
from zoo.registry import head


@head("label_input")
class LabelInput(Head):
    """Label as an extra input channel: a learned plane per class, with a plain score on top.

    The plane is not spectrally normalised: it does not depend on x, so it cannot change the slope
    that spectral norm bounds.

    Paper: Mirza & Osindero (2014), arXiv:1411.1784.
    """

    input_channels = 1
    requires_labels = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        height, width = height_width(trunk.image_size)
        self.plane = nn.Embedding(trunk.num_classes, height * width)

    def prepare(self, x: Tensor, y: Tensor | None) -> Tensor:
        plane = self.plane(check_labels(self, y)).to(x.dtype)
        return torch.cat([x, plane.view(len(x), 1, *x.shape[2:])], dim=1)

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)
