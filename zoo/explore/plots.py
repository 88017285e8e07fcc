"""The plots of reports, drawn without a display and without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from zoo.core.atomic import replacing

REAL, FAKE = "#1f77b4", "#d95f02"  # colours that colour-blind readers can distinguish


def _figure(title: str, width: float = 5.5, height: float = 3.4) -> Figure:
    """Create a small figure of high resolution, so that it is readable on a phone."""
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(as_written(title), fontsize=11)
    return figure


def save(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure atomically, so that no partial file is left behind."""
    with replacing(path, on_disk=False) as partial:
        figure.savefig(partial, format=path.suffix[1:], **options)


def as_written(text: str) -> str:
    """Escape the dollar signs of a text, in which Matplotlib would see formulas."""
    return text.replace("$", r"\$")


def plot_spectra(
    real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], path: Path, title: str = ""
) -> Path:
    """Plot the power of real and generated images over spatial frequency.

    Args:
        real, fake: frequencies and power, each (S // 2,).
        path: the file to write.
        title: the title of the plot.
    """
    figure = _figure(title)
    axes = figure.add_subplot()
    axes.semilogy(real[0], real[1], "o-", color=REAL, label="real", markersize=4)
    axes.semilogy(fake[0], fake[1], "s--", color=FAKE, label="generated", markersize=4)
    axes.set(xlabel="spatial frequency (cycles per pixel)", ylabel="power")
    axes.legend()
    save(figure, path)
    return path


def plot_points(
    points: Tensor, real: int, path: Path, title: str = "", modes: Tensor | None = None
) -> Path:
    """Plot a map of real and generated images as points.

    Args:
        points: the points (N, 2), of which the first `real` are real.
        real: the number of real points.
        path: the file to write.
        title: the title of the plot.
        modes: the centres (K, 2) of the real modes if the data are points in the plane, which adds
            axes with numbers; else None.
    """
    figure = _figure(title, 5.5, 5.5)
    axes = figure.add_subplot()
    axes.scatter(points[:real, 0], points[:real, 1], s=8, color=REAL, label="real", alpha=0.6)
    axes.scatter(
        points[real:, 0],
        points[real:, 1],
        s=8,
        color=FAKE,
        label="generated",
        alpha=0.6,
        marker="^",
    )
    if modes is None:
        axes.set(xticks=[], yticks=[])
        axes.legend()
    else:
        x, y = modes.T
        axes.scatter(x, y, s=260, facecolors="none", edgecolors="black", label="real modes")
        axes.set(xlabel="x", ylabel="y", aspect="equal")
        axes.grid(alpha=0.3)
        # Above the axes, where the legend hides no points.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    save(figure, path)
    return path


def plot_scores(real: Tensor, fake: Tensor, path: Path, title: str = "") -> Path:
    """Plot histograms of the discriminator's scores for real (N,) and generated (M,) images."""
    figure = _figure(title)
    axes = figure.add_subplot()
    low, high = min(real.min(), fake.min()).item(), max(real.max(), fake.max()).item()
    edges = [low + (high - low + 1e-6) * i / 40 for i in range(41)]
    axes.hist(real.numpy(), edges, color=REAL, alpha=0.6, label="real")
    axes.hist(fake.numpy(), edges, color=FAKE, alpha=0.6, label="generated", hatch="//")
    axes.set(xlabel="score of the discriminator", ylabel="images")
    axes.legend()
    save(figure, path)
    return path


def plot_figures(
    lines: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    titles: Mapping[str, str],
    path: Path,
) -> Path:
    """Plot metrics over the images seen, with one panel per metric and one line per run.

    Args:
        lines: for each metric and each run, the images seen and the values.
        titles: the title of the panel of each metric.
        path: the file to write.
    """
    columns = min(3, len(lines))
    rows = -(-len(lines) // columns)
    figure = _figure("", 3.2 * columns, 2.3 * rows)
    for i, (name, runs) in enumerate(lines.items(), start=1):
        axes = figure.add_subplot(rows, columns, i)
        for run, (x, y) in runs.items():
            axes.plot(x, y, "o-", label=as_written(run), linewidth=1.2, markersize=3)
        axes.set_title(as_written(titles.get(name, name)), fontsize=10)
        axes.set_xlabel("images seen", fontsize=8)
        axes.tick_params(labelsize=8)
        if len(runs) > 1:
            axes.legend(fontsize=7)
    save(figure, path)
    return path


def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], path: Path, title: str = ""
) -> Path:
    """Plot training curves: one panel for the losses, one for the scores, one for each other.

    Args:
        curves: for each name, the images seen and the values.
        path: the file to write.
        title: the title of the figure.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(curves):
        stem = name.split("_")[0] if name.startswith(("loss_", "score_")) else name
        groups.setdefault(stem, []).append(name)
    columns = 2 if len(groups) > 1 else 1
    rows = -(-len(groups) // columns)
    figure = _figure(title, 5.5 if columns == 1 else 3.2 * columns, 2.3 * rows)
    for i, (title, names) in enumerate(groups.items(), start=1):
        axes = figure.add_subplot(rows, columns, i)
        for name, style in zip(names, ("-", "--", ":", "-.") * len(names), strict=False):
            # A line of one point is invisible without a marker.
            marker = "o" if len(curves[name][0]) == 1 else None
            label = as_written(name)
            axes.plot(*curves[name], style, label=label, linewidth=1.2, marker=marker)
        axes.set_title(as_written(title), fontsize=10)
        axes.set_xlabel("images seen", fontsize=8)
        axes.tick_params(labelsize=8)
        if len(names) > 1:
            axes.legend(fontsize=8)
    save(figure, path)
    return path
