"""Image sizes: the side length of square images, or (height, width)."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.core.errors import ZooError

ImageSize = int | Sequence[int]
"""The side length in pixels, or (height, width)."""


def height_width(image_size: ImageSize) -> tuple[int, int]:
    """Convert an image size to (height, width).

    Raises:
        ZooError: It is neither an integer nor a pair of integers, or not positive.
    """
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or any(not isinstance(side, int) or side < 1 for side in pair):
        shown = image_size if isinstance(image_size, int) else list(image_size)
        raise ZooError(
            f"image_size={shown} must be a side in pixels or [height, width], integers from 1 on."
        )
    return pair


def plain_size(image_size: ImageSize) -> int | tuple[int, int]:
    """Simplify an image size: the side length if it is square, else (height, width)."""
    height, width = height_width(image_size)
    return height if height == width else (height, width)


def size_in_words(image_size: ImageSize) -> str:
    """Format an image size as `32²`, or as `48×64` (height × width)."""
    height, width = height_width(image_size)
    return f"{height}²" if height == width else f"{height}×{width}"
