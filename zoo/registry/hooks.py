"""What a part has from the base of its kind, known by name: the bases stand on floors above."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

CLOSE = 0.8
"""Likeness of two names, from 0 to 1, from which one is taken for the other misspelt."""

_WITH_HOOKS = ("zoo", "pytorch_lightning")


def root_of(cls: type, base: str | None) -> type | None:
    """The class of the zoo with the name `base` that `cls` derives from; None where none is."""
    ours = (c for c in cls.__mro__ if _of_the_zoo(c))
    return next((c for c in ours if c.__name__ == base), None)


def misspelt(live: Any, base: str | None) -> Iterator[tuple[str, str]]:
    """Names that a class has nearly from its base, each with the base's.

    What begins with an underscore is the class's own business, and so is what another base has.

    Args:
        base: of the kind, as `Kind.base`; nothing is told of a class that does not derive from it.
    """
    root = root_of(live, base) if inspect.isclass(live) else None
    if root is None or _of_the_zoo(live):
        return
    bases = inspect.getmro(live)
    theirs = bases[: next(i for i, c in enumerate(bases) if _of_the_zoo(c))]
    inherited = {n for c in bases if c not in theirs for n in dir(c)}
    for method in (True, False):
        hooks = {n for c in root.__mro__ if _top(c) in _WITH_HOOKS for n in _public(c, method)}
        names = dict.fromkeys(n for c in theirs for n in _public(c, method))
        for name in (n for n in names if n not in inherited):
            yield from ((name, hook) for hook in difflib.get_close_matches(name, hooks, 1, CLOSE))


def _top(live: Any) -> str:
    return live.__module__.partition(".")[0]


def _of_the_zoo(live: Any) -> bool:
    return _top(live) == "zoo"


def _public(cls: type, method: bool) -> list[str]:
    """Names of a class body that are methods, or those that are none."""
    return [n for n, v in vars(cls).items() if not n.startswith("_") and callable(v) == method]
