"""A cosine schedule."""

from __future__ import annotations

import math
from typing import Annotated

from zoo.contracts.schedule import Schedule
from zoo.registry import at_least, schedule


@schedule("cosine")
class Cosine(Schedule):
    """Moves from one value to another along half a cosine, then stays constant.

    v(n) = start + (end - start) (1 - cos(pi n / images)) / 2 up to n = images, with n counted from
    the end of the warm-up; R3GAN's five schedules have this form.

    Paper: Loshchilov & Hutter (2017), arXiv:1608.03983; Huang et al. (2024), arXiv:2501.05441.

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
        progress = (1 - math.cos(math.pi * min(images / self.images, 1.0))) / 2
        return self.start * (1 - progress) + self.end * progress
