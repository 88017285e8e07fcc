"""Find the newest training below the working directory, which `last` stands for as a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.cli.grammar import key_of, quote, value_of
from zoo.cli.program import program
from zoo.core.errors import ZooError, printable

DEEPEST = 6
"""The largest number of folders between the working directory and a run."""


def name_newest(arguments: list[str]) -> list[str]:
    """Replace `last` in `ckpt=last`, `resume=last` and `model.start=last` by the newest run.

    The run's folder is printed. A file or folder that is itself named `last` takes precedence.

    Raises:
        ZooError: there is no training below the working directory.
    """
    replaced = list(arguments)
    for i, text in enumerate(replaced):
        key = key_of(text)
        if key in ("ckpt", "resume", "model.start") and value_of([text], key) == "last":
            if Path("last").exists():
                continue
            run = newest_run(Path.cwd())
            if run is None:
                resumes = key == "resume" or (value_of(arguments, "task") or "train") == "train"
                other = f", or use a model that comes with the zoo, such as {key}=mnist"
                raise ZooError(
                    f"{key}=last: there is no training below {Path.cwd()}; start one with "
                    f"{program()}{'' if resumes and key != 'model.start' else other}"
                )
            print(printable(f"note: {key}=last is {run}"))
            replaced[i] = f"{key}={quote(str(run))}"
    return replaced


def newest_run(folder: Path) -> Path | None:
    """Return the first of `runs_below(folder)`, or None without a run."""
    return next(iter(runs_below(folder)), None)


def runs_below(folder: Path) -> list[Path]:
    """Return the runs below `folder` as relative paths, sorted by last checkpoint, newest first."""
    runs: list[tuple[float, Path]] = []
    for place, folders, files in os.walk(folder):
        where = Path(place).relative_to(folder)
        if where.name == "checkpoints" and "last.ckpt" in files:
            runs.append((Path(place, "last.ckpt").stat().st_mtime, where.parent))
        deep = len(where.parts) > DEEPEST
        folders[:] = [] if deep else sorted(f for f in folders if not f.startswith("."))
    return [run for _, run in sorted(runs, reverse=True)]
