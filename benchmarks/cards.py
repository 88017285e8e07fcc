"""The card networks of the comparison, and how each contender trains them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import zoo.registry as registry
from benchmarks import networks
from benchmarks.measure import has_bf16
from benchmarks.plain import PlainLoop
from zoo.layers.product import route_products
from zoo.training.cuda_graph import CudaCapture, GraphedStep, on_side_stream
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep

Functions = dict[str, Callable[[], object]]
"""By part: `step` (one update of each network), `d`, `g`."""


@dataclass(frozen=True)
class Card:
    """A pair of networks and its method.

    Attributes:
        generator, discriminator: names in the registry; `options` are the latter's.
        heavy: seconds rather than milliseconds a step on a small CPU.
    """

    name: str
    image_size: int
    channels: int
    generator: str
    discriminator: str
    loss: str
    latent_dim: int
    betas: tuple[float, float]
    options: dict[str, Any] = field(default_factory=dict)
    heavy: bool = False
    lr: float = 2e-4

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Generator and discriminator in plain PyTorch."""
        size, channels, latent = self.image_size, self.channels, self.latent_dim
        if self.generator == "mlp":
            return (
                networks.MLPGenerator(size, channels, latent),
                networks.MLPDiscriminator(size, channels),
            )
        if self.generator == "dcgan":
            return (
                networks.DCGANGenerator(size, channels, latent),
                networks.DCGANDiscriminator(size, channels),
            )
        return (
            networks.ResNetGenerator(channels, latent),
            networks.ResNetDiscriminator(channels, spectral=self.options["spectral_norm"]),
        )

    def zoo(self) -> tuple[nn.Module, nn.Module]:
        """Generator and discriminator of the zoo."""
        shape = {"image_size": self.image_size, "channels": self.channels}
        return (
            registry.create("generator", self.generator, latent_dim=self.latent_dim, **shape),
            registry.create("discriminator", self.discriminator, **shape, **self.options),
        )

    def images(self, batch_size: int, device: torch.device) -> Tensor:
        """A fixed batch in [-1, 1]."""
        shape = batch_size, self.channels, self.image_size, self.image_size
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return images.to(device)


SN, CRITIC = {"spectral_norm": True}, {"spectral_norm": False}
CARDS = {
    card.name: card
    for card in (
        Card("mlp_28", 28, 1, "mlp", "mlp", "bce", 100, (0.5, 0.999)),
        Card("dcgan_32", 32, 1, "dcgan", "dcgan", "bce", 100, (0.5, 0.999)),
        Card("dcgan_64", 64, 3, "dcgan", "dcgan", "bce", 100, (0.5, 0.999), heavy=True),
        Card("sngan_32", 32, 3, "resnet", "resnet", "hinge", 128, (0.0, 0.9), SN, heavy=True),
        Card("wgan_gp_32", 32, 3, "resnet", "resnet", "wgan_gp", 128, (0.0, 0.9), CRITIC, True),
    )
}


def plain(
    card: Card,
    batch_size: int,
    device: torch.device,
    loss: str | None = None,
    penalty: str | None = None,
) -> Functions:
    """The plain loop's functions."""
    g, d = (network.to(device) for network in card.plain())
    loop = PlainLoop(g, d, loss or card.loss, card.latent_dim, card.lr, card.betas, penalty)
    images = card.images(batch_size, device)
    return {
        "step": lambda: loop.step(images),
        "d": lambda: loop.discriminator_update(images),
        "g": lambda: loop.generator_update(images),
    }


def zoo(
    card: Card,
    batch_size: int,
    device: torch.device,
    loss: str | None = None,
    penalty: str | None = None,
    *,
    bf16: bool = False,
    compile: bool = False,
    graph: bool = False,
) -> Functions:
    """The zoo's functions, as `run.py` trains: channels last, fused Adam, its own step.

    With `graph` the whole step is captured as in training, and either update as a graph of its own.
    """
    g, d = (n.to(device, memory_format=torch.channels_last) for n in card.zoo())
    for network in (g, d):
        route_products(network)
    method = registry.create("loss", loss or card.loss)
    added = [registry.create("regularizer", penalty)] if penalty else []
    step = AdversarialStep(
        g,  # type: ignore[arg-type]
        d,  # type: ignore[arg-type]
        method,
        adam(g.parameters(), card.lr, card.betas),
        adam(d.parameters(), card.lr, card.betas),
        regularizers=[*method.regularizers(), *added],
        compile=compile,
    )
    images = card.images(batch_size, device).contiguous(memory_format=torch.channels_last)
    index = itertools.count()

    def region() -> contextlib.AbstractContextManager[object]:
        if not bf16:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def within(function: Callable[..., object], *arguments: Any) -> Callable[[], object]:
        def run() -> object:
            with region():
                return function(*arguments)

        return run

    if graph:
        graphed = GraphedStep(step)
        if graphed.note:
            raise RuntimeError(graphed.note)
        return {
            "step": lambda: within(graphed, images, None, next(index))(),
            "d": Captured(within(step.discriminator_update, images, None)),
            "g": Captured(within(step.generator_update, images, None)),
        }
    return {
        "step": lambda: within(step, images, None, next(index))(),
        "d": within(step.discriminator_update, images, None),
        "g": within(step.generator_update, images, None),
    }


class Captured:
    """An update as a CUDA graph, captured at the fourth call; those before it run eagerly."""

    def __init__(self, update: Callable[[], Any]) -> None:
        self.update = update
        self.warmup = 3
        self._replay: Callable[[], Tensor] | None = None

    def __call__(self) -> object:
        if self._replay is not None:
            return self._replay()
        if self.warmup:
            self.warmup -= 1
            return on_side_stream(self.update)
        self._replay = CudaCapture()(lambda: torch.stack([*self.update().values()]))
        return self._replay()


Contender = Callable[..., Functions]


def contenders(device: torch.device, compiled: bool = False) -> dict[str, Contender]:
    """Every way to train a card on this machine, by name; `plain` comes first.

    Args:
        compiled: also those with `torch.compile`, which takes minutes.
    """

    def variant(**options: bool) -> Contender:
        return lambda *args, **kwargs: zoo(*args, **kwargs, **options)

    found: dict[str, Contender] = {"plain": plain, "zoo": zoo}
    if has_bf16(device):
        found["zoo, bf16"] = variant(bf16=True)
    if device.type == "cuda":
        found["zoo, captured"] = variant(graph=True)
        found["zoo, captured, bf16"] = variant(graph=True, bf16=True)
    if compiled:
        found["zoo, compiled"] = variant(compile=True)
        if has_bf16(device):
            found["zoo, compiled, bf16"] = variant(compile=True, bf16=True)
    return found
