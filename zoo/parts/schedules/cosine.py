"""Half a cosine."""

from __future__ import annotations

import math
from typing import Annotated

from zoo.contracts.schedule import Schedule
from zoo.registry import at_least, schedule


@schedule("cosine")
class Cosine(Schedule):
    """From one value to another along half a cosine, and there it stays.

    v(n) = start + (end - start) (1 - cos(pi n / images)) / 2 up to n = images, counted from the end
    of the warm-up; R3GAN's five schedules have this form.

    Paper: Loshchilov & Hutter (2017), arXiv:1608.03983; Huang et al. (2024), arXiv:2501.05441.

    Args:
        start: the value at first.
        end: the value from `images` on.
        images: real images of all processes over which it changes.
        warm_up: images before, over which the value rises from 0 to `start`.
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
        done = (1 - math.cos(math.pi * min(images / self.images, 1.0))) / 2
        return self.start * (1 - done) + self.end * done
