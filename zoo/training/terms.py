"""The terms that an update adds up: its own loss, auxiliary losses, penalties."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.head import Head
from zoo.contracts.outputs import Side
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores
from zoo.registry import spec_of

LOGGED = ("loss_d", "loss_g", "score_real", "score_fake", "images_per_second")
"""What every training logs."""


def own_losses(generator: Generator, discriminator: Discriminator) -> set[str] | None:
    """The metrics of auxiliary losses, on either side; None where a part does not name its own."""
    pairs: list[tuple[object, type]] = [(generator, Generator), (discriminator, Discriminator)]
    if discriminator.takes_head:
        pairs.append((discriminator.head, Head))
    names: set[str] = set()
    for part, base in pairs:
        order = type(part).__mro__
        own = next(c for c in order if "auxiliary" in vars(c))
        if own is base:
            continue
        naming = next(c for c in order if "auxiliary_names" in vars(c))
        found: tuple[str, ...] | None = naming.auxiliary_names  # type: ignore[attr-defined]
        if found is None or not issubclass(naming, own):  # of other losses than these
            return None
        names.update(metric_name(n, side) for n in found for side in ("discriminator", "generator"))
    return names


def named(regularizers: Sequence[Regularizer]) -> dict[str, Regularizer]:
    """Regularizers by registered name, or by class name in snake case; numbered where doubled."""
    by_name: dict[str, Regularizer] = {}
    for regularizer in regularizers:
        spec = spec_of(regularizer)
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(regularizer).__name__).lower()
        base = name = spec["name"] if spec else snake
        count = 1
        while name in by_name:
            count += 1
            name = f"{base}_{count}"
        by_name[name] = regularizer
    return by_name


def weighing(regularizers: Sequence[Regularizer], side: Side) -> list[Regularizer]:
    """The regularizers that weigh the loss values of this side's update."""
    return [r for r in regularizers if side in r.sides and r.overrides("weights")]


def metric_name(name: str, side: Side, both: bool = True) -> str:
    """The metric of a term: G's terms end in `_g` where D may have one of that name."""
    return f"{name}_g" if side == "generator" and both else name


def mean_loss(values: Tensor, weighing: Sequence[Regularizer], update: Update) -> Tensor:
    """The mean over images of a loss's values (M, ...), each the mean of its own scores."""
    values = image_scores(values)
    for regularizer in weighing:
        weights = regularizer.weights(update)
        if weights is not None:
            values = values * weights
    return values.mean()


def add_terms(
    loss: Tensor, due: dict[str, Regularizer], update: Update
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add auxiliary losses and the due penalties; a lazy penalty counts `every` times.

    Returns:
        The sum, and each term, detached, by the name of its metric.
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
    """The mean of each metric over the pieces of a batch."""
    if len(rows) == 1:
        return rows[0]
    return {name: torch.stack([row[name] for row in rows]).mean(0) for name in rows[0]}
