"""The one exception that means "the input was wrong", and the "did you mean" of its texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Bad input, told in one sentence: what was wrong, where, and what would be right.

    The command line prints the text alone and exits with 1; Python users catch it as any exception.
    """


class OwnError(ZooError):
    """An error of one process of several, which that process tells, since no other has it."""


class TooFewError(ZooError):
    """There are too few images for a figure; others may be made of them."""


def above(bound: float, place: str, **values: float | None) -> None:
    """Refuse options that are not above `bound`; None passes, NaN does not.

    Args:
        place: what stands before an option's name in the sentence: `model.`, `loss hinge: `.

    Raises:
        ZooError: "loss hinge: margin=0 must be above 0."
    """
    for name, value in values.items():
        if value is not None and not value > bound:
            raise ZooError(f"{place}{name}={value} must be above {bound}.")


def at_least(bound: float, place: str, **values: float | None) -> None:
    """Refuse options below `bound`, as `above` does."""
    for name, value in values.items():
        if value is not None and not value >= bound:
            raise ZooError(f"{place}{name}={value} must be {bound} or more.")


def suggest(wrong: str, choices: Iterable[str]) -> str:
    """`" Did you mean 'dcgan'?"` where a choice is close to `wrong`, else the empty string.

    Where none is spelt like it, those that hold it as a part are close: `proj`, `mnist`.
    """
    names, text = [str(c) for c in choices], str(wrong)
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    if not close and len(text) >= 3:
        close = sorted((n for n in names if text.lower() in n.lower()), key=len)[:3]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def listing(choices: Iterable[object]) -> str:
    """Choices as `a, b, c`, or `(none)` where there is none."""
    return ", ".join(str(c) for c in choices) or "(none)"
