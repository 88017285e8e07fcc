"""A metric that counts the modes of points in the plane."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import TooFewError, ZooError
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import exact
from zoo.metrics.features.base import Features
from zoo.metrics.scores.base import Metric, count_modes
from zoo.registry import metric


@metric("point_modes")
class PointModes(Metric):
    """Number of modes in the plane with a point within three standard deviations of their centre.

    `high_quality` is the share of points that lie so close to a mode.

    Paper: Srivastava et al. (2017), arXiv:1705.07761.
    """

    figures = ("modes", "mode_kl", "high_quality")
    higher_is_better = ("modes", "high_quality")
    order = 60

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return network.plane

    def __call__(self, data: Comparison) -> dict[str, float]:
        labels = data.reference.labels
        if labels is None or not data.network.plane:
            raise ZooError(
                "metric point_modes counts modes of points in the plane (datamodule=gaussians, "
                "features=points): use the metric modes for images."
            )
        real, count = data.reference_vectors, data.reference.num_classes
        shares = torch.bincount(labels, minlength=count)
        if shares.min() < 2:
            raise TooFewError(
                "metric point_modes needs 2 or more real points of each mode, but mode "
                f"{int(shares.argmin())} has {int(shares.min())} in {data.reference.name}."
            )
        centers = torch.stack([real[labels == mode].mean(dim=0) for mode in range(count)])
        radius = 3 * (real - centers[labels]).square().mean().sqrt().item()
        at = nearest_modes(data.vectors, centers, radius)
        hit, divergence = count_modes(at, count)
        high_quality = len(at) / len(data.vectors)
        if not hit:  # the divergence is undefined
            data.notes.append("mode_kl is left out: no point lies near a mode.")
            return {"modes": hit, "high_quality": high_quality}
        return {"modes": hit, "mode_kl": divergence, "high_quality": high_quality}


def nearest_modes(points: Tensor, centers: Tensor, radius: float) -> Tensor:
    """Return the nearest mode of each point (N, 2) within `radius` of one of the centres (K, 2).

    Other points are left out, so that the share of good points is the length of the result over N.
    """
    distance, index = torch.cdist(exact(points), exact(centers)).min(dim=1)
    return index[distance <= radius]
