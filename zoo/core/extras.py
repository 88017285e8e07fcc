"""Packages that only some tasks need, and the sentence for when they are missing."""

from __future__ import annotations

import importlib

from zoo.core.errors import ZooError, listing


def require(extra: str, what: str, *modules: str) -> None:
    """Refuse `what` where one of its modules cannot be imported, with the command that helps.

    Raises:
        ZooError: a module is missing.
    """
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    if missing:
        raise ZooError(f"{what} needs {listing(missing)}, not installed here: {command(extra)}.")


def command(extra: str) -> str:
    """What installs the packages of `extra`."""
    return f"pip install 'gan-zoo[{extra}]' (or pip install -e '.[{extra}]' in the repository)"
