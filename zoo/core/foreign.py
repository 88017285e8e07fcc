"""Files that may come from anywhere, read no further than they may be long."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST_TEXT = 2**26
"""Bytes of a text that is read as a whole."""


def check_file(file: Path) -> None:
    """Refuse what a reader would wait for, or read without an end: a pipe, a device.

    Raises:
        OSError: it is none, or missing.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError("it is no file")


def read_text(file: Path, most: int = MOST_TEXT) -> str:
    """The text of a file of at most so many bytes.

    Raises:
        OSError: it is longer, missing, or no file.
        UnicodeDecodeError: it is no text.
    """
    check_file(file)
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(f"it has more than {most:,} bytes")
    return content.decode("utf-8")
