"""The progress bar, which shows both losses and the images per second."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated, Any

import pytorch_lightning as pl

from zoo.core.streams import is_terminal
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Callback, bar_texts


@callback("progress")
class Progress(Callback, pl.callbacks.TQDMProgressBar):
    """Lightning's progress bar with `D`, `G` and `images/s`, updated at fixed time intervals.

    A bar updated every n steps would either take half the time of fast steps or seem to hang during
    slow ones. In a file or a pipe, where every update adds a line, there are at least 10 seconds
    between updates.

    Args:
        every_seconds: The time between two updates.
    """

    def __init__(self, every_seconds: Annotated[float, at_least(0)] = 0.25) -> None:
        super().__init__(refresh_rate=1)
        self.every_seconds = every_seconds if is_terminal(sys.stdout) else max(10.0, every_seconds)
        self._next = 0.0

    def on_train_start(self, *arguments: Any) -> None:
        self._next = time.monotonic()
        super().on_train_start(*arguments)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        with contextlib.suppress(TypeError):  # there is no bar yet
            self.train_progress_bar.close()  # so that the error message starts on a new line

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now < self._next and batch_idx + 1 != self.train_progress_bar.total:
            return
        self._next = now + self.every_seconds
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # An epoch may also end early, at max_steps.
        self.train_progress_bar.n = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        super().on_train_epoch_end(trainer, pl_module)

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        return bar_texts(pl_module.shown)
