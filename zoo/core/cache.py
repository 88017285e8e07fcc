"""The folders of data sets and of caches, which environment variables can set."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> str:
    """Return the folder of data sets: `$ZOO_DATA_DIR`, or `data` by default."""
    return os.environ.get("ZOO_DATA_DIR", "data")


def cache_dir() -> Path:
    """Return the folder for data that can be computed again: decoded images, reference features.

    This is `$ZOO_CACHE`, else `$XDG_CACHE_HOME/gan-zoo`, else `~/.cache/gan-zoo`.
    """
    if own := os.environ.get("ZOO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
