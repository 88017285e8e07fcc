"""CAS, the classification accuracy score: how much a classifier learns from generated images."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.core.random import forked_random
from zoo.data.pixels import to_uint8
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import random_rows
from zoo.metrics.features.base import Features
from zoo.metrics.features.classifier import SmallClassifier, predict, train_classifier
from zoo.metrics.scores.base import MAX_CLASSES, NEIGHBOUR_IMAGES, Metric, labels_of
from zoo.registry import at_least, metric


@metric("cas")
class ClassificationAccuracyScore(Metric):
    """Accuracy on real images of a classifier trained on generated ones.

    Paper: Ravuri and Vinyals (2019), arXiv:1905.10887.

    Args:
        epochs: the number of epochs for which the classifier is trained.
    """

    figures = ("cas",)
    needs = ("labels",)
    higher_is_better = ("cas",)
    order = 90

    def __init__(self, epochs: Annotated[int, at_least(1)] = 3) -> None:
        self.epochs = epochs

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return conditional and 0 < reference.num_classes <= MAX_CLASSES

    def settings(self) -> str:
        return f"CAS {self.epochs} epochs"

    def __call__(self, data: Comparison) -> dict[str, float]:
        labels = labels_of(data)
        images, truth = data.reference.test_images, data.reference.test_labels
        held_out = images is not None and truth is not None
        if images is None or truth is None:
            images, truth = data.reference.images, data.reference.labels
        assert truth is not None
        rows = random_rows(NEIGHBOUR_IMAGES, len(images), data.seed)
        with forked_random():
            torch.manual_seed(data.seed)
            network = SmallClassifier(images.shape[1], data.reference.num_classes).to(data.device)
            train_classifier(
                network,
                _as_pixels(data.images).to(data.device),
                labels.to(data.device),
                epochs=self.epochs,
                seed=data.seed,
            )
        split = "test" if held_out else data.reference.split
        data.notes.append(
            f"CAS is the accuracy on {len(rows):,} of {len(images):,} images of "
            f"{data.reference.dataset}/{split}."
        )
        predicted = predict(network, _as_pixels(images[rows]).to(data.device)).cpu()
        return {"cas": (predicted == truth[rows]).double().mean().item()}


def _as_pixels(images: Tensor) -> Tensor:
    """Convert points in the plane to uint8, the format of classifiers."""
    return to_uint8(images) if images.is_floating_point() else images
