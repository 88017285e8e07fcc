"""Files that may come from anywhere, read no further than they may be long."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

MOST_TEXT = 2**26
"""Bytes of a text that is read as a whole."""
MOST_COLUMNS = 200
"""The most columns of a log: each is a curve that a picture has to hold."""
MOST_LINE = 2**20
"""Letters of a line of a log: a file with holes may have a line far longer than its bytes."""


def check_file(file: Path) -> None:
    """Refuse what a reader would wait for, or read without an end: a pipe, a device.

    Raises:
        OSError: it is none, or missing.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError("it is no file")


def read_text(file: Path, most: int = MOST_TEXT, encoding: str = "utf-8") -> str:
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
    return content.decode(encoding)


def read_lines(log: TextIO) -> Iterator[str]:
    """The lines of a log, one at a time.

    Raises:
        ValueError: one is too long.
    """
    while line := log.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise ValueError(f"it has a line of {MOST_LINE:,} letters or more")
        yield line


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
