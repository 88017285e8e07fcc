"""What callbacks have in common, and those that log figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import nn

from zoo.core.errors import ZooError, listing, suggest
from zoo.training.lightning_internals import LOGGING
from zoo.training.terms import LOGGED


class Callback(pl.Callback):
    """What looks at a training from outside: Lightning's hooks, and what it has to say at the end.

    A subclass takes what it may set as arguments, and `folder`, the run's folder, if it wants it.

    Attributes:
        needs_figures: whether it works on what another callback measures.
    """

    needs_figures: ClassVar[bool] = False

    def watched(self) -> dict[str, str]:
        """The figures that it waits for, by the options that name them."""
        return {}

    def summary(self) -> dict[str, Any]:
        """Lines for the end of the training, by what they are about; a path is shown as one."""
        return {}


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Within it, a network is in evaluation mode; after it, as it was."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def bar_texts(values: Mapping[str, float]) -> dict[str, str]:
    """What a progress bar shows of the last means: both losses, and the speed."""
    names = {"D": "loss_d", "G": "loss_g"}
    texts = {k: f"{values[name]:.3f}" for k, name in names.items() if name in values}
    if "images_per_second" in values:
        texts["images/s"] = f"{values['images_per_second']:,.0f}"
    return texts


def held_to(kind: type, value: Any) -> Any:
    """A value of a callback's state, which comes from a checkpoint and may be anything.

    Raises:
        ValueError: it is of another kind.
    """
    whole = kind is float and isinstance(value, int)
    if isinstance(value, bool) or not (whole or isinstance(value, kind)):
        raise ValueError(f"a callback's state has a {type(value).__name__} as {kind.__name__}")
    return value


class Recurring(Callback):
    """What acts whenever so many images were seen, at the end of epochs, and of the training.

    Attributes:
        every_n_images, every_n_epochs: the rhythms; None for no such one.
    """

    every_n_images: int | None = None
    every_n_epochs: int | None = 1
    _seen = 0

    def act(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """What is done; it is asked more than once for the same images seen."""
        raise NotImplementedError

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen = pl_module.images_seen

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        n = self.every_n_images
        # What belongs to the last step comes before the checkpoint of it.
        last = trainer.global_step == trainer.max_steps
        if last or (n is not None and pl_module.images_seen // n > self._seen // n):
            self.act(trainer, pl_module)
        self._seen = pl_module.images_seen

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        n = self.every_n_epochs
        if n is not None and (trainer.current_epoch + 1) % n == 0:
            self.act(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.act(trainer, pl_module)


def is_due(monitor: str | None, figures: Mapping[str, float], trainer: pl.Trainer) -> bool:
    """Whether `figures` are what a callback that monitors one of them waits for.

    They may be of another callback that measures. Of the only one they must hold it, unless it is a
    figure that there is not always, as a mean over modes where none was hit: such an evaluation
    does not count.
    """
    measuring = [c for c in trainer.callbacks if isinstance(c, Measures)]  # type: ignore[attr-defined]
    if monitor in figures or len(measuring) != 1:
        return monitor in figures
    return monitor not in (measuring[0].figures() or ())


class Measures(Callback):
    """A callback that logs figures at times of its own, which need not be the end of an epoch."""

    def figures(self) -> set[str] | None:
        """The names of its figures; None where they are not known before it measures."""
        return None

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


def may_log(callback: pl.Callback) -> bool:
    """Whether a callback may log figures whose names nobody knows before."""
    module = type(callback).__module__
    if module.startswith("pytorch_lightning."):
        return isinstance(callback, LOGGING)
    return not module.startswith("zoo.")


def check_watched(callbacks: Sequence[pl.Callback], logged: set[str] | None) -> None:
    """Refuse a figure to wait for that nothing will measure, before the data are loaded.

    Args:
        logged: what the training itself logs; None where that is not known before.

    Raises:
        ZooError: all that will be measured is known, and the figure is none of it.
    """
    sets = [logged, *(c.figures() for c in callbacks if isinstance(c, Measures))]
    if None in sets or any(map(may_log, callbacks)):
        return
    known = sorted(set().union(*(names or () for names in sets)))
    for callback in callbacks:
        watched = callback.watched() if isinstance(callback, Callback) else {}
        for option, figure in watched.items():
            if figure not in known:
                raise ZooError(
                    f"{option}={figure} is not measured.{suggest(figure, known)} Measured are: "
                    f"{listing(known)}; the figures of a metric with callbacks=evaluate and "
                    "'callbacks.evaluate.metrics=[NAME]'"
                )


def check_directions(callbacks: Sequence[pl.Callback]) -> None:
    """Refuse to keep the worst checkpoint, or to wait for worse figures, before data are loaded.

    Raises:
        ZooError: `mode=min` of a figure that is better the higher it is.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback) or getattr(callback, "mode", "") != "min":
            continue
        for option, figure in callback.watched().items():
            if figure in LOGGED:
                continue
            from zoo.metrics.choice import is_better_higher  # seconds of scientific libraries

            if is_better_higher(figure):
                right = f"{option.rpartition('.')[0]}.mode=max"
                raise ZooError(f"{option}={figure} is better the higher it is: set {right}.")
