"""Every generator x discriminator x loss trains, or is refused for a known reason."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import Any

import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.data.base import DataModule
from zoo.registry import REGISTRY
from zoo.training.build import build_gan

SIZES = (16, 32, 28, 1, 64, 128, 256)
LATENT = {"_target_": "codes"}  # which every head can work with
LATENT_DIM = 16


class Noise(DataModule):
    """Random pictures of ten classes."""

    def __init__(self, image_size: int = 16) -> None:
        super().__init__("noise", image_size, 1, [str(i) for i in range(10)], batch_size=4)

    def load(self, split):
        random = torch.Generator().manual_seed(0)
        shape = (16, 1, self.image_size, self.image_size)
        return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8), torch.arange(
            16
        ) % 10


DATA = Noise()


def node(kind: str, name: str, **options: Any) -> dict[str, Any]:
    part = REGISTRY.get(kind, name)
    return {"_target_": part.target, **getattr(part.load(), "tiny", {}), **options}


def model(generator: str, discriminator: str, loss: str, **more: Any) -> dict[str, Any]:
    return {
        "generator": node("generator", generator),
        "discriminator": node("discriminator", discriminator),
        "loss": node("loss", loss),
        "latent": LATENT,
        "latent_dim": LATENT_DIM,
        "ema_half_life": None,
        **more,
    }


@functools.cache
def sizes_of(kind: str, name: str) -> frozenset[int]:
    """The sizes among SIZES that a network takes, with labels where it cannot work without."""
    part = REGISTRY.get(kind, name).load()
    options = {"latent_dim": LATENT_DIM} if kind == "generator" else {}
    taken = set()
    for size in SIZES:
        shape = {"image_size": size, "channels": 1, "num_classes": 10 * part.requires_labels}
        with contextlib.suppress(ZooError):
            zoo.create(kind, name, **shape, **part.tiny, **options)
            taken.add(size)
    return frozenset(taken)


def data_for(generator: str, discriminator: str) -> Noise | None:
    """Pictures of the first size that both take."""
    both = sizes_of("generator", generator) & sizes_of("discriminator", discriminator)
    return next((Noise(size) for size in SIZES if size in both), None)


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


def trains(gan: zoo.GAN, data: Noise = DATA) -> None:
    """One step is finite and moves both networks."""
    images, labels = data.split("train")
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


def trains_or_is_refused(chosen: dict[str, Any], discriminator: str, data: Noise) -> None:
    """Refused are only penalties per image where a paper's D has batch norm or no single score.

    And that when the networks are made, never at the first step.
    """
    told = ""
    try:
        gan = build_gan(chosen, data)
    except ZooError as error:
        told = str(error)
    else:
        trains(gan, data)
    part = REGISTRY.get("discriminator", discriminator)
    fixed = "norm" not in {p.name for p in part.options}
    patches = part.load().several_scores
    batch_norm = fixed and "mixes the images of a batch through batch norm" in told
    assert not told or batch_norm or (patches and "needs one score per image" in told), told


LOSSES = zoo.list_parts("loss")
DISCRIMINATORS = zoo.list_parts("discriminator")
PAIRS = list(itertools.product(zoo.list_parts("generator"), DISCRIMINATORS))


@pytest.mark.parametrize("place", range(len(PAIRS)), ids=["-".join(p) for p in PAIRS])
def test_every_pair_trains(place):
    """Under one loss each, all losses in turn: discriminators choose a norm that it allows."""
    generator, discriminator = PAIRS[place]
    data = data_for(generator, discriminator)
    if data is None:  # a network for points of the plane beside one for large pictures
        assert not (sizes_of("generator", generator) & sizes_of("discriminator", discriminator))
        return
    torch.manual_seed(0)
    chosen = model(generator, discriminator, LOSSES[place % len(LOSSES)])
    trains_or_is_refused(chosen, discriminator, data)


HEADS = zoo.list_parts("head")


@pytest.mark.parametrize("head", HEADS)
def test_every_head_trains_under_every_loss(head):
    conditional = REGISTRY.get("head", head).load().requires_labels
    more = {"head": node("head", head), "conditional": conditional or None}
    for place, loss in enumerate(LOSSES):
        trunk = ("dcgan", "mlp", "sn_cnn", "resnet")[place % 4]
        trains(build_gan(model("dcgan", trunk, loss, **more), DATA))


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_every_trunk_takes_every_kind_of_method(discriminator):
    """Of the regularizers and augmentations two each, in turn, so that all are met."""
    place = DISCRIMINATORS.index(discriminator)
    own = REGISTRY.get("discriminator", discriminator).load()
    data = next(d for g in ("dcgan", "mlp", "fastgan") if (d := data_for(g, discriminator)))
    generator = "dcgan" if "dcgan" in generators_at(data.image_size) else "mlp"
    regularizers = zoo.list_parts("regularizer")
    for name in regularizers[place % 4 :: 4]:
        if name == "packing" and own.requires_labels:
            continue  # packs have no one label, see test_packs_are_refused_with_labels
        chosen = {name: node("regularizer", name)}
        asked = model(generator, discriminator, "bce", regularizer=chosen)
        trains_or_is_refused(asked, discriminator, data)
    augmentations = {a: node("augmentation", a) for a in zoo.list_parts("augmentation")}
    chosen = model(generator, discriminator, "bce", augmentation=augmentations)
    trains(build_gan(chosen, data), data)


METHODS = [
    (kind, name)
    for kind in ("head", "loss", "regularizer", "augmentation")
    for name in zoo.list_parts(kind)
]


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=["-".join(method) for method in METHODS])
def test_every_method_takes_a_step_in_bf16(kind, name):
    chosen: dict[str, Any] = {"conditional": None}
    if kind == "head":
        chosen |= {"head": node(kind, name)}
    elif kind != "loss":
        chosen |= {kind: {name: node(kind, name)}}
    if getattr(REGISTRY.get(kind, name).load(), "requires_labels", False):
        chosen |= {"conditional": True}
    if name == "packing":  # packs have no one label
        chosen |= {"conditional": False}
    loss = name if kind == "loss" else "bce"
    gan = build_gan(model("dcgan", "dcgan", loss, **chosen), DATA)
    with torch.autocast("cpu", torch.bfloat16):
        trains(gan)


def generators_at(size: int) -> list[str]:
    return [g for g in zoo.list_parts("generator") if size in sizes_of("generator", g)]


def test_packs_are_refused_with_labels():
    chosen = {"packing": node("regularizer", "packing")}
    with pytest.raises(ZooError, match=r"no single label.*conditional=false"):
        build_gan(model("dcgan", "dcgan", "bce", regularizer=chosen, conditional=True), DATA)


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_one_score_an_image_is_asked_of_every_trunk(discriminator):
    """Those that norm D's score by its slope: nothing is left for the first step to find out."""
    data = next(d for g in ("dcgan", "mlp", "fastgan") if (d := data_for(g, discriminator)))
    generator = "dcgan" if "dcgan" in generators_at(data.image_size) else "mlp"
    wanting = [p.name for p in REGISTRY.parts("regularizer") if p.load().one_score]
    assert "gradient_normalization" in wanting
    for name in wanting:
        chosen = {name: node("regularizer", name)}
        asked = model(generator, discriminator, "bce", regularizer=chosen)
        trains_or_is_refused(asked, discriminator, data)


@pytest.mark.parametrize("head", HEADS)
def test_packs_beside_every_head(head):
    chosen = model(
        "mlp",
        "mlp",
        "bce",
        head=node("head", head),
        regularizer={"packing": node("regularizer", "packing")},
    )
    needs_labels = REGISTRY.get("head", head).load().requires_labels
    try:
        gan = build_gan(chosen, DATA)
    except ZooError as error:
        told = str(error)
        assert needs_labels != ("needs to see each image on its own" in told), told
        assert ("a pack of 2 images has no single label" in told) == needs_labels
    else:
        assert not needs_labels
        trains(gan, DATA)


BATCH_NORM = {"timm": "model"}
"""What the choice is called, where it is not `norm=batch`."""


def test_exactly_batch_norm_with_a_penalty_per_image_is_refused():
    """Asked for by name, against the method's mathematics; `auto` would not take it."""
    trunks = [
        p.name for p in REGISTRY.parts("discriminator") if "norm" in {o.name for o in p.options}
    ]
    parts = [(r.name, r.load()) for r in REGISTRY.parts("regularizer")]
    penalties = [n for n, r in parts if r.per_sample and "discriminator" in r.sides]
    assert "dcgan" in trunks
    mixes = "mixes the images of a batch.*norm=|needs one score per image"
    assert {"r1", "r2", "gradient_penalty", "dragan"} <= set(penalties)
    for name in trunks:
        chosen = model("dcgan", name, "bce")
        chosen["discriminator"] = node("discriminator", name, norm=BATCH_NORM.get(name, "batch"))
        trains(build_gan(chosen, DATA))  # without a penalty it is fine
        for penalty in penalties:
            regularizer = {penalty: node("regularizer", penalty)}
            with pytest.raises(ZooError, match=rf"{penalty}.*({mixes})"):
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
    with pytest.raises(ZooError, match=r"head 'projection' needs labels, but .*=false$"):
        build_gan(
            model("dcgan", "dcgan", "bce", head=node("head", "projection"), conditional=False), DATA
        )


@pytest.mark.parametrize(
    ("head", "asked", "classes"),
    [(None, None, 10), ("projection", None, 10), ("unconditional", None, 0), (None, False, 0)],
)
def test_labels_are_taken_where_there_are_some_and_the_head_has_a_use_for_them(
    head, asked, classes
):
    more = {} if head is None else {"head": node("head", head)}
    gan = build_gan(model("dcgan", "dcgan", "bce", conditional=asked, **more), DATA)
    assert gan.generator.num_classes == gan.discriminator.num_classes == classes
    assert not gan.notes


def test_labels_that_the_discriminator_ignores_are_noted():
    head = node("head", "unconditional")
    gan = build_gan(model("dcgan", "dcgan", "bce", head=head, conditional=True), DATA)
    assert len(gan.notes) == 1
    assert "does not use them, so they will have no effect" in gan.notes[0]


def test_a_loss_that_the_head_replaces_is_noted_and_weights_of_it():
    """Top-k would choose images of a loss that nobody takes."""
    top_k = {"regularizer": {"top_k": node("regularizer", "top_k")}}
    assert not build_gan(model("dcgan", "dcgan", "hinge", **top_k), DATA).notes
    head = node("head", "multi_hinge")
    gan = build_gan(model("dcgan", "dcgan", "hinge", head=head, **top_k), DATA)
    assert len(gan.notes) == 2
    assert "'top_k' weights the values of the loss, but head 'multi_hinge'" in gan.notes[0]
    assert "replaces loss 'hinge' by losses of its own." in gan.notes[1]
    note = build_gan(model("dcgan", "sn_cnn", "wgan_gp", head=head), DATA).notes[0]
    assert "'wgan_gp' by losses of its own; of that method, only gradient_penalty remains." in note


def test_weights_that_stay_as_nobody_trained_them_are_noted():
    freeze = {"regularizer": {"freeze_d": node("regularizer", "freeze_d")}}
    (note,) = build_gan(model("dcgan", "dcgan", "hinge", **freeze), DATA).notes
    assert "'freeze_d' freezes weights of D at their initial values, which are untrained" in note
