"""C_T, a test of whether generated images are closer to training images than test images are."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.stats import rankdata
from torch import Tensor

from zoo.core.errors import TooFewError
from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import SEEDS, nearest_rows
from zoo.metrics.scores.base import Metric
from zoo.registry import at_least, metric


@metric("c_t")
class CT(Metric):
    """How generated images' distances to training images rank among those of test images.

    Features are projected on `dimensions` principal components and divided into `cells` by k-means
    clustering of the training images. In each cell, Z is the Mann-Whitney statistic of the
    distances of generated and of test images to the nearest training image. C_T is the mean of Z,
    weighted by the number of test images in the cells. Values far below 0 (-3) mean copying, values
    far above 0 underfitting.

    Paper: Meehan, Chaudhuri and Dasgupta (2020), arXiv:2004.05675.

    Args:
        cells: the number of cells.
        dimensions: the number of principal components.
        least: the number of generated and of test images that a cell must have to count.
    """

    figures = ("c_t",)
    needs = ("train", "test")
    order = 120

    def __init__(
        self,
        cells: Annotated[int, at_least(1)] = 3,
        dimensions: Annotated[int, at_least(1)] = 64,
        least: Annotated[int, at_least(1)] = 20,
    ) -> None:
        self.cells = cells
        self.dimensions = dimensions
        self.least = least

    def settings(self) -> str:
        return (
            f"C_T {self.cells} cells of {self.dimensions} components, {self.least} images or more "
            "in each"
        )

    def __call__(self, data: Comparison) -> dict[str, float]:
        if len(data.train_vectors) < self.cells:
            raise TooFewError(f"metric c_t needs {self.cells} or more training images.")
        train, test, generated = principal(
            self.dimensions, data.train_vectors, data.test_vectors, data.vectors
        )
        seed = data.seed % SEEDS
        centers, _ = kmeans2(train.numpy(), self.cells, minit="++", seed=seed)
        cell_of = [
            torch.cdist(side, torch.from_numpy(centers)).argmin(dim=1)
            for side in (train, test, generated)
        ]
        total, weight = 0.0, 0
        for cell in range(self.cells):
            train_in, test_in, generated_in = (
                side[cells == cell]
                for side, cells in zip((train, test, generated), cell_of, strict=True)
            )
            if not len(train_in) or min(len(test_in), len(generated_in)) < self.least:
                continue
            generated_to, test_to = (
                nearest_rows(side, train_in)[0] for side in (generated_in, test_in)
            )
            total += len(test_in) * rank_z(generated_to, test_to)
            weight += len(test_in)
        if not weight:
            raise TooFewError(
                f"metric c_t needs a cell with {self.least} or more generated and test images: "
                "raise n."
            )
        if weight < len(test):
            data.notes.append(
                f"C_T uses cells with {weight:,} of {len(test):,} test images: the other cells "
                "have too few images."
            )
        return {"c_t": total / weight}


def rank_z(first: Tensor, second: Tensor, continuity: bool = False) -> float:
    """Return the Mann-Whitney statistic Z = (U - nm/2) / sqrt(nm(n + m + 1)/12).

    U is the number of pairs in which `first` is larger, where a tie counts as half a pair.

    Args:
        first, second: the values (n,) and (m,).
        continuity: whether to raise U by half a pair, as the authors' code does.
    """
    n, m = len(first), len(second)
    ranks = rankdata(np.concatenate([first.numpy(), second.numpy()]))
    pairs = ranks[:n].sum() - n * (n + 1) / 2
    middle = n * m / 2 - (0.5 if continuity else 0)
    return float((pairs - middle) / math.sqrt(n * m * (n + m + 1) / 12))


def principal(dimensions: int, train: Tensor, *others: Tensor) -> list[Tensor]:
    """Project vectors (N, D) on the first principal components of `train`, in float64."""
    mean = train.double().mean(dim=0)
    centred = [side.double() - mean for side in (train, *others)]
    _, axes = torch.linalg.eigh(centred[0].T @ centred[0])
    components = axes.flip(1)[:, :dimensions]
    return [side @ components for side in centred]
