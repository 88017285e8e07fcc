"""Pictures beside the figures of an evaluation: nearest images, galleries, curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import listing, shown
from zoo.inference.images import grid, write_png
from zoo.metrics.protocol import Result, heading

COLUMNS = 16
"""Images of a row."""


def write_pictures(results: list[Result], out: Path, stems: Sequence[str]) -> dict[str, Any]:
    """The nearest pairs of each result, and a curve where they are one; what the summary says.

    Args:
        stems: of the files of the results, `metrics` or `metrics_0`, `metrics_1` …

    Returns:
        Label -> path.
    """
    from zoo.explore.plots import plot_figures
    from zoo.metrics.curve import is_curve, lines_of, write_curve

    said: dict[str, Any] = {}
    for stem, result in zip(stems, results, strict=True):
        if result.pictures is not None:
            _write_pairs(result, out / f"{stem.replace('metrics', 'nearest')}.png")
            said["nearest"] = f"{shown(out)}/nearest*.png (generated over its nearest real image)"
        for gallery, rows in result.galleries.items():
            path = out / f"{stem.replace('metrics', gallery)}.png"
            said[f"{gallery} picture"] = _write_gallery(rows, path, result.modes)
    if is_curve(results):
        said["curve"] = listing(map(shown, write_curve(results, out)))
        higher = {name for result in results for name in result.higher_is_better}
        lines = lines_of(results)
        titles = {name: heading(name, higher) for name in lines}
        said["picture"] = plot_figures(lines, titles, out / "curve.png")
    return said


def _write_gallery(rows: dict[str, Tensor], path: Path, modes: Tensor | None) -> Path:
    """Images by the name of their rows, which stands beside the first one."""
    names = [
        name if start == 0 else ""
        for name, images in rows.items()
        for start in range(0, len(images), COLUMNS)
    ]
    return write_png(grid(torch.cat(list(rows.values())), COLUMNS, names, modes=modes), path)


def _write_pairs(result: Result, path: Path) -> None:
    """Generated images, each over its nearest real one."""
    assert result.pictures is not None
    columns = min(COLUMNS, len(result.pictures))
    pairs = result.pictures[: len(result.pictures) // columns * columns]  # whole rows
    rows = [row.transpose(0, 1).flatten(0, 1) for row in pairs.split(columns)]
    names = ["made", "nearest"] * len(rows)
    write_png(grid(torch.cat(rows), columns, names, modes=result.modes), path)
