"""The base class of metrics that measure how different pairs of generated images look."""

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
    """The mean distance of random pairs of generated images; a note gives that of real images.

    Args:
        pairs: the number of random pairs, each within one class if there are labels.
    """

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs
        self.distance: nn.Module | None = None

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network that computes distances (N,) of images (N, C, H, W) in [-1, 1]."""

    def prepare(self) -> None:
        if self.distance is None:
            self.distance = self.network()

    def settings(self) -> str:
        return f"{self.name.replace('_', ' ')} of {self.pairs:,} pairs"

    def __call__(self, data: Comparison) -> dict[str, float]:
        self.prepare()
        assert self.distance is not None
        distance = self.distance.to(data.device)
        images, has_labels = data.reference.images, data.labels is not None
        value = mean_distance(distance, data.images, data.labels, self.pairs, data.seed)
        labels = data.reference.labels if has_labels else None
        real = mean_distance(distance, images, labels, self.pairs, data.seed)
        pairs = "images of one class" if has_labels else "images"
        real_pairs = "any" if labels is None and has_labels else "such"
        data.notes.append(
            f"{self.name} is measured on pairs of {pairs}; for {real_pairs} pairs of real images "
            f"it is {real:.4g}."
        )
        return {self.name: value}


@torch.inference_mode()
def mean_distance(
    distance: nn.Module, images: Tensor, labels: Tensor | None, pairs: int, seed: int
) -> float:
    """Return the mean distance of random pairs of different images (N, C, H, W).

    With labels (N,), both images of a pair have the same label.
    """
    first, second = random_pairs(len(images), labels, pairs, seed)
    device = next(iter(distance.buffers())).device
    total = 0.0
    for a, b in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
        sides = (to_float(images[rows].to(device)) for rows in (a, b))
        total += distance(*sides).double().sum().item()
    return total / len(first)


def random_pairs(count: int, labels: Tensor | None, pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw pairs of different images, within one class if there are labels.

    A class occurs in the pairs as often as in the images.

    Args:
        count: the number of images.
        labels: int64 (count,), or None.
        pairs: the number of pairs.
        seed: the seed of the draw.

    Returns:
        The rows (pairs,) of the first and of the second images.

    Raises:
        TooFewError: there are no two images, or no two of the same class.
    """
    random = seeded(seed)
    classes = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    order = torch.argsort(classes, stable=True)  # groups the images by class
    sizes = torch.bincount(classes)
    starts = sizes.cumsum(0) - sizes
    allowed = torch.where(sizes[classes] > 1)[0]
    if not len(allowed):
        raise TooFewError("diversity needs 2 or more images, of one class if there are labels.")
    first = allowed[torch.randint(len(allowed), (pairs,), generator=random)]
    size, start = sizes[classes[first]], starts[classes[first]]
    place = torch.empty(count, dtype=torch.int64)
    place[order] = torch.arange(count)
    step = (torch.rand(pairs, generator=random, dtype=torch.float64) * (size - 1)).long() + 1
    second = order[start + (place[first] - start + step) % size]
    return first, second
