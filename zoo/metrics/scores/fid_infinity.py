"""FID∞, an extrapolation of the FID to infinitely many generated images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch

from zoo.core.errors import TooFewError
from zoo.core.random import seeded
from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import frechet_distance, moments
from zoo.metrics.scores.base import Metric
from zoo.registry import at_least, metric


@metric("fid_infinity")
class FIDInfinity(Metric):
    """The FID extrapolated to infinitely many images: the a of a line a + b / N in 1/N.

    The line is fitted to the Fréchet distances between the whole reference and random subsets of
    the generated images, one subset per size. The sizes are evenly spaced between `smallest` and
    all images. This removes the bias of a finite number of images, which depends on the generator.

    Paper: Chong and Forsyth (2020), arXiv:1911.07023; they draw latents from a Sobol sequence,
    whereas subsets are drawn here from the images that all metrics use.

    Args:
        sizes: the number of subset sizes that the line is fitted to.
        smallest: the smallest size; a tenth of the images if these are fewer than twice this.
    """

    figures = ("fid_infinity",)
    order = 15

    def __init__(
        self,
        sizes: Annotated[int, at_least(2)] = 15,
        smallest: Annotated[int, at_least(2)] = 5000,
    ) -> None:
        self.sizes = sizes
        self.smallest = smallest

    def settings(self) -> str:
        return f"FID infinity of {self.sizes} sizes from {self.smallest} or a tenth"

    def __call__(self, data: Comparison) -> dict[str, float]:
        count = len(data.vectors)
        least = self.smallest if count >= 2 * self.smallest else max(2, count // 10)
        sizes = [round(size) for size in np.linspace(least, count, self.sizes)]
        if len(set(sizes)) < 2:
            raise TooFewError(f"metric fid_infinity needs more than {count} images.")
        fewest = min(least, len(data.reference_vectors))
        if fewest <= data.vectors.shape[1]:
            data.notes.append(
                f"FID infinity of {fewest} and more images in {data.vectors.shape[1]} dimensions: "
                "covariances are singular and a straight line does not fit; use more images."
            )
        reference = moments(data.reference_vectors)
        random = seeded(data.seed)
        values = []
        for size in sizes:
            rows = torch.randperm(count, generator=random)[:size]
            values.append(frechet_distance(data.vectors[rows], reference))
        return {"fid_infinity": extrapolated(sizes, values)}


def extrapolated(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return the value at 1/N = 0 of the least-squares line through values at sizes N."""
    slope_and_intercept = np.polyfit(1 / np.asarray(sizes, dtype=float), np.asarray(values), 1)
    return float(slope_and_intercept[1])
