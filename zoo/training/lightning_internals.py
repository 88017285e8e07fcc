"""All uses of Lightning's private names, collected in one place.

tests/training/test_lightning_internals.py checks that they still exist and behave as expected.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import pytorch_lightning as pl
import torch

RUNNING_HOOK = "_current_fx_name"
"""The attribute in which Lightning stores the name of the running hook, twenty times per step."""

COUNTS_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""The environment variable with which Lightning makes torch count GPUs by NVIDIA's library NVML."""

LOGGING = (pl.callbacks.LearningRateMonitor,)
"""Lightning's callbacks that log metrics which other callbacks may monitor."""


def remember_batch_hooks(trainer: pl.Trainer) -> None:
    """Cache whether the module's or the data module's hooks transfer a batch to the device.

    Lightning looks this up three times per step.
    """
    selector: Any = trainer._data_connector._datahook_selector
    selector.get_instance = functools.cache(selector.get_instance)


def count_no_gpus() -> None:
    """Have torch count GPUs without NVML on a machine that has none.

    torch's optimizers count them at every step. Lightning has this done by NVML, which would then
    be searched for on the disk: 0.2 ms, a twentieth of a small step for both optimizers. NVML
    allows processes to fork after counting, which matters only where there is a GPU.
    """
    if torch.cuda.device_count() == 0:
        os.environ[COUNTS_BY_NVML] = "0"


def end_epochs_whole(trainer: pl.Trainer) -> None:
    """Make Lightning treat a checkpoint at the end of an epoch as such, even with `max_steps`.

    With `max_steps` it would take it for a checkpoint in the middle of the epoch, and the resumed
    training would begin with an epoch of a single batch.
    """
    loop: Any = trainer.fit_loop
    loop._iteration_based_training = lambda: False


def writer_options(logger: pl.loggers.TensorBoardLogger) -> dict[str, Any]:
    """Return the options for TensorBoard's writer, which can be changed until it is created."""
    return logger._kwargs


def written_version(logger: pl.loggers.CSVLogger | pl.loggers.TensorBoardLogger) -> int | None:
    """Return the version number of the log's folder; None if none has been chosen yet.

    Unlike the property `version`, this does not choose one.
    """
    return logger._version  # type: ignore[return-value]


def set_version(logger: pl.loggers.CSVLogger | pl.loggers.TensorBoardLogger, number: int) -> None:
    """Make the logger write to the folder `version_NUMBER`."""
    logger._version = number


def set_run_id(logger: pl.loggers.WandbLogger, name: str) -> None:
    """Make the logger resume the run with the id `name`."""
    logger._id = wandb_options(logger)["id"] = name


def wandb_options(logger: pl.loggers.WandbLogger) -> dict[str, Any]:
    """Return the options for `wandb.init`, which can be changed until the run is created."""
    return logger._wandb_init


class RichBar(pl.callbacks.RichProgressBar):
    """Lightning's bar, but with `Epoch 3` instead of `Epoch 3/-2` if `max_epochs` is not set."""

    def _get_train_description(self, current_epoch: int) -> str:
        text = super()._get_train_description(current_epoch)
        return text.replace("/-2", "").ljust(len(self.validation_description))
