"""Checkpoints by images seen, written atomically; the last one, also on Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch

from zoo.core import torch_internals
from zoo.core.atomic import commit, keep
from zoo.core.errors import OwnError, ZooError
from zoo.registry import at_least, callback, idle_when
from zoo.registry.spec import spec
from zoo.training.callbacks.base import Callback, Measures, held_to, is_due, may_log
from zoo.training.callbacks.logs import log_checkpoint
from zoo.training.window import NonFiniteError

_VOTE_EVERY = 10
"""Steps between two questions to all processes whether one was told to stop."""

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)  # not everywhere
)
"""Signals that end a training with a checkpoint."""


@callback("checkpoints")
class Checkpoints(Callback, pl.callbacks.Checkpoint):
    """Writes `checkpoints/last.ckpt`, `images_NNNNNNNNN.ckpt` every n images, and `best.ckpt`.

    `previous.ckpt` is the last one before: resuming takes it where `last.ckpt` is damaged or lost.

    Ctrl-C lets the running step end, writes `last.ckpt` and stops, so that the run can be resumed
    to the same weights that it would have reached. A second Ctrl-C stops at once. So do the signals
    with which batch systems and containers end a program (SIGTERM), with which SLURM warns of the
    end (SIGUSR1), and that a closed terminal sends (SIGHUP).

    Args:
        folder: the run's folder.
        every_n_images: keep a numbered checkpoint whenever n more images were seen; null for none.
        every_n_epochs: renew `last.ckpt` every n epochs, and always at the end.
        monitor: a logged metric, for instance `fid`; null for no `best.ckpt`.
        mode: whether a low or a high value of `monitor` is better.

    Attributes:
        last: the newest checkpoint.
        stopped_by: the signal that told the process to stop.
    """

    def __init__(
        self,
        folder: str,
        every_n_images: Annotated[int, at_least(1)] | None = 500_000,
        every_n_epochs: Annotated[int, at_least(1)] = 1,
        monitor: str | None = None,
        mode: Annotated[Literal["min", "max"], idle_when(monitor=None)] = "min",
    ) -> None:
        self.folder = Path(folder) / "checkpoints"
        self.every_n_images = every_n_images
        self.every_n_epochs = every_n_epochs
        self.monitor = monitor
        self.mode = mode
        self.best_score = math.inf if mode == "min" else -math.inf
        self.stopped_by: signal.Signals | None = None
        self._terminals: list[int] = []
        self._seen = 0
        self._written = -1
        self._world_size = 1
        self._handlers: dict[int, Any] = {}

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def previous(self) -> Path:
        """The one before, which resuming takes where the last one is damaged or lost."""
        return self.folder / "previous.ckpt"

    def watched(self) -> dict[str, str]:
        return {} if self.monitor is None else {"callbacks.checkpoints.monitor": self.monitor}

    def summary(self) -> dict[str, Any]:
        return {"checkpoint": self.last}

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = (self.folder / "best.ckpt").is_file()  # not so in a new folder
        before = [state_dict.get("monitor", self.monitor), state_dict.get("mode", self.mode)]
        best = held_to(float, state_dict["best_score"])
        if kept and before == [self.monitor, self.mode]:
            self.best_score = best

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen = pl_module.images_seen
        self._world_size = trainer.world_size
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.stopped_by is not None:
            if number == self.stopped_by == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.stopped_by = signal.Signals(number)
        if number == getattr(signal, "SIGHUP", None):
            # The terminal has gone: writing to it would fail before the checkpoint is written.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in self._terminals:
                os.dup2(nowhere, terminal)
            os.close(nowhere)
        if number == signal.SIGINT:
            # Not print, which might be interrupted in the middle of itself.
            os.write(2, b"\nfinishing the step; Ctrl-C again stops at once\n")

    def _release(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        n, seen = self.every_n_images, pl_module.images_seen
        if n is not None and seen // n > self._seen // n:
            numbered = self.folder / f"images_{seen:09d}.ckpt"
            self.save(trainer, pl_module, numbered)
            if trainer.is_global_zero:
                log_checkpoint(trainer, numbered, [numbered.stem], _facts(pl_module), final=False)
        self._seen = seen
        if self._told_to_stop(trainer, batch_idx):
            self.save(trainer, pl_module)
            self._give_to_loggers(trainer, pl_module)
            raise KeyboardInterrupt
        if trainer.should_stop or trainer.global_step == trainer.max_steps:
            # Now rather than at the end, when Lightning has closed the epoch: a longer run goes on
            # in the middle of this one.
            self.save(trainer, pl_module)

    def _told_to_stop(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        if self._world_size == 1:
            return self.stopped_by is not None
        if batch_idx % _VOTE_EVERY:
            return False
        return trainer.strategy.reduce_boolean_decision(self.stopped_by is not None, all=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        known = self.monitor in trainer.callback_metrics
        if self.monitor is not None and (known or not _logged_later(trainer)):
            self.save_if_best(trainer, pl_module)
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._release()
        self.save(trainer, pl_module)
        self._give_to_loggers(trainer, pl_module)

    def _give_to_loggers(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Give the best and the last checkpoint to loggers that were asked to keep some."""
        best = self.folder / "best.ckpt"
        if trainer.is_global_zero:
            if best.is_file() and math.isfinite(self.best_score):  # else an earlier monitor's
                facts = {str(self.monitor): self.best_score}
                log_checkpoint(trainer, best, ["best"], facts, final=True)
            log_checkpoint(trainer, self.last, ["latest"], _facts(pl_module), final=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._release()

    def on_figures(self, trainer: pl.Trainer, pl_module: Any, figures: Mapping[str, float]) -> None:
        """Called when a callback has logged figures at a time of its own."""
        if is_due(self.monitor, figures, trainer):
            self.save_if_best(trainer, pl_module)

    def save_if_best(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write `best.ckpt` if the monitored metric is better than ever before.

        It is asked at the end of every epoch, and by whoever measures at another time.
        """
        if self.monitor is None:
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ZooError(
                f"callbacks.checkpoints.monitor={self.monitor} is not logged; logged are: {known}."
            )
        score = float(trainer.callback_metrics[self.monitor])
        better = score < self.best_score if self.mode == "min" else score > self.best_score
        # Of several processes one decides for all: they save together, and clocks differ.
        better, score = trainer.strategy.broadcast((better, score))
        if better:
            self.best_score = score
            self.save(trainer, pl_module, self.folder / "best.ckpt")

    def save(self, trainer: pl.Trainer, pl_module: Any, path: Path | None = None) -> None:
        """Write the state as it is now to `path` and to `last.ckpt`, replacing them in one go.

        Raises:
            NonFiniteError: losses or weights are not finite; the files then stay as they are.
            ZooError: the folder cannot be written.
        """
        pl_module.check_finite()
        if path is None and self._written == pl_module.images_seen:
            return
        check_weights(pl_module)
        self._written = pl_module.images_seen
        temporary = self.folder / ".writing.ckpt.tmp"
        copy = None if path is None else path.with_name(f".{path.name}.tmp")
        try:
            # On every process, as Lightning wants it; with the optimizers.
            trainer.save_checkpoint(temporary, weights_only=False)
            if trainer.is_global_zero:
                if path is not None and copy is not None:
                    shutil.copyfile(temporary, copy)
                    commit(copy, path)
                if self.last.is_file():
                    keep(self.last, self.previous)
                commit(temporary, self.last)
        except OSError as error:
            for partial in (temporary, copy):
                with contextlib.suppress(OSError):
                    if partial is not None:
                        partial.unlink()
            before = " The one written before it is untouched." if self.last.is_file() else ""
            raise OwnError(
                f"cannot write a checkpoint to {self.folder}: {error.strerror or error}.{before}"
            ) from error


def _facts(pl_module: Any) -> dict[str, Any]:
    """What a logger keeps beside a checkpoint."""
    described = pl_module.describe()
    return {
        "images_seen": described["images_seen"],
        "step": described["step"],
        "generator": described["generator"]["name"],
        "discriminator": described["discriminator"]["name"],
        "data": described["data"]["name"],
    }


def _logged_later(trainer: pl.Trainer) -> bool:
    """Whether a callback may log figures at times that need not be the end of this epoch."""
    return any(isinstance(c, Measures) or may_log(c) for c in trainer.callbacks)  # type: ignore[attr-defined]


def check_weights(gan: Any) -> None:
    """Refuse weights that no training recovers from, which would spoil a checkpoint.

    Raises:
        NonFiniteError: a weight is NaN or infinite.
    """
    for kind in ("generator", "discriminator"):
        network = getattr(gan, kind)
        norms = torch_internals.norms(list(network.parameters()))
        if not torch.stack([norm.float() for norm in norms]).isfinite().all():
            raise NonFiniteError(
                f"training stopped at step {gan.trainer.global_step}: weights of {kind} "
                f"{spec(network)['name']!r} are NaN or infinite. Try a lower model.lr_d and "
                "model.lr_g, or model.clip_grad_norm=1"
            )
