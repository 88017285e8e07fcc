"""What a metric works on: real images, and generated ones beside them with their features."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from zoo.metrics.cache import cache_path, images_hash, reference_features
from zoo.metrics.features.base import Features, extract

Part = Literal["own", "train", "test"]


@dataclass
class Reference:
    """The real images that generated ones are held against.

    Attributes:
        dataset: its name, as the data module's.
        split: of the data set.
        images: uint8 (N, C, S, S).
        labels: int64 (N,), or None.
        num_classes: 0 without labels.
        class_names: one per class, where they are known.
        train_images: those that a generator may have copied, where `images` are of another split.
        test_images, test_labels: real images that no generator was trained on, as far as they are
            known.
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
    class_names: tuple[str, ...] = ()
    features: str | None = None
    samples: int | None = None
    _kept: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def hash(self) -> str:
        """The first 12 hex digits of a hash of the images."""
        return images_hash(self.images)

    @cached_property
    def _hash_of_train(self) -> str:
        return images_hash(self._of("train"))

    @cached_property
    def _hash_of_test(self) -> str:
        return images_hash(self._of("test"))

    def _of(self, part: Part) -> Tensor:
        """Its images of one kind."""
        images = {"own": self.images, "train": self.trained_on, "test": self.test_images}[part]
        assert images is not None  # see `check_metrics`
        return images

    def vectors(
        self, network: Features, batch_size: int, progress: bool, part: Part = "own"
    ) -> Tensor:
        """Features (M, D) of the images, or of those of the split `train` or `test`.

        They come from the cache or are computed when first asked for, and are kept for the next
        generator that is held against them.
        """
        images = self._of(part)
        if images is self.images:
            data_hash = self.hash
        else:
            data_hash = self._hash_of_train if part == "train" else self._hash_of_test
        key = cache_path(network, data_hash).name
        if key not in self._kept:
            found = reference_features(network, images, batch_size, progress, data_hash)
            self._kept = {**self._kept, key: found}
        return self._kept[key]

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
        codes: int64 (N, K), the values of the latents' K categorical codes; None without any.
        vectors, logits: features (N, D) and class logits (N, K) or None of the generated images.
        reference: the real images.
        network: that gave the features.
        batch_size, progress: for the features of the reference.
        seed: of random subsets.
        device: where to train a classifier.
        per_class, pairs, galleries, notes: see `Result`; a metric may add to them.
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
    galleries: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    codes: Tensor | None = None

    @cached_property
    def reference_vectors(self) -> Tensor:
        """Features (M, D) of the reference."""
        return self.reference.vectors(self.network, self.batch_size, self.progress)

    @cached_property
    def train_vectors(self) -> Tensor:
        """Features of the training images that a generator may have copied."""
        return self.reference.vectors(self.network, self.batch_size, self.progress, "train")

    @cached_property
    def test_vectors(self) -> Tensor:
        """Features of real images that no generator was trained on."""
        return self.reference.vectors(self.network, self.batch_size, self.progress, "test")

    def vectors_on(self, network: Features) -> tuple[Tensor, Tensor]:
        """Features of the generated and of the reference images on another network."""
        if network.identity == self.network.identity:
            return self.vectors, self.reference_vectors
        title = f"features {network.name}" if self.progress else None
        generated, _ = extract(network, self.images, self.batch_size, title)
        return generated, self.reference.vectors(network, self.batch_size, self.progress)
