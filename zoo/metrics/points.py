"""The features of points of the plane: their coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.features import Features, features, tensors_hash

POINT = (2, 1, 1)
"""Channels, height and width of a point that is kept as an image."""


@features("points")
class Points(Features):
    """The coordinates in [-1, 1] of images of one pixel with two channels."""

    middle: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.name = "points"
        self.resizer = "none"
        self.register_buffer("middle", torch.tensor(127.5))
        self.weights_hash = tensors_hash(self.named_buffers())
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        if images.shape[1:] != POINT:
            raise ZooError(
                "features=points takes images of one pixel with two channels, these are "
                f"{'x'.join(map(str, images.shape[1:]))}: leave features out."
            )
        return images.flatten(1) / self.middle - 1, None
