"""A callback that ends training after some processor time, for comparisons at equal time."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pytorch_lightning as pl

from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Callback


@callback("processor_time")
class ProcessorTime(Callback):
    """Ends a training after `seconds` of processor time, added up over its threads.

    Unlike the time of the clock (`trainer.max_time`), it does not advance while other programs run.

    Args:
        seconds: the seconds of processor time, counted from the first step on.
    """

    def __init__(self, seconds: Annotated[float, at_least(0)] = 600.0) -> None:
        self.seconds = seconds
        self.start = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.start = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if time.process_time() - self.start >= self.seconds:
            trainer.should_stop = True
