"""The exception that means "the input was wrong", what options may be, and the "did you mean"."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SENTENCE = 4000
"""Letters of an error's sentence, since what it repeats of a file may be of any length."""


def printable(text: str, kept: str = "") -> str:
    """A text without control characters, which would move a terminal's cursor, but those kept."""
    return "".join(c if c.isprintable() or c in kept else "?" for c in text)


def shown(path: str | Path) -> str:
    """A path relative to the current folder where it lies inside it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


class ZooError(Exception):
    """Bad input, told in one sentence: what was wrong, where, and what would be right.

    The command line prints the text alone and exits with 1; Python users catch it as any exception.
    What it repeats of a file has no control characters, which would move a terminal's cursor, and
    of one that is far too long the middle is left out.
    """

    def __init__(self, sentence: object = "") -> None:
        text = str(sentence)
        if len(text) > LONGEST_SENTENCE:
            half = LONGEST_SENTENCE // 2
            text = f"{text[:half]} … ({len(text) - 2 * half:,} letters) … {text[-half:]}"
        super().__init__(printable(text, "\n"))


class OwnError(ZooError):
    """An error of one process of several, which that process tells, since no other has it."""


class TooFewError(ZooError):
    """There are too few images for a figure; others may be made of them."""


class DoesNotApplyError(ZooError):
    """What was asked for means nothing for this model, and is no loss where nobody named it."""


class OutOfRange(ZooError):
    """A number of the right type is outside the range of its option."""


class ZooWarning(UserWarning):
    """What a user should know and need not mend; the command line prints the text alone."""


@dataclass(frozen=True)
class Range:
    """The numbers that an option may be: `Annotated[int, at_least(1)]` in a part's signature.

    Made by `at_least`, `above`, `at_most`, `below` and `between`; None is in every range, NaN in
    none.

    Attributes:
        text: as `task=list` shows it: `>= 1`.
        words: as a sentence says it: `1 or more`.
        least, most: the ends, which belong to it unless they are in `without`.
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
        """Refuse values outside.

        Args:
            place: what stands before an option's name in the sentence: `model.`, `loss hinge: `.

        Raises:
            OutOfRange: "loss hinge: margin=0 must be above 0."
        """
        for name, value in values.items():
            if value not in self:
                raise OutOfRange(f"{place}{name}={value} must be {self.words}.")
        return self


def at_least(bound: float, place: str = "", **values: float | None) -> Range:
    """Numbers from `bound` up. `values` outside are refused, as by `Range.check`."""
    return Range(f">= {bound}", f"{bound} or more", bound).check(place, **values)


def above(bound: float, place: str = "", **values: float | None) -> Range:
    """Numbers above `bound`, which is none of them. `values` outside are refused."""
    return Range(f"> {bound}", f"above {bound}", bound, without=(bound,)).check(place, **values)


def at_most(bound: float) -> Range:
    """Numbers up to `bound`."""
    return Range(f"<= {bound}", f"{bound} or less", most=bound)


def below(bound: float) -> Range:
    """Numbers below `bound`, which is none of them."""
    return Range(f"< {bound}", f"below {bound}", most=bound, without=(bound,))


def between(least: float, most: float) -> Range:
    """Numbers from `least` to `most`, both of them too."""
    return Range(f"from {least} to {most}", f"from {least} to {most}", least, most)


@dataclass(frozen=True)
class Idle:
    """When an option has no effect: `Annotated[float, idle_when(form="ratio")]` in a signature.

    Made by `idle_when` and `idle_beside`.

    Attributes:
        settings: values of other options, all of which have to hold.
        others: options that have to be given, whatever their value.
    """

    settings: tuple[tuple[str, Any], ...] = ()
    others: tuple[str, ...] = ()

    def reason(self, values: Mapping[str, Any]) -> str:
        """The settings among the values of all options that leave this one without effect."""
        held = [(name, values.get(name)) for name, _ in self.settings]
        given = [(name, values.get(name)) for name in self.others]
        holds = held == [*self.settings] and all(value is not None for _, value in given)
        return " and ".join(f"{k}={in_words(v)}" for k, v in (*held, *given)) if holds else ""


def in_words(value: object) -> str:
    """A value as a command line has it: `null`, `true`, `0.5`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def idle_when(**settings: Any) -> Idle:
    """An option that does nothing while others have these values, and is then not given."""
    return Idle(tuple(settings.items()))


def idle_beside(*others: str) -> Idle:
    """An option that does nothing where others are given, in whose place it stands."""
    return Idle(others=others)


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
