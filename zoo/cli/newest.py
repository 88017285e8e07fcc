"""`ckpt=last`, `resume=last` and `model.start=last`: the newest training here."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.cli.grammar import key_of, quote, value_of
from zoo.cli.program import program
from zoo.core.errors import ZooError, printable

DEEPEST = 6
"""Folders between the working directory and a run."""


def name_newest(arguments: list[str]) -> list[str]:
    """The arguments with the newest run's folder in place of `last`, which is printed.

    A file or a folder that is called `last` comes first.

    Raises:
        ZooError: there is no training below the working directory.
    """
    named = list(arguments)
    for i, text in enumerate(named):
        key = key_of(text)
        if key in ("ckpt", "resume", "model.start") and value_of([text], key) == "last":
            if Path("last").exists():
                continue
            run = newest_run(Path.cwd())
            if run is None:
                raise ZooError(
                    f"{key}=last: there is no training below {Path.cwd()}; the first one is made "
                    f"by {program()}, and a model of the zoo's own is ckpt=mnist"
                )
            print(printable(f"note: {key}=last is {run}"))
            named[i] = f"{key}={quote(str(run))}"
    return named


def newest_run(folder: Path) -> Path | None:
    """The run below `folder` whose last checkpoint is the newest, relative to it."""
    return next(iter(runs_below(folder)), None)


def runs_below(folder: Path) -> list[Path]:
    """The runs below `folder`, relative to it, the one with the newest last checkpoint first."""
    found: list[tuple[float, Path]] = []
    for place, folders, files in os.walk(folder):
        where = Path(place).relative_to(folder)
        if where.name == "checkpoints" and "last.ckpt" in files:
            found.append((Path(place, "last.ckpt").stat().st_mtime, where.parent))
        deep = len(where.parts) > DEEPEST
        folders[:] = [] if deep else sorted(f for f in folders if not f.startswith("."))
    return [run for _, run in sorted(found, reverse=True)]
