"""The registry: find every part by kind and name without importing it.

This module exports what other packages use, and does not import torch. It provides a decorator for
each kind in the table of `kinds.py`: `from zoo.registry import loss`. The signature of a part may
declare the ranges of its options, and when an option has no effect, so that a wrong or useless
value is refused instead of ignored: `margin: Annotated[float, above(0)] = 1.0`,
`limit: Annotated[float, above(0), idle_when(form="ratio")] = 10.0`.
"""

from typing import Any

from zoo.core.errors import above, at_least, at_most, below, between, idle_beside, idle_when
from zoo.registry.kinds import KINDS, Kind, check_kind
from zoo.registry.part import DuplicateError, Part
from zoo.registry.registry import (
    REGISTRY,
    Factory,
    Registry,
    create,
    create_chosen,
    decorator,
    factory,
    list_parts,
    name_of,
    remake,
    spec_of,
)

__all__ = [
    "KINDS",
    "REGISTRY",
    "DuplicateError",
    "Factory",
    "Kind",
    "Part",
    "Registry",
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "check_kind",
    "create",
    "create_chosen",
    "factory",
    "idle_beside",
    "idle_when",
    "list_parts",
    "name_of",
    "remake",
    "spec_of",
    *KINDS,
]


def __getattr__(name: str) -> Any:
    if name in KINDS:
        return decorator(name)
    raise AttributeError(f"module 'zoo.registry' has no attribute {name!r}")
