"""What does not go together, said in words before training starts."""

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
from zoo.registry import spec_of
from zoo.registry.signature import from_callable
from zoo.training.passes import movers_of, packs_of
from zoo.training.terms import named


def check(
    generator: Generator,
    discriminator: Discriminator,
    loss: Loss,
    regularizers: Sequence[Regularizer],
) -> list[str]:
    """Refuse combinations that are mathematically wrong.

    Args:
        regularizers: all of them, those that the loss brings along included.

    Returns:
        Notes on choices that work otherwise than asked for.

    Raises:
        ZooError: the combination is wrong; the sentence says what to choose instead.
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
            f"{size_in_words(discriminator.image_size)}: build both for one size."
        )
    if packs > 1 and discriminator.num_classes:
        raise ZooError(
            f"packs of {packs} images have no one label, and discriminator {_name(discriminator)} "
            "asks for it: train with model.conditional=false"
        )
    check_scores(discriminator, regularizers)
    notes = []
    head = getattr(discriminator, "head", None)  # a plugin may do without
    asks = discriminator.requires_labels or head is None or head.requires_labels
    if generator.num_classes and not asks:
        notes.append(
            f"generator {_name(generator)} takes labels, but head {type(head).__name__} of "
            f"discriminator {_name(discriminator)} does not ask for them, so they will not matter."
        )
    if head is not None and head.replaces_loss:
        theirs = f"head {type(head).__name__} of discriminator {_name(discriminator)}"
        weighing = [r for r in regularizers if r.overrides("weights")]
        if weighing:
            notes.append(
                f"regularizer {_name(weighing[0])} weighs the values of the loss, but {theirs} has "
                "losses of its own in its place, so it has no effect."
            )
        brought = named(loss.regularizers())
        stays = f", and of that method {listing(brought)} alone stays" if brought else ""
        notes.append(
            f"{theirs} has losses of its own in place of loss {_name(loss)} on scores{stays}."
        )
    return notes


def set_up(
    regularizers: Iterable[Regularizer],
    generator: Generator,
    discriminator: Discriminator,
    started: bool,
) -> list[str]:
    """Let regularizers prepare the networks.

    Args:
        started: whether their weights are those of another training.

    Returns:
        Notes on weights that stay as nobody trained them.
    """

    def learning() -> int:
        return sum(p.requires_grad for p in discriminator.parameters())

    notes = []
    for regularizer in regularizers:
        before = learning()
        regularizer.setup(generator, discriminator)
        if learning() < before and not started:
            notes.append(
                f"regularizer {_name(regularizer)} holds weights of D as they are at the "
                "beginning: untrained ones, unless model.start=… or a training that goes on brings "
                "others."
            )
    return notes


def check_decay(schedules: Collection[str], lr_decay: str) -> None:
    """Refuse a learning rate that decays and is scheduled.

    Raises:
        ZooError: there is one.
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
    """Notes on settings in whose place a schedule puts other values from the first image on.

    Args:
        own: settings of the training by the schedules' targets.
        parts: that have options to schedule, by the targets without the option.
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
                f"model.schedules sets {target} from {schedule(0):g} on: {target}="
                f"{float(value):g} has no effect."
            )
    return notes


def check_augmentations(augmentations: Iterable[Augmentation], schedules: Iterable[str]) -> None:
    """Refuse an augmentation that changes nothing, unless a schedule makes it.

    Raises:
        ZooError: there is one.
    """
    scheduled = [name.rpartition(".")[0] for name in schedules]
    for augmentation in augmentations:
        name = _name(augmentation).strip("'")
        if not augmentation.acts and f"augmentation.{name}" not in scheduled:
            raise ZooError(
                f"augmentation {name} changes nothing as it is set: give its strength, schedule it "
                "(model.schedules), or leave it out."
            )


def per_sample(regularizers: Iterable[Regularizer]) -> list[Regularizer]:
    """Regularizers that differentiate D's score of each image alone, which batch norm falsifies."""
    return [r for r in regularizers if r.per_sample and "discriminator" in r.sides]


def check_scores(discriminator: Discriminator, regularizers: Iterable[Regularizer]) -> None:
    """Refuse regularizers that need other scores than this discriminator gives, of other images.

    A `per_sample` one beside a D that mixes the images of a batch, one of `one_score` beside a D
    that gives several, and packs beside a head that reads each image.

    Raises:
        ZooError: there is one; the sentence says what to choose instead.
    """
    regularizers = list(regularizers)
    head = getattr(discriminator, "head", None)
    if packs_of(regularizers) > 1 and getattr(head, "reads_each_image", False):
        packing = next(r for r in regularizers if r.packs > 1)
        raise ZooError(
            f"head {type(head).__name__} of discriminator {_name(discriminator)} reads each image "
            f"on its own, but regularizer {_name(packing)} shows {packing.packs} of them as one: "
            "leave one of them out."
        )
    alone = [r for r in regularizers if r.one_score]
    if alone and discriminator.several_scores:
        raise ZooError(
            f"regularizer {_name(alone[0])} needs one score per image, but discriminator "
            f"{_name(discriminator)} gives several: choose one without scores of patches, scales "
            "or pixels."
        )
    penalties = per_sample(regularizers)
    if penalties and discriminator.has_batch_statistics:
        raise ZooError(
            f"regularizer {_name(penalties[0])} differentiates each image's score on its own, but "
            f"discriminator {_name(discriminator)} mixes the images of a batch by batch norm: "
            "choose model.discriminator.norm=layer or none where it has that option, or a "
            "discriminator without batch norm."
        )


def _name(part: object) -> str:
    return repr((spec_of(part) or {"name": type(part).__name__})["name"])
