"""The base class of tasks: what the command line can do with a configuration (`task=NAME`)."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Run:
    """One run of a task: its folder and its configuration.

    Attributes:
        folder: The run's folder, to which the task writes.
        config: The whole configuration as plain values, including the task's own options.
        overrides: The overrides given on the command line, without those of Hydra's own settings.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()


class Task(ABC):
    """A command of the program; its signature defines its options, and its docstring is the help.

    From Python, call it with a folder: `zoo.create("task", "sample", ckpt="mnist")("pictures")`.

    Attributes:
        uses: The sections of the configuration that the task reads, besides its own options. Users
            who set anything in another section are told that it has no effect.
        instead: For sections that the task does not use, the option that serves the same purpose.
        writes_files: Whether the task writes to the run's folder. If not, no folder is created, so
            that the task works in read-only places.
        printed: The labels of the summary that the task has already printed itself.
    """

    uses: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[Mapping[str, str]] = {}
    writes_files: ClassVar[bool] = True
    printed: tuple[str, ...] = ()

    def __call__(self, run: Run | str | os.PathLike[str]) -> dict[str, Any]:
        """Run the task for a `Run` or in a folder, and return its summary by label."""
        return self.run(run if isinstance(run, Run) else Run(Path(run)))

    @abstractmethod
    def run(self, run: Run) -> dict[str, Any]:
        """Run the task and return its summary: texts, numbers or paths by label.

        The command line prints the summary at the end.
        """
