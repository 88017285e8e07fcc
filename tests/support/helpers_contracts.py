"""Helpers for the contract tests: small instances of every part, with suitable inputs."""

from __future__ import annotations

import functools
from typing import Any, cast

import pytest
import torch
from torch import nn

import zoo.registry as registry
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError

Part = tuple[str, str]

SIZES = (32, 16, 64, 28, 128, 256)  # the first size that a part supports is used
CHANNELS, CLASSES, LATENT, BATCH = 3, 4, 12, 3


def parametrize(*kinds: str) -> pytest.MarkDecorator:
    parts = [(kind, name) for kind in kinds for name in registry.list_parts(kind)]
    return pytest.mark.parametrize("part", parts, ids=["-".join(part) for part in parts])


conditional = pytest.mark.parametrize("classes", [0, CLASSES], ids=["plain", "conditional"])


def live(part: Part) -> Any:
    return registry.REGISTRY.get(*part).load()


@functools.cache
def image_size(part: Part) -> int:
    classes = CLASSES if live(part).requires_labels else 0
    problems = []
    for size in SIZES:
        try:
            build(part, classes, size)
        except ZooError as error:
            problems.append(str(error))
        else:
            return size
    raise AssertionError(f"{part} takes none of the sizes {SIZES}: {problems[0]}")


def build(
    part: Part, classes: int = 0, size: int | None = None, channels: int = CHANNELS, **options: Any
) -> Any:
    """Create a network with the same weights every time, in training mode."""
    kind, name = part
    size = size or image_size(part)  # before the seed is set, since it may build networks
    torch.manual_seed(0)
    options = live(part).tiny | options
    if kind == "generator":
        options["latent_dim"] = LATENT
    return registry.create(
        kind,
        name,
        image_size=size,
        channels=channels,
        num_classes=classes,
        **options,
    )


def classes_of(part: Part, classes: int) -> int:
    """Return the number of classes; parts that need labels have some in both cases."""
    return classes or (CLASSES if live(part).requires_labels else 0)


def inputs(part: Part, n: int = BATCH, size: int | None = None, channels: int = CHANNELS) -> Any:
    """Return latents or images, and labels; networks without classes ignore the labels."""
    torch.manual_seed(1)
    y = torch.arange(n) % CLASSES
    if part[0] == "generator":
        return torch.randn(n, LATENT), y
    size = size or image_size(part)
    return torch.rand(n, channels, size, size) * 2 - 1, y


def awaken(network: nn.Module) -> nn.Module:
    """Fill parameters that start at zero (residual gains, label tables) and block gradients."""
    torch.manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)
    return network


def check_shape(
    part: Part, out: torch.Tensor, n: int, channels: int = CHANNELS, size: int | None = None
) -> None:
    """Check the shape of images or scores: one per image, or any number without a head."""
    side = size or image_size(part)
    if part[0] == "generator":
        assert out.shape == (n, channels, side, side)
    elif live(part).takes_head:
        assert out.shape == (n,)
    else:
        assert out.shape[0] == n


def update_of(network: Any, x: torch.Tensor, y: torch.Tensor) -> Update:
    """Return an update of D whose fakes are the mirrored images."""

    def discriminate(
        images: torch.Tensor, labels: torch.Tensor | None, augmented: bool = True
    ) -> DiscriminatorOutput:
        return network.outputs(images, labels)

    fakes = x.detach().flip(3)
    z = torch.randn(len(x), LATENT)
    generated = GeneratorOutput(fakes, z, z, y)
    return Update(
        side="discriminator",
        generator=cast(Generator, None),
        discriminator=network,
        real=x.detach(),
        labels=y,
        generated=generated,
        real_output=discriminate(x.detach(), y),
        fake_output=discriminate(fakes, y),
        discriminate=discriminate,
        generate=lambda n, labels=None: generated,
    )


def check_output(part: Part, out: torch.Tensor) -> None:
    assert out.isfinite().all()
    if part[0] == "generator":
        assert not live(part).bounded or out.abs().max() <= 1
        assert out.std() > 0
