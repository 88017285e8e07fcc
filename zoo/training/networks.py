"""Generator and discriminator from names, each made for the other and for the regularizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.core.errors import ZooError, listing
from zoo.core.sizes import ImageSize, height_width
from zoo.registry import REGISTRY, create, factory
from zoo.training.compatibility import per_sample
from zoo.training.passes import packs_of


def named_part(kind: str, part: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and options of a part that is given by name; None for an object.

    Args:
        part: `"r1"`, `{"name": "r1", "gamma": 1.0}`, or an object.

    Raises:
        ZooError: a dictionary without a name.
    """
    if isinstance(part, str):
        return part, {}
    if isinstance(part, dict):
        if not isinstance(part.get("name"), str):
            raise ZooError(
                f"{kind} {part} names no part; give for instance "
                f'{{"name": "…"}} with its options beside it.'
            )
        return part["name"], {k: v for k, v in part.items() if k != "name"}
    return None


def made_part(kind: str, part: Any, **filled: Any) -> Any:
    """The part that a name stands for; an object as it is."""
    named = named_part(kind, part)
    return part if named is None else create(kind, named[0], **filled, **named[1])


def make_generator(
    name: str,
    options: dict[str, Any],
    *,
    image_size: ImageSize,
    channels: int,
    num_classes: int,
    latent: Any,
) -> Generator:
    """A generator for images of this shape; `latent` is what it draws from."""
    made: Generator = create(
        "generator",
        name,
        image_size=image_size,
        channels=channels,
        latent_dim=latent.dim,
        num_classes=num_classes,
        **options,
    )
    made.latent = latent
    return made


def make_discriminator(
    name: str,
    options: dict[str, Any],
    *,
    image_size: ImageSize,
    channels: int,
    num_classes: int,
    latent: Any,
    head: tuple[str, dict[str, Any]] | None,
    loss: Loss,
    regularizers: Sequence[Regularizer],
) -> Discriminator:
    """A discriminator with the head asked for, or the one that goes with the classes.

    Raises:
        ZooError: a head for a network that takes none.
    """
    part = REGISTRY.get("discriminator", name)
    extra: dict[str, Any] = {}
    if part.takes("per_sample"):
        extra["per_sample"] = bool(per_sample([*loss.regularizers(), *regularizers]))
    network = part.load()
    if getattr(network, "takes_head", part.takes("head")):
        chosen = head or (network.default_head_of(num_classes), {})
        extra["head"] = factory("head", chosen[0], **chosen[1])
        extra["head"].latent = latent
    elif head is not None:
        raise ZooError(
            f"discriminator {name!r} scores images by itself and takes no head: leave "
            f"model/head={head[0]} out."
        )
    made: Discriminator = create(
        "discriminator",
        name,
        image_size=image_size,
        channels=channels * packs_of(regularizers),
        num_classes=num_classes,
        **extra,
        **options,
    )
    return made


def make_networks(
    generator: Any,
    discriminator: Any,
    loss: Loss,
    regularizers: Sequence[Regularizer],
    data: dict[str, Any] | None,
    shape: dict[str, Any],
    latent_dim: int,
    latent: Any,
    head: Any,
) -> tuple[Generator, Discriminator]:
    """Both networks of a GAN, of which each may be a name or an object.

    Args:
        data: description of the data set, for what `shape` leaves open.
        shape: `image_size`, `channels` and `num_classes` of those given by name; what is None is
            taken from the network that is an object, else from `data`.

    Raises:
        ZooError: the shape of the images is not known, or something is asked of networks by name
            where they are objects.
    """
    g, d = named_part("generator", generator), named_part("discriminator", discriminator)
    packs = packs_of(regularizers)
    if g is None and latent is not None:
        raise ZooError("latent=… is of a generator given by name: set generator.latent instead.")
    if d is None and head is not None:
        raise ZooError(
            "head=… is of a discriminator given by name: give it to that where it is made."
        )
    if g is None and d is None:
        _check_shape(generator, 1, shape)
        _check_shape(discriminator, packs, shape)
        return generator, discriminator
    known: dict[str, Any] = {"num_classes": 0}
    known |= {k: v for k, v in (data or {}).items() if k in shape}
    for network, seen in ((generator, 1), (discriminator, packs)):
        if not isinstance(network, str | dict):
            known |= {k: getattr(network, k) for k in shape}
            known["channels"] = network.channels // seen
    known |= {k: v for k, v in shape.items() if v is not None}
    if missing := [k for k in shape if k not in known]:
        raise ZooError(
            f"zoo.GAN makes networks by name only for a known shape of images: add "
            f"{listing(f'{k}=…' for k in missing)}."
        )
    if g is not None:
        prior = made_part("latent", latent or "normal", dim=latent_dim)
        generator = make_generator(*g, **known, latent=prior)
    if d is not None:
        discriminator = make_discriminator(
            *d,
            **known,
            latent=generator.latent,
            head=named_part("head", head),
            loss=loss,
            regularizers=regularizers,
        )
    return generator, discriminator


def _check_shape(network: Any, seen: int, asked: dict[str, Any]) -> None:
    """Refuse a network that was made for other images than those asked for.

    Args:
        seen: how many images it sees as one.
    """
    for name, value in asked.items():
        own = getattr(network, name)
        if name == "image_size":
            fits = value is None or height_width(value) == height_width(own)
        else:
            fits = value is None or own == (value * seen if name == "channels" else value)
        if not fits:
            raise ZooError(
                f"{name}={value} is of networks given by name, and {type(network).__name__} was "
                f"made with {name}={own}."
            )
