"""Base classes of callbacks: in general, on a schedule of images, and for logging metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import nn

from zoo.core.errors import ZooError, listing, suggest, with_article
from zoo.training.lightning_internals import LOGGING
from zoo.training.terms import LOGGED


class Callback(pl.Callback):
    """A Lightning callback that can also contribute to the summary at the end of the training.

    A subclass takes its options as arguments of `__init__`, and also `folder`, the run's folder, if
    it needs that.

    Attributes:
        needs_figures: Whether it needs metrics that another callback measures.
    """

    needs_figures: ClassVar[bool] = False

    def watched(self) -> dict[str, str]:
        """Return the names of the metrics that it monitors, by the options that name them."""
        return {}

    def summary(self) -> dict[str, Any]:
        """Return entries for the summary at the end of the training, by label.

        A value that is a `Path` is shown as a path.
        """
        return {}


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Return a context in which a network is in eval mode; its mode is restored afterwards."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def bar_texts(values: Mapping[str, float]) -> dict[str, str]:
    """Return what a progress bar shows of the latest means: both losses, and the speed."""
    names = {"D": "loss_d", "G": "loss_g"}
    texts = {k: f"{values[name]:.3f}" for k, name in names.items() if name in values}
    if "images_per_second" in values:
        texts["images/s"] = f"{values['images_per_second']:,.0f}"
    return texts


def held_to(kind: type, value: Any) -> Any:
    """Check and return a value of a callback's state, which is read from a checkpoint.

    Args:
        kind: The expected type; an int is accepted as a float.
        value: The value.

    Raises:
        ValueError: The value is of another type.
    """
    whole = kind is float and isinstance(value, int)
    if isinstance(value, bool) or not (whole or isinstance(value, kind)):
        raise ValueError(
            f"a callback's state has {with_article(type(value).__name__)} instead of "
            f"{with_article(kind.__name__)}"
        )
    return value


class Recurring(Callback):
    """A callback that acts every n images, every n epochs, and at the end of the training.

    Attributes:
        every_n_images: Act whenever n more images have been seen; None not to.
        every_n_epochs: Act at the end of every n-th epoch; None not to.
    """

    every_n_images: int | None = None
    every_n_epochs: int | None = 1
    _seen = 0

    def act(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Do the callback's work; it may be called more than once at the same images seen."""
        raise NotImplementedError

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen = pl_module.images_seen

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        n = self.every_n_images
        # The work of the last step must be done before its checkpoint is written.
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
    """Whether a callback that monitors a metric should react to an evaluation.

    Args:
        monitor: The name of the monitored metric.
        figures: The metrics that were measured.
        trainer: The trainer with all callbacks.

    Returns:
        True if `figures` contain the metric. If they do not and several callbacks measure, False,
        since another one may measure it. If only one does, False if the metric is one of its own
        that was not defined this time (such as a mean over modes if none was covered), so that the
        evaluation does not count. Otherwise True: the metric is one of the training itself, or
        does not exist, which the caller then reports.
    """
    measuring = [c for c in trainer.callbacks if isinstance(c, Measures)]  # type: ignore[attr-defined]
    if monitor in figures or len(measuring) != 1:
        return monitor in figures
    return monitor not in (measuring[0].figures() or ())


class Measures(Callback):
    """A callback that measures metrics, not necessarily at the end of an epoch."""

    def figures(self) -> set[str] | None:
        """Return the names of its metrics; None if they are not known before it measures."""
        return None

    def report(self, trainer: pl.Trainer, pl_module: Any, figures: dict[str, float]) -> None:
        """Log metrics of the current generator, and pass them to every callback's `on_figures`."""
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in figures.items()})
        row = {**figures, "images_seen": pl_module.images_seen, "epoch": trainer.current_epoch}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
            logger.save()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "on_figures"):
                callback.on_figures(trainer, pl_module, figures)


def may_log(callback: pl.Callback) -> bool:
    """Whether a callback may log metrics whose names are not known in advance."""
    module = type(callback).__module__
    if module.startswith("pytorch_lightning."):
        return isinstance(callback, LOGGING)
    return not module.startswith("zoo.")


def check_watched(callbacks: Sequence[pl.Callback], logged: set[str] | None) -> None:
    """Reject a monitored metric that nothing will measure, before the data are loaded.

    Args:
        callbacks: All callbacks.
        logged: The metrics that the training itself logs; None if they are not known in advance.

    Raises:
        ZooError: The names of all metrics are known, and the monitored one is not among them.
    """
    sets = [logged, *(c.figures() for c in callbacks if isinstance(c, Measures))]
    if None in sets or any(map(may_log, callbacks)):
        return
    measured = sorted(set().union(*(names or () for names in sets)))
    for callback in callbacks:
        watched = callback.watched() if isinstance(callback, Callback) else {}
        for option, figure in watched.items():
            if figure not in measured:
                raise ZooError(
                    f"{option}={figure} is not measured.{suggest(figure, measured)} This training "
                    f"measures: {listing(measured)}; add a metric with callbacks=evaluate and "
                    "'callbacks.evaluate.metrics=[NAME]'"
                )


def check_directions(callbacks: Sequence[pl.Callback]) -> None:
    """Reject callbacks that monitor a metric in the wrong direction, before the data are loaded.

    Raises:
        ZooError: A callback has `mode=min` for a metric of which higher values are better.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback) or getattr(callback, "mode", "") != "min":
            continue
        for option, figure in callback.watched().items():
            if figure in LOGGED:
                continue
            from zoo.metrics.choice import is_better_higher  # takes seconds to import

            if is_better_higher(figure):
                right = f"{option.rpartition('.')[0]}.mode=max"
                raise ZooError(f"{option}={figure}: higher values are better, so set {right}.")
