"""The inputs of metrics: real images, and generated images with their features."""

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
    """The real images that generated images are compared with.

    Attributes:
        dataset: the name of the data set, as of its data module.
        split: the split of the data set.
        images: uint8 (N, C, H, W), or float32 for points in the plane.
        labels: int64 (N,), or None without labels.
        num_classes: the number of classes; 0 without labels.
        test_images: real images that the generator was not trained on, or None.
        test_labels: their labels, or None.
        train_images: the images that the generator was trained on, if `images` are from another
            split; else None.
        class_names: one name per class, or empty if they are unknown.
        features: the feature network of the data set, as in `DataModule`, or None.
        samples: the number of generated images for metrics, as in `DataModule`, or None.
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
        """Return the images of one part."""
        images = {"own": self.images, "train": self.trained_on, "test": self.test_images}[part]
        assert images is not None  # see `check_metrics`
        return images

    def vectors(
        self, network: Features, batch_size: int, progress: bool, part: Part = "own"
    ) -> Tensor:
        """Return features (M, D) of the images, or of those of the split `train` or `test`.

        They are read from the cache on disk or computed on first use, and then kept in memory for
        the next generator that is compared with them.
        """
        images = self._of(part)
        if images is self.images:
            data_hash = self.hash
        else:
            data_hash = self._hash_of_train if part == "train" else self._hash_of_test
        key = cache_path(network, data_hash).name
        if key not in self._kept:
            vectors = reference_features(network, images, batch_size, progress, data_hash)
            self._kept = {**self._kept, key: vectors}
        return self._kept[key]

    @property
    def trained_on(self) -> Tensor | None:
        """The images of the split `train`, or None if they are unknown."""
        return self.images if self.split == "train" else self.train_images

    @property
    def name(self) -> str:
        """The data set, split and image size, for instance `mnist/train 1x32x32`."""
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"{self.dataset}/{self.split} {shape}"


@dataclass
class Comparison:
    """Generated and reference images with their features, as metrics receive them.

    Attributes:
        images: the generated images, uint8 (N, C, H, W), or float32 for points in the plane.
        labels: the labels that they were generated from, int64 (N,); None for an unconditional
            generator.
        vectors: the features (N, D) of the generated images.
        logits: their class logits (N, K), or None.
        reference: the real images.
        network: the feature network.
        batch_size: the batch size for computing the features of the reference.
        progress: whether to show progress bars.
        seed: the seed of random subsets.
        device: the device on which metrics run and train networks.
        per_class, pairs, galleries, notes: see `Result`; metrics may add to them.
        codes: the values of the K categorical codes of the latents, int64 (N, K); None without
            codes.
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
        """The features (M, D) of the reference images."""
        return self.reference.vectors(self.network, self.batch_size, self.progress)

    @cached_property
    def train_vectors(self) -> Tensor:
        """The features of the training images, which a generator may have copied."""
        return self.reference.vectors(self.network, self.batch_size, self.progress, "train")

    @cached_property
    def test_vectors(self) -> Tensor:
        """The features of real images that the generator was not trained on."""
        return self.reference.vectors(self.network, self.batch_size, self.progress, "test")

    def vectors_on(self, network: Features) -> tuple[Tensor, Tensor]:
        """Return the features of the generated and the reference images on another network."""
        if network.identity == self.network.identity:
            return self.vectors, self.reference_vectors
        title = f"features {network.name}" if self.progress else None
        generated, _ = extract(network, self.images, self.batch_size, title)
        return generated, self.reference.vectors(network, self.batch_size, self.progress)
