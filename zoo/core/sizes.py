"""Sizes of images: a side for square ones, (height, width) for oblong ones."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.core.errors import ZooError

ImageSize = int | Sequence[int]
"""Side in pixels, or (height, width)."""


def height_width(image_size: ImageSize) -> tuple[int, int]:
    """(height, width) of an image size.

    Raises:
        ZooError: it is neither a side nor a pair, or not positive.
    """
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or any(not isinstance(side, int) or side < 1 for side in pair):
        shown = image_size if isinstance(image_size, int) else list(image_size)
        raise ZooError(
            f"image_size={shown} must be a side in pixels or [height, width], whole numbers from 1."
        )
    return pair


def plain_size(image_size: ImageSize) -> int | tuple[int, int]:
    """The side where the image is square, else (height, width)."""
    height, width = height_width(image_size)
    return height if height == width else (height, width)


def size_in_words(image_size: ImageSize) -> str:
    """`32²`, or `48×64` (height × width)."""
    height, width = height_width(image_size)
    return f"{height}²" if height == width else f"{height}×{width}"
