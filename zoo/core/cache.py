"""Folders that the environment may name: of data sets, and of what the zoo can make again."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> str:
    """The folder of data sets: `$ZOO_DATA_DIR`, else `data`."""
    return os.environ.get("ZOO_DATA_DIR", "data")


def cache_dir() -> Path:
    """The folder of decoded pictures and of features of reference images.

    `$ZOO_CACHE`, else `$XDG_CACHE_HOME/gan-zoo`, else `~/.cache/gan-zoo`.
    """
    if own := os.environ.get("ZOO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
