"""Every preset in configs/model is a whole choice: it composes, can be built, and trains."""

from __future__ import annotations

import math

import pytest
import recipes
import torch

from zoo.core.errors import ZooError
from zoo.registry import REGISTRY, create
from zoo.registry.kinds import KINDS

PRESETS = [
    (folder.name, file.stem)
    for folder in sorted((recipes.CONFIGS / "model").iterdir())
    if folder.is_dir()
    for file in sorted(folder.glob("*.yaml"))
]


def chosen(kind: str, name: str) -> str:
    return f"model/{kind}=[{name}]" if KINDS[kind].several else f"model/{kind}={name}"


def size_for(kind: str, name: str) -> int:
    """The smallest size of images that the preset takes, its own options included."""
    node = recipes.composed("default", chosen(kind, name))["model"][kind]
    if KINDS[kind].several:
        return 32
    options = {k: v for k, v in node.items() if k != "_target_"}
    options |= {"latent_dim": 100} if kind == "generator" else {}
    for size in (32, 64):
        try:
            with torch.device("meta"):
                name = REGISTRY.get(kind, node["_target_"]).name
                create(kind, name, image_size=size, channels=1, num_classes=10, **options)
        except ZooError:
            continue
        return size
    raise AssertionError(f"{kind} {name} takes neither 32 nor 64 pixels")


def test_the_named_ones_are_there():
    both = {"biggan_small", "gat_small", "r3gan_small", "stylegan2_small", "fastgan_small"}
    for kind in ("generator", "discriminator"):
        assert {(kind, name) for name in both} <= set(PRESETS)
    others = {("regularizer", "lecam_biggan"), ("regularizer", "lecam_stylegan2")}
    assert others | {("augmentation", "ada_r3gan")} <= set(PRESETS)


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_a_preset_trains(kind, name):
    size = size_for(kind, name)
    losses = recipes.run("default", chosen(kind, name), f"datamodule.image_size={size}")
    assert len(losses) == recipes.STEPS
    assert all(math.isfinite(value) for row in losses for value in row)
