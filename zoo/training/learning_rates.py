"""Learning rates and betas of both networks: their correction for lazy penalties, and the decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch

from zoo.contracts.regularizer import Regularizer
from zoo.core.errors import ZooError
from zoo.training.optimizers import lazy_adam, lazy_interval, set_learning_rate

Decay = Literal["none", "linear", "cosine"]


class LearningRates:
    """The learning rates and betas of the optimizers of G and D.

    Args:
        lr_g, lr_d: The learning rates as set by the user.
        betas: The decay rates of Adam's two moments.
        adaptive: Whether the optimizer belongs to Adam's family, whose settings have to be
            corrected for lazy penalties.
        regularizers: All regularizers of the training.
        decay: `linear` or `cosine` for a decay to 0 at the end of the training.
        decay_start: The share of the training after which the decay starts, in [0, 1).

    Attributes:
        settings: The corrected learning rate and betas of G and of D.
        lazy: The factors by which the learning rates of G and of D were corrected.
        notes: Sentences about settings that were corrected.

    Raises:
        ZooError: `betas` does not have two elements.
    """

    def __init__(
        self,
        lr_g: float,
        lr_d: float,
        betas: Sequence[float],
        adaptive: bool,
        regularizers: Sequence[Regularizer],
        decay: Decay = "none",
        decay_start: float = 0.0,
    ) -> None:
        if len(betas) != 2:
            raise ZooError(f"model.betas={list(betas)} must be two numbers, one for each moment.")
        self.decay = decay
        self.decay_start = decay_start
        self.settings: list[tuple[float, tuple[float, float]]] = []
        self.lazy: list[float] = []
        self.notes: list[str] = []
        for side, lr in (("generator", lr_g), ("discriminator", lr_d)):
            every = lazy_interval(regularizers, side) if adaptive else 1
            settings = lazy_adam(lr, (float(betas[0]), float(betas[1])), every)
            self.lazy.append(every / (every + 1) if every > 1 else 1.0)
            self.settings.append(settings)
            if every > 1:
                self.notes.append(
                    f"since a penalty of the {side} has every={every}, its Adam uses "
                    f"lr={settings[0]:.4g}, betas={[round(b, 4) for b in settings[1]]} instead of "
                    f"lr={lr:.4g}, betas={list(betas)} (Karras et al., 2020)."
                )

    def reset(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Replace settings loaded from a checkpoint by those the optimizers were created with."""
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group.update(optimizer.defaults)

    def set_progress(self, optimizers: Sequence[torch.optim.Optimizer], done: float) -> None:
        """Set the learning rates for a training of which the share `done`, in [0, 1], is over."""
        share = max(0.0, (min(1.0, done) - self.decay_start) / (1 - self.decay_start))
        factor = 1 - share if self.decay == "linear" else 0.5 * (1 + math.cos(math.pi * share))
        for optimizer, (lr, _) in zip(optimizers, self.settings, strict=True):
            set_learning_rate(optimizer, lr * factor)
