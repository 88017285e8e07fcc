"""Tables as text: Markdown for documents, aligned columns for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from zoo.core.errors import printable

_Row = Sequence[Any]


def markdown(head: _Row, rows: Iterable[_Row], padded: bool = False) -> str:
    """Format a Markdown table; `|` and line breaks in cells are escaped.

    Args:
        head: The column names.
        rows: The rows.
        padded: Whether to pad all cells of a column to the same width, for reading in a terminal.
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
    """Format a table for a terminal, with the first column left-aligned and the others right."""
    lines = [[str(value) for value in line] for line in [head, *rows]]
    widths = _widths(lines)
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )


def labelled(values: dict[str, Any]) -> str:
    """Format one line per value, after its label, with the values aligned in one column.

    Control characters are replaced.
    """
    width = max(map(len, values), default=0)
    lines = (f"{label:<{width}}  {value}" for label, value in values.items())
    return printable("\n".join(lines), "\n")


def described(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return the lines of a list of names with descriptions, wrapped in a column of their own.

    Args:
        rows: each name and its description.
        width: the width of the terminal in columns.
    """
    indent = max(len(name) for name, _ in rows) + 4
    lines = []
    for name, what in rows:
        head = f"  {name}".ljust(indent)
        lines += textwrap.wrap(
            what,
            max(width, indent + 40),
            initial_indent=head,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        ) or [head.rstrip()]
    return lines


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _widths(lines: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]
