"""Rows of metrics, one for each run, which are stored in a file and summarized over their seeds.

A row identifies its run and has the entries `figures`, `seed`, `protocol` and `machine`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read(file: Path) -> list[Row]:
    """Read the rows of a file; an empty list if it does not exist."""
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return rows


def write(file: Path, rows: list[Row], report: str) -> None:
    """Write the rows as JSON to `file`, and their report as Markdown next to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(report, encoding="utf-8")


def added(rows: list[Row], row: Row, key: Callable[[Row], tuple[Any, ...]]) -> list[Row]:
    """Return the rows sorted by key, with `row` added or replacing the row with the same key."""
    return sorted([*(r for r in rows if key(r) != key(row)), row], key=key)


def mean(rows: list[Row], name: str) -> float:
    """Return the mean of a figure over rows; infinite if no row has it."""
    known = _known(rows, name)
    return statistics.mean(known) if known else float("inf")


def spread(rows: list[Row], name: str) -> str:
    """Format the mean and deviation of a figure over rows, or its value if there is only one."""
    known = _known(rows, name)
    if len(known) < 2:
        return "".join(_rounded(v, 3) for v in known)
    return f"{_rounded(statistics.mean(known), 3)} ± {_rounded(statistics.stdev(known), 2)}"


def _rounded(value: float, digits: int) -> str:
    """Format a number with `digits` significant digits, without an exponent if it is larger."""
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def seeds(rows: list[Row]) -> str:
    """Format the seeds of rows."""
    return ", ".join(str(r["seed"]) for r in rows)


def images(rows: list[Row]) -> str:
    """Format the mean number of images that the runs have seen."""
    return f"{statistics.mean(r['images'] for r in rows):,.0f}"


def _known(rows: list[Row], name: str) -> list[float]:
    return [r["figures"][name] for r in rows if r["figures"].get(name) is not None]
