"""What a trained discriminator gives images, batch by batch, as its loss was told it."""

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
from zoo.layers.attention import twice_differentiable
from zoo.layers.shapes import pack
from zoo.registry import REGISTRY, remake


def as_trained(
    network: Discriminator, regularizers: object, loss: dict[str, Any] | None = None
) -> Pass:
    """D's pass with what the regularizers put around it: what its loss was told.

    Args:
        regularizers: as a file names them, where anything may stand; what is not registered here
            changes nothing.
        loss: likewise; it may bring regularizers along.
    """
    wrapped: Pass = network.outputs
    parts = [r for known in _known("loss", [loss]) for r in known.regularizers()]
    parts += _known("regularizer", regularizers)
    wrappers = [r for r in parts if r.overrides("wrap_discriminator")]
    for regularizer in wrappers:
        wrapped = functools.partial(regularizer.wrap_discriminator, wrapped)

    def outputs(images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        with twice_differentiable():  # a wrapped score may be of a first derivative
            return wrapped(images, labels)

    return outputs if wrappers else wrapped


def _known(kind: str, specs: object) -> list[Any]:
    """The parts of a list in a file that are registered here."""
    names = {p.name for p in REGISTRY.parts(kind)}
    listed = specs if isinstance(specs, list) else []
    known = [s for s in listed if is_spec(s) and s["name"] in names]
    return [remake(kind, s["name"], s["options"]) for s in known]


def scores_of(
    network: Discriminator,
    outputs: Pass,
    images: Tensor,
    labels: Tensor | None,
    packs: int,
    batch_size: int,
    batch_statistics: bool,
) -> Tensor:
    """Scores on the CPU, one for each image or whole pack of `packs` images.

    (N,), or (N, K) of a discriminator that scores patches, scales or pixels.

    Args:
        outputs: the network's pass, as `as_trained` gives it.
        images: (N, C, H, W) in [-1, 1].
        labels: int64 (N,), for a conditional discriminator.
        batch_size: images, or packs of them, that it is shown at a time.
        batch_statistics: batch norms take the mean and variance of each batch.

    Raises:
        ZooError: a conditional discriminator is given no labels, or there is no whole pack.
    """
    if network.num_classes and labels is None:
        raise ZooError("scores(images) of a conditional model also needs the images' labels.")
    if len(images) < packs:
        raise ZooError(
            f"scores(images) of this model needs {packs} image{'s' * (packs > 1)} or more, which "
            f"its discriminator sees at once: {len(images)} given."
        )
    if batch_statistics:
        for module in network.modules():
            module.train(isinstance(module, BatchNorm))
    device = next(network.parameters()).device
    seen = pack(images[: len(images) - len(images) % packs], packs)
    results = []
    with torch.no_grad():  # not inference mode: a wrapped pass may take a gradient of its own
        for i in range(0, len(seen), batch_size):
            part = slice(i, i + batch_size)
            y = labels[part].to(device) if labels is not None and network.num_classes else None
            results.append(outputs(seen[part].to(device), y).scores.float().cpu())
    return torch.cat(results)
