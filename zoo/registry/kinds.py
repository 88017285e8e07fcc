"""The kinds of parts: their folders, base classes and filled arguments."""

from __future__ import annotations

from zoo.core.errors import ZooError, listing, suggest

FOLDERS = {
    "generator": "parts/generators",
    "discriminator": "parts/discriminators",
    "head": "parts/heads",
    "loss": "parts/losses",
    "regularizer": "parts/regularizers",
    "augmentation": "parts/augmentations",
    "schedule": "parts/schedules",
    "datamodule": "data/sets",
    "task": "tasks",
}

KINDS = tuple(FOLDERS)

FILLED: dict[str, frozenset[str]] = {
    "generator": frozenset({"image_size", "channels", "latent_dim", "num_classes"}),
    "discriminator": frozenset({"image_size", "channels", "num_classes", "head", "per_sample"}),
    "head": frozenset({"trunk"}),
    "datamodule": frozenset({"data_dir", "seed"}),
    "task": frozenset({"data_dir"}),
}
"""Arguments that the builder fills in, so that they are no options of the part."""

BASES = {
    "generator": "Generator",
    "discriminator": "Discriminator",
    "head": "Head",
    "loss": "Loss",
    "regularizer": "Regularizer",
    "augmentation": "Augmentation",
    "schedule": "Schedule",
    "datamodule": "DataModule",
}
"""What a made part has to be: names in `zoo`. A task is anything that can be called."""

GROUPS = {
    "generator": "model/generator",
    "discriminator": "model/discriminator",
    "head": "model/head",
    "loss": "model/loss",
    "regularizer": "model/regularizer",
    "augmentation": "model/augmentation",
    "datamodule": "datamodule",
    "task": "task",
}

LISTS = ("regularizer", "augmentation")
"""Kinds of which a model takes any number: `'model/regularizer=[r1,lecam]'`."""


def check_kind(kind: str) -> None:
    """Refuse a kind of part that does not exist."""
    if kind not in FOLDERS:
        raise ZooError(
            f"there is no kind of part called {kind!r}.{suggest(kind, KINDS)} "
            f"Choices: {listing(KINDS)}."
        )
