"""The base class of schedules: how a setting changes during training."""

from __future__ import annotations

from abc import ABC, abstractmethod

from zoo.core.errors import at_least
from zoo.registry import name_of


class Schedule(ABC):
    """A value as a function of the number of real images seen; pure, computed on the CPU.

    Args:
        warm_up: The number of images over which the value rises linearly from 0 to the schedule's
            first value, before the schedule itself begins.
    """

    def __init__(self, warm_up: int = 0) -> None:
        at_least(0, f"schedule {name_of(self)}: ", warm_up=warm_up)
        self.warm_up = warm_up

    def __call__(self, images_seen: int) -> float:
        """Return the value after `images_seen` real images, counted over all processes."""
        if images_seen < self.warm_up:
            return self.value(0) * images_seen / self.warm_up
        return self.value(images_seen - self.warm_up)

    @abstractmethod
    def value(self, images: int) -> float:
        """Return the value `images` real images after the end of the warm-up."""
