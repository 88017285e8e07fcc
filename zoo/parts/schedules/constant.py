"""A constant."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.schedule import Schedule
from zoo.registry import at_least, schedule


@schedule("constant")
class Constant(Schedule):
    """One value all along, after a linear rise from 0 where a warm-up is asked for.

    Paper: Goyal et al. (2017), arXiv:1706.02677, of the warm-up.

    Args:
        value: the value.
        warm_up: images over which it is reached.
    """

    def __init__(self, value: float, warm_up: Annotated[int, at_least(0)] = 0) -> None:
        super().__init__(warm_up)
        self.level = value

    def value(self, images: int) -> float:
        return self.level
