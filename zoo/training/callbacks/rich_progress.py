"""The progress bar of the package `rich`, in the place of the plain one."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from zoo.core.extras import require
from zoo.registry import callback
from zoo.training.callbacks.base import Callback, bar_texts
from zoo.training.lightning_internals import RichBar


@callback("rich_progress")
class RichProgress(Callback, RichBar):
    """A coloured bar with `D`, `G` and `images/s`, renewed once a second; needs the package rich.

    It takes the place of `callbacks.progress`: of several bars the last one chosen is shown.

    Args:
        leave: keep the bar of each epoch in the terminal.
    """

    def __init__(self, leave: bool = False) -> None:
        require("rich", "callback=rich_progress", "rich")
        super().__init__(refresh_rate=1, leave=leave)

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        return bar_texts(pl_module.shown)
