"""The libraries torchgan and mimicry on the same cards, with their own training steps.

They take part if installed (`pip install torchgan torch-mimicry`, the extra `peers`). torchgan's
trainer is given the plain networks; mimicry has its own networks of the same sizes. Their logging
to files is disabled, which favours them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import types
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cards import Card, Contender, Functions


def peers(card: Card) -> dict[str, Contender]:
    """Return the installed libraries that support a card, by name."""
    found: dict[str, Contender] = {}
    if _installed("torchgan") and card.generator in ("mlp", "dcgan"):
        found["torchgan"] = torchgan
    if _installed("torch_mimicry") and card.name in ("sngan_32", "wgan_gp_32"):
        found["mimicry"] = mimicry
    return found


def torchgan(card: Card, batch_size: int, device: torch.device) -> Functions:
    """Return one iteration of torchgan's `Trainer`, with both updates, as `step`."""
    os.environ.update(TENSORBOARD_LOGGING="0", CONSOLE_LOGGING="0", VISDOM_LOGGING="0")
    losses, models, trainer = (
        importlib.import_module(f"torchgan.{name}") for name in ("losses", "models", "trainer")
    )

    class Wrapped:
        """A plain network with the constructor that torchgan expects."""

        def adopt(self, network: nn.Module) -> None:
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

    class TheirGenerator(Wrapped, models.Generator):
        def __init__(self) -> None:
            models.Generator.__init__(self, card.latent_dim)
            self.adopt(card.plain()[0])

    class TheirDiscriminator(Wrapped, models.Discriminator):
        def __init__(self) -> None:
            models.Discriminator.__init__(self, card.channels)
            self.adopt(card.plain()[1])

    adam = {"name": torch.optim.Adam, "args": {"lr": card.lr, "betas": card.betas}}
    folder = tempfile.mkdtemp(prefix="torchgan-")
    made = trainer.Trainer(
        {
            "generator": {"name": TheirGenerator, "optimizer": adam},
            "discriminator": {"name": TheirDiscriminator, "optimizer": adam},
        },
        [losses.MinimaxGeneratorLoss(), losses.MinimaxDiscriminatorLoss()],
        device=device,
        checkpoints=f"{folder}/model",
        recon=f"{folder}/images",
        log_dir=folder,
    )
    made.batch_size = batch_size
    made.real_inputs = card.images(batch_size, device)
    return {"step": made.train_iter}


def mimicry(card: Card, batch_size: int, device: torch.device) -> Functions:
    """Return the training steps of mimicry's ResNets at 32 pixels."""
    _import_without_metrics("torch_mimicry")
    kind, prefix = {"sngan_32": ("sngan", "SNGAN"), "wgan_gp_32": ("wgan_gp", "WGANGP")}[card.name]
    nets = importlib.import_module(f"torch_mimicry.nets.{kind}")
    metric_log = importlib.import_module("torch_mimicry.training.metric_log").MetricLog
    g = getattr(nets, f"{prefix}Generator32")().to(device)
    d = getattr(nets, f"{prefix}Discriminator32")().to(device)
    optimizer_g, optimizer_d = (
        torch.optim.Adam(n.parameters(), card.lr, card.betas) for n in (g, d)
    )
    batch = card.images(batch_size, device), torch.zeros(batch_size, dtype=torch.int64)

    def d_step() -> object:
        return d.train_step(
            real_batch=batch, netG=g, optD=optimizer_d, log_data=metric_log(), device=device
        )

    def g_step() -> object:
        return g.train_step(
            real_batch=batch, netD=d, optG=optimizer_g, log_data=metric_log(), device=device
        )

    return {"d": d_step, "g": g_step, "step": lambda: (d_step(), g_step())}


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _import_without_metrics(name: str) -> None:
    """Make a package's modules importable without its `__init__`, which imports TensorFlow."""
    for package in (name, f"{name}.training"):
        if package not in sys.modules:
            spec: Any = importlib.util.find_spec(package)
            module = types.ModuleType(package)
            module.__path__ = list(spec.submodule_search_locations)
            module.__spec__ = spec
            sys.modules[package] = module
