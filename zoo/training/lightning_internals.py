"""Lightning's private names, all that the zoo uses.

tests/training/test_lightning_internals.py watches them.
"""

from __future__ import annotations

import functools
from typing import Any

import pytorch_lightning as pl

RUNNING_HOOK = "_current_fx_name"
"""Attribute of a module in which Lightning notes the running hook, twenty times in a step."""

LOGGING = (pl.callbacks.LearningRateMonitor,)
"""Lightning's callbacks that put figures among those that others may wait for."""


def remember_batch_hooks(trainer: pl.Trainer) -> None:
    """Look up once whose hooks move a batch to the device, module's or data's.

    Lightning asks three times a step.
    """
    selector: Any = trainer._data_connector._datahook_selector
    selector.get_instance = functools.cache(selector.get_instance)


def end_epochs_whole(trainer: pl.Trainer) -> None:
    """Let a checkpoint of the end of an epoch be one, also where a number of steps ends it all.

    Lightning takes it as one of its middle then: the next epoch would have one batch.
    """
    loop: Any = trainer.fit_loop
    loop._iteration_based_training = lambda: False


def writer_options(logger: pl.loggers.TensorBoardLogger) -> dict[str, Any]:
    """What the logger will hand to TensorBoard's writer; changes count until it is made."""
    return logger._kwargs


def written_version(logger: pl.loggers.CSVLogger | pl.loggers.TensorBoardLogger) -> int | None:
    """The number of the log's folder, None before it has one: `version` would choose it."""
    return logger._version  # type: ignore[return-value]


def set_version(logger: pl.loggers.CSVLogger | pl.loggers.TensorBoardLogger, number: int) -> None:
    """Have the logger write in the folder `version_NUMBER`."""
    logger._version = number


def set_run_id(logger: pl.loggers.WandbLogger, name: str) -> None:
    """Have the logger go on with the run of that id."""
    logger._id = wandb_options(logger)["id"] = name


def wandb_options(logger: pl.loggers.WandbLogger) -> dict[str, Any]:
    """What the logger will hand to `wandb.init`; changes count until the run is made."""
    return logger._wandb_init


class RichBar(pl.callbacks.RichProgressBar):
    """Lightning's bar, which says `Epoch 3`, not `3/-2`, where no number of epochs ends it."""

    def _get_train_description(self, current_epoch: int) -> str:
        text = super()._get_train_description(current_epoch)
        return text.replace("/-2", "").ljust(len(self.validation_description))
