"""What callbacks give to those loggers that take it: pictures, files, tables, checkpoints.

What a logger cannot take, because its server is not reached or its disk is full, is lost to its log
and not to the training, which goes on with a warning: the files lie in the run's folder.
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
def _not_ending_the_training(logger: Any, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of a client library, which may raise anything
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"{type(logger).__name__} did not take {what} ({reason}).", ZooWarning, stacklevel=3
        )


def log_picture(trainer: pl.Trainer, name: str, picture: Image.Image) -> None:
    """Give a picture to every logger that takes some."""
    for logger in trainer.loggers:
        with _not_ending_the_training(logger, f"the picture {name!r}"):
            if hasattr(logger, "log_image"):
                logger.log_image(name, [picture], step=trainer.global_step)
            elif isinstance(logger, pl.loggers.TensorBoardLogger):  # Lightning's own
                from torchvision.transforms.functional import pil_to_tensor

                logger.experiment.add_image(name, pil_to_tensor(picture), trainer.global_step)


def log_file(trainer: pl.Trainer, name: str, file: Path) -> None:
    """Give a finished file to every logger that keeps some."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_file"):
            with _not_ending_the_training(logger, file.name):
                logger.log_file(name, file, trainer.global_step)


def log_table(loggers: list[Any], name: str, rows: list[dict[str, Any]], step: int) -> None:
    """Give a table to every logger that keeps some; an empty cell where a row has no such value."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for logger in loggers:
        if hasattr(logger, "log_table"):
            data = [[row.get(column) for column in columns] for row in rows]
            with _not_ending_the_training(logger, f"the table {name!r}"):
                logger.log_table(name, columns, data, step=step)


def log_checkpoint(
    trainer: pl.Trainer, file: Path, aliases: list[str], facts: dict[str, Any], final: bool
) -> None:
    """Give a checkpoint to every logger that was asked to keep some.

    Args:
        facts: that are kept beside it.
        final: it is the last or the best of the training; others are for those that keep all.
    """
    loggers: list[Any] = trainer.loggers
    for logger in loggers:
        keeps = getattr(logger, "keeps_models", False)
        if keeps and (final or keeps == "all"):
            with _not_ending_the_training(logger, file.name):
                logger.log_checkpoint(file, aliases, facts)
