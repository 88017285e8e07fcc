"""Lightning's private names, all that the zoo uses.

tests/training/test_lightning_internals.py watches them.
"""

from __future__ import annotations

import functools
from typing import Any

import pytorch_lightning as pl

RUNNING_HOOK = "_current_fx_name"
"""Attribute of a module in which Lightning notes the running hook, twenty times in a step."""


def remember_batch_hooks(trainer: pl.Trainer) -> None:
    """Look up once whose hooks move a batch to the device, module's or data's.

    Lightning asks three times a step.
    """
    selector: Any = trainer._data_connector._datahook_selector
    selector.get_instance = functools.cache(selector.get_instance)


def writer_options(logger: pl.loggers.TensorBoardLogger) -> dict[str, Any]:
    """What the logger will hand to TensorBoard's writer; changes count until it is made."""
    return logger._kwargs


def wandb_options(logger: pl.loggers.WandbLogger) -> dict[str, Any]:
    """What the logger will hand to `wandb.init`; changes count until the run is made."""
    return logger._wandb_init
