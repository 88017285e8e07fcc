"""The base class of all metrics, and helpers that several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.features.base import Features
from zoo.registry import name_of, spec_of

MAX_CLASSES = 100
"""The number of classes up to which figures are reported for each class."""
NEIGHBOUR_IMAGES = 10_000
"""The number of images that metrics use where all of them would take too long."""


class Metric(ABC):
    """A metric, which computes one or more named values ("figures") from a comparison.

    Attributes:
        protocol: a version number, raised by hand when the mathematics or a default changes.
            Figures of different versions are not comparable.
        needs: the requirements that `check_metrics` verifies: `labels` of generator and reference,
            `logits` of the feature network, `classes` (these logits are for the classes of the data
            set), `latent_codes` (a categorical code in the generator's latents), `train` (training
            images), `test` (real images that were not trained on).
        figures: the names that its figures may have; None if they are not known in advance.
        higher_is_better: the figures of which higher values are better.
        order: the position of the figures in tables, lowest first.
    """

    protocol: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    figures: ClassVar[tuple[str, ...] | None] = None
    higher_is_better: ClassVar[tuple[str, ...]] = ()
    order: ClassVar[int] = 1000

    @abstractmethod
    def __call__(self, data: Comparison) -> dict[str, float]:
        """Compute the figures by name; those of each class, and notes, are added to `data`."""

    def prepare(self) -> None:  # noqa: B027, most metrics need nothing
        """Load further networks or files, before images are generated; may be called repeatedly.

        Raises:
            ZooError: they cannot be loaded.
        """

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        """Whether the metric is computed by default, when the user names no metrics."""
        return False

    @property
    def name(self) -> str:
        """The name by which this metric is chosen."""
        return name_of(self)

    def settings(self) -> str:
        """Describe the options for the protocol; by default, those that were set explicitly."""
        options = (spec_of(self) or {}).get("options", {})
        explicit = ", ".join(f"{option}={value}" for option, value in options.items())
        return f"{self.name} {explicit}" if explicit else ""

    def recorded(self) -> str:
        """Return the text for the protocol; figures with different texts are not comparable."""
        if self.protocol == 1:
            return self.settings()
        return f"{self.settings() or self.name}, protocol {self.protocol}"


def count_modes(classes: Tensor, num_modes: int) -> tuple[int, float]:
    """Return the number of modes with at least one sample, and KL(p ‖ uniform) in nats.

    Args:
        classes: int64 (N,), the mode of each sample, without samples that belong to no mode.
        num_modes: the number of modes that exist, for instance 1000 for Stacked MNIST, where the
            usual protocol has 26,000 samples.
    """
    share = torch.bincount(classes, minlength=num_modes).double() / max(1, len(classes))
    hit = share[share > 0]
    return len(hit), float((hit * (hit * num_modes).log()).sum())


def note_classes(data: Comparison, what: str) -> None:
    """Add a note if the classes of the network are merely assumed to be those of the data."""
    if data.reference.dataset not in data.network.labels_of:
        data.notes.append(
            f"{what}: the classes of {data.network.name} are assumed to be those of "
            f"{data.reference.dataset}."
        )


def labels_of(data: Comparison) -> Tensor:
    """Return the labels of a comparison for a metric that needs them."""
    assert data.labels is not None  # see `check_metrics`
    return data.labels


def logits_of(data: Comparison) -> Tensor:
    """Return the class logits of a comparison for a metric that needs them."""
    assert data.logits is not None
    return data.logits
