"""Find misspelt and unfit overrides of a base class's methods in a part.

Base classes are found by name, because the registry cannot import the higher-level packages that
define them.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
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
    theirs = [*itertools.takewhile(lambda c: not _of_the_zoo(c), bases)]
    inherited = {n for c in bases if c not in theirs for n in dir(c)}
    for method in (True, False):
        hooks = {n for c in root.__mro__ if _top(c) in _WITH_HOOKS for n in _public(c, method)}
        names = dict.fromkeys(n for c in theirs for n in _public(c, method))
        for name in (n for n in names if n not in inherited):
            yield from ((name, hook) for hook in difflib.get_close_matches(name, hooks, 1, CLOSE))


def unfit(live: Any, base: str | None) -> Iterator[tuple[str, str]]:
    """Yield the methods in a class that cannot take the arguments of its base's, both in words.

    Args:
        live, base: as for `misspelt`.
    """
    root = root_of(live, base) if inspect.isclass(live) else None
    if root is None or _of_the_zoo(live):
        return
    for cls in itertools.takewhile(lambda c: not _of_the_zoo(c), inspect.getmro(live)):
        for name in _public(cls, method=True):
            own, theirs = vars(cls)[name], getattr(root, name, None)
            if inspect.isfunction(own) and inspect.isfunction(theirs) and not _takes(own, theirs):
                yield f"{name}{_plain_signature(own)}", f"{name}{_plain_signature(theirs)}"


def _takes(own: Any, theirs: Any) -> bool:
    """Whether a method can be called with the arguments of another, optional ones or not."""
    parameters = inspect.signature(theirs).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    fewest = sum(p.default is p.empty for p in positional)
    return any(_binds(own, count) for count in range(fewest, len(positional) + 1))


def _binds(method: Any, count: int) -> bool:
    try:
        inspect.signature(method).bind(*[None] * count)
    except TypeError:
        return False
    return True


def _plain_signature(method: Any) -> str:
    """The signature of a method without annotations."""
    signature = inspect.signature(method)
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def _top(live: Any) -> str:
    """The name of the top-level package that defines a class."""
    return live.__module__.partition(".")[0]


def _of_the_zoo(live: Any) -> bool:
    return _top(live) == "zoo"


def _public(cls: type, method: bool) -> list[str]:
    """The public names in a class body that are methods, or those that are not."""
    return [n for n, v in vars(cls).items() if not n.startswith("_") and callable(v) == method]
