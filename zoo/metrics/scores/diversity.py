"""How different pairs of generated images look: what metrics of diversity share."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from zoo.core.errors import TooFewError
from zoo.core.random import seeded
from zoo.data.pixels import to_float
from zoo.metrics.comparison import Comparison
from zoo.metrics.scores.base import Metric

_BATCH = 50


class Diversity(Metric):
    """The mean distance of random pairs of generated images; the note has that of real ones.

    Args:
        pairs: drawn at random, each of one class where there are labels.
    """

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs
        self.distance: nn.Module | None = None

    @abstractmethod
    def network(self) -> nn.Module:
        """The distance of images (N, C, H, W) in [-1, 1], (N,)."""

    def prepare(self) -> None:
        if self.distance is None:
            self.distance = self.network()

    def settings(self) -> str:
        return f"{self.name.replace('_', ' ')} of {self.pairs:,} pairs"

    def __call__(self, data: Comparison) -> dict[str, float]:
        self.prepare()
        assert self.distance is not None
        distance = self.distance.to(data.device)
        images, known = data.reference.images, data.labels is not None
        value = mean_distance(distance, data.images, data.labels, self.pairs, data.seed)
        labels = data.reference.labels if known else None
        real = mean_distance(distance, images, labels, self.pairs, data.seed)
        of = "images of one class" if known else "images"
        others = "real ones" if labels is not None or not known else "any two real ones"
        data.notes.append(f"{self.name} is of pairs of {of}; that of {others} is {real:.4g}.")
        return {self.name: value}


@torch.inference_mode()
def mean_distance(
    distance: nn.Module, images: Tensor, labels: Tensor | None, pairs: int, seed: int
) -> float:
    """The mean over random pairs of different images (N, C, H, W), of one class where labelled."""
    first, second = random_pairs(len(images), labels, pairs, seed)
    device = next(iter(distance.buffers())).device
    total = 0.0
    for a, b in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
        sides = (to_float(images[rows].to(device)) for rows in (a, b))
        total += distance(*sides).double().sum().item()
    return total / len(first)


def random_pairs(count: int, labels: Tensor | None, pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows (pairs,) of two different images each; a class is as frequent as it is in the images.

    Raises:
        TooFewError: no two images, or none of one class.
    """
    random = seeded(seed)
    classes = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    order = torch.argsort(classes, stable=True)  # images of a class stand together
    sizes = torch.bincount(classes)
    starts = sizes.cumsum(0) - sizes
    allowed = torch.where(sizes[classes] > 1)[0]
    if not len(allowed):
        raise TooFewError("diversity needs 2 or more images, of one class where there are labels.")
    first = allowed[torch.randint(len(allowed), (pairs,), generator=random)]
    size, start = sizes[classes[first]], starts[classes[first]]
    place = torch.empty(count, dtype=torch.int64)
    place[order] = torch.arange(count)
    step = (torch.rand(pairs, generator=random, dtype=torch.float64) * (size - 1)).long() + 1
    second = order[start + (place[first] - start + step) % size]
    return first, second
