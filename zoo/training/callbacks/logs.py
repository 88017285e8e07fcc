"""Passing images, files, tables and checkpoints to the loggers that support them.

If a logger fails, because its server cannot be reached or a disk is full, the training continues
with a warning. Only that log is incomplete: the files themselves are in the run's folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image

from zoo.core.errors import ZooWarning


@contextmanager
def _warn_on_failure(logger: Any, item: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # client libraries may raise anything
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"{type(logger).__name__} could not log {item} ({reason}).", ZooWarning, stacklevel=3
        )


def log_picture(trainer: pl.Trainer, name: str, picture: Image.Image) -> None:
    """Log an image to every logger that supports images."""
    for logger in trainer.loggers:
        with _warn_on_failure(logger, f"the image {name!r}"):
            if hasattr(logger, "log_image"):
                logger.log_image(name, [picture], step=trainer.global_step)
            elif isinstance(logger, pl.loggers.TensorBoardLogger):  # Lightning's own
                from torchvision.transforms.functional import pil_to_tensor

                logger.experiment.add_image(name, pil_to_tensor(picture), trainer.global_step)


def log_file(trainer: pl.Trainer, name: str, file: Path) -> None:
    """Log a finished file to every logger that stores files."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_file"):
            with _warn_on_failure(logger, file.name):
                logger.log_file(name, file, trainer.global_step)


def log_table(loggers: list[Any], name: str, rows: list[dict[str, Any]], step: int) -> None:
    """Log a table to every logger that supports tables; values missing in a row are None."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for logger in loggers:
        if hasattr(logger, "log_table"):
            data = [[row.get(column) for column in columns] for row in rows]
            with _warn_on_failure(logger, f"the table {name!r}"):
                logger.log_table(name, columns, data, step=step)


def log_checkpoint(
    trainer: pl.Trainer, file: Path, aliases: list[str], facts: dict[str, Any], final: bool
) -> None:
    """Pass a checkpoint to every logger that was configured to store checkpoints.

    Args:
        trainer: The trainer with the loggers.
        file: The checkpoint.
        aliases: Its names in the logger, for instance `best`.
        facts: Metadata to store with it.
        final: Whether it is the last or the best checkpoint of the training; any others go only to
            loggers that store all checkpoints.
    """
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        keeps = getattr(logger, "keeps_models", False)
        if keeps and (final or keeps == "all"):
            with _warn_on_failure(logger, file.name):
                logger.log_checkpoint(file, aliases, facts)
