"""Pictures of more than 8 bits: which of their values are black and white."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from zoo.core.errors import ZooError

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of cameras and scanners, whatever the file has room for."""
AT_A_TIME = 2**18
"""Values that are scaled together, for which doubles are made."""
FLOATS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))
"""Ranges in which pictures of floats are usual."""


class ValueRange(NamedTuple):
    """The values that become 0 and 255."""

    black: float
    white: float

    def __str__(self) -> str:
        return f"[{self.black:g}, {self.white:g}]"


class Span(NamedTuple):
    """Smallest and largest finite value of pictures, and whether these are integers."""

    least: float
    most: float
    whole: bool


def is_deep(mode: str) -> bool:
    """Whether Pillow's `mode` has more than 8 bits a value."""
    return mode == "F" or mode.startswith("I")


def span_of(values: np.ndarray) -> Span:
    """The span of one picture's values; NaN and infinity do not count."""
    whole = bool(np.issubdtype(values.dtype, np.integer))
    finite = values if whole else values[np.isfinite(values)]
    if not finite.size:
        return Span(0.0, 1.0, whole)
    return Span(float(finite.min()), float(finite.max()), whole)


def joined(spans: Iterable[Span]) -> Span | None:
    """The span of all pictures together; None without any.

    Raises:
        ZooError: some are integers and some are floats, which no one scale fits.
    """
    known = list(spans)
    if not known:
        return None
    if len({span.whole for span in known}) > 1:
        raise ZooError(
            "the folder mixes pictures of floats with pictures of integers of more than 8 bits, "
            "which no one scale fits: say what is black and white with, for instance, "
            "datamodule.value_range=[0,65535]"
        )
    least, most = min(s.least for s in known), max(s.most for s in known)
    return Span(least, most, known[0].whole)


def range_of(values: np.ndarray | Span) -> ValueRange:
    """Black and white for these values: a usual range that they fill, else from least to most.

    Integers are of the smallest of 8, 10, 12, 14 or 16 bits that hold them; floats lie in [0, 1],
    [-1, 1], [0, 255] or [0, 65535] where they reach its upper half.
    """
    least, most, whole = values if isinstance(values, Span) else span_of(values)
    if whole:
        for bits in DEPTHS:
            if least >= 0 and most < 2**bits:
                return ValueRange(0, 2**bits - 1)
    else:
        for black, white in FLOATS:
            if least >= black and white / 2 <= most <= white:
                return ValueRange(black, white)
    return ValueRange(least, most if most > least else least + 1)


def to_levels(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Values of any type as uint8: black becomes 0, white 255, what lies beyond is cut.

    A few rows at a time, so that it takes little more memory than `values` and the levels do.
    """
    levels = np.empty(values.shape, np.uint8)
    rows = max(1, AT_A_TIME * len(values) // max(1, values.size))
    for first in range(0, len(values), rows):
        levels[first : first + rows] = _scaled(values[first : first + rows], value_range)
    return levels


def _scaled(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    black, white = value_range
    values = np.nan_to_num(values.astype(np.float64), nan=black, posinf=white, neginf=black)
    count = white - black + 1
    if black == 0 and count >= 256 and count % 256 == 0:  # whole bits: their upper byte
        levels = np.floor(values / (count / 256))
    else:
        levels = np.round((values - black) * (255 / (white - black)))
    return levels.clip(0, 255).astype(np.uint8)
