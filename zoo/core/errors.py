"""The error for wrong input, the ranges of options, and "did you mean" suggestions."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SENTENCE = 4000
"""The largest length of an error message, which may quote contents of a file of any size."""


def printable(text: str, kept: str = "") -> str:
    """Replace control characters, which could move a terminal's cursor, by question marks.

    Args:
        text: The text.
        kept: Control characters to keep.
    """
    return "".join(c if c.isprintable() or c in kept else "?" for c in text)


def shown(path: str | Path) -> str:
    """Return a path for display: relative to the current folder if it lies inside it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def with_article(word: str) -> str:
    """Return a word, such as the name of a class, with its article: `an Old`, `a UNet`."""
    vowel = re.match(r"[aeioAEIO]|[uU](?!int|ni|[A-Z])", word)
    return f"{'an' if vowel else 'a'} {word}"


def not_found(path: str | Path, folder: str | Path) -> str:
    """Return `", neither here nor in FOLDER"` for a path that was looked for in both places.

    It is empty for an absolute path, which is nowhere else.
    """
    return "" if Path(path).expanduser().is_absolute() else f", neither here nor in {folder}"


class ZooError(Exception):
    """The error for wrong input; its message says what was wrong, where, and what would be right.

    The command line prints only the message and exits with status 1. Control characters, which
    could come from a file and move a terminal's cursor, are replaced, and the middle of a very long
    message is left out.
    """

    def __init__(self, sentence: object = "") -> None:
        text = str(sentence)
        if len(text) > LONGEST_SENTENCE:
            half = LONGEST_SENTENCE // 2
            text = f"{text[:half]} … ({len(text) - 2 * half:,} letters) … {text[-half:]}"
        super().__init__(printable(text, "\n"))


class OwnError(ZooError):
    """An error that only one of several processes has, and that this process therefore prints."""


class TooFewError(ZooError):
    """There are too few images for a metric; other metrics may still work."""


class DoesNotApplyError(ZooError):
    """A request makes no sense for this model; it may be skipped if it was not made explicitly."""


class OutOfRange(ZooError):
    """A number of the right type is outside the range of its option."""


class ZooWarning(UserWarning):
    """A warning that requires no action; the command line prints only its message."""


@dataclass(frozen=True)
class Range:
    """The allowed values of a numeric option: `Annotated[int, at_least(1)]` in a part's signature.

    Ranges are created by `at_least`, `above`, `at_most`, `below` and `between`. None is in every
    range, NaN in none.

    Attributes:
        text: The range as `task=list` shows it: `>= 1`.
        words: The range as error messages name it: `1 or more`.
        least, most: The bounds, which belong to the range unless they are in `without`.
        without: Values that do not belong to the range.
    """

    text: str
    words: str
    least: float = -math.inf
    most: float = math.inf
    without: tuple[float, ...] = ()

    def __contains__(self, value: Any) -> bool:
        if value is None:
            return True
        return self.least <= value <= self.most and value not in self.without

    def check(self, place: str, **values: float | None) -> Range:
        """Reject values outside of the range.

        Args:
            place: A prefix of the option's name in the message: `model.`, `loss hinge: `.
            values: The values by option.

        Returns:
            The range itself.

        Raises:
            OutOfRange: "loss hinge: margin=0 must be above 0."
        """
        for name, value in values.items():
            if value not in self:
                raise OutOfRange(f"{place}{name}={value} must be {self.words}.")
        return self


def at_least(bound: float, place: str = "", **values: float | None) -> Range:
    """Return the range of numbers from `bound` on, and reject `values` outside of it.

    See `Range.check` for `place` and `values`.
    """
    return Range(f">= {bound}", f"{bound} or more", bound).check(place, **values)


def above(bound: float, place: str = "", **values: float | None) -> Range:
    """Return the range of numbers greater than `bound`, and reject `values` outside of it.

    See `Range.check` for `place` and `values`.
    """
    return Range(f"> {bound}", f"above {bound}", bound, without=(bound,)).check(place, **values)


def at_most(bound: float) -> Range:
    """Return the range of numbers up to and including `bound`."""
    return Range(f"<= {bound}", f"{bound} or less", most=bound)


def below(bound: float) -> Range:
    """Return the range of numbers less than `bound`."""
    return Range(f"< {bound}", f"below {bound}", most=bound, without=(bound,))


def between(least: float, most: float) -> Range:
    """Return the range of numbers from `least` to `most`, both included."""
    return Range(f"from {least} to {most}", f"from {least} to {most}", least, most)


@dataclass(frozen=True)
class Idle:
    """When an option has no effect: `Annotated[float, idle_when(form="ratio")]` in a signature.

    Created by `idle_when` and `idle_beside`.

    Attributes:
        settings: Other options and their values, all of which must match.
        others: Other options that must all be set, to any value but None.
    """

    settings: tuple[tuple[str, Any], ...] = ()
    others: tuple[str, ...] = ()

    def reason(self, values: Mapping[str, Any]) -> str:
        """Name the settings because of which the option has no effect; empty if it has one.

        Args:
            values: The values of all options by name.
        """
        actual = [(name, values.get(name)) for name, _ in self.settings]
        others = [(name, values.get(name)) for name in self.others]
        idle = actual == [*self.settings] and all(value is not None for _, value in others)
        return " and ".join(f"{k}={in_words(v)}" for k, v in (*actual, *others)) if idle else ""


def in_words(value: object) -> str:
    """Format a value as on the command line: `null`, `true`, `0.5`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def idle_when(**settings: Any) -> Idle:
    """Mark an option that has no effect, and must not be set, while others have these values."""
    return Idle(tuple(settings.items()))


def idle_beside(*others: str) -> Idle:
    """Mark an option that has no effect if other options are set, to which it is an alternative."""
    return Idle(others=others)


def suggest(wrong: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'dcgan'?"` if a choice is similar to `wrong`, else the empty string.

    If no choice is spelled similarly, up to three that contain `wrong` are suggested.
    """
    names, text = [str(c) for c in choices], str(wrong)
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    if not close and len(text) >= 3:
        close = sorted((n for n in names if text.lower() in n.lower()), key=len)[:3]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def listing(choices: Iterable[object]) -> str:
    """Format choices as `a, b, c`; `(none)` if there are none."""
    return ", ".join(str(c) for c in choices) or "(none)"
