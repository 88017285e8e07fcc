"""Real images of any loader as what generated ones are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.pixels import stored
from zoo.metrics.comparison import Reference


def loader_reference(batches: Iterable[Any], num_classes: int = 0) -> Reference:
    """All images of a loader, one pass.

    Args:
        batches: images (N, C, H, W), uint8 or float in [-1, 1], or pairs of images and labels (N,).
        num_classes: of the model; 0 leaves labels out.

    Raises:
        ZooError: there are no images, or batches are something else.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    if not isinstance(batches, Iterable):
        raise ZooError(
            f"data is a {type(batches).__name__}: give a folder, a data set's name or a loader."
        )
    for batch in batches:
        pair = isinstance(batch, list | tuple)
        pictures = batch[0] if pair else batch
        if not isinstance(pictures, Tensor) or pictures.dim() != 4:
            raise ZooError(
                "the loader must give images (N, C, H, W), or pairs of images and labels (N,); it "
                f"gives {type(pictures).__name__}."
            )
        images.append((stored(pictures) if pictures.is_floating_point() else pictures).cpu())
        if pair and len(batch) > 1:
            if not isinstance(batch[1], Tensor) or batch[1].shape != pictures.shape[:1]:
                raise ZooError("the loader gives labels that are no tensor (N,) beside N images.")
            labels.append(batch[1].cpu().long())
    if not images:
        raise ZooError("the loader gives no images to compare with.")
    known = num_classes > 0 and len(labels) == len(images)
    return Reference(
        "loader",
        "train",
        torch.cat(images),
        torch.cat(labels) if known else None,
        num_classes if known else 0,
    )
