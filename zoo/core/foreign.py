"""Reading text files from untrusted sources with bounded memory."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

MOST_TEXT = 2**26
"""The most bytes of a text file that is read as a whole."""
MOST_COLUMNS = 200
"""The most columns of a log, since each one becomes a curve in a plot."""
MOST_LINE = 2**20
"""The most characters in a line of a log; in a sparse file, a line may be longer than the disk."""


def check_file(file: Path) -> None:
    """Reject anything but a regular file; reading a pipe or a device might never end.

    Raises:
        OSError: It is not a regular file, or is missing.
    """
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError("it is not a regular file")


def read_text(file: Path, most: int = MOST_TEXT, encoding: str = "utf-8") -> str:
    """Return the text of a file that has at most `most` bytes.

    Raises:
        OSError: The file is longer, missing, or not a regular file.
        UnicodeDecodeError: It is not a text in this encoding.
    """
    check_file(file)
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(f"it has more than {most:,} bytes")
    return content.decode(encoding)


def read_lines(log: TextIO) -> Iterator[str]:
    """Iterate over the lines of a log.

    Raises:
        ValueError: A line is too long.
    """
    while line := log.readline(MOST_LINE):
        if len(line) == MOST_LINE:
            raise ValueError(f"it has a line of {MOST_LINE:,} characters or more")
        yield line


def read_rows(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Iterate over the rows of a log in CSV format.

    Rows are read one at a time, since even a short line becomes a row with all columns.

    Raises:
        ValueError: The log has too many columns, or a cell that is too long.
    """
    rows = csv.DictReader(lines)
    try:
        if len(rows.fieldnames or ()) > MOST_COLUMNS:
            raise ValueError(f"it has more than {MOST_COLUMNS} columns")
        yield from rows
    except csv.Error as error:
        raise ValueError(str(error)) from error
