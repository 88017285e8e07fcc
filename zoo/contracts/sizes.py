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
        near = _nearest(max(height, width), multiple, minimum)[-1]
        raise ZooError(
            f"{part} makes square images only: image_size=[{height}, {width}] is not possible; the "
            f"nearest is {near}."
        )
    wrong = [s for s in (height, width) if s < minimum or s % multiple]
    if not wrong:
        return
    if height == width:
        shown = str(height)
        nearest = " or ".join(map(str, _nearest(height, multiple, minimum)))
    else:
        shown = f"[{height}, {width}]"
        sides = [_nearest(s, multiple, minimum)[-1] if s in wrong else s for s in (height, width)]
        nearest = f"[{sides[0]}, {sides[1]}]"
    raise ZooError(
        f"{part} cannot work at image_size={shown}: it takes multiples of {multiple} from "
        f"{minimum} up; the nearest is {nearest}."
    )


def _nearest(side: int, multiple: int, minimum: int) -> list[int]:
    below = max(minimum, side // multiple * multiple)
    return sorted({below, max(minimum, below + multiple)} if side > minimum else {minimum})
