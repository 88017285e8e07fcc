"""FID∞: what the FID of endlessly many generated images would be."""

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
    """The Fréchet distance of N generated images is a + b / N: the a of a straight line in 1/N.

    The distances are of random subsets of sizes from `smallest` to all generated images, evenly
    spaced, one subset a size; the reference is whole. It takes away the bias of few images, which
    is larger for some generators than for others.

    Paper: Chong and Forsyth (2020), arXiv:1911.07023; they draw latents by a Sobol sequence, here
    subsets are of the images that all metrics see.

    Args:
        sizes: of subsets, that the line goes through.
        smallest: of them; a tenth of the images where they are less than twice this.
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
            raise TooFewError(f"fid_infinity needs more than {count} images.")
        fewest = min(least, len(data.reference_vectors))
        if fewest <= data.vectors.shape[1]:
            data.notes.append(
                f"FID infinity of {fewest} and more images in {data.vectors.shape[1]} dimensions: "
                "covariances are singular and the line is bent; use more images."
            )
        reference = moments(data.reference_vectors)
        random = seeded(data.seed)
        values = []
        for size in sizes:
            rows = torch.randperm(count, generator=random)[:size]
            values.append(frechet_distance(data.vectors[rows], reference))
        return {"fid_infinity": extrapolated(sizes, values)}


def extrapolated(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The value at 1/N = 0 of the least-squares line through values at sizes N."""
    slope_and_intercept = np.polyfit(1 / np.asarray(sizes, dtype=float), np.asarray(values), 1)
    return float(slope_and_intercept[1])
