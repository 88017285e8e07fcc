"""Files that may come from anywhere, read no further than they may be long."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_TEXT = 2**26
"""Bytes of a text that is read as a whole."""
MOST_COLUMNS = 200
"""Of a log: one curve each, which a picture has to hold."""


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


def read_rows(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of a log, one at a time: a short line may stand for a long row.

    Raises:
        ValueError: it has too many columns, or a cell that is too long.
    """
    rows = csv.DictReader(lines)
    try:
        if len(rows.fieldnames or ()) > MOST_COLUMNS:
            raise ValueError(f"it has more than {MOST_COLUMNS} columns")
        yield from rows
    except csv.Error as error:
        raise ValueError(str(error)) from error
