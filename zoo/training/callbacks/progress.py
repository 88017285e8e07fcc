"""The progress bar: both losses and images per second, renewed a few times a second."""

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
    """Lightning's bar with `D`, `G` and `images/s`, renewed by the clock.

    A bar renewed every n steps would either cost a fast step half its time or look dead in a slow
    one. In a file or a pipe, where every renewal stays, it is renewed at most every 10 s.

    Args:
        every_seconds: the time between two renewals.
    """

    def __init__(self, every_seconds: Annotated[float, at_least(0)] = 0.25) -> None:
        super().__init__(refresh_rate=1)
        self.every_seconds = every_seconds if is_terminal(sys.stdout) else max(10.0, every_seconds)
        self._next = 0.0

    def on_train_start(self, *arguments: Any) -> None:
        self._next = time.monotonic()
        super().on_train_start(*arguments)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        with contextlib.suppress(TypeError):  # there is none yet
            self.train_progress_bar.close()  # so that what is told begins a line of its own

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
