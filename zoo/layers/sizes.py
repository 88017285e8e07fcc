"""Image sizes of networks that double a small map a fixed number of times."""

from __future__ import annotations

from zoo.core.errors import ZooError
from zoo.layers.shapes import halvings

FEWEST, MOST = 3, 8


def check_doublings(part: str, side: int) -> None:
    """Refuse a side that is not 4, 5, 6 or 7 pixels doubled 3 to 8 times, naming the nearest.

    Args:
        part: `generator fastgan`, for the sentence.

    Raises:
        ZooError: it is none of these.
    """
    if FEWEST <= halvings(side)[1] <= MOST:
        return
    takes = [start << times for start in (4, 5, 6, 7) for times in range(FEWEST, MOST + 1)]
    near = min(takes, key=lambda other: (abs(other - side), -other))
    raise ZooError(
        f"{part} cannot work at image_size={side}: it takes 4, 5, 6 or 7 times a power of two, "
        f"from {min(takes)} to {max(takes)}; the nearest is {near}."
    )
