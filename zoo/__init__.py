"""A zoo of interchangeable GAN parts: generators, discriminators, losses, regularizers.

    import zoo

    generator = zoo.create("generator", "dcgan", image_size=32, channels=1, latent_dim=100)
    zoo.list_parts("loss")
    images = zoo.load("outputs/train/…").sample(64, label=5)

Importing `zoo` is cheap; torch and Lightning are imported by the first name that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.registry import (
    augmentation,
    create,
    datamodule,
    discriminator,
    factory,
    generator,
    head,
    latent,
    list_parts,
    loss,
    regularizer,
    task,
)

if TYPE_CHECKING:
    from zoo.base import (
        Augmentation,
        Discriminator,
        Generator,
        Head,
        Loss,
        Regularizer,
        check_image_size,
    )
    from zoo.checkpoint import load
    from zoo.contracts.generator import GeneratorOutput
    from zoo.contracts.head import Trunk
    from zoo.contracts.latent import Latent
    from zoo.contracts.schedule import Schedule
    from zoo.contracts.update import DiscriminatorOutput, Update
    from zoo.data.base import DataModule
    from zoo.gan import GAN
    from zoo.layers.shapes import append_one_hot, check_labels
    from zoo.step import AdversarialStep

__version__ = "0.1.0"

_LAZY = {
    "Trunk": "zoo.contracts.head",
    "Schedule": "zoo.contracts.schedule",
    "Latent": "zoo.contracts.latent",
    "GeneratorOutput": "zoo.contracts.generator",
    "DiscriminatorOutput": "zoo.contracts.update",
    "Augmentation": "zoo.base",
    "Discriminator": "zoo.base",
    "Generator": "zoo.base",
    "Head": "zoo.base",
    "Loss": "zoo.base",
    "Regularizer": "zoo.base",
    "append_one_hot": "zoo.layers.shapes",
    "check_image_size": "zoo.base",
    "check_labels": "zoo.layers.shapes",
    "AdversarialStep": "zoo.step",
    "Update": "zoo.contracts.update",
    "DataModule": "zoo.data.base",
    "GAN": "zoo.gan",
    "load": "zoo.checkpoint",
}

__all__ = [
    "GAN",
    "AdversarialStep",
    "Augmentation",
    "DataModule",
    "Discriminator",
    "DiscriminatorOutput",
    "Generator",
    "GeneratorOutput",
    "Head",
    "Latent",
    "Loss",
    "Regularizer",
    "Schedule",
    "Trunk",
    "Update",
    "ZooError",
    "append_one_hot",
    "augmentation",
    "check_image_size",
    "check_labels",
    "create",
    "datamodule",
    "discriminator",
    "factory",
    "generator",
    "head",
    "latent",
    "list_parts",
    "load",
    "loss",
    "regularizer",
    "task",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
