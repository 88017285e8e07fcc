"""What Hydra calls at the end of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from zoo.explore.compare import compare


class CompareRuns(Callback):
    """Hydra's callback: after `-m`, compares the runs of the sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        for label, value in compare(Path(config.hydra.sweep.dir)).items():
            print(f"{label:<7}  {value}")
