"""Early stopping: ending a training whose metric does not improve any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytorch_lightning as pl

from zoo.core.errors import ZooError
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Callback, Measures, held_to, is_due


@callback("early_stopping")
class EarlyStopping(Callback):
    """Ends a training once a metric has not improved for `patience` evaluations.

    Lightning's own early stopping checks once per epoch. This callback checks after each evaluation
    by `callbacks.evaluate` (or another callback that measures), even in the middle of an epoch. If
    `callbacks.checkpoints.monitor` names the same metric, `best.ckpt` is the best checkpoint of the
    training.

    Args:
        monitor: The metric to monitor, for instance `fid`.
        mode: Whether low or high values of `monitor` are better.
        patience: The number of evaluations without improvement after which the training ends.
        min_delta: The smallest change in the metric that counts as an improvement.

    Attributes:
        best: The best value so far.
        waited: The number of evaluations since.
    """

    needs_figures = True

    def __init__(
        self,
        monitor: str = "fid",
        mode: Literal["min", "max"] = "min",
        patience: Annotated[int, at_least(1)] = 5,
        min_delta: Annotated[float, at_least(0)] = 0.0,
    ) -> None:
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf if mode == "min" else -math.inf
        self.waited = 0

    def watched(self) -> dict[str, str]:
        return {"callbacks.early_stopping.monitor": self.monitor}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "of": [self.monitor, self.mode]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["of"] == [self.monitor, self.mode]:
            self.best = held_to(float, state_dict["best"])
            self.waited = held_to(int, state_dict["waited"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not any(isinstance(c, Measures) for c in trainer.callbacks):  # type: ignore[attr-defined]
            raise ZooError(
                "callbacks.early_stopping needs metrics, but no callback measures any: use "
                "callbacks=early_stopping, which includes callbacks.evaluate."
            )

    def on_figures(self, trainer: pl.Trainer, pl_module: Any, figures: Mapping[str, float]) -> None:
        """Check the metrics that a callback has just measured."""
        if not is_due(self.monitor, figures, trainer):
            return
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise ZooError(
                f"callbacks.early_stopping.monitor={self.monitor} is not measured; this training "
                f"measures: {logged}."
            )
        value = float(trainer.callback_metrics[self.monitor])
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:  # false for NaN
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience and not trainer.should_stop:
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(
                    f"\nnote: the training ends early, since {self.monitor} has not improved on "
                    f"{self.best:.4g} in {self.waited} evaluations "
                    "(callbacks.early_stopping.patience)."
                )
