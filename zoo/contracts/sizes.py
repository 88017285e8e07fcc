"""The image sizes that a network accepts."""

from __future__ import annotations

from zoo.core.errors import ZooError
from zoo.core.sizes import ImageSize, height_width, plain_size, size_in_words

__all__ = ["ImageSize", "check_image_size", "height_width", "plain_size", "size_in_words"]


def check_image_size(
    part: str, image_size: ImageSize, multiple: int = 4, minimum: int = 8, oblong: bool = False
) -> None:
    """Reject an `image_size` that a part does not support, suggesting the nearest supported one.

    Args:
        part: The part as the message names it, for instance `generator dcgan`.
        image_size: The side length in pixels, or (height, width).
        multiple: Each side must be a multiple of this.
        minimum: The smallest supported side.
        oblong: Whether height and width may differ.

    Raises:
        ZooError: A side is below `minimum` or not a multiple of `multiple`, or the sides differ
            although `oblong` is False.
    """
    height, width = height_width(image_size)
    if height != width and not oblong:
        near = _nearest(max(height, width), multiple, minimum)
        raise ZooError(
            f"{part} works on square images only: image_size=[{height}, {width}] is not possible; "
            f"the nearest is {near}."
        )
    wrong = [s for s in (height, width) if s < minimum or s % multiple]
    if not wrong:
        return
    if height == width:
        shown = str(height)
        nearest = " or ".join(map(str, _beside(height, multiple, minimum)))
    else:
        shown = f"[{height}, {width}]"
        near_sides = [_nearest(s, multiple, minimum) for s in (height, width)]
        nearest = f"[{near_sides[0]}, {near_sides[1]}]"
    sides = f"multiples of {multiple}" if multiple > 1 else "sides"
    raise ZooError(
        f"{part} cannot work at image_size={shown}: it takes {sides} from {minimum} up; the "
        f"nearest is {nearest}."
    )


def _nearest(side: int, multiple: int, minimum: int) -> int:
    """Return the supported side closest to `side`; the larger one of two equally close."""
    return min(_beside(side, multiple, minimum), key=lambda near: (abs(near - side), -near))


def _beside(side: int, multiple: int, minimum: int) -> list[int]:
    """Return `side` itself if it is supported, else the one or two supported sides next to it."""
    first = -(-minimum // multiple) * multiple
    if side <= first:
        return [first]
    below = side // multiple * multiple
    return [side] if below == side else [below, below + multiple]
