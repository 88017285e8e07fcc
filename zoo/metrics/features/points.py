"""The feature network `points`, for points in the plane, which are their own features."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.pixels import POINT
from zoo.metrics.features.base import Features
from zoo.registry import features


@features("points")
class Points(Features):
    """The coordinates in [-1, 1] of images of one pixel with two channels."""

    plane = True
    channels = (POINT[0],)
    takes_floats = True
    tiny_shape = POINT
    middle: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.name = "points"
        self.resizer = "none"
        self.register_buffer("middle", torch.tensor(127.5))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        if images.shape[1:] != POINT:
            raise ZooError(
                "features=points takes images of one pixel with two channels, but these are "
                f"{'x'.join(map(str, images.shape[1:]))}: leave features out."
            )
        points = images.flatten(1)
        return points if points.is_floating_point() else points / self.middle - 1, None
