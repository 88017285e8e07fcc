"""Compute a trained discriminator's scores of images, as its loss received them in training."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.regularizer import Pass
from zoo.core.errors import ZooError
from zoo.core.torch_internals import BatchNorm
from zoo.inference.describe import is_spec
from zoo.layers.derivatives import twice_differentiable
from zoo.layers.shapes import pack
from zoo.registry import REGISTRY, remake


def as_trained(
    network: Discriminator, regularizers: object, loss: dict[str, Any] | None = None
) -> Pass:
    """Return D's forward pass with the changes that regularizers made to it in training.

    Args:
        network: the discriminator D.
        regularizers: the regularizers that a file names. Anything that does not name a part
            registered here is ignored.
        loss: the loss that the file names, which may have regularizers of its own.
    """
    wrapped: Pass = network.outputs
    parts = [r for part in _registered("loss", [loss]) for r in part.regularizers()]
    parts += _registered("regularizer", regularizers)
    wrappers = [r for r in parts if r.overrides("wrap_discriminator")]
    for regularizer in wrappers:
        wrapped = functools.partial(regularizer.wrap_discriminator, wrapped)

    def outputs(images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        with twice_differentiable():  # a wrapped score may contain a derivative
            return wrapped(images, labels)

    return outputs if wrappers else wrapped


def _registered(kind: str, specs: object) -> list[Any]:
    """Create those parts in a file's list that are registered here."""
    names = {p.name for p in REGISTRY.parts(kind)}
    entries = specs if isinstance(specs, list) else []
    usable = [s for s in entries if is_spec(s) and s["name"] in names]
    return [remake(kind, s["name"], s["options"]) for s in usable]


def scores_of(
    network: Discriminator,
    outputs: Pass,
    images: Tensor,
    labels: Tensor | None,
    packs: int,
    batch_size: int,
    batch_statistics: bool,
) -> Tensor:
    """Compute the scores of images, or of packs of images.

    Args:
        network: the discriminator.
        outputs: its forward pass, as `as_trained` returns it.
        images: (N, C, H, W) in [-1, 1].
        labels: int64 (N,), for a conditional discriminator.
        packs: the number of images in a pack; 1 for a discriminator that sees single images.
        batch_size: the number of images, or of packs, that it sees at a time.
        batch_statistics: whether batch norms use the mean and variance of each batch.

    Returns:
        Scores on the CPU, one per image or complete pack: (N,), or (N, K) of a discriminator that
        scores patches, scales or pixels.

    Raises:
        ZooError: a conditional discriminator is given no labels, or the images do not fill a pack.
    """
    if network.num_classes and labels is None:
        raise ZooError("scores(images) of a conditional model also needs the images' labels.")
    if len(images) < packs:
        raise ZooError(
            f"scores(images) of this model needs {packs} image{'s' * (packs > 1)} or more, because "
            f"its discriminator sees that many at once, but got {len(images)}."
        )
    if batch_statistics:
        for module in network.modules():
            module.train(isinstance(module, BatchNorm))
    device = next(network.parameters()).device
    packed = pack(images[: len(images) - len(images) % packs], packs)
    results = []
    with torch.no_grad():  # not inference mode, because a wrapped pass may compute a gradient
        for i in range(0, len(packed), batch_size):
            part = slice(i, i + batch_size)
            y = labels[part].to(device) if labels is not None and network.num_classes else None
            results.append(outputs(packed[part].to(device), y).scores.float().cpu())
    return torch.cat(results)
