"""Optional dependencies, and the error if one is missing."""

from __future__ import annotations

import importlib

from zoo.core.errors import ZooError, listing


def require(extra: str, what: str, *modules: str) -> None:
    """Check that the optional dependencies of a feature can be imported.

    Args:
        extra: The extra of the package `gan-zoo` that installs them.
        what: The feature, for the message.
        modules: The modules to import.

    Raises:
        ZooError: A module is missing; the message gives the command that installs it.
    """
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    if missing:
        which = "which is" if len(missing) == 1 else "which are"
        raise ZooError(f"{what} needs {listing(missing)}, {which} not installed: {command(extra)}.")


def command(extra: str) -> str:
    """Return the command that installs the packages of `extra`."""
    return f"pip install 'gan-zoo[{extra}]' (or pip install -e '.[{extra}]' in the repository)"
