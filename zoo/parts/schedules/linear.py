"""A linear schedule."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.schedule import Schedule
from zoo.registry import at_least, schedule


@schedule("linear")
class Linear(Schedule):
    """Moves linearly from one value to another, then stays constant.

    v(n) = start + (end - start) min(n / images, 1), with n counted from the end of the warm-up.

    Paper: Miyato et al. (2018), arXiv:1802.05957, whose learning rates fall to 0 like this.

    Args:
        start: the value at the start.
        end: the value once `images` images have been seen.
        images: number of real images, over all processes, during which the value changes.
        warm_up: number of images before that, over which the value rises linearly from 0 to
            `start`.
    """

    def __init__(
        self,
        start: float,
        end: float,
        images: Annotated[int, at_least(1)],
        warm_up: Annotated[int, at_least(0)] = 0,
    ) -> None:
        super().__init__(warm_up)
        self.start = start
        self.end = end
        self.images = images

    def value(self, images: int) -> float:
        progress = min(images / self.images, 1.0)
        return self.start * (1 - progress) + self.end * progress
