"""A table of the networks' layers and the numbers of their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.model_summary import summarize

from zoo.core.atomic import write_text
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Callback


@callback("model_summary")
class ModelSummary(Callback):
    """Prints a table of all layers with their numbers of parameters, and saves it as `model.txt`.

    Args:
        folder: The run's folder.
        max_depth: The depth of nested layers that get rows of their own: 1 for the networks only,
            -1 for all layers.
    """

    def __init__(self, folder: str, max_depth: Annotated[int, at_least(-1)] = 2) -> None:
        self.file = Path(folder) / "model.txt"
        self.max_depth = max_depth

    def summary(self) -> dict[str, Any]:
        return {"model": self.file} if self.file.is_file() else {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            table = str(summarize(pl_module, max_depth=self.max_depth))
            print(table, flush=True)
            write_text(self.file, f"{table}\n")
