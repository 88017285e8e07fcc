"""A library of interchangeable GAN parts: generators, discriminators, losses and regularizers.

    import zoo

    model = zoo.train("model/loss=hinge", trainer={"max_steps": 200})
    zoo.show(model.sample(16, label=5))
    zoo.evaluate(model, n=2000).figures

    images = zoo.load("mnist").sample(64, label=5)
    gan = zoo.GAN("dcgan", "dcgan", "hinge", image_size=32, channels=1)
    generator = zoo.create("generator", "dcgan", image_size=32, channels=1, latent_dim=100)
    zoo.list_parts("loss", "*gan*")

Importing `zoo` is fast: torch and Lightning are imported only when a name that needs them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.core.errors import ZooError, above, at_least, at_most, below, between
from zoo.core.version import __version__ as __version__
from zoo.registry import KINDS, create, factory, list_parts
from zoo.registry.registry import decorator

if TYPE_CHECKING:
    from zoo.cli.from_python import train
    from zoo.contracts.augmentation import Augmentation
    from zoo.contracts.discriminator import Discriminator
    from zoo.contracts.generator import Generator
    from zoo.contracts.head import Head, Trunk
    from zoo.contracts.latent import Latent
    from zoo.contracts.loss import Loss
    from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
    from zoo.contracts.regularizer import Regularizer
    from zoo.contracts.sampler import Sampler, Scene
    from zoo.contracts.schedule import Schedule
    from zoo.contracts.sizes import check_image_size
    from zoo.contracts.task import Run, Task
    from zoo.contracts.update import Update
    from zoo.data.base import DataModule
    from zoo.inference.images import show
    from zoo.inference.load import LoadedGenerator, load
    from zoo.layers.shapes import append_one_hot, check_labels
    from zoo.metrics.features.base import Features
    from zoo.metrics.scores.base import Metric
    from zoo.tasks.from_python import evaluate
    from zoo.training.callbacks.base import Callback
    from zoo.training.gan import GAN
    from zoo.training.step import AdversarialStep

_LAZY = {
    "Trunk": "zoo.contracts.head",
    "Sampler": "zoo.contracts.sampler",
    "Scene": "zoo.contracts.sampler",
    "Schedule": "zoo.contracts.schedule",
    "Latent": "zoo.contracts.latent",
    "GeneratorOutput": "zoo.contracts.outputs",
    "DiscriminatorOutput": "zoo.contracts.outputs",
    "Augmentation": "zoo.contracts.augmentation",
    "Discriminator": "zoo.contracts.discriminator",
    "Features": "zoo.metrics.features.base",
    "Metric": "zoo.metrics.scores.base",
    "Generator": "zoo.contracts.generator",
    "Head": "zoo.contracts.head",
    "Loss": "zoo.contracts.loss",
    "Regularizer": "zoo.contracts.regularizer",
    "Run": "zoo.contracts.task",
    "Task": "zoo.contracts.task",
    "append_one_hot": "zoo.layers.shapes",
    "check_image_size": "zoo.contracts.sizes",
    "check_labels": "zoo.layers.shapes",
    "AdversarialStep": "zoo.training.step",
    "Callback": "zoo.training.callbacks.base",
    "Update": "zoo.contracts.update",
    "DataModule": "zoo.data.base",
    "GAN": "zoo.training.gan",
    "LoadedGenerator": "zoo.inference.load",
    "evaluate": "zoo.tasks.from_python",
    "load": "zoo.inference.load",
    "show": "zoo.inference.images",
    "train": "zoo.cli.from_python",
}

__all__ = [
    "GAN",
    "AdversarialStep",
    "Augmentation",
    "Callback",
    "DataModule",
    "Discriminator",
    "DiscriminatorOutput",
    "Features",
    "Generator",
    "GeneratorOutput",
    "Head",
    "Latent",
    "LoadedGenerator",
    "Loss",
    "Metric",
    "Regularizer",
    "Run",
    "Sampler",
    "Scene",
    "Schedule",
    "Task",
    "Trunk",
    "Update",
    "ZooError",
    "above",
    "append_one_hot",
    "at_least",
    "at_most",
    "below",
    "between",
    "check_image_size",
    "check_labels",
    "create",
    "evaluate",
    "factory",
    "list_parts",
    "load",
    "show",
    "train",
    *KINDS,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in KINDS:
        return decorator(name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
