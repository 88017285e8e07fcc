"""Standard streams, which may be closed if a service or a desktop starts the program."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_closed_streams() -> None:
    """Open the null device for every standard stream that is closed, as by a shell's `>&-`.

    Python sets such a stream to None. Its file descriptor would be given to the next file that is
    opened, and libraries would print into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # stays open


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; a closed stream (None) is not."""
    return stream is not None and stream.isatty()
