"""Building a data module and a GAN from a configuration of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.core.errors import ZooError, listing
from zoo.registry import REGISTRY, create, list_parts
from zoo.registry.signature import bind
from zoo.training.options import model_parameters

if TYPE_CHECKING:
    from zoo.data.base import DataModule
    from zoo.training.gan import GAN

_PARTS = ("generator", "discriminator", "head", "latent", "loss", "regularizer", "augmentation")
_OWN = (*_PARTS, "latent_dim", "conditional", "schedules")


def part_of(kind: str, node: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of the part that a config node describes.

    Raises:
        ZooError: The node has no `_target_`, or one that is not registered.
    """
    if not isinstance(node, dict) or "_target_" not in node:
        raise ZooError(
            f"the configuration has no {kind}; choose one of {listing(list_parts(kind))} with "
            f"model/{kind}=… ."
        )
    options = {str(k): v for k, v in node.items() if k != "_target_"}
    return REGISTRY.get(kind, node["_target_"]).name, options


def build_data(node: dict[str, Any], data_dir: str, seed: int) -> DataModule:
    """Create the data module that a config node describes, and load its data."""
    name, options = part_of("datamodule", node)
    data = create("datamodule", name, **options, **_fill("datamodule", name, data_dir, seed))
    data.prepare_data()
    data.setup()
    return data


def _fill(kind: str, name: str, data_dir: str, seed: int) -> dict[str, Any]:
    part = REGISTRY.get(kind, name)
    return {k: v for k, v in {"data_dir": data_dir, "seed": seed}.items() if part.takes(k)}


def describe_data(data: DataModule, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of a data set that checkpoints store, as plain values."""
    return {
        "name": data.name,
        "options": {**(options or {}), **data.kept_options},
        "image_size": data.image_size,
        "channels": data.channels,
        "num_classes": data.num_classes,
        "class_names": list(data.class_names),
    }


def build_gan(node: dict[str, Any], data: DataModule) -> GAN:
    """Build the GAN that the config node `model` describes, for the images of `data`.

    Raises:
        ZooError: A part is unknown, an option is wrong, or the parts are not compatible.
    """
    from zoo.training.gan import GAN
    from zoo.training.networks import make_discriminator, make_generator
    from zoo.training.passes import packs_of

    generator, generator_options = part_of("generator", node.get("generator"))
    discriminator, discriminator_options = part_of("discriminator", node.get("discriminator"))
    head = None if node.get("head") is None else part_of("head", node["head"])
    loss = _create("loss", node.get("loss"))
    regularizers = [_create("regularizer", n) for n in _several(node, "regularizer")]
    augmentations = [_create("augmentation", n) for n in _several(node, "augmentation")]

    parts = {"generator": generator, "discriminator": discriminator}
    if head is not None:
        parts["head"] = head[0]
    packs = packs_of(regularizers)
    num_classes, note = _classes(node.get("conditional"), data, parts, packs)
    dim = node.get("latent_dim", 100)
    latent = _create("latent", node.get("latent") or {"_target_": "normal"}, dim=dim)
    shape = {
        "image_size": data.image_size,
        "channels": data.channels,
        "num_classes": num_classes,
        "latent": latent,
    }
    options = {k: v for k, v in node.items() if k not in _OWN}
    gan = GAN(
        make_generator(generator, generator_options, **shape),
        make_discriminator(
            discriminator,
            discriminator_options,
            **shape,
            head=head,
            loss=loss,
            regularizers=regularizers,
        ),
        loss,
        regularizers,
        augmentations,
        describe_data(data),
        node.get("schedules") or {},
        **bind(model_parameters(), options, "model"),
    )
    if note:
        gan.notes.append(note)
    return gan


def _classes(
    conditional: bool | None, data: DataModule, parts: dict[str, str], packs: int
) -> tuple[int, str]:
    """Return the number of classes of the networks, and a note if available labels are not used.

    Args:
        conditional: The setting `model.conditional`; None uses labels if they are of any use.
        data: The data module.
        parts: The names of the generator, the discriminator, and the head if one is set, by kind.
        packs: How many images D sees as one.

    Raises:
        ZooError: A part needs labels, but the data set has none or `conditional` is False.
    """
    requires = {
        kind: getattr(REGISTRY.get(kind, name).load(), "requires_labels", False)
        for kind, name in parts.items()
    }
    in_need = [f"{kind} {parts[kind]!r}" for kind, required in requires.items() if required]
    note = ""
    if conditional is None:
        # Choosing a head that does not use labels means training without them.
        usable = data.num_classes > 0 and requires.get("head", True)
        if usable and not in_need and packs > 1:
            note = (
                f"the labels of {data.name} are not used, since a pack of images has no single "
                "label."
            )
        conditional = bool(in_need) or (usable and not note)
    num_classes = data.num_classes if conditional else 0
    if num_classes == 0 and (in_need or conditional):
        if data.num_classes:
            reason = "model.conditional=false"
        else:
            reason = f"data set {data.name!r} has no classes: choose one that has"
            if hasattr(data, "labels"):
                reason += ", or give labels with datamodule.labels=FILE"
        subject = listing(in_need) if in_need else "model.conditional=true"
        raise ZooError(f"{subject} needs labels, but {reason}")
    return num_classes, note


def _create(kind: str, node: Any, **filled: Any) -> Any:
    name, options = part_of(kind, node)
    return create(kind, name, **filled, **options)


def _several(node: dict[str, Any], kind: str) -> list[Any]:
    chosen = node.get(kind) or {}
    return list(chosen.values()) if isinstance(chosen, dict) else list(chosen)
