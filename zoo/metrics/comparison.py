"""What a metric works on: real images, and generated ones beside them with their features."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from zoo.metrics.cache import reference_features
from zoo.metrics.features.base import Features


@dataclass
class Reference:
    """The real images that generated ones are held against.

    Attributes:
        dataset: its name, as the data module's.
        split: of the data set.
        images: uint8 (N, C, S, S).
        labels: int64 (N,), or None.
        num_classes: 0 without labels.
        train_images: those that a generator may have copied, where `images` are of another split.
        test_images, test_labels: real images that the classification accuracy score tests on;
            None for the reference itself.
        features, samples: as of a `DataModule`; None where there is none to ask.
    """

    dataset: str
    split: str
    images: Tensor
    labels: Tensor | None = None
    num_classes: int = 0
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    train_images: Tensor | None = None
    features: str | None = None
    samples: int | None = None

    @property
    def trained_on(self) -> Tensor | None:
        """The images of the split `train`, as far as they are known."""
        return self.images if self.split == "train" else self.train_images

    @property
    def name(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"{self.dataset}/{self.split} {shape}"


@dataclass
class Comparison:
    """Generated and reference images with their features: what a metric works on.

    Attributes:
        images: generated, uint8 (N, C, S, S).
        labels: int64 (N,) that they were generated from; None for an unconditional generator.
        vectors, logits: features (N, D) and class logits (N, K) or None of the generated images.
        reference: the real images.
        network: that gave the features.
        batch_size, progress: for the features of the reference.
        seed: of random subsets.
        device: where to train a classifier.
        per_class, pairs, notes: see `Result`; a metric may add to them.
    """

    images: Tensor
    labels: Tensor | None
    vectors: Tensor
    logits: Tensor | None
    reference: Reference
    network: Features
    batch_size: int = 500
    progress: bool = False
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    per_class: dict[str, list[float]] = field(default_factory=dict)
    pairs: list[tuple[int, int, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def reference_vectors(self) -> Tensor:
        """Features (M, D) of the reference, from the cache or computed when first asked for."""
        images = self.reference.images
        return reference_features(self.network, images, self.batch_size, self.progress)
