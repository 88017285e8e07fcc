"""Helpers for several test files: checkpoints created through the registry, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.registry import spec_of

PLAIN = '''
from zoo import Loss, loss

@loss("NAME")
class Plain(Loss):
    """A loss.

    Paper: Somebody (2020), arXiv:2001.00001.
    """

    def __init__(self, scale: float = 2.0) -> None:
        self.scale = scale

    def discriminator(self, real, fake):
        return self.scale * (fake - real)

    def generator(self, fake, real=None):
        return -self.scale * fake
'''
"""The text of a plugin file that defines the loss NAME."""


def small_checkpoint(path: Path, name: str, num_classes: int = 3, channels: int = 1) -> Path:
    """Write a checkpoint of any generator of the zoo, small and with its own initial weights."""
    from helpers_contracts import image_size, live

    part = ("generator", name)
    return make_checkpoint(
        path,
        name,
        "mlp",
        image_size=image_size(part),
        channels=channels,
        num_classes=num_classes,
        generator_options=live(part).tiny,
        drawn=None,
    )


def make_checkpoint(
    path: Path,
    generator: str = "dcgan",
    discriminator: str = "dcgan",
    *,
    image_size: int = 16,
    channels: int = 1,
    num_classes: int = 10,
    latent_dim: int = 12,
    ema: bool = True,
    seed: int = 0,
    generator_options: dict[str, Any] | None = None,
    class_names: list[str] | None = None,
    images_seen: int = 1280,
    drawn: bool | None = True,
) -> Path:
    """Write a checkpoint of newly initialised networks, in the format of the trainer.

    Args:
        path: the file to write.
        generator, discriminator: the names of the networks.
        image_size, channels, num_classes, latent_dim: their shapes.
        ema: whether to add EMA weights, which differ from the raw ones.
        seed: the seed of the weights.
        generator_options: further options of the generator.
        class_names: the names of the classes; None for digits.
        images_seen: the number of images that the checkpoint claims to have been trained on.
        drawn: whether to draw weights at a scale that gives images contrast; None does so only if
            the initial weights give little contrast.
    """
    torch.manual_seed(seed)
    shape = {"image_size": image_size, "channels": channels, "num_classes": num_classes}
    g = zoo.create(
        "generator", generator, **shape, latent_dim=latent_dim, **(generator_options or {})
    )
    d = zoo.create("discriminator", discriminator, **shape)
    if drawn is None:  # draw weights only if the initial ones give no contrast
        labels = torch.zeros(8, dtype=torch.int64) if num_classes else None
        with torch.no_grad():
            drawn = bool(g.eval()(g.sample_latent(8), labels).std() < 0.05)
    with torch.no_grad():  # weights with which images have contrast, as after training
        for weight in (p for p in g.parameters() if p.dim() > 1 and drawn):
            torch.nn.init.kaiming_normal_(weight)
        for table in (m for m in g.modules() if isinstance(m, torch.nn.Embedding) and not drawn):
            torch.nn.init.normal_(table.weight)  # labels matter, as after training
    state = {f"generator.{k}": v.clone() for k, v in g.state_dict().items()}
    if ema:  # weights that differ from the raw ones
        state |= {
            f"ema_generator.{k}": v * 1.1 if v.is_floating_point() else v.clone()
            for k, v in g.state_dict().items()
        }
    state |= {f"discriminator.{k}": v.clone() for k, v in d.state_dict().items()}
    info = {
        "format": 1,
        "version": zoo.__version__,
        "generator": spec_of(g),
        "discriminator": {**spec_of(d), "head": None},
        "loss": {"name": "bce", "options": {}},
        "regularizers": [],
        "augmentations": [],
        "data": {
            "name": "mnist_subset",
            "image_size": image_size,
            "channels": channels,
            "num_classes": 10,
            "class_names": class_names or [str(i) for i in range(10)],
        },
        "ema": ema,
        "images_seen": images_seen,
        "step": images_seen // 64,
        "sources": {"generator": "zoo", "discriminator": "zoo", "loss": "zoo"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.name == "checkpoints":  # as Hydra does in a run's folder
        (path.parent.parent / ".hydra").mkdir(exist_ok=True)
    torch.save({"zoo": info, "state_dict": state}, path)
    return path
