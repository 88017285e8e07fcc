"""What callbacks that log figures have in common."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class Measures(pl.Callback):
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
                callback.on_figures(trainer, pl_module)
