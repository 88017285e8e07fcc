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


def map_sizes(height: int, width: int, smallest: int = 4) -> list[tuple[int, int]]:
    """Sizes of maps from the image down, halved while both sides stay whole and `smallest` or more.

    (64, 96) gives (64, 96), (32, 48), (16, 24), (8, 12), (4, 6).
    """
    sizes = [(height, width)]
    while height % 2 == width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return sizes


def common_halvings(height: int, width: int, smallest: int = 4) -> tuple[int, int, int]:
    """How often both sides halve evenly while the shorter one is at least `smallest`.

    Returns:
        (height and width of the last map, number of halvings): 64 and 96 give (4, 6, 4).
    """
    sizes = map_sizes(height, width, smallest)
    return (*sizes[-1], len(sizes) - 1)


def to_map(vector: Tensor, height: int, width: int | None = None) -> Tensor:
    """View vectors (N, height*width*C) as maps (N, C, height, width), channels last in memory.

    A square map where no width is given.
    """
    return vector.view(len(vector), height, width or height, -1).permute(0, 3, 1, 2)


def to_vector(maps: Tensor) -> Tensor:
    """Flatten maps (N, C, H, W) to (N, H*W*C); a view where they lie channels last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def pack(images: Tensor, packs: int) -> Tensor:
    """Stack every `packs` images on channels: (N, C, H, W) to (N / packs, packs * C, H, W).

    Raises:
        ZooError: N is no multiple of `packs`.
    """
    check_packs(len(images), packs)
    return images.reshape(len(images) // packs, -1, *images.shape[2:])


def check_packs(images: int, packs: int) -> None:
    """Refuse a batch that leaves a pack open, in which reals and fakes would meet.

    Raises:
        ZooError: the number of images is no multiple of `packs`.
    """
    if images % packs:
        raise ZooError(
            f"a batch of {images} images, or a piece of one, cannot be packed by {packs}: "
            "datamodule.batch_size (over model.accumulate) has to be a multiple."
        )


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


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """Labels (N,) as rows (N, num_classes) of truth values.

    Class weights (N, num_classes) are taken as they are, for images between two classes.
    A comparison instead of `F.one_hot`, which reads its input on the host.
    """
    return y if y.dim() == 2 else y[:, None] == torch.arange(num_classes, device=y.device)


def append_one_hot(z: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Append labels (N,) as one-hot vectors to latents: (N, Z) to (N, Z + num_classes)."""
    return torch.cat([z, one_hot(y, num_classes).to(z.dtype)], dim=1)
