"""The progress bar: both losses and images per second, renewed a few times a second."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class Progress(pl.callbacks.TQDMProgressBar):
    """Lightning's bar with `D`, `G` and `images/s`.

    Args:
        refresh_rate: steps between two renewals; each costs about as much as a small step.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        values = trainer.progress_bar_metrics
        shown = {"D": "loss_d", "G": "loss_g"}
        texts = {k: f"{values[name]:.3f}" for k, name in shown.items() if name in values}
        if "images_per_second" in values:
            texts["images/s"] = f"{values['images_per_second']:,.0f}"
        return texts
