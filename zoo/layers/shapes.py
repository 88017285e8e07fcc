"""Sizes of feature maps, and moves between vectors, maps and labels that cost no copy."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError


def halvings(image_size: int, smallest: int = 4) -> tuple[int, int]:
    """How often `image_size` halves evenly while the result is at least `smallest`.

    Returns:
        (size of the last map, number of halvings): 64 gives (4, 4), 28 gives (7, 2).
    """
    size, times = image_size, 0
    while size % 2 == 0 and size // 2 >= smallest:
        size, times = size // 2, times + 1
    return size, times


def to_map(vector: Tensor, size: int) -> Tensor:
    """View vectors (N, size*size*C) as maps (N, C, size, size), channels last in memory."""
    return vector.view(len(vector), size, size, -1).permute(0, 3, 1, 2)


def to_vector(maps: Tensor) -> Tensor:
    """Flatten maps (N, C, H, W) to (N, H*W*C); a view where they lie channels last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def check_labels(part: object, y: Tensor | None) -> Tensor:
    """Return the labels `y`, or refuse their absence in the name of `part`.

    Raises:
        ZooError: `y` is None.
    """
    if y is None:
        raise ZooError(
            f"{type(part).__name__} was built with classes and needs labels: "
            "pass y, an int64 tensor of shape (N,)."
        )
    return y


def append_one_hot(z: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Append labels (N,) as one-hot vectors to latents: (N, Z) to (N, Z + num_classes).

    Class weights (N, num_classes) are taken as they are, for images between two classes.
    A comparison instead of `F.one_hot`, which reads its input on the host.
    """
    one_hot = y if y.dim() == 2 else y[:, None] == torch.arange(num_classes, device=y.device)
    return torch.cat([z, one_hot.to(z.dtype)], dim=1)
