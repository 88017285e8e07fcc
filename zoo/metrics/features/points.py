"""Points of the plane: their features are their coordinates, and their modes are counted."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.metrics.distances import exact
from zoo.metrics.features.base import Features
from zoo.metrics.scores import Comparison, count_modes, metric
from zoo.registry import features

POINT = (2, 1, 1)
"""Channels, height and width of a point that is kept as an image."""


@features("points")
class Points(Features):
    """The coordinates in [-1, 1] of images of one pixel with two channels."""

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
                "features=points takes images of one pixel with two channels, these are "
                f"{'x'.join(map(str, images.shape[1:]))}: leave features out."
            )
        points = images.flatten(1)
        return points if points.is_floating_point() else points / self.middle - 1, None


@metric("point_modes")
def point_modes(data: Comparison) -> dict[str, float]:
    """Modes of the plane; a point is at one if it lies within three standard deviations of it.

    As in Srivastava et al. (2017), arXiv:1705.07761; `high_quality` is the share of such points.
    """
    labels = data.reference.labels
    if labels is None or not isinstance(data.network, Points):
        raise ZooError(
            "metric point_modes counts modes of points of the plane (datamodule=gaussians, "
            "features=points): for images use modes."
        )
    real, count = data.reference_vectors, data.reference.num_classes
    centers = torch.stack([real[labels == mode].mean(dim=0) for mode in range(count)])
    radius = 3 * (real - centers[labels]).square().mean().sqrt().item()
    at = nearest_modes(data.vectors, centers, radius)
    hit, divergence = count_modes(at, count)
    return {"modes": hit, "mode_kl": divergence, "high_quality": len(at) / len(data.vectors)}


def nearest_modes(points: Tensor, centers: Tensor, radius: float) -> Tensor:
    """The mode of each point (N, 2) that lies within `radius` of a center (K, 2).

    Points that lie nowhere are left out, so that the share of good ones is the length of the
    result over N.
    """
    distance, index = torch.cdist(exact(points), exact(centers)).min(dim=1)
    return index[distance <= radius]
