"""Training steps on small networks, each with one part of the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fake_device import DEVICE, FakeDevice, is_on_device
from helpers_contracts import CHANNELS, CLASSES, Part, build, classes_of, image_size

import zoo.registry as registry
from zoo.training.optimizers import adam
from zoo.training.passes import packs_of
from zoo.training.step import AdversarialStep


def tiny_networks(packs: int = 1) -> tuple[Any, Any]:
    """Create conditional networks; a D that sees packs of images is unconditional."""
    classes, channels = (CLASSES, CHANNELS) if packs == 1 else (0, packs * CHANNELS)
    options = {"base_channels": 4}
    return (
        build(("generator", "dcgan"), CLASSES, 16, **options),
        build(("discriminator", "dcgan"), classes, 16, channels, per_sample=True, **options),
    )


def tiny_step(
    loss: Any,
    regularizers: Any = (),
    augmentations: Any = (),
    networks: Any = None,
    place: Callable[[Any], Any] = lambda module: module,
) -> AdversarialStep:
    """Create a step on small networks.

    Args:
        loss: the loss.
        regularizers: regularizers in addition to those of the loss.
        augmentations: the augmentations.
        networks: the generator and the discriminator; None for `tiny_networks`.
        place: a function that moves a module to another device.
    """
    generator, discriminator = map(place, networks or tiny_networks(packs_of(regularizers)))
    return AdversarialStep(
        generator,
        discriminator,
        place(loss),
        adam(generator.parameters(), 1e-3, (0.5, 0.9), eps=1e-4),
        adam(discriminator.parameters(), 1e-3, (0.5, 0.9), eps=1e-4),
        regularizers=[place(r) for r in (*loss.regularizers(), *regularizers)],
        augmentations=[place(a) for a in augmentations],
    )


def step_of(part: Part, **options: Any) -> AdversarialStep:
    """Create a step on small networks that uses `part`; `options` are those of `tiny_step`."""
    kind, _ = part
    if kind in ("generator", "discriminator"):
        classes, size = classes_of(part, CLASSES), image_size(part)
        other = ("discriminator" if kind == "generator" else "generator", "mlp")
        pair = build(part, classes), build(other, classes, size)
        networks = pair if kind == "generator" else pair[::-1]
        return tiny_step(registry.create("loss", "bce"), networks=networks, **options)
    if kind == "head":
        generator = build(("generator", "mlp"), CLASSES, 16)
        networks = generator, build(("discriminator", "mlp"), CLASSES, 16, head=part[1])
        return tiny_step(registry.create("loss", "bce"), networks=networks, **options)
    if kind == "loss":
        return tiny_step(registry.create(*part), **options)
    added = [registry.create(*part)]
    chosen = {"regularizers": added} if kind == "regularizer" else {"augmentations": added}
    return tiny_step(registry.create("loss", "bce"), **chosen, **options)


def run_by_shapes(step: AdversarialStep, device: FakeDevice, copies: bool) -> None:
    """Run two steps on a fake device; without `copies`, copies from the host are errors."""
    size = step.generator.image_size
    with device.computing(copies=copies):
        images = torch.rand(4, CHANNELS, size, size, device=DEVICE)
        labels = torch.zeros(4, dtype=torch.int64, device=DEVICE)
        step.prepare(4, 0, 0)
        for index in range(2):
            assert is_on_device(step.run(images, labels, index))
