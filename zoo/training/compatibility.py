"""Checks, before training starts, of whether parts and settings are compatible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.schedule import Schedule
from zoo.contracts.sizes import size_in_words
from zoo.core.errors import ZooError, listing
from zoo.registry import name_of
from zoo.registry.signature import from_callable
from zoo.training.passes import movers_of, packs_of
from zoo.training.terms import named


def check(
    generator: Generator,
    discriminator: Discriminator,
    loss: Loss,
    regularizers: Sequence[Regularizer],
) -> list[str]:
    """Reject combinations of parts that are mathematically wrong.

    Args:
        generator, discriminator, loss: The parts.
        regularizers: All regularizers, including those that come with the loss.

    Returns:
        Notes on parts that will work differently than requested.

    Raises:
        ZooError: The combination is wrong; the message says what to choose instead.
    """
    packs = packs_of(regularizers)
    movers_of(regularizers)
    if (generator.image_size, generator.channels * packs) != (
        discriminator.image_size,
        discriminator.channels,
    ):
        packed = f", {packs} of which D sees as one," if packs > 1 else ","
        raise ZooError(
            f"generator {_name(generator)} makes {generator.channels}×"
            f"{size_in_words(generator.image_size)} images{packed} but discriminator "
            f"{_name(discriminator)} takes {discriminator.channels}×"
            f"{size_in_words(discriminator.image_size)}: build both for the same size."
        )
    if packs > 1 and discriminator.num_classes:
        raise ZooError(
            f"a pack of {packs} images has no single label, which discriminator "
            f"{_name(discriminator)} needs: train with model.conditional=false"
        )
    check_scores(discriminator, regularizers)
    notes = []
    head = getattr(discriminator, "head", None)  # a plugin may have none
    uses_labels = discriminator.requires_labels or head is None or head.requires_labels
    if generator.num_classes and not uses_labels:
        notes.append(
            f"generator {_name(generator)} takes labels, but head {_name(head)} of "
            f"discriminator {_name(discriminator)} does not use them, so they will have no effect."
        )
    if head is not None and head.replaces_loss:
        owner = f"head {_name(head)} of discriminator {_name(discriminator)}"
        weighing = [r for r in regularizers if r.overrides("weights")]
        if weighing:
            notes.append(
                f"regularizer {_name(weighing[0])} weights the values of the loss, but {owner} "
                "replaces the loss by losses of its own, so the regularizer has no effect."
            )
        penalties = named(loss.regularizers())
        remainder = f"; of that method, only {listing(penalties)} remains" if penalties else ""
        notes.append(f"{owner} replaces loss {_name(loss)} by losses of its own{remainder}.")
    return notes


def set_up(
    regularizers: Iterable[Regularizer],
    generator: Generator,
    discriminator: Discriminator,
    started: bool,
) -> list[str]:
    """Let regularizers prepare the networks.

    Args:
        regularizers, generator, discriminator: The parts.
        started: Whether the networks start from pretrained weights.

    Returns:
        Notes on weights that are frozen although they were never trained.
    """

    def trainable() -> int:
        return sum(p.requires_grad for p in discriminator.parameters())

    notes = []
    for regularizer in regularizers:
        before = trainable()
        regularizer.setup(generator, discriminator)
        if trainable() < before and not started:
            notes.append(
                f"regularizer {_name(regularizer)} freezes weights of D at their initial values, "
                "which are untrained unless they come from model.start=… or a resumed training."
            )
    return notes


def check_decay(schedules: Collection[str], lr_decay: str) -> None:
    """Reject a learning rate that both decays and is scheduled.

    Raises:
        ZooError: There is such a learning rate.
    """
    rates = [name for name in ("lr_g", "lr_d") if name in schedules]
    if rates and lr_decay != "none":
        raise ZooError(
            f"model.lr_decay={lr_decay} and model.schedules.{rates[0]} both set the learning rate: "
            "leave one of them out."
        )


def overruled(
    schedules: Mapping[str, Schedule], own: Mapping[str, float | None], parts: Mapping[str, Any]
) -> list[str]:
    """Return notes on settings that have no effect because a schedule replaces them from the start.

    Args:
        schedules: The schedules by target.
        own: The training's own settings by target; None if one was left at its default.
        parts: The parts with schedulable options, by the prefix of their targets.
    """
    notes = []
    for target, schedule in schedules.items():
        owner, _, option = target.rpartition(".")
        value = own.get(target)
        if owner in parts:
            value = getattr(parts[owner], option, None)
            defaults = {p.name: p.default for p in from_callable(type(parts[owner]))}
            value = None if value == defaults.get(option) else value
        if value is not None and value not in (schedule(0), schedule(schedule.warm_up)):
            notes.append(
                f"{target}={float(value):g} has no effect, since model.schedules sets {target}, "
                f"starting at {schedule(0):g}."
            )
    return notes


def check_augmentations(augmentations: Iterable[Augmentation], schedules: Iterable[str]) -> None:
    """Reject an augmentation that changes nothing, unless a schedule controls its strength.

    Raises:
        ZooError: There is such an augmentation.
    """
    scheduled = [name.rpartition(".")[0] for name in schedules]
    for name, augmentation in named(augmentations).items():
        if not augmentation.acts and f"augmentation.{name}" not in scheduled:
            raise ZooError(
                f"augmentation {name} changes nothing as configured: set its strength, schedule it "
                "(model.schedules), or leave it out."
            )


def per_sample(regularizers: Iterable[Regularizer]) -> list[Regularizer]:
    """Return the regularizers that differentiate D's score of each image separately.

    Their gradients are wrong if D has batch norm.
    """
    return [r for r in regularizers if r.per_sample and "discriminator" in r.sides]


def check_scores(discriminator: Discriminator, regularizers: Iterable[Regularizer]) -> None:
    """Reject regularizers that do not work with the scores of this discriminator.

    These are `per_sample` regularizers with a D that has batch norm, `one_score` regularizers with
    a D that gives several scores per image, and packs with a head that reads each image.

    Raises:
        ZooError: There is such a regularizer; the message says what to choose instead.
    """
    regularizers = list(regularizers)
    head = getattr(discriminator, "head", None)
    if packs_of(regularizers) > 1 and getattr(head, "reads_each_image", False):
        packing = next(r for r in regularizers if r.packs > 1)
        raise ZooError(
            f"head {_name(head)} of discriminator {_name(discriminator)} needs to see each "
            f"image on its own, but regularizer {_name(packing)} combines {packing.packs} of them "
            "into one: leave one of the two out."
        )
    single = [r for r in regularizers if r.one_score]
    if single and discriminator.several_scores:
        raise ZooError(
            f"regularizer {_name(single[0])} needs one score per image, but discriminator "
            f"{_name(discriminator)} gives several: choose one that does not score patches, scales "
            "or pixels."
        )
    penalties = per_sample(regularizers)
    if penalties and discriminator.has_batch_statistics:
        raise ZooError(
            f"regularizer {_name(penalties[0])} differentiates the score of each image separately, "
            f"but discriminator {_name(discriminator)} mixes the images of a batch through batch "
            "norm: choose model.discriminator.norm=layer or none if it has that option, or a "
            "discriminator without batch norm."
        )


def _name(part: object) -> str:
    return repr(name_of(part))
