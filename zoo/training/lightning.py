"""The adapter between the training step and Lightning, without most of Lightning's overhead."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn

from zoo.core.distributed import average_gradients
from zoo.core.errors import ZooError, listing
from zoo.training.backend import Backend
from zoo.training.lightning_internals import (
    RUNNING_HOOK,
    count_no_gpus,
    end_epochs_whole,
    remember_batch_hooks,
)

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
DOUBLE = "64-true"
"""A precision for exact comparisons, in a user's own trainer."""


class NoProfiler(PassThroughProfiler):
    """A profiler that does nothing, without the generator that Lightning's enters at each hook."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._nothing


class CheckpointFile(TorchCheckpointIO):
    """Writes checkpoints directly to their path.

    Lightning would write to the folder for temporary files first, which may be too small, and in
    which a killed process leaves its files behind.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None):  # type: ignore[no-untyped-def]
        # To memory first, since torch's file writer hides the errors of a disk.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.getbuffer())


class LeanModule(pl.LightningModule):
    """A LightningModule for which Lightning's overhead per step is a third lower.

    Three lookups that Lightning repeats in every step, although their results cannot change, are
    replaced: the signature of `training_step`, a module attribute, and the hooks of a batch.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "training_step" in vars(cls):
            # Lightning inspects the signature in every step; `inspect` returns an attached one.
            step: Any = cls.training_step
            step.__signature__ = inspect.signature(step)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == RUNNING_HOOK:
            vars(self)[name] = value  # never a parameter, which `nn.Module` would check
        else:
            super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        # Before the weights are converted to it.
        check_precision(str(self.trainer.precision), (*PRECISIONS, DOUBLE))
        end_epochs_whole(self.trainer)

    def on_train_start(self) -> None:
        remember_batch_hooks(self.trainer)
        count_no_gpus()


class LightningBackend(Backend):
    """Drives the optimizers directly, at a tenth of the cost of Lightning's wrappers.

    The wrappers would also count every update of D as a global step; here, a global step is one
    update of G (`count_step`). Under fp16, gradients are unscaled before the hook that clips them,
    whereas Lightning would leave unscaling to a fused optimizer, after clipping.
    """

    def __init__(self, module: pl.LightningModule) -> None:
        trainer = module.trainer
        self.module = module
        self.trainer = trainer
        self.scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.world_size = trainer.world_size
        self._progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        self._watchers: list[Any] = [
            c
            for c in trainer.callbacks  # type: ignore[attr-defined]
            if is_overridden("on_before_optimizer_step", c, pl.Callback)
        ]
        if self.scaler is not None:
            self.obstacle = "the gradient scaler of fp16 waits for the device at every update"
        elif self._watchers:
            watcher = type(self._watchers[0]).__name__
            self.obstacle = f"the callback {watcher} inspects every update"

    @property
    def loss_scale(self) -> Tensor | float:
        if self.scaler is None:
            return 1.0
        return self.scaler.scale(torch.ones((), device=self.module.device))

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        loss.backward(retain_graph=retain_graph)

    def sync_gradients(self, network: nn.Module) -> None:
        if self.world_size > 1:
            average_gradients(network)

    def optimize(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        for watcher in self._watchers:
            watcher.on_before_optimizer_step(self.trainer, self.module, optimizer)
        self.module.on_before_optimizer_step(optimizer)
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)  # skipped if a gradient is infinite
            self.scaler.update()

    def count_step(self) -> None:
        self._progress.increment_ready()
        self._progress.increment_completed()


def check_strategy(trainer: pl.Trainer) -> None:
    """Reject strategies that change backward passes or optimizer steps.

    Raises:
        ZooError: The strategy is neither a single-device strategy nor DDP.
    """
    if not isinstance(trainer.strategy, DDPStrategy | SingleDeviceStrategy):
        raise ZooError(
            f"trainer.strategy: {type(trainer.strategy).__name__} is not supported for GAN "
            "training; use auto for one device or ddp for several."
        )


def check_precision(precision: str, choices: Sequence[str] = PRECISIONS) -> None:
    """Reject precisions in which the weights would be kept in fewer than 32 bits.

    Raises:
        ZooError: The precision is none of the choices.
    """
    if precision not in (*choices, "32"):
        raise ZooError(
            f"trainer.precision={precision} is not one of {listing(choices)}; in all of these, "
            "weights are kept, and penalties computed, in 32 bits or more."
        )
