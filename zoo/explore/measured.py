"""The images and plots of an evaluation: nearest training images, galleries, and curves."""

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
"""The number of images in a row."""


def write_pictures(results: list[Result], out: Path, stems: Sequence[str]) -> dict[str, Any]:
    """Write the nearest pairs and galleries of each result, and a curve if they form one.

    Args:
        results: the results.
        out: the folder to write to.
        stems: the names of the result files without ending, `metrics` or `metrics_0`, `metrics_1`,
            …

    Returns:
        The entries of the summary: a path for each label.
    """
    from zoo.explore.plots import plot_figures
    from zoo.metrics.curve import is_curve, lines_of, write_curve

    summary: dict[str, Any] = {}
    for stem, result in zip(stems, results, strict=True):
        if result.pictures is not None:
            path = out / f"{stem.replace('metrics', 'nearest')}.png"
            _write_pairs(result, path)
            files = shown(path) if len(results) == 1 else f"{shown(out)}/nearest*.png"
            summary["nearest"] = f"{files} (generated images above their nearest real images)"
        for gallery, rows in result.galleries.items():
            path = out / f"{stem.replace('metrics', gallery)}.png"
            summary[f"{gallery} picture"] = _write_gallery(rows, path, result.modes)
    if is_curve(results):
        summary["curve"] = listing(map(shown, write_curve(results, out)))
        higher = {name for result in results for name in result.higher_is_better}
        lines = lines_of(results)
        titles = {name: heading(name, higher) for name in lines}
        summary["picture"] = plot_figures(lines, titles, out / "curve.png")
    return summary


def _write_gallery(rows: dict[str, Tensor], path: Path, modes: Tensor | None) -> Path:
    """Write groups of images as rows of a grid, with the name of a group beside its first row."""
    names = [
        name if start == 0 else ""
        for name, images in rows.items()
        for start in range(0, len(images), COLUMNS)
    ]
    return write_png(grid(torch.cat(list(rows.values())), COLUMNS, names, modes=modes), path)


def _write_pairs(result: Result, path: Path) -> None:
    """Write a grid of generated images, each above its nearest real image."""
    assert result.pictures is not None
    columns = min(COLUMNS, len(result.pictures))
    pairs = result.pictures[: len(result.pictures) // columns * columns]  # whole rows
    rows = [row.transpose(0, 1).flatten(0, 1) for row in pairs.split(columns)]
    names = ["generated", "nearest"] * len(rows)
    write_png(grid(torch.cat(rows), columns, names, modes=result.modes), path)
