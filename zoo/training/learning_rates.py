"""Learning rates and betas of both networks: corrected for lazy penalties, and how they decay."""

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
    """What the optimizers of G and of D run at, in this order.

    Args:
        lr_g, lr_d: learning rates asked for.
        betas: decays of Adam's moments.
        adaptive: whether the optimizer is of Adam's family, which lazy penalties correct.
        regularizers: those in force.
        decay: `linear` and `cosine` go to 0 over the whole training.
        decay_start: share of the training after which the decay starts, in [0, 1).

    Attributes:
        settings: learning rate and betas of each network.
        lazy: what each network's learning rate was multiplied by for its lazy penalties.
        notes: what runs otherwise than asked for, in words.

    Raises:
        ZooError: there are not two betas.
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
            raise ZooError(f"model.betas={list(betas)} must be two numbers, of both moments.")
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
                    f"a penalty of the {side} acts with every={every}, so that its Adam runs at "
                    f"lr={settings[0]:.4g}, betas={[round(b, 4) for b in settings[1]]} instead of "
                    f"lr={lr:.4g}, betas={list(betas)} (Karras et al., 2020)."
                )

    def reset(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Put these settings in place of those that a checkpoint brought along."""
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group.update(optimizer.defaults)

    def set_progress(self, optimizers: Sequence[torch.optim.Optimizer], done: float) -> None:
        """Let the learning rates decay to where a share `done` of the training is over."""
        share = max(0.0, (min(1.0, done) - self.decay_start) / (1 - self.decay_start))
        factor = 1 - share if self.decay == "linear" else 0.5 * (1 + math.cos(math.pi * share))
        for optimizer, (lr, _) in zip(optimizers, self.settings, strict=True):
            set_learning_rate(optimizer, lr * factor)
