"""A metric of whether a generator copies its training images."""

from __future__ import annotations

from typing import Annotated

from zoo.core.errors import TooFewError
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import nearest_rows, random_rows
from zoo.metrics.features.base import Features
from zoo.metrics.scores.base import NEIGHBOUR_IMAGES, Metric
from zoo.registry import at_least, metric


@metric("memorization")
class Memorization(Metric):
    """How much closer generated images are to training images than these are to each other.

    `nearest_ratio` is the median distance of generated images to their nearest training image,
    divided by the same median among training images: about 1 is healthy, near 0 means copying.
    `copies` is the share of generated images that are as close to a training image as the closest
    1 % of training images are to each other: 0.01 is healthy.

    Args:
        pairs: the number of closest pairs that are shown.
    """

    figures = ("nearest_ratio", "copies")
    needs = ("train",)
    order = 100

    def __init__(self, pairs: Annotated[int, at_least(1)] = 32) -> None:
        self.pairs = pairs

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return reference.trained_on is not None

    def settings(self) -> str:
        return ""  # no value depends on the number of pairs

    def __call__(self, data: Comparison) -> dict[str, float]:
        images = data.reference.trained_on
        assert images is not None
        if len(images) < 2:
            raise TooFewError("metric memorization needs 2 or more training images.")
        vectors = data.train_vectors
        if data.reference.split != "train":
            data.notes.append(
                f"Memorization compares with the {len(images):,} images of "
                f"{data.reference.dataset}/train, although the reference is another split."
            )
        distance, index = nearest_rows(data.vectors, vectors)
        rows = random_rows(NEIGHBOUR_IMAGES, len(vectors), data.seed)
        among, _ = nearest_rows(vectors[rows], vectors, own=rows)
        order = distance.argsort()[: self.pairs]
        data.pairs += [(int(i), int(index[i]), float(distance[i])) for i in order]
        # `<=`, since with duplicates among the real images, quantile and copies are both at 0.
        copies = {"copies": (distance <= among.quantile(0.01)).double().mean().item()}
        between = among.median()
        if not between > 0:
            data.notes.append(
                "nearest_ratio is left out: most training images have an exact duplicate, at the "
                "distance 0."
            )
            return copies
        return {"nearest_ratio": (distance.median() / between).item(), **copies}
