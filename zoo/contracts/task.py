"""What the program can do with a configuration: `task=NAME`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Run:
    """Where a task runs, and what it was asked for.

    Attributes:
        folder: of the run; what the task writes goes there.
        config: the whole configuration as plain values, of which a task's own options are a part.
        overrides: of the command line, without those of Hydra's own settings.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()


class Task(ABC):
    """A command of the program; its signature is its options, its docstring its help.

    From Python a folder is enough: `zoo.create("task", "sample", ckpt="mnist")("pictures")`.

    Attributes:
        uses: sections of the configuration that it looks at, besides its own options; whoever sets
            another one is told that it does nothing.
        instead: by section that it does not use, what does the same.
        writes_files: whether it leaves anything in the run's folder; where it does not, there is no
            such folder, and it works where nothing can be written.
        printed: labels of its summary that it has printed itself.
    """

    uses: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[Mapping[str, str]] = {}
    writes_files: ClassVar[bool] = True
    printed: tuple[str, ...] = ()

    def __call__(self, run: Run | str | os.PathLike[str]) -> dict[str, Any]:
        """Run in the folder of `run`, or in a folder; the summary by label."""
        return self.run(run if isinstance(run, Run) else Run(Path(run)))

    @abstractmethod
    def run(self, run: Run) -> dict[str, Any]:
        """Do the work; what it returns is printed at its end: labels with texts, numbers, paths."""
