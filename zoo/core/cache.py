"""Where the zoo keeps what it can make again: decoded pictures and features of reference images."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`$ZOO_CACHE`, else `$XDG_CACHE_HOME/gan-zoo`, else `~/.cache/gan-zoo`."""
    if own := os.environ.get("ZOO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
