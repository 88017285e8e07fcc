"""Creating a generator and a discriminator by name, to fit each other and the regularizers."""

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
    """Return the name and the options of a part that is given by name; None for an object.

    Args:
        kind: The kind of the part, for the message.
        part: `"r1"`, `{"name": "r1", "gamma": 1.0}`, or an object.

    Raises:
        ZooError: `part` is a dictionary without a name.
    """
    if isinstance(part, str):
        return part, {}
    if isinstance(part, dict):
        if not isinstance(part.get("name"), str):
            raise ZooError(
                f'{kind} {part} has no name: write it as {{"name": "…"}}, with its options as '
                "further entries."
            )
        return part["name"], {k: v for k, v in part.items() if k != "name"}
    return None


def made_part(kind: str, part: Any, **filled: Any) -> Any:
    """Create a part that is given by name; return an object unchanged."""
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
    """Create a generator for images of this shape, with the prior `latent`."""
    generator: Generator = create(
        "generator",
        name,
        image_size=image_size,
        channels=channels,
        latent_dim=latent.dim,
        num_classes=num_classes,
        **options,
    )
    generator.latent = latent
    return generator


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
    """Create a discriminator with the given head, or with its default head for the classes.

    Args:
        name, options: The discriminator.
        image_size, channels, num_classes: The shape and the classes of the images.
        latent: The prior of the generator, for heads that recover its codes.
        head: The name and the options of the head; None for the default.
        loss, regularizers: Determine whether D must do without batch norm, and the size of packs.

    Raises:
        ZooError: A head is given for a network that takes none.
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
            f"discriminator {name!r} computes its scores itself and takes no head: leave "
            f"model/head={head[0]} out."
        )
    discriminator: Discriminator = create(
        "discriminator",
        name,
        image_size=image_size,
        channels=channels * packs_of(regularizers),
        num_classes=num_classes,
        **extra,
        **options,
    )
    return discriminator


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
    """Return both networks of a GAN, each of which may be given by name or as an object.

    Args:
        generator, discriminator: The networks.
        loss, regularizers: The other parts of the GAN.
        data: The description of the data set, for values that `shape` leaves open.
        shape: `image_size`, `channels` and `num_classes` of networks given by name. A value of None
            is taken from the network that is an object, else from `data`.
        latent_dim, latent: The prior of a generator given by name.
        head: The head of a discriminator given by name.

    Raises:
        ZooError: The shape of the images is not known, or an option for networks given by name is
            set although the network is an object.
    """
    g, d = named_part("generator", generator), named_part("discriminator", discriminator)
    packs = packs_of(regularizers)
    if g is None and latent is not None:
        raise ZooError(
            "latent=… works only with a generator given by name: set generator.latent instead."
        )
    if d is None and head is not None:
        raise ZooError(
            "head=… works only with a discriminator given by name: pass it to the discriminator's "
            "constructor instead."
        )
    if g is None and d is None:
        _check_shape(generator, 1, shape)
        _check_shape(discriminator, packs, shape)
        return generator, discriminator
    resolved: dict[str, Any] = {"num_classes": 0}
    resolved |= {k: v for k, v in (data or {}).items() if k in shape}
    for network, images in ((generator, 1), (discriminator, packs)):
        if not isinstance(network, str | dict):
            resolved |= {k: getattr(network, k) for k in shape}
            resolved["channels"] = network.channels // images
    resolved |= {k: v for k, v in shape.items() if v is not None}
    if missing := [k for k in shape if k not in resolved]:
        raise ZooError(
            f"zoo.GAN cannot create networks by name without knowing the shape of the images: add "
            f"{listing(f'{k}=…' for k in missing)}."
        )
    if g is not None:
        prior = made_part("latent", latent or "normal", dim=latent_dim)
        generator = make_generator(*g, **resolved, latent=prior)
    if d is not None:
        discriminator = make_discriminator(
            *d,
            **resolved,
            latent=generator.latent,
            head=named_part("head", head),
            loss=loss,
            regularizers=regularizers,
        )
    return generator, discriminator


def _check_shape(network: Any, packs: int, shape: dict[str, Any]) -> None:
    """Reject a network that was made for images of another shape.

    Args:
        network: The network.
        packs: How many images it sees as one.
        shape: The `image_size`, `channels` and `num_classes` requested; None if not given.
    """
    for name, value in shape.items():
        actual = getattr(network, name)
        if name == "image_size":
            fits = value is None or height_width(value) == height_width(actual)
        else:
            fits = value is None or actual == (value * packs if name == "channels" else value)
        if not fits:
            raise ZooError(
                f"{name}={value} applies only to networks given by name: {type(network).__name__} "
                f"was created with {name}={actual}."
            )
