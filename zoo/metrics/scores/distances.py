"""FID, KID, the Inception score, and precision, recall, density and coverage."""

from __future__ import annotations

import math
from typing import Annotated

from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import (
    bias_note,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    random_rows,
)
from zoo.metrics.features.base import Features
from zoo.metrics.scores.base import Metric, logits_of
from zoo.registry import at_least, metric


@metric("fid")
class FID(Metric):
    """Fréchet distance of Gaussians fitted to the features of both sides.

    Paper: Heusel et al. (2017), arXiv:1706.08500.
    """

    figures = ("fid",)
    order = 10

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return True

    def __call__(self, data: Comparison) -> dict[str, float]:
        data.notes += bias_note("FID", data.vectors, data.reference_vectors)
        return {"fid": frechet_distance(data.vectors, data.reference_vectors)}


@metric("kid")
class KID(Metric):
    """Unbiased squared MMD of the features under a cubic kernel.

    Paper: Bińkowski et al. (2018), arXiv:1801.01401.

    Args:
        subsets: the number of random subsets that are averaged over.
        subset_size: the number of images in each subset, or all images if there are fewer.
    """

    figures = ("kid", "kid_std")
    order = 20

    def __init__(
        self,
        subsets: Annotated[int, at_least(1)] = 100,
        subset_size: Annotated[int, at_least(2)] = 1000,
    ) -> None:
        self.subsets = subsets
        self.subset_size = subset_size

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return True

    def settings(self) -> str:
        return f"KID {self.subsets} subsets of up to {self.subset_size}"

    def __call__(self, data: Comparison) -> dict[str, float]:
        estimate = kernel_distance(
            data.vectors, data.reference_vectors, self.subsets, self.subset_size, data.seed
        )
        if math.isnan(estimate.std):
            data.notes.append(
                "KID was computed from all images of both sides at once, so there is no kid_std."
            )
            return {"kid": estimate.mean}
        return {"kid": estimate.mean, "kid_std": estimate.std}


@metric("inception_score")
class InceptionScore(Metric):
    """How sure a classifier is of each image, and how varied the classes of all images are.

    Paper: Salimans et al. (2016), arXiv:1606.03498.

    Args:
        splits: the number of parts of the images that are averaged over.
    """

    figures = ("inception_score", "inception_score_std")
    needs = ("logits",)
    higher_is_better = ("inception_score",)
    order = 30

    def __init__(self, splits: Annotated[int, at_least(1)] = 10) -> None:
        self.splits = splits

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return network.classes > 0

    def settings(self) -> str:
        return f"IS {self.splits} splits"

    def __call__(self, data: Comparison) -> dict[str, float]:
        estimate = inception_score(logits_of(data), self.splits, data.seed)
        return {"inception_score": estimate.mean, "inception_score_std": estimate.std}


@metric("prdc")
class PRDC(Metric):
    """Precision, recall, density and coverage: shares inside the balls of nearest neighbours.

    Papers: Kynkäänniemi et al. (2019), arXiv:1904.06991; Naeem et al. (2020), arXiv:2002.09797.

    Args:
        nearest: the number of the neighbour at which a ball ends.
        images: the most images of each side, drawn at random if there are more.
    """

    figures = ("precision", "recall", "density", "coverage")
    higher_is_better = ("precision", "recall", "density", "coverage")
    order = 40

    def __init__(
        self, nearest: Annotated[int, at_least(1)] = 5, images: Annotated[int, at_least(1)] = 10_000
    ) -> None:
        self.nearest = nearest
        self.images = images

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return True

    def settings(self) -> str:
        return f"PRDC up to the {self.nearest}th neighbour of up to {self.images:,} images a side"

    def __call__(self, data: Comparison) -> dict[str, float]:
        generated, reference = (
            vectors[random_rows(self.images, len(vectors), data.seed)]
            for vectors in (data.vectors, data.reference_vectors)
        )
        precision, recall = precision_recall(generated, reference, self.nearest)
        density, coverage = density_coverage(generated, reference, self.nearest)
        return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
