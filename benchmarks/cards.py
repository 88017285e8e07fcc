"""The cards (pairs of networks with a training method), and how each contender trains them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import zoo.registry as registry
from benchmarks import networks, networks_gat, networks_recent
from benchmarks.plain import PlainLoop
from zoo.core.processor import emulates_bf16
from zoo.layers.product import route_products
from zoo.training.cuda_graph import CudaCapture, GraphedStep, on_side_stream
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep

Functions = dict[str, Callable[[], object]]
"""The functions to time: `step` (one update of each network), `d` and `g` (of one of them)."""


@dataclass(frozen=True)
class Card:
    """A pair of networks and the method that trains them.

    Attributes:
        generator, discriminator: their names in the registry.
        options: the options of the discriminator.
        heavy: whether a step takes seconds rather than milliseconds on a small CPU.
        of_generator: the options of the generator.
        penalty: the penalty in every update of D; several are joined by `+`.
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
    of_generator: dict[str, Any] = field(default_factory=dict)
    penalty: str | None = None

    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Create the generator and the discriminator in plain PyTorch."""
        return PLAIN[self.generator](self)

    def zoo(self) -> tuple[nn.Module, nn.Module]:
        """Create the generator and the discriminator of the zoo."""
        shape = {"image_size": self.image_size, "channels": self.channels}
        return (
            registry.create(
                "generator",
                self.generator,
                latent_dim=self.latent_dim,
                **shape,
                **self.of_generator,
            ),
            registry.create("discriminator", self.discriminator, **shape, **self.options),
        )

    def images(self, batch_size: int, device: torch.device) -> Tensor:
        """Return a fixed batch of random images in [-1, 1]."""
        shape = batch_size, self.channels, self.image_size, self.image_size
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return images.to(device)


def _recent(name: str, card: Card, module: Any = networks_recent) -> tuple[nn.Module, nn.Module]:
    g, d = getattr(module, f"{name}Generator"), getattr(module, f"{name}Discriminator")
    of_g = card.of_generator.values()
    return g(card.channels, card.latent_dim, *of_g), d(card.channels, *card.options.values())


PLAIN: dict[str, Callable[[Card], tuple[nn.Module, nn.Module]]] = {
    "mlp": lambda c: (
        networks.MLPGenerator(c.image_size, c.channels, c.latent_dim),
        networks.MLPDiscriminator(c.image_size, c.channels),
    ),
    "dcgan": lambda c: (
        networks.DCGANGenerator(c.image_size, c.channels, c.latent_dim),
        networks.DCGANDiscriminator(c.image_size, c.channels),
    ),
    "resnet": lambda c: (
        networks.ResNetGenerator(c.channels, c.latent_dim),
        networks.ResNetDiscriminator(c.channels, spectral=c.options["spectral_norm"]),
    ),
    "r3gan": lambda c: _recent("R3GAN", c),
    "biggan": lambda c: _recent("BigGAN", c),
    "stylegan2": lambda c: _recent("StyleGAN2", c),
    "gat": lambda c: _recent("GAT", c, networks_gat),
}
"""Functions that create the plain networks of a card, by the name of its generator."""
SN, CRITIC = {"spectral_norm": True}, {"spectral_norm": False}
TOKENS = {"width": 64, "depth": 4, "heads": 4, "patch": 4}
R3, STYLED = {"base_channels": 32}, {"base": 1024, "max_channels": 128}
CARDS = {  # the last four have the widths of the presets for two cores
    card.name: card
    for card in (
        Card("mlp_28", 28, 1, "mlp", "mlp", "bce", 100, (0.5, 0.999)),
        Card("dcgan_32", 32, 1, "dcgan", "dcgan", "bce", 100, (0.5, 0.999)),
        Card("dcgan_64", 64, 3, "dcgan", "dcgan", "bce", 100, (0.5, 0.999), heavy=True),
        Card("sngan_32", 32, 3, "resnet", "resnet", "hinge", 128, (0.0, 0.9), SN, heavy=True),
        Card("wgan_gp_32", 32, 3, "resnet", "resnet", "wgan_gp", 128, (0.0, 0.9), CRITIC, True),
        Card("r3gan_32", 32, 3, "r3gan", "r3gan", "rpgan", 64, (0.0, 0.9), R3, True,
             of_generator=R3, penalty="r1+r2"),
        Card("biggan_32", 32, 3, "biggan", "biggan", "hinge", 80, (0.0, 0.999),
             {"base_channels": 16}, True, of_generator={"base_channels": 12}),
        Card("stylegan2_32", 32, 3, "stylegan2", "stylegan2", "bce", 128, (0.0, 0.99), STYLED, True,
             of_generator={**STYLED, "style_dim": 128}, penalty="r1"),
        Card("gat_32", 32, 3, "gat", "gat", "rpgan", 64, (0.0, 0.99),
             {**TOKENS, "embedding": 128}, True, of_generator=TOKENS, penalty="fd_r1+fd_r2"),
    )
}  # fmt: skip


def plain(
    card: Card,
    batch_size: int,
    device: torch.device,
    loss: str | None = None,
    penalty: str | None = None,
    *,
    tuned: bool = False,
) -> Functions:
    """Return the functions of the plain loop, or of the tuned one."""
    layout = torch.channels_last if tuned else torch.contiguous_format
    g, d = (network.to(device, memory_format=layout) for network in card.plain())
    loop = PlainLoop(
        g,
        d,
        loss or card.loss,
        card.latent_dim,
        card.lr,
        card.betas,
        penalty or card.penalty,
        tuned=tuned,
    )
    images = card.images(batch_size, device).contiguous(memory_format=layout)
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
    """Return the functions of the zoo, which train as `run.py` does.

    They use the memory format channels-last, fused Adam, and the zoo's own step. With `graph`, the
    whole step is captured as a CUDA graph as in training, and each single update as another graph.
    """
    g, d = (n.to(device, memory_format=torch.channels_last) for n in card.zoo())
    for network in (g, d):
        route_products(network)
    method = registry.create("loss", loss or card.loss)
    penalty = penalty or card.penalty
    added = [registry.create("regularizer", n) for n in penalty.split("+")] if penalty else []
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
    """An update that is captured as a CUDA graph at the fourth call and runs eagerly before."""

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
    """Return all ways to train a card on this machine by name, beginning with `plain`.

    Args:
        device: the device to train on.
        compiled: whether to include `torch.compile`, which takes minutes.
    """

    def variant(**options: bool) -> Contender:
        return lambda *args, **kwargs: zoo(*args, **kwargs, **options)

    def tuned(*args: Any, **kwargs: Any) -> Functions:
        return plain(*args, **kwargs, tuned=True)

    found: dict[str, Contender] = {"plain": plain, "tuned": tuned, "zoo": zoo}
    if not emulates_bf16(device):
        found["zoo, bf16"] = variant(bf16=True)
    if device.type == "cuda":
        found["zoo, captured"] = variant(graph=True)
        found["zoo, captured, bf16"] = variant(graph=True, bf16=True)
    if compiled:
        found["zoo, compiled"] = variant(compile=True)
        if not emulates_bf16(device):
            found["zoo, compiled, bf16"] = variant(compile=True, bf16=True)
    return found
