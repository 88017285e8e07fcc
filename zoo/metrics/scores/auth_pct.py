"""AuthPct, the percentage of generated images that are not copies of training images."""

from __future__ import annotations

from torch import Tensor

from zoo.core.errors import TooFewError
from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import exact, nearest_rows
from zoo.metrics.scores.base import Metric
from zoo.registry import metric


@metric("auth_pct")
class AuthPct(Metric):
    """Percentage of generated images that are not copies of a training image.

    These are farther from their nearest training image than that image is from its own nearest
    neighbour among the training images. The value is about 50 for a perfect generator, whose images
    are as far from the training images as these are from each other, and near 0 for copies.

    Paper: Alaa et al. (2022), arXiv:2102.08921.
    """

    figures = ("auth_pct",)
    needs = ("train",)
    order = 110

    def __call__(self, data: Comparison) -> dict[str, float]:
        if len(data.train_vectors) < 2:
            raise TooFewError("metric auth_pct needs 2 or more training images.")
        return {"auth_pct": authentic_percentage(data.vectors, data.train_vectors)}


def authentic_percentage(generated: Tensor, train: Tensor) -> float:
    """Return AuthPct of generated vectors (N, D) and training vectors (M, D).

    It is 100 · mean_i [d(g_i, r_i) > min_{r ≠ r_i} d(r_i, r)], where r_i is the training vector
    nearest to g_i.
    """
    distance, nearest = nearest_rows(generated, train)
    distinct, back = nearest.unique(return_inverse=True)
    own, _ = nearest_rows(exact(train[distinct]), train, own=distinct)
    return 100 * (distance.double() > own[back].double()).double().mean().item()
