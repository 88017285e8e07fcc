"""The terms that an update adds up: the adversarial loss, auxiliary losses and penalties."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.head import Head
from zoo.contracts.outputs import Side
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores
from zoo.registry import name_of

Method = TypeVar("Method", Regularizer, Augmentation)

LOGGED = ("loss_d", "loss_g", "score_real", "score_fake", "images_per_second")
"""The metrics that every training logs."""


def own_losses(generator: Generator, discriminator: Discriminator) -> set[str] | None:
    """Return the metric names of all auxiliary losses; None if a part does not declare its own."""
    pairs: list[tuple[object, type]] = [(generator, Generator), (discriminator, Discriminator)]
    if discriminator.takes_head:
        pairs.append((discriminator.head, Head))
    names: set[str] = set()
    for part, base in pairs:
        order = type(part).__mro__
        defining = next(c for c in order if "auxiliary" in vars(c))
        if defining is base:
            continue
        naming = next(c for c in order if "auxiliary_names" in vars(c))
        own: tuple[str, ...] | None = naming.auxiliary_names  # type: ignore[attr-defined]
        if own is None or not issubclass(naming, defining):  # names of a base class's losses
            return None
        names.update(metric_name(n, side) for n in own for side in ("discriminator", "generator"))
    return names


def named(parts: Iterable[Method]) -> dict[str, Method]:
    """Map regularizers or augmentations by registered name, or else by class name in snake case.

    Further parts of the same name get a number: `r1`, `r1_2`.
    """
    by_name: dict[str, Method] = {}
    for part in parts:
        stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name_of(part)).lower()
        name = stem
        count = 1
        while name in by_name:
            count += 1
            name = f"{stem}_{count}"
        by_name[name] = part
    return by_name


def weighing(regularizers: Sequence[Regularizer], side: Side) -> list[Regularizer]:
    """Return the regularizers that weight the loss values in this side's update."""
    return [r for r in regularizers if side in r.sides and r.overrides("weights")]


def metric_name(name: str, side: Side, both: bool = True) -> str:
    """Return the metric name of a term.

    Args:
        name: The name of the term.
        side: The update in which it occurs.
        both: Whether the other update may have a term of the same name; G's then ends in `_g`.
    """
    return f"{name}_g" if side == "generator" and both else name


def mean_loss(values: Tensor, weighing: Sequence[Regularizer], update: Update) -> Tensor:
    """Return the mean of a loss's values (M, ...): over each image's scores, then over images."""
    values = image_scores(values)
    for regularizer in weighing:
        weights = regularizer.weights(update)
        if weights is not None:
            values = values * weights
    return values.mean()


def add_terms(
    loss: Tensor, due: dict[str, Regularizer], update: Update
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the auxiliary losses and the penalties that are due, multiplied by their `every`.

    Returns:
        The sum, and the detached value of each added term by the name of its metric.
    """
    terms: dict[str, Tensor] = {}
    auxiliary = update.discriminator.auxiliary(update)  # type: ignore[operator]
    if update.side == "generator":
        auxiliary = auxiliary | update.generator.auxiliary(update)  # type: ignore[operator]
    for name, value in auxiliary.items():
        terms[metric_name(name, update.side)] = value.detach()
        loss = loss + value
    for name, regularizer in due.items():
        penalty = regularizer(update)
        if penalty is not None:
            both = len(regularizer.sides) > 1
            terms[metric_name(name, update.side, both)] = penalty.detach()
            loss = loss + regularizer.every * penalty
    return loss, terms


def mean_terms(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each metric over the pieces of a batch, one row per piece."""
    if len(rows) == 1:
        return rows[0]
    return {name: torch.stack([row[name] for row in rows]).mean(0) for name in rows[0]}
