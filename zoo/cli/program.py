"""How the user calls the program, for the commands that it prints."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from zoo.registry.places import INSTALLED, ROOT

CONSOLE = "gan-zoo"


def program(elsewhere: bool = False) -> str:
    """`python run.py`, `gan-zoo` or `python -m zoo`, whichever was typed.

    Called from Python, it is what works here: `gan-zoo` once installed, else `python run.py` in the
    clone and `python -m zoo` in other folders.

    Args:
        elsewhere: for readers on other machines, without the path of run.py on this one.
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
