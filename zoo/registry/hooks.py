"""Find misspelt overrides of a base class's methods in a part.

Base classes are found by name, because the registry cannot import the higher-level packages that
define them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

CLOSE = 0.8
"""The similarity, from 0 to 1, above which a name is taken for a misspelling of another."""

_WITH_HOOKS = ("zoo", "pytorch_lightning")


def root_of(cls: type, base: str | None) -> type | None:
    """Return the zoo's class named `base` from which `cls` derives; None if there is none."""
    ours = (c for c in cls.__mro__ if _of_the_zoo(c))
    return next((c for c in ours if c.__name__ == base), None)


def misspelt(live: Any, base: str | None) -> Iterator[tuple[str, str]]:
    """Yield the names in a class that look like misspelt names of its base, with the base's names.

    Names that begin with an underscore, and names inherited from other bases, are not considered.

    Args:
        live: the class, or a function, which has no base.
        base: the name of the base class, as `Kind.base`. Nothing is yielded for a class that does
            not derive from it.
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
    """The name of the top-level package that defines a class."""
    return live.__module__.partition(".")[0]


def _of_the_zoo(live: Any) -> bool:
    return _top(live) == "zoo"


def _public(cls: type, method: bool) -> list[str]:
    """The public names in a class body that are methods, or those that are not."""
    return [n for n, v in vars(cls).items() if not n.startswith("_") and callable(v) == method]
