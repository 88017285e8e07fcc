"""C_T: a test of whether generated images lie nearer to training images than test images do."""

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

    The space of features, of `dimensions` principal components, is divided into `cells` by k-means
    of the training images. In each cell Z is the Mann-Whitney statistic of the two sets of
    distances to the nearest training image; C_T is the mean of Z weighted by the test images in the
    cells. Far below 0 (-3) is copying, far above 0 is underfitting.

    Paper: Meehan, Chaudhuri and Dasgupta (2020), arXiv:2004.05675.

    Args:
        cells: that the space is divided into.
        dimensions: of the principal components.
        least: generated and test images that a cell must hold to count.
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
        at = [
            torch.cdist(side, torch.from_numpy(centers)).argmin(dim=1)
            for side in (train, test, generated)
        ]
        total, weight = 0.0, 0
        for cell in range(self.cells):
            here = [
                side[where == cell]
                for side, where in zip((train, test, generated), at, strict=True)
            ]
            if not len(here[0]) or min(len(here[1]), len(here[2])) < self.least:
                continue
            generated_to, test_to = (nearest_rows(s, here[0])[0] for s in (here[2], here[1]))
            total += len(here[1]) * rank_z(generated_to, test_to)
            weight += len(here[1])
        if not weight:
            raise TooFewError(
                f"metric c_t needs a cell with {self.least} or more generated and test images: "
                "raise n."
            )
        if weight < len(test):
            data.notes.append(
                f"C_T is of cells that hold {weight:,} of {len(test):,} test images: the others "
                "have too few generated ones."
            )
        return {"c_t": total / weight}


def rank_z(first: Tensor, second: Tensor, continuity: bool = False) -> float:
    """Mann-Whitney's Z: (U - nm/2) / sqrt(nm(n + m + 1)/12), U the pairs where `first` is larger.

    Args:
        first, second: values (n,) and (m,); a tie is half a pair.
        continuity: put U half a pair higher, as the authors' code does.
    """
    n, m = len(first), len(second)
    ranks = rankdata(np.concatenate([first.numpy(), second.numpy()]))
    pairs = ranks[:n].sum() - n * (n + 1) / 2
    middle = n * m / 2 - (0.5 if continuity else 0)
    return float((pairs - middle) / math.sqrt(n * m * (n + m + 1) / 12))


def principal(dimensions: int, train: Tensor, *others: Tensor) -> list[Tensor]:
    """Vectors (N, D) in the first principal components of `train`, in float64."""
    mean = train.double().mean(dim=0)
    centred = [side.double() - mean for side in (train, *others)]
    _, axes = torch.linalg.eigh(centred[0].T @ centred[0])
    kept = axes.flip(1)[:, :dimensions]
    return [side @ kept for side in centred]
