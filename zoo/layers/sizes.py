"""Image sizes of networks that double a small map a fixed number of times."""

from __future__ import annotations

from zoo.core.errors import ZooError
from zoo.core.sizes import ImageSize, height_width

FEWEST, MOST = 3, 8
TAKES = sorted(start << times for start in (4, 5, 6, 7) for times in range(FEWEST, MOST + 1))


def check_doublings(part: str, image_size: ImageSize) -> None:
    """Refuse image sizes that are not 4, 5, 6 or 7 pixels doubled 3 to 8 times, naming the nearest.

    Args:
        part: kind and name of the part, such as `generator fastgan`, for the error message.
        image_size: side in pixels, or (height, width).

    Raises:
        ZooError: The size is not square or not one of these.
    """
    height, width = height_width(image_size)
    side = max(height, width)
    if height == width and side in TAKES:
        return
    shown = str(height) if height == width else f"[{height}, {width}]"
    near = min(TAKES, key=lambda other: (abs(other - side), -other))
    raise ZooError(
        f"{part} cannot work at image_size={shown}: it takes square images of 4, 5, 6 or 7 times a "
        f"power of two, from {TAKES[0]} to {TAKES[-1]}; the nearest is {near}."
    )
