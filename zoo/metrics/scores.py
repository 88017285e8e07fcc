"""The metrics that `metrics=[fid,kid,...]` chooses from, each a function on a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from zoo.core.errors import TooFewError, ZooError, listing, suggest
from zoo.core.random import forked_random
from zoo.data.pixels import to_uint8
from zoo.metrics.cache import reference_features
from zoo.metrics.distances import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    nearest_rows,
    precision_recall,
    random_rows,
)
from zoo.metrics.features.base import Features
from zoo.metrics.features.classifier import SmallClassifier, predict, train_classifier

NEAREST = 5
NEIGHBOUR_IMAGES = 10_000
CAS_EPOCHS = 3
PAIRS = 32
MAX_CLASSES = 100
SETTINGS = (
    "KID 100 subsets of up to 1000; IS 10 splits; "
    f"PRDC up to the {NEAREST}th neighbour of up to {NEIGHBOUR_IMAGES:,} images a side; "
    f"CAS {CAS_EPOCHS} epochs"
)


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
    """

    dataset: str
    split: str
    images: Tensor
    labels: Tensor | None = None
    num_classes: int = 0
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    train_images: Tensor | None = None

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


Metric = Callable[[Comparison], dict[str, float]]
_METRICS: dict[str, Metric] = {}
_NEEDS: dict[str, tuple[str, ...]] = {}
T = TypeVar("T", bound=Metric)


def metric(name: str, *needs: str) -> Callable[[T], T]:
    """Make a function from a comparison to figures selectable under `name`.

    Args:
        needs: what `check_metrics` demands: `labels` of generator and reference, `logits` of the
            feature network, `classes`: that these are the data set's, `train`: training images.
    """

    def register(function: T) -> T:
        _METRICS[name] = function
        _NEEDS[name] = needs
        return function

    return register


def check_metrics(
    names: Sequence[str], network: Features, reference: Reference, conditional: bool
) -> None:
    """Refuse metrics that cannot work, before anything is generated.

    Raises:
        ZooError: an unknown metric, one without the labels, classifier or images that it needs,
            or a classifier of other classes.
    """
    for name in names:
        get_metric(name)
        needs = _NEEDS[name]
        if "labels" in needs and not (conditional and reference.labels is not None):
            raise ZooError(
                f"metric {name} needs a conditional generator and labelled reference images; "
                f"{'there are no labels' if conditional else 'the generator takes no labels'}."
            )
        if "logits" in needs and not network.classes:
            raise ZooError(
                f"metric {name} needs a feature network with a classifier, {network.name} has "
                "none: leave it out or choose other features."
            )
        if "classes" in needs and reference.dataset not in network.labels_of:
            read = network.classes_of(reference.images.shape[1])
            if read != reference.num_classes:
                raise ZooError(
                    f"metric {name} needs a feature network that reads the "
                    f"{reference.num_classes} classes of {reference.dataset}, {network.name} reads "
                    f"{read} others: leave it out or use features=mnist or fashion_mnist where "
                    "they fit."
                )
        if "train" in needs and reference.trained_on is None:
            raise ZooError(
                f"metric {name} compares with training images, and {reference.name} comes without: "
                "leave it out or give the reference its train_images."
            )


def list_metrics() -> list[str]:
    """The names of all metrics."""
    return list(_METRICS)


def get_metric(name: str) -> Metric:
    """The function of a metric.

    Raises:
        ZooError: there is none of this name.
    """
    if name not in _METRICS:
        raise ZooError(
            f"no metric is named {name!r}; there are {listing(_METRICS)}.{suggest(name, _METRICS)}"
        )
    return _METRICS[name]


def default_metrics(network: Features, reference: Reference, conditional: bool) -> list[str]:
    """The metrics that make sense for a data set, a feature network and a kind of generator."""
    reads = reference.dataset in network.labels_of
    few = 0 < reference.num_classes <= MAX_CLASSES
    choice = {
        "fid": True,
        "kid": True,
        "inception_score": network.classes > 0,
        "prdc": True,
        "modes": reads,
        "point_modes": network.name == "points",
        "conditional_accuracy": conditional and reads,
        "per_class_fid": conditional and few,
        "cas": conditional and few,
        "memorization": reference.trained_on is not None,
    }
    return [name for name, chosen in choice.items() if chosen]


@metric("fid")
def fid(data: Comparison) -> dict[str, float]:
    count, width = data.vectors.shape
    if count <= width:
        data.notes.append(
            f"FID of {count} images in {width} dimensions: the covariance is singular and the "
            "figure strongly biased; use more images."
        )
    return {"fid": frechet_distance(data.vectors, data.reference_vectors)}


@metric("kid")
def kid(data: Comparison) -> dict[str, float]:
    estimate = kernel_distance(data.vectors, data.reference_vectors, seed=data.seed)
    if math.isnan(estimate.std):
        data.notes.append("KID is of one subset, all images of both sides: there is no kid_std.")
        return {"kid": estimate.mean}
    return {"kid": estimate.mean, "kid_std": estimate.std}


@metric("inception_score", "logits")
def score(data: Comparison) -> dict[str, float]:
    estimate = inception_score(_logits(data), seed=data.seed)
    return {"inception_score": estimate.mean, "inception_score_std": estimate.std}


@metric("prdc")
def prdc(data: Comparison) -> dict[str, float]:
    generated, reference = (
        vectors[random_rows(NEIGHBOUR_IMAGES, len(vectors), data.seed)]
        for vectors in (data.vectors, data.reference_vectors)
    )
    precision, recall = precision_recall(generated, reference, NEAREST)
    density, coverage = density_coverage(generated, reference, NEAREST)
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


@metric("modes", "logits", "classes")
def modes(data: Comparison) -> dict[str, float]:
    logits = _logits(data)
    _note_classes(data, "Modes")
    hit, divergence = count_modes(logits.argmax(dim=1), logits.shape[1])
    return {"modes": hit, "mode_kl": divergence}


@metric("conditional_accuracy", "labels", "logits", "classes")
def conditional_accuracy(data: Comparison) -> dict[str, float]:
    labels, logits = _labels(data), _logits(data)
    classes = data.reference.num_classes
    _note_classes(data, "Conditional accuracy")
    if data.reference.dataset in data.network.labels_of and data.network.test_accuracy is not None:
        data.notes.append(
            f"Conditional accuracy is read by a classifier that is right on "
            f"{data.network.test_accuracy:.2%} of the real test images."
        )
    right = (logits.argmax(dim=1) == labels).double()
    if classes <= MAX_CLASSES:
        data.per_class["conditional_accuracy"] = [
            right[labels == c].mean().item() for c in range(classes)
        ]
    return {"conditional_accuracy": right.mean().item()}


@metric("per_class_fid", "labels")
def per_class_fid(data: Comparison) -> dict[str, float]:
    labels = _labels(data)
    reference_labels = data.reference.labels
    assert reference_labels is not None
    values = []
    for c in range(data.reference.num_classes):
        generated = data.vectors[labels == c]
        real = data.reference_vectors[reference_labels == c]
        if min(len(generated), len(real)) < 2:
            raise TooFewError(
                f"metric per_class_fid needs 2 or more images of every class: class {c} has "
                f"{len(generated)} generated and {len(real)} reference images. Raise n."
            )
        values.append(frechet_distance(generated, real))
    least = min(int((labels == c).sum()) for c in range(data.reference.num_classes))
    if least <= data.vectors.shape[1]:
        data.notes.append(
            f"FID per class of {least} and more images in {data.vectors.shape[1]} dimensions: "
            "covariances are singular and the figures strongly biased; use more images."
        )
    data.per_class["fid"] = values
    return {"per_class_fid": sum(values) / len(values)}


@metric("cas", "labels")
def classification_accuracy_score(data: Comparison) -> dict[str, float]:
    """Accuracy on real images of a classifier trained on generated ones.

    Paper: Ravuri and Vinyals (2019), arXiv:1905.10887.
    """
    labels = _labels(data)
    images, truth = data.reference.test_images, data.reference.test_labels
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
            epochs=CAS_EPOCHS,
            seed=data.seed,
        )
    split = "test" if data.reference.test_images is not None else data.reference.split
    data.notes.append(
        f"CAS is the accuracy on {len(rows):,} of {len(images):,} images of "
        f"{data.reference.dataset}/{split}."
    )
    predicted = predict(network, _as_pixels(images[rows]).to(data.device)).cpu()
    return {"cas": (predicted == truth[rows]).double().mean().item()}


@metric("memorization", "train")
def memorization(data: Comparison) -> dict[str, float]:
    """How much nearer generated images are to training images than those are to each other.

    `nearest_ratio` is the median distance of a generated image to its nearest training image,
    over the same among the training images: about 1 is healthy, near 0 is copying. `copies` is
    the share of generated images nearer than all but 1 % of real ones: 0.01 is healthy.
    """
    images = data.reference.trained_on
    assert images is not None
    if len(images) < 2:
        raise TooFewError("metric memorization needs 2 or more training images.")
    if data.reference.split == "train":
        vectors = data.reference_vectors
    else:
        vectors = reference_features(data.network, images, data.batch_size, data.progress)
        data.notes.append(
            f"Memorization compares with the {len(images):,} images of "
            f"{data.reference.dataset}/train, whatever the split of the reference."
        )
    distance, index = nearest_rows(data.vectors, vectors)
    rows = random_rows(NEIGHBOUR_IMAGES, len(vectors), data.seed)
    among, _ = nearest_rows(vectors[rows], vectors, own=rows)
    order = distance.argsort()[:PAIRS]
    data.pairs += [(int(i), int(index[i]), float(distance[i])) for i in order]
    copies = {"copies": (distance < among.quantile(0.01)).double().mean().item()}
    between = among.median()
    if not between > 0:
        data.notes.append(
            "nearest_ratio is left out: most training images have a twin, and the distance between "
            "them is 0."
        )
        return copies
    return {"nearest_ratio": (distance.median() / between).item(), **copies}


def count_modes(classes: Tensor, num_modes: int) -> tuple[int, float]:
    """Modes hit by at least one sample, and KL(p ‖ uniform) in nats.

    Args:
        classes: int64 (N,), the mode of each sample; samples at no mode are left out before.
        num_modes: modes there are: 1000 for Stacked-MNIST, whose protocol is 26,000 samples.
    """
    share = torch.bincount(classes, minlength=num_modes).double() / max(1, len(classes))
    hit = share[share > 0]
    return len(hit), float((hit * (hit * num_modes).log()).sum())


def _note_classes(data: Comparison, what: str) -> None:
    if data.reference.dataset not in data.network.labels_of:
        data.notes.append(
            f"{what}: {data.network.name}'s classes are taken for those of "
            f"{data.reference.dataset}."
        )


def _as_pixels(images: Tensor) -> Tensor:
    """What classifiers take: uint8, also of points."""
    return to_uint8(images) if images.is_floating_point() else images


def _labels(data: Comparison) -> Tensor:
    assert data.labels is not None  # see `check_metrics`
    return data.labels


def _logits(data: Comparison) -> Tensor:
    assert data.logits is not None
    return data.logits
