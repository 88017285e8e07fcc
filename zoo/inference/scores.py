"""What a trained discriminator gives images, batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.core.errors import ZooError
from zoo.core.torch_internals import BatchNorm
from zoo.layers.shapes import pack


def scores_of(
    network: Discriminator,
    images: Tensor,
    labels: Tensor | None,
    packs: int,
    batch_size: int,
    batch_statistics: bool,
) -> Tensor:
    """Logits on the CPU, one for each image or whole pack of `packs` images.

    (N,), or (N, K) of a discriminator that scores patches, scales or pixels.

    Args:
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
    with torch.inference_mode():
        for i in range(0, len(seen), batch_size):
            part = slice(i, i + batch_size)
            y = labels[part].to(device) if labels is not None and network.num_classes else None
            results.append(network(seen[part].to(device), y).float().cpu())
    return torch.cat(results)
