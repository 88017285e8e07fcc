"""A constant schedule."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.schedule import Schedule
from zoo.registry import at_least, schedule


@schedule("constant")
class Constant(Schedule):
    """Constant value, after an optional linear warm-up from 0.

    Paper: Goyal et al. (2017), arXiv:1706.02677, of the warm-up.

    Args:
        value: the value.
        warm_up: number of images over which the value rises from 0.
    """

    def __init__(self, value: float, warm_up: Annotated[int, at_least(0)] = 0) -> None:
        super().__init__(warm_up)
        self.level = value

    def value(self, images: int) -> float:
        return self.level
