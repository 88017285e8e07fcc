"""The registry: every part by kind and name, found without importing it.

What is used from outside stands here; it takes no torch.
"""

from zoo.registry.kinds import BASES, FILLED, FOLDERS, KINDS, check_kind
from zoo.registry.part import DuplicateError, Part
from zoo.registry.registry import (
    REGISTRY,
    Factory,
    Registry,
    augmentation,
    create,
    datamodule,
    discriminator,
    factory,
    generator,
    head,
    list_parts,
    loss,
    regularizer,
    schedule,
    spec_of,
    task,
)

__all__ = [
    "BASES",
    "FILLED",
    "FOLDERS",
    "KINDS",
    "REGISTRY",
    "DuplicateError",
    "Factory",
    "Part",
    "Registry",
    "augmentation",
    "check_kind",
    "create",
    "datamodule",
    "discriminator",
    "factory",
    "generator",
    "head",
    "list_parts",
    "loss",
    "regularizer",
    "schedule",
    "spec_of",
    "task",
]
