"""Metrics based on classes: modes, conditional accuracy, and the FID of each class."""

from __future__ import annotations

from zoo.core.errors import TooFewError
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import frechet_distance
from zoo.metrics.features.base import Features
from zoo.metrics.scores.base import (
    MAX_CLASSES,
    Metric,
    count_modes,
    labels_of,
    logits_of,
    note_classes,
)
from zoo.registry import metric


@metric("modes")
class Modes(Metric):
    """Number of classes that occur, and the divergence of their shares, KL(p ‖ uniform).

    Paper: Metz et al. (2016), arXiv:1611.02163.
    """

    figures = ("modes", "mode_kl")
    needs = ("logits", "classes")
    higher_is_better = ("modes",)
    order = 50

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return reference.dataset in network.labels_of

    def __call__(self, data: Comparison) -> dict[str, float]:
        logits = logits_of(data)
        note_classes(data, "Modes")
        hit, divergence = count_modes(logits.argmax(dim=1), logits.shape[1])
        return {"modes": hit, "mode_kl": divergence}


@metric("conditional_accuracy")
class ConditionalAccuracy(Metric):
    """Share of generated images that a classifier assigns to the class they were generated for."""

    figures = ("conditional_accuracy",)
    needs = ("labels", "logits", "classes")
    higher_is_better = ("conditional_accuracy",)
    order = 70

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return conditional and reference.dataset in network.labels_of

    def __call__(self, data: Comparison) -> dict[str, float]:
        labels, logits = labels_of(data), logits_of(data)
        classes = data.reference.num_classes
        note_classes(data, "Conditional accuracy")
        if (
            data.reference.dataset in data.network.labels_of
            and data.network.test_accuracy is not None
        ):
            data.notes.append(
                f"Conditional accuracy uses a classifier that is right on "
                f"{data.network.test_accuracy:.2%} of the real test images."
            )
        right = (logits.argmax(dim=1) == labels).double()
        if classes <= MAX_CLASSES:
            data.per_class["conditional_accuracy"] = [
                right[labels == c].mean().item() for c in range(classes)
            ]
        return {"conditional_accuracy": right.mean().item()}


@metric("per_class_fid")
class PerClassFID(Metric):
    """The mean over classes of the FID within each class."""

    figures = ("per_class_fid",)
    needs = ("labels",)
    order = 80

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        return conditional and 0 < reference.num_classes <= MAX_CLASSES

    def __call__(self, data: Comparison) -> dict[str, float]:
        labels = labels_of(data)
        reference_labels = data.reference.labels
        assert reference_labels is not None
        values, counts = [], []
        for c in range(data.reference.num_classes):
            generated = data.vectors[labels == c]
            real = data.reference_vectors[reference_labels == c]
            counts.append(min(len(generated), len(real)))
            if counts[-1] < 2:
                raise TooFewError(
                    f"metric per_class_fid needs 2 or more images of every class, but class {c} "
                    f"has {len(generated)} generated and {len(real)} reference images. "
                    f"{'Raise n.' if len(real) > 1 else 'Compare with a split that has more.'}"
                )
            values.append(frechet_distance(generated, real))
        least = min(counts)
        if least <= data.vectors.shape[1]:
            data.notes.append(
                f"FID per class of {least} and more images in {data.vectors.shape[1]} dimensions: "
                "covariances are singular and the values strongly biased; use more images."
            )
        data.per_class["fid"] = values
        return {"per_class_fid": sum(values) / len(values)}
