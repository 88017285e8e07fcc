"""What Hydra calls at the beginning and at the end of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from zoo.core.errors import shown
from zoo.explore.compare import compare


class CompareRuns(Callback):
    """Hydra's callback: after `-m`, compares the runs of the sweep."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Say where one can look on, where runs print into files of a launcher."""
        if place := config.hydra.launcher.get("submitit_folder"):  # one for each job, `…/%j`
            print(f"what the runs print goes to {shown(Path(place).parent)}", flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        for label, value in compare(Path(config.hydra.sweep.dir)).items():
            print(f"{label:<7}  {value}")
