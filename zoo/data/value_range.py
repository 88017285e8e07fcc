"""Scaling of pictures with more than 8 bits per value: which values become black and white."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from zoo.core.errors import ZooError

DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of cameras and scanners, whose values files often store in a wider type."""
AT_A_TIME = 2**18
"""The number of values converted to float64 and scaled at a time."""
FLOATS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))
"""The usual ranges of float pictures."""


class ValueRange(NamedTuple):
    """The values that become 0 (black) and 255 (white)."""

    black: float
    white: float

    def __str__(self) -> str:
        return f"[{self.black:g}, {self.white:g}]"


class Span(NamedTuple):
    """The smallest and largest finite value of pictures, and whether their type is integer."""

    least: float
    most: float
    whole: bool


def is_deep(mode: str) -> bool:
    """Whether pictures of Pillow's `mode` have more than 8 bits per value."""
    return mode == "F" or mode.startswith("I")


def span_of(values: np.ndarray) -> Span:
    """Return the span of one picture's values; NaN and infinity do not count."""
    whole = bool(np.issubdtype(values.dtype, np.integer))
    finite = values if whole else values[np.isfinite(values)]
    if not finite.size:
        return Span(0.0, 1.0, whole)
    return Span(float(finite.min()), float(finite.max()), whole)


def joined(spans: Iterable[Span]) -> Span | None:
    """Return the span of all pictures together, or None if there are none.

    Raises:
        ZooError: some pictures are integer and some are float, so that no common scale fits them.
    """
    all_spans = list(spans)
    if not all_spans:
        return None
    if len({span.whole for span in all_spans}) > 1:
        raise ZooError(
            "the folder mixes float pictures with integer pictures of more than 8 bits, and no "
            "common scale fits both: set the values of black and white with, for instance, "
            "datamodule.value_range=[0,65535]"
        )
    least, most = min(s.least for s in all_spans), max(s.most for s in all_spans)
    return Span(least, most, all_spans[0].whole)


def range_of(values: np.ndarray | Span) -> ValueRange:
    """Return the values of black and white: a usual range if one fits, else the extremes.

    Integers are taken to have the smallest of 8, 10, 12, 14 or 16 bits that hold them. Floats get
    the first of the ranges [0, 1], [-1, 1], [0, 255] and [0, 65535] that contains them and whose
    upper half their maximum reaches.
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
    """Convert values of any type to uint8: black becomes 0, white 255, and the rest is clipped.

    A few rows are converted at a time, so that little memory is used besides `values` and the
    result.
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
    if black == 0 and count >= 256 and count % 256 == 0:  # all values of a bit depth: upper 8 bits
        levels = np.floor(values / (count / 256))
    else:
        levels = np.round((values - black) * (255 / (white - black)))
    return levels.clip(0, 255).astype(np.uint8)
