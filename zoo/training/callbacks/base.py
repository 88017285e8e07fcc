"""What callbacks have in common, and those that log figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch


class Callback(pl.Callback):
    """What looks at a training from outside: Lightning's hooks, and what it has to say at the end.

    A subclass takes what it may set as arguments, and `folder`, the run's folder, if it wants it.

    Attributes:
        needs_figures: whether it works on what another callback measures.
    """

    needs_figures: ClassVar[bool] = False

    def summary(self) -> dict[str, Any]:
        """Lines for the end of the training, by what they are about; a path is shown as one."""
        return {}


def bar_texts(values: Mapping[str, float]) -> dict[str, str]:
    """What a progress bar shows of the last means: both losses, and the speed."""
    names = {"D": "loss_d", "G": "loss_g"}
    texts = {k: f"{values[name]:.3f}" for k, name in names.items() if name in values}
    if "images_per_second" in values:
        texts["images/s"] = f"{values['images_per_second']:,.0f}"
    return texts


def is_due(monitor: str | None, figures: Mapping[str, float], trainer: pl.Trainer) -> bool:
    """Whether `figures` are what a callback that monitors one of them waits for.

    They may be of another callback that measures; of the only one they must hold it.
    """
    measuring = [c for c in trainer.callbacks if isinstance(c, Measures)]  # type: ignore[attr-defined]
    return monitor in figures or len(measuring) == 1


class Measures(Callback):
    """A callback that logs figures at times of its own, which need not be the end of an epoch."""

    def report(self, trainer: pl.Trainer, pl_module: Any, figures: dict[str, float]) -> None:
        """Log `figures` of the generator as it is; callbacks that have `on_figures` are told."""
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in figures.items()})
        row = {**figures, "images_seen": pl_module.images_seen, "epoch": trainer.current_epoch}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
            logger.save()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_figures"):
                callback.on_figures(trainer, pl_module, figures)
