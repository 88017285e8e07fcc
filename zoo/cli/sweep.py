"""The callback that Hydra calls at the beginning and the end of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from zoo.core.errors import shown
from zoo.explore.compare import compare


class CompareRuns(Callback):
    """A callback for Hydra that compares the runs of a sweep (`-m`) when it ends."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Print where the runs' output goes if a launcher redirects it to files."""
        if place := config.hydra.launcher.get("submitit_folder"):  # one folder per job, `…/%j`
            print(f"the runs print to files in {shown(Path(place).parent)}", flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the comparison of the runs, and print its summary."""
        for label, value in compare(Path(config.hydra.sweep.dir)).items():
            print(f"{label:<7}  {value}")
