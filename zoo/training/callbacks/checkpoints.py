"""Checkpoints by images seen, written atomically, and a last one when the training is stopped."""

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
"""How many steps apart all processes agree on whether one of them has been told to stop."""

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)  # Windows does not have all of them
)
"""Signals that end a training with a checkpoint."""


@callback("checkpoints")
class Checkpoints(Callback, pl.callbacks.Checkpoint):
    """Writes `checkpoints/last.ckpt`, `images_NNNNNNNNN.ckpt` every n images, and `best.ckpt`.

    `previous.ckpt` is the one before `last.ckpt`; a run resumes from it if `last.ckpt` is damaged
    or missing.

    Ctrl-C finishes the current step, writes `last.ckpt` and stops; a second Ctrl-C stops at once. A
    run resumed from this checkpoint reaches the same weights as if it had not been stopped. SIGTERM
    (sent by batch systems and containers), SIGUSR1 (by SLURM, shortly before the end of a job) and
    SIGHUP (by a terminal that is closed) have the same effect as the first Ctrl-C.

    Args:
        folder: The run's folder.
        every_n_images: Keep a numbered checkpoint whenever n more images have been seen; null for
            none.
        every_n_epochs: Write `last.ckpt` every n epochs, and always at the end.
        monitor: The logged metric that determines `best.ckpt`, for instance `fid`; null for none.
        mode: Whether low or high values of `monitor` are better.

    Attributes:
        last: The path of the newest checkpoint.
        stopped_by: The signal that told the process to stop; None if there was none.
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
        """The path of the checkpoint before the last one."""
        return self.folder / "previous.ckpt"

    def watched(self) -> dict[str, str]:
        return {} if self.monitor is None else {"callbacks.checkpoints.monitor": self.monitor}

    def summary(self) -> dict[str, Any]:
        return {"checkpoint": self.last}

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        has_best = (self.folder / "best.ckpt").is_file()  # not if the run resumes in a new folder
        before = [state_dict.get("monitor", self.monitor), state_dict.get("mode", self.mode)]
        best = held_to(float, state_dict["best_score"])
        if has_best and before == [self.monitor, self.mode]:
            self.best_score = best

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen = pl_module.images_seen
        self._world_size = trainer.world_size
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.stopped_by is not None:
            if number == self.stopped_by == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.stopped_by = signal.Signals(number)
        if number == getattr(signal, "SIGHUP", None):
            # The terminal is gone, so that printing would fail before the checkpoint is written.
            null = os.open(os.devnull, os.O_WRONLY)
            for terminal in self._terminals:
                os.dup2(null, terminal)
            os.close(null)
        if number == signal.SIGINT:
            # Not `print`, which this handler may have interrupted.
            os.write(2, b"\nfinishing the step; press Ctrl-C again to stop at once\n")

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
            # Here, not at the end of the training, when Lightning has closed the epoch: a longer
            # run can then resume in the middle of the epoch.
            self.save(trainer, pl_module)

    def _told_to_stop(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        if self._world_size == 1:
            return self.stopped_by is not None
        if batch_idx % _VOTE_EVERY:
            return False
        return trainer.strategy.reduce_boolean_decision(self.stopped_by is not None, all=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        measured = self.monitor in trainer.callback_metrics
        if self.monitor is not None and (measured or not _logged_later(trainer)):
            self.save_if_best(trainer, pl_module)
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._release()
        self.save(trainer, pl_module)
        self._give_to_loggers(trainer, pl_module)

    def _give_to_loggers(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Pass the best and the last checkpoint to loggers that keep checkpoints."""
        best = self.folder / "best.ckpt"
        if trainer.is_global_zero:
            if best.is_file() and math.isfinite(self.best_score):  # not that of another monitor
                facts = {str(self.monitor): self.best_score}
                log_checkpoint(trainer, best, ["best"], facts, final=True)
            log_checkpoint(trainer, self.last, ["latest"], _facts(pl_module), final=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._release()

    def on_figures(self, trainer: pl.Trainer, pl_module: Any, figures: Mapping[str, float]) -> None:
        """Update `best.ckpt` after a callback has measured."""
        if is_due(self.monitor, figures, trainer):
            self.save_if_best(trainer, pl_module)

    def save_if_best(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write `best.ckpt` if the monitored metric is better than ever before.

        This is called at the end of every epoch, and whenever a callback has measured.
        """
        if self.monitor is None:
            return
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise ZooError(
                f"callbacks.checkpoints.monitor={self.monitor} is not logged; this training logs: "
                f"{logged}."
            )
        score = float(trainer.callback_metrics[self.monitor])
        better = score < self.best_score if self.mode == "min" else score > self.best_score
        # The first process decides for all: they save together, but their timings may differ.
        better, score = trainer.strategy.broadcast((better, score))
        if better:
            self.best_score = score
            self.save(trainer, pl_module, self.folder / "best.ckpt")

    def save(self, trainer: pl.Trainer, pl_module: Any, path: Path | None = None) -> None:
        """Write the current state to `path`, if given, and to `last.ckpt`; both are replaced whole.

        Raises:
            NonFiniteError: Losses or weights are not finite; the files are then left unchanged.
            ZooError: The files cannot be written.
        """
        pl_module.check_finite()
        if path is None and self._written == pl_module.images_seen:
            return
        check_weights(pl_module)
        self._written = pl_module.images_seen
        temporary = self.folder / ".writing.ckpt.tmp"
        copy = None if path is None else path.with_name(f".{path.name}.tmp")
        try:
            # Lightning needs this call on every process. The checkpoint includes the optimizers.
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
            hint = " The previous checkpoint is unchanged." if self.last.is_file() else ""
            raise OwnError(
                f"cannot write a checkpoint to {self.folder}: {error.strerror or error}.{hint}"
            ) from error


def _facts(pl_module: Any) -> dict[str, Any]:
    """Return the metadata that loggers store with a checkpoint."""
    described = pl_module.describe()
    return {
        "images_seen": described["images_seen"],
        "step": described["step"],
        "generator": described["generator"]["name"],
        "discriminator": described["discriminator"]["name"],
        "data": described["data"]["name"],
    }


def _logged_later(trainer: pl.Trainer) -> bool:
    """Whether a callback may log metrics at other times than the end of an epoch."""
    return any(isinstance(c, Measures) or may_log(c) for c in trainer.callbacks)  # type: ignore[attr-defined]


def check_weights(gan: Any) -> None:
    """Reject weights from which no training recovers, before they get into a checkpoint.

    Raises:
        NonFiniteError: A weight is NaN or infinite.
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
