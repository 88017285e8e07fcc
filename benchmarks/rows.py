"""Rows of learned figures, one for each run: kept in a file, shown in tables over their seeds.

A row names its run and holds `figures`, `seed`, `protocol` and `machine`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read(file: Path) -> list[Row]:
    """The rows of a file, none where it is not there yet."""
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return rows


def write(file: Path, rows: list[Row], report: str) -> None:
    """The rows as JSON in `file`, and their report as Markdown beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(report, encoding="utf-8")


def added(rows: list[Row], row: Row, key: Callable[[Row], tuple[Any, ...]]) -> list[Row]:
    """The rows in the order of their keys, with `row` in the place of an older one of its key."""
    return sorted([*(r for r in rows if key(r) != key(row)), row], key=key)


def mean(rows: list[Row], name: str) -> float:
    """The mean of a figure over rows; infinite where none has it."""
    known = _known(rows, name)
    return statistics.mean(known) if known else float("inf")


def spread(rows: list[Row], name: str) -> str:
    """The mean of a figure over rows with its deviation, or the figure of the only one."""
    known = _known(rows, name)
    if len(known) < 2:
        return "".join(_rounded(v, 3) for v in known)
    return f"{_rounded(statistics.mean(known), 3)} ± {_rounded(statistics.stdev(known), 2)}"


def _rounded(value: float, digits: int) -> str:
    """A number to so many digits, without an exponent where it has more before the point."""
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def seeds(rows: list[Row]) -> str:
    """The seeds of rows in words."""
    return ", ".join(str(r["seed"]) for r in rows)


def images(rows: list[Row]) -> str:
    """The mean number of images that the runs have seen, in words."""
    return f"{statistics.mean(r['images'] for r in rows):,.0f}"


def _known(rows: list[Row], name: str) -> list[float]:
    return [r["figures"][name] for r in rows if r["figures"].get(name) is not None]
