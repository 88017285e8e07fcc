"""Sizes of feature maps, copy-free conversions between vectors and maps, and label helpers."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError


def halvings(image_size: int, smallest: int = 4) -> tuple[int, int]:
    """Return how often `image_size` can be halved evenly down to no less than `smallest`.

    Returns:
        (size of the last map, number of halvings): 64 gives (4, 4), 28 gives (7, 2).
    """
    size, times = image_size, 0
    while size % 2 == 0 and size // 2 >= smallest:
        size, times = size // 2, times + 1
    return size, times


def map_sizes(height: int, width: int, smallest: int = 4) -> list[tuple[int, int]]:
    """Return map sizes from the image down, halved while both sides are even and stay large enough.

    (64, 96) gives (64, 96), (32, 48), (16, 24), (8, 12), (4, 6).

    Args:
        height, width: size of the image.
        smallest: smallest side of a map.
    """
    sizes = [(height, width)]
    while height % 2 == width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return sizes


def common_halvings(height: int, width: int, smallest: int = 4) -> tuple[int, int, int]:
    """Return how often both sides can be halved evenly down to no less than `smallest`.

    Returns:
        (height and width of the last map, number of halvings): 64 and 96 give (4, 6, 4).
    """
    sizes = map_sizes(height, width, smallest)
    return (*sizes[-1], len(sizes) - 1)


def to_map(vector: Tensor, height: int, width: int | None = None) -> Tensor:
    """View vectors (N, height*width*C) as maps (N, C, height, width), channels last in memory.

    Without `width` the map is square.
    """
    return vector.view(len(vector), height, width or height, -1).permute(0, 3, 1, 2)


def to_vector(maps: Tensor) -> Tensor:
    """Flatten maps (N, C, H, W) to (N, H*W*C); a view if they are channels last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def pack(images: Tensor, packs: int) -> Tensor:
    """Stack every `packs` images on the channels: (N, C, H, W) to (N / packs, packs * C, H, W).

    Raises:
        ZooError: N is not a multiple of `packs`.
    """
    check_packs(len(images), packs)
    return images.reshape(len(images) // packs, -1, *images.shape[2:])


def check_packs(images: int, packs: int) -> None:
    """Refuse a batch with an incomplete pack, in which reals and fakes would meet.

    Raises:
        ZooError: The number of images is not a multiple of `packs`.
    """
    if images % packs:
        raise ZooError(
            f"a batch of {images} images, or a piece of one, cannot be packed by {packs}: "
            f"datamodule.batch_size / model.accumulate must be a multiple of {packs}."
        )


def check_labels(part: object, y: Tensor | None) -> Tensor:
    """Return the labels `y`, or raise an error that names `part` if they are missing.

    Raises:
        ZooError: `y` is None.
    """
    if y is None:
        raise ZooError(
            f"{type(part).__name__} was built with classes and needs labels: "
            "pass y, an int64 tensor of shape (N,)."
        )
    return y


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """Return labels (N,) as boolean one-hot rows (N, num_classes).

    Class weights (N, num_classes), which stand for images between classes, are returned as they
    are. This is a comparison instead of `F.one_hot`, which reads its input on the host.
    """
    return y if y.dim() == 2 else y[:, None] == torch.arange(num_classes, device=y.device)


def append_one_hot(z: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Append labels (N,) as one-hot vectors to latents: (N, Z) to (N, Z + num_classes)."""
    return torch.cat([z, one_hot(y, num_classes).to(z.dtype)], dim=1)
