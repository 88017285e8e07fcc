"""Every generator x discriminator x loss trains, or is refused for a known reason."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.data.base import DataModule
from zoo.registry import REGISTRY
from zoo.training.build import build_gan

SMALL = {
    "base_channels": 4, "width": 8, "depth": 1, "channels_g": 4, "max_channels": 8,
    "blocks": 1, "layers": 1,
}  # fmt: skip
"""Options that make a network small, where it has them."""


class Noise(DataModule):
    """Random pictures of ten classes, at 16 pixels."""

    def __init__(self) -> None:
        super().__init__("noise", 16, 1, [str(i) for i in range(10)], batch_size=4)

    def load(self, split):
        random = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (16, 1, 16, 16), generator=random, dtype=torch.uint8)
        return images, torch.arange(16) % 10


DATA = Noise()


def node(kind: str, name: str, **options: Any) -> dict[str, Any]:
    part = REGISTRY.get(kind, name)
    small = {p.name: SMALL[p.name] for p in part.options if p.name in SMALL}
    if name == "timm":
        small["model"] = "test_resnet"
    return {"_target_": part.target, **small, **options}


def model(generator: str, discriminator: str, loss: str, **more: Any) -> dict[str, Any]:
    return {
        "generator": node("generator", generator),
        "discriminator": node("discriminator", discriminator),
        "loss": node("loss", loss),
        "latent_dim": 8,
        "ema_half_life": None,
        **more,
    }


def step_of(gan: zoo.GAN) -> zoo.AdversarialStep:
    optimizers = gan.configure_optimizers()
    return zoo.AdversarialStep(
        gan.generator,
        gan.discriminator,
        gan.loss,
        *optimizers,
        regularizers=[*gan.regularizers],
        augmentations=[*gan.augmentations],
    )


def trains(gan: zoo.GAN) -> None:
    """One step is finite and moves both networks."""
    images, labels = DATA.split("train")
    before = [p.detach().clone() for p in (*gan.generator.parameters(),
                                           *gan.discriminator.parameters())]  # fmt: skip
    y = labels[:4] if gan.generator.num_classes or gan.discriminator.num_classes else None
    values = step_of(gan)(images[:4].float() / 127.5 - 1, y, 0)
    assert all(v.isfinite() for v in values.values()), values
    after = [*gan.generator.parameters(), *gan.discriminator.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    split = len([*gan.generator.parameters()])
    assert any(moved[:split])
    assert any(moved[split:])


PAIRS = list(itertools.product(zoo.list_parts("generator"), zoo.list_parts("discriminator")))


@pytest.mark.parametrize(("generator", "discriminator"), PAIRS)
def test_every_pair_trains_under_every_loss(generator, discriminator):
    """None is refused: discriminators choose a norm that the method allows."""
    for loss in zoo.list_parts("loss"):
        torch.manual_seed(0)
        try:
            gan = build_gan(model(generator, discriminator, loss), DATA)
        except ZooError as error:
            pytest.fail(f"{generator} x {discriminator} x {loss} is refused: {error}")
        trains(gan)


@pytest.mark.parametrize("discriminator", zoo.list_parts("discriminator"))
def test_every_trunk_takes_every_head_regularizer_and_augmentation(discriminator):
    heads = {h: node("head", h) for h in zoo.list_parts("head")}
    regularizers = {r: node("regularizer", r) for r in zoo.list_parts("regularizer")}
    augmentations = {a: node("augmentation", a) for a in zoo.list_parts("augmentation")}
    for head, options in heads.items():
        conditional = REGISTRY.get("head", head).load().requires_labels
        more = {"head": options, "conditional": conditional or None}
        trains(build_gan(model("dcgan", discriminator, "hinge", **more), DATA))
    for name, options in regularizers.items():
        trains(build_gan(model("dcgan", discriminator, "bce", regularizer={name: options}), DATA))
    trains(build_gan(model("mlp", discriminator, "bce", augmentation=augmentations), DATA))


BATCH_NORM = {"timm": "model"}
"""What the choice is called, where it is not `norm=batch`."""


def test_exactly_batch_norm_with_a_penalty_per_image_is_refused():
    """Asked for by name, against the method's mathematics; `auto` would not take it."""
    trunks = [
        p.name for p in REGISTRY.parts("discriminator") if "norm" in {o.name for o in p.options}
    ]
    penalties = [r.name for r in REGISTRY.parts("regularizer") if r.load().per_sample]
    assert "dcgan" in trunks
    assert {"r1", "r2", "gradient_penalty", "dragan"} <= set(penalties)
    for name in trunks:
        chosen = model("dcgan", name, "bce")
        chosen["discriminator"] = node("discriminator", name, norm=BATCH_NORM.get(name, "batch"))
        trains(build_gan(chosen, DATA))  # without a penalty it is fine
        for penalty in penalties:
            regularizer = {penalty: node("regularizer", penalty)}
            with pytest.raises(ZooError, match=rf"{penalty}.*mixes the images of a batch.*norm="):
                build_gan({**chosen, "regularizer": regularizer}, DATA)
        with pytest.raises(ZooError, match="mixes the images of a batch"):
            build_gan({**chosen, "loss": node("loss", "wgan_gp")}, DATA)


def test_a_penalty_per_image_of_the_generator_leaves_the_discriminators_norm(monkeypatch):
    penalty = REGISTRY.get("regularizer", "r1").load()
    monkeypatch.setattr(penalty, "sides", ("generator",))
    gan = build_gan(
        model("dcgan", "dcgan", "bce", regularizer={"r1": node("regularizer", "r1")}), DATA
    )
    assert gan.discriminator.has_batch_statistics


def test_labels_that_are_missing_are_told():
    with pytest.raises(ZooError, match=r"head 'projection' needs labels, but .*=false\."):
        build_gan(
            model("dcgan", "dcgan", "bce", head=node("head", "projection"), conditional=False), DATA
        )


def test_labels_that_the_discriminator_ignores_are_noted():
    head = node("head", "unconditional")
    gan = build_gan(model("dcgan", "dcgan", "bce", head=head, conditional=True), DATA)
    assert len(gan.notes) == 1
    assert "does not ask for them, so they will not matter" in gan.notes[0]
