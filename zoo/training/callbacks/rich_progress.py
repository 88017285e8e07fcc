"""A progress bar of the package `rich`, instead of the plain one."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from zoo.core.extras import require
from zoo.registry import callback
from zoo.training.callbacks.base import Callback, bar_texts
from zoo.training.lightning_internals import RichBar


@callback("rich_progress")
class RichProgress(Callback, RichBar):
    """A colored progress bar with `D`, `G` and `images/s`, updated once per second; needs `rich`.

    It replaces `callbacks.progress`: if several progress bars are chosen, the last one is shown.

    Args:
        leave: Whether to keep the bar of each epoch in the terminal.
    """

    def __init__(self, leave: bool = False) -> None:
        require("rich", "callback=rich_progress", "rich")
        super().__init__(refresh_rate=1, leave=leave)

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        return bar_texts(pl_module.shown)
