"""Metrics: what they promise, and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.features.base import Features
from zoo.registry import spec_of

MAX_CLASSES = 100
"""Up to which figures are given for each class."""
NEIGHBOUR_IMAGES = 10_000
"""Images that a metric looks at where all would take too long."""


class Metric(ABC):
    """Figures of generated images beside a reference set.

    Attributes:
        protocol: raised by hand when the mathematics changes or a default does: figures of two
            numbers share no table.
        needs: what `check_metrics` demands: `labels` of generator and reference, `logits` of the
            feature network, `classes`: that these are the data set's, `latent_codes`: a
            categorical code in the generator's latents, `train`: training images, `test`: real
            images that are none of these.
        figures: the names that its figures may have; None where that is not known before.
        higher_is_better: those of the figures that are better the higher they are.
        order: where the figures stand in tables, the smallest first.
    """

    protocol: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    figures: ClassVar[tuple[str, ...] | None] = None
    higher_is_better: ClassVar[tuple[str, ...]] = ()
    order: ClassVar[int] = 1000

    @abstractmethod
    def __call__(self, data: Comparison) -> dict[str, float]:
        """The figures by name; those of each class and notes go into `data`."""

    def prepare(self) -> None:  # noqa: B027, most need nothing
        """Get what it needs beside the images, before any is generated; called once or more.

        Raises:
            ZooError: it cannot be had.
        """

    @classmethod
    def suits(cls, network: Features, reference: Reference, conditional: bool) -> bool:
        """Whether it is measured where no metrics are named."""
        return False

    @property
    def name(self) -> str:
        """The name by which this metric is chosen."""
        made = spec_of(self)
        return type(self).__name__ if made is None else str(made["name"])

    def settings(self) -> str:
        """The options in words, for the protocol; here those that were given."""
        options = (spec_of(self) or {}).get("options", {})
        given = ", ".join(f"{option}={value}" for option, value in options.items())
        return f"{self.name} {given}" if given else ""

    def recorded(self) -> str:
        """What the protocol keeps of it: figures by two such texts are not comparable."""
        if self.protocol == 1:
            return self.settings()
        return f"{self.settings() or self.name}, protocol {self.protocol}"


def count_modes(classes: Tensor, num_modes: int) -> tuple[int, float]:
    """Modes hit by at least one sample, and KL(p ‖ uniform) in nats.

    Args:
        classes: int64 (N,), the mode of each sample; samples at no mode are left out before.
        num_modes: modes there are: 1000 for Stacked-MNIST, whose protocol is 26,000 samples.
    """
    share = torch.bincount(classes, minlength=num_modes).double() / max(1, len(classes))
    hit = share[share > 0]
    return len(hit), float((hit * (hit * num_modes).log()).sum())


def note_classes(data: Comparison, what: str) -> None:
    """Note where the classes of the network are taken for those of the data."""
    if data.reference.dataset not in data.network.labels_of:
        data.notes.append(
            f"{what}: {data.network.name}'s classes are taken for those of "
            f"{data.reference.dataset}."
        )


def labels_of(data: Comparison) -> Tensor:
    """The labels of a comparison whose metric needs them."""
    assert data.labels is not None  # see `check_metrics`
    return data.labels


def logits_of(data: Comparison) -> Tensor:
    """The class logits of a comparison whose metric needs them."""
    assert data.logits is not None
    return data.logits
