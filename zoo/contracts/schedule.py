"""How a setting changes while training."""

from __future__ import annotations

from abc import ABC, abstractmethod

from zoo.core.errors import at_least


class Schedule(ABC):
    """A number as a function of the real images seen; pure, computed on the host.

    Args:
        warm_up: images over which the value rises linearly from 0 before the schedule begins.
    """

    def __init__(self, warm_up: int = 0) -> None:
        at_least(0, f"schedule {type(self).__name__.lower()}: ", warm_up=warm_up)
        self.warm_up = warm_up

    def __call__(self, images_seen: int) -> float:
        """The value after `images_seen` real images of all processes."""
        if images_seen < self.warm_up:
            return self.value(0) * images_seen / self.warm_up
        return self.value(images_seen - self.warm_up)

    @abstractmethod
    def value(self, images: int) -> float:
        """The value `images` after the warm-up."""
