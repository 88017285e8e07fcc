"""Measure the step in `run.py`'s trainer: with Lightning, progress bar, log and checkpoints.

Short epochs of the trainer alternate with the same number of bare steps and of steps of the plain
loop, all in one process: a callback runs these at the end of an epoch. The steps of an epoch, and
the work between two epochs (checkpoint, image grid, log, diagnostics), are timed separately, since
real epochs are much longer and spread that work over the steps of a whole data set.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.cards import CARDS, Card, plain, zoo
from benchmarks.measure import ROOT, Timing, iterations_for, timed
from benchmarks.pipeline import endless
from zoo.cli.store import store_parts
from zoo.data.base import DataModule
from zoo.data.pixels import to_float
from zoo.training.build import build_gan
from zoo.training.step import AdversarialStep
from zoo.training.trainer import add_loggers, make_callbacks, make_loggers, make_trainer

EPOCH = 60_000
"""The number of images over which the time of an epoch's end is spread, as in MNIST."""


class Noise(DataModule):
    """A data set of random images in the size of a card."""

    def __init__(self, card: Card, batch_size: int, images: int) -> None:
        super().__init__("noise", card.image_size, card.channels, [], batch_size)
        self.count = images

    def load(self, split: Literal["train", "val", "test"]) -> tuple[Tensor, Tensor]:
        shape = self.count, self.channels, self.image_size, self.image_size
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        return images, torch.zeros(len(images), dtype=torch.int64)


@dataclass(frozen=True)
class Run:
    """The measurements of one card.

    Attributes:
        timings: the seconds per step of `run.py`, with a share of the end of an epoch, and of the
            other contenders.
        epoch_end: the seconds between two epochs.
    """

    timings: dict[str, Timing]
    epoch_end: float


class Clock(pl.Callback):
    """A callback that times epochs, the time between them, and the `others` at their end.

    Args:
        size: the number of steps in an epoch, and of steps of each other contender.
        others: the functions that run a step of the other contenders.
    """

    def __init__(self, size: int, others: dict[str, Callable[[], object]]) -> None:
        self.size, self.others = size, others
        self.seconds: dict[str, list[float]] = {name: [] for name in ("run.py", *others)}
        self.between: list[float] = []
        self.epochs = 0
        self.start = self.end = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, gan: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx:
            return
        self.start = _now(trainer)
        if self.epochs > 2:
            self.between.append(self.start - self.end)

    def on_train_batch_end(
        self, trainer: pl.Trainer, gan: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 < self.size or trainer.global_step == trainer.max_steps:
            return  # the last step of the training includes writing a checkpoint
        spent = _now(trainer) - self.start
        self.epochs += 1
        if self.epochs > 2:  # the first ones warm up
            self.seconds["run.py"].append(spent / self.size)
            for name, function in self.others.items():
                self.seconds[name].append(timed(function, self.size, trainer.strategy.root_device))
        self.end = _now(trainer)

    def run(self, batch_size: int) -> Run:
        """Return the measurements."""
        end = statistics.median(self.between)
        found = {name: Timing(tuple(values)) for name, values in self.seconds.items()}
        share = end * batch_size / EPOCH
        found["run.py"] = Timing(tuple(s + share for s in found["run.py"].seconds))
        return Run(found, end)


def _now(trainer: pl.Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class _Idle:
    """A step that only counts itself; callbacks still find the networks' passes in it."""

    def __init__(self, step: AdversarialStep) -> None:
        self.passes = step.passes
        self._count_step = step.backend.count_step
        self._metrics = {name: torch.zeros(()) for name in ("loss_d", "loss_g")}

    def __call__(self, *_: Any) -> dict[str, Tensor]:
        self._count_step()
        return self._metrics


class NoUpdates(pl.Callback):
    """A callback that removes the updates from training, so that only the overhead is left."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, gan: Any, batch: Any, batch_idx: int
    ) -> None:
        if not gan.trained_steps:
            gan._step = _Idle(getattr(gan._step, "step", gan._step))


def make_run(
    card: Card,
    data: DataModule,
    steps: int,
    folder: Path,
    callbacks: list[pl.Callback],
    precision: str = "32-true",
) -> tuple[pl.Trainer, pl.LightningModule]:
    """Create the trainer and the GAN of a card as `run.py` would, with all defaults.

    Only the weight average (EMA) is off, since the plain loop has none.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    store_parts()
    overrides = [
        f"model/generator={card.generator}",
        f"model/discriminator={card.discriminator}",
        f"model/loss={card.loss}",
        f"model.latent_dim={card.latent_dim}",
        f"model.betas=[{card.betas[0]},{card.betas[1]}]",
        "model.ema_half_life=null",
        f"trainer.max_steps={steps}",
        "trainer.max_epochs=-1",
        f"trainer.precision={precision}",
        *(f"model.discriminator.{k}={str(v).lower()}" for k, v in card.options.items()),
        *(f"model.generator.{k}={str(v).lower()}" for k, v in card.of_generator.items()),
    ]
    if card.penalty:
        overrides.append(f"model/regularizer=[{card.penalty.replace('+', ',')}]")
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("config", overrides), resolve=True)
    data.setup()
    gan = build_gan(config["model"], data)
    data.images_per_step = data.batch_size
    callbacks = [*make_callbacks(config["callbacks"], folder), *callbacks]
    trainer = make_trainer(config["trainer"], callbacks, folder, data)
    add_loggers(trainer, make_loggers(config["logger"], folder, config))
    return trainer, gan


def measure(card: Card, batch_size: int, rounds: int, bf16: bool = False) -> Run:
    """Time steps of the plain loop, the bare zoo step and `run.py` in turn.

    Args:
        card: the card.
        batch_size: the number of images in a batch.
        rounds: the number of epochs, each of which takes a second, or a step if that is longer.
        bf16: whether `run.py` and the bare step use autocast to bf16.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others = {
        "plain": plain(card, batch_size, device)["step"],
        "zoo": zoo(card, batch_size, device, bf16=bf16, graph=device.type == "cuda")["step"],
    }
    for function in [*others.values()] * (2 if card.heavy else 5):
        function()
    size = iterations_for(timed(others["zoo"], 1 if card.heavy else 3, device), 1.0)
    clock = Clock(size, others)
    _train(card, batch_size, rounds, [clock], "bf16-mixed" if bf16 else "32-true")
    return clock.run(batch_size)


def alone(card: Card, batch_size: int, size: int, rounds: int, bf16: bool = False) -> Timing:
    """Time steps of `run.py` in a process that does nothing else.

    Args:
        card: the card.
        batch_size: the number of images in a batch.
        size: the number of steps in an epoch.
        rounds: the number of epochs.
        bf16: whether to use autocast to bf16.
    """
    clock = Clock(size, {})
    _train(card, batch_size, rounds, [clock], "bf16-mixed" if bf16 else "32-true")
    return clock.run(batch_size).timings["run.py"]


def without_updates(batch_size: int, rounds: int, size: int = 1000) -> Run:
    """Time the training steps of the MLP without updates, and the loading of their batches.

    Args:
        batch_size: The number of images in a batch.
        rounds: The number of timed epochs.
        size: The number of steps in an epoch.
    """
    card = CARDS["mlp_28"]
    data = Noise(card, batch_size, size * batch_size)
    data.setup()
    batches = endless(data.train_dataloader())
    clock = Clock(size, {"its batches alone": lambda: to_float(next(batches)[0])})
    _train(card, batch_size, rounds, [NoUpdates(), clock])
    return clock.run(batch_size)


def _train(
    card: Card,
    batch_size: int,
    rounds: int,
    callbacks: list[Any],
    precision: str = "32-true",
) -> None:
    (clock,) = (c for c in callbacks if isinstance(c, Clock))
    data = Noise(card, batch_size, clock.size * batch_size)
    with tempfile.TemporaryDirectory() as folder:
        steps = clock.size * (rounds + 3)  # two epochs to warm up, and the last one is not timed
        trainer, gan = make_run(card, data, steps, Path(folder), callbacks, precision)
        trainer.fit(gan, datamodule=data)
