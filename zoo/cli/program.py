"""The command with which the user calls the program, to be used in printed commands."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from zoo.registry.places import INSTALLED, ROOT

CONSOLE = "gan-zoo"


def program(elsewhere: bool = False) -> str:
    """Return `python run.py`, `gan-zoo` or `python -m zoo`, whichever the user typed.

    When called from Python, return the command that works here: `gan-zoo` if it is installed, else
    `python run.py` in the clone and `python -m zoo` in other folders.

    Args:
        elsewhere: whether the command is for readers on other machines, and should not contain the
            path of run.py on this one.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name == "zoo.__main__":
        return "python -m zoo"
    script = Path(sys.argv[0] if sys.argv else "")
    if script.stem == CONSOLE:
        return CONSOLE
    if script.name == "run.py" and not elsewhere:
        inside = script.absolute().is_relative_to(Path.cwd())
        return f"python {shlex.quote(os.path.relpath(script) if inside else str(script))}"
    if INSTALLED:
        return CONSOLE
    return "python run.py" if elsewhere or Path.cwd().samefile(ROOT) else "python -m zoo"
