"""Sizes of images that a network takes."""

from __future__ import annotations

from zoo.core.errors import ZooError
from zoo.core.sizes import ImageSize, height_width, plain_size, size_in_words

__all__ = ["ImageSize", "check_image_size", "height_width", "plain_size", "size_in_words"]


def check_image_size(
    part: str, image_size: ImageSize, multiple: int = 4, minimum: int = 8, oblong: bool = False
) -> None:
    """Refuse an `image_size` that `part` cannot take, naming the nearest that it can.

    Args:
        part: `generator dcgan`, for the sentence.
        multiple, minimum: what each side has to be.
        oblong: whether height and width may differ.

    Raises:
        ZooError: a side is below `minimum` or no multiple of `multiple`, or the sides differ.
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
    """The right side nearest to this one; of two as near the larger."""
    return min(_beside(side, multiple, minimum), key=lambda near: (abs(near - side), -near))


def _beside(side: int, multiple: int, minimum: int) -> list[int]:
    """The side itself where it is right, else the one or two right ones beside it."""
    first = -(-minimum // multiple) * multiple
    if side <= first:
        return [first]
    below = side // multiple * multiple
    return [side] if below == side else [below, below + multiple]
