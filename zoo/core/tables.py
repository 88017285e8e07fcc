"""Tables as text: Markdown for files and pages, aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zoo.core.errors import printable

_Row = Sequence[Any]


def markdown(head: _Row, rows: Iterable[_Row], padded: bool = False) -> str:
    """A Markdown table; what a cell holds of `|` and line breaks does not end it.

    Args:
        padded: columns are as wide as their widest cell, to be read in a terminal too.
    """
    lines = [[_cell(value) for value in line] for line in [head, *rows]]
    if not padded:
        lines.insert(1, ["---"] * len(lines[0]))
        text = ["| " + " | ".join(line) + " |" for line in lines]
        text[1] = "|" + "|".join(lines[1]) + "|"
        return "\n".join(text)
    widths = _widths(lines)
    lines.insert(1, ["-" * width for width in widths])
    filled = ([c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in filled)


def aligned(head: _Row, rows: Iterable[_Row]) -> str:
    """A table for a terminal: the first column to the left, the others to the right."""
    lines = [[str(value) for value in line] for line in [head, *rows]]
    widths = _widths(lines)
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )


def labelled(values: dict[str, Any]) -> str:
    """A value a line, behind its label, all in one column, without control characters."""
    width = max(map(len, values), default=0)
    lines = (f"{label:<{width}}  {value}" for label, value in values.items())
    return printable("\n".join(lines), "\n")


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _widths(lines: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]
