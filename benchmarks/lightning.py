"""The step as `run.py` trains it: under Lightning, with progress bar, log and checkpoints on.

Segments of steps of the trainer alternate with segments of the bare step and of the plain loop, in
one process: a callback stops the trainer's clock, runs the others and starts it again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.cards import Card, plain, zoo
from benchmarks.measure import ROOT, Timing, iterations_for, timed
from zoo.build import build_gan
from zoo.data.base import DataModule
from zoo.store import store_parts
from zoo.trainer import make_callbacks, make_loggers, make_trainer


class Noise(DataModule):
    """Random pictures of a card's size, as many as in MNIST where they are small.

    What is written at the end of an epoch is then shared by as many steps as in a real run.
    """

    def __init__(self, card: Card, batch_size: int) -> None:
        super().__init__("noise", card.image_size, card.channels, [], batch_size)

    def load(self, split: Literal["train", "val", "test"]) -> tuple[Tensor, Tensor]:
        count = 60_000 if self.image_size <= 32 else 8192
        shape = count, self.channels, self.image_size, self.image_size
        images = torch.randint(0, 256, shape, dtype=torch.uint8)
        return images, torch.zeros(len(images), dtype=torch.int64)


class Clock(pl.Callback):
    """Times segments of `size` steps, and between them the `others`."""

    def __init__(self, size: int, others: dict[str, Callable[[], object]]) -> None:
        self.size, self.others = size, others
        self.seconds: dict[str, list[float]] = {name: [] for name in ("run.py", *others)}
        self.count = 0
        self.start = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.count += 1
        if self.count % self.size:
            return
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.count > 2 * self.size:  # the first segments warm up
            self.seconds["run.py"].append((now - self.start) / self.size)
            for name, function in self.others.items():
                self.seconds[name].append(timed(function, self.size, device))
        self.start = time.perf_counter()


def make_run(
    card: Card, batch_size: int, steps: int, folder: Path, callbacks: list[pl.Callback]
) -> tuple[pl.Trainer, pl.LightningModule, DataModule]:
    """What `run.py` would make of a card: trainer, GAN and data, everything on as by default.

    The averaged generator is off, since the plain loop has none.
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
        *(f"model.discriminator.{k}={str(v).lower()}" for k, v in card.options.items()),
    ]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("config", overrides), resolve=True)
    data = Noise(card, batch_size)
    data.setup()
    gan = build_gan(config["model"], data)
    data.images_per_step = batch_size
    callbacks = [*make_callbacks(config["callbacks"], folder), *callbacks]
    loggers = make_loggers(config["logger"], folder, config)
    return make_trainer(config["trainer"], callbacks, loggers, folder, data), gan, data


def measure(card: Card, batch_size: int, segments: int, least: float = 0.5) -> dict[str, Timing]:
    """Seconds per step of `plain`, the bare `zoo` step and `run.py`, interleaved.

    Args:
        segments: how many of each; `least`: seconds that a segment lasts about.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others = {
        "plain": plain(card, batch_size, device)["step"],
        "zoo": zoo(card, batch_size, device, graph=device.type == "cuda")["step"],
    }
    for function in [*others.values()] * (2 if card.heavy else 5):
        function()
    clock = Clock(
        iterations_for(timed(others["zoo"], 1 if card.heavy else 3, device), least), others
    )
    steps = clock.size * (segments + 2)
    with tempfile.TemporaryDirectory() as folder:
        trainer, gan, data = make_run(card, batch_size, steps, Path(folder), [clock])
        trainer.fit(gan, datamodule=data)
    return {name: Timing(tuple(values)) for name, values in clock.seconds.items()}
