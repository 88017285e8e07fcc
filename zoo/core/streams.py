"""Standard streams that may be closed, as where a service or a window starts the program."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_closed_streams() -> None:
    """Let what has no stream read and write nothing, as where a shell says `>&-`.

    Python leaves None in its place, and the number to the next file that is opened, into which
    a library would print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # lives on


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody watches what is printed there; None is a closed stream."""
    return stream is not None and stream.isatty()
