"""Comparing the runs of a sweep in tables and in one figure."""

from __future__ import annotations

import contextlib
import json
import re
import statistics
import textwrap
import warnings
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from PIL import Image

from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, ZooWarning, printable
from zoo.core.foreign import MOST_COLUMNS, check_file, read_lines, read_rows, read_text
from zoo.core.tables import markdown

MOST_OVERRIDES = 2**16
"""The most bytes of the file with a run's overrides."""
MOST_SUMMARY = 2**20
"""The most bytes of a run's summary."""
MOST_DRAWN = 100
"""The most runs in one figure; many more could not be drawn."""
MOST_TITLE = 500
"""The most characters in the title above a run's samples."""
MOST_PIXELS = 8 * 10**7
"""The most pixels of a run's grid of samples; a grid of 8 x 8 images of 1024x1024 has fewer."""
DRAWN = 1024
"""The longest side in pixels at which samples are drawn; the figure shows no more detail."""


def compare(folder: Path) -> dict[str, Path]:
    """Print tables of the runs in `folder`, and write them and a figure to that folder.

    Returns:
        The paths of `comparison.md` and `comparison.png`, for those that were written.
    """
    runs = read_runs(folder)
    if not runs:
        return {}
    table = "\n\n".join(filter(None, [as_table(runs), scores(runs)]))
    table = printable(table, "\n")  # its texts come from files, which may be anyone's
    write_text(folder / "comparison.md", table + "\n")
    print(table)
    picture = draw(folder, runs)
    return {"table": folder / "comparison.md"} | ({"picture": picture} if picture else {})


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the overrides and summary of each run, in the order of the sweep.

    A run with damaged or foreign files is left out with a warning.
    """
    runs = []
    for file in folder.glob("*/summary.json"):
        try:
            runs.append(read_run(file.parent))
        except ZooError as error:
            warnings.warn(f"a run is left out: {error}", ZooWarning, stacklevel=3)
    return sorted(runs, key=lambda r: (len(r["folder"].name), r["folder"].name))


def read_run(folder: Path) -> dict[str, Any]:
    """Read the overrides and the summary of a run, without resolving interpolations.

    Raises:
        ZooError: one of the two files is missing or is not what it should be.
    """
    file = folder / ".hydra" / "overrides.yaml"
    try:
        overrides = yaml.safe_load(read_text(file, MOST_OVERRIDES) or "[]")
        if not isinstance(overrides, list) or not all(isinstance(o, str) for o in overrides):
            raise ValueError("it is not a list of strings")
        _check_length(overrides)
        file = folder / "summary.json"
        summary = json.loads(read_text(file, MOST_SUMMARY))
        if not isinstance(summary, dict) or not isinstance(summary.get("error", ""), str):
            raise ValueError("it is not a summary of a run")
        _check_length(summary)
        for value in summary.values():
            if isinstance(value, int):
                float(value)
    except RecursionError as error:
        raise ZooError(f"{file} cannot be read: it is nested too deeply.") from error
    except (OSError, ValueError, OverflowError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ZooError(f"{file} cannot be read: {reason}.") from error
    return {"folder": folder, "overrides": overrides, "summary": summary}


def _check_length(entries: Sized) -> None:
    if len(entries) > MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS} entries")


def changed(runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the overrides in which the runs differ: for each run, short names and values."""
    pairs = [dict(o.split("=", 1) for o in r["overrides"] if "=" in o) for r in runs]
    all_keys = dict.fromkeys(k for p in pairs for k in p)
    keys = [k for k in all_keys if len({str(p.get(k)) for p in pairs}) > 1]
    short = [re.split(r"[/.]", k)[-1] for k in keys]
    names = [s if short.count(s) == 1 else k for s, k in zip(short, keys, strict=True)]
    return [{n: p.get(k, "") for n, k in zip(names, keys, strict=True)} for p in pairs]


def as_table(runs: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row per run: its changed settings and its summary's numbers.

    The errors of failed runs are listed below the table.
    """
    settings = changed(runs)
    numbers: list[str] = []
    for run in runs:
        for name, value in run["summary"].items():
            if isinstance(value, int | float) and name not in numbers:
                numbers.append(name)
    failed = [r for r in runs if "error" in r["summary"]]
    head = ["run", *settings[0], *numbers, *(["outcome"] if failed else [])]
    rows = []
    for run, setting in zip(runs, settings, strict=True):
        cells = [run["folder"].name, *setting.values()]
        cells += [_number(run["summary"].get(n)) for n in numbers]
        if failed:
            cells.append("failed" if run in failed else "ok")
        rows.append(cells)
    lines = [markdown(head, rows, padded=True)]
    if failed:
        lines += ["", *(f"run {r['folder'].name} failed: {r['summary']['error']}" for r in failed)]
    return "\n".join(lines)


def scores(runs: list[dict[str, Any]]) -> str:
    """Return Markdown tables of the runs' last metrics from `callbacks=evaluate`, one per protocol.

    Runs that differ only in their seed share a row with the mean and standard deviation.
    """
    from zoo.metrics.protocol import heading, merged, same_protocol
    from zoo.metrics.results import read_results

    settings: dict[Path, dict[str, str]] = {}
    for run, setting in zip(runs, changed(runs), strict=True):
        if files := _files_of(run, "evaluations", "images_*.json"):
            settings[files[-1]] = {k: v for k, v in setting.items() if k != "seed"}
    results = read_results(settings)
    tables = []
    for group in same_protocol([*results.values()]):
        rows: dict[tuple[str, ...], list[dict[str, float]]] = {}
        for file, result in results.items():
            if result in group:
                rows.setdefault(tuple(settings[file].values()), []).append(result.figures)
        names = list(dict.fromkeys(n for result in group for n in result.figures))
        higher = {n for result in group for n in result.higher_is_better}
        head = [*next(iter(settings.values())), *(heading(n, higher) for n in names), "runs"]
        body = [
            [*key, *(_spread([f[n] for f in group if n in f]) for n in names), str(len(group))]
            for key, group in rows.items()
        ]
        table = markdown(head, body, padded=True)
        tables.append(f"{table}\n\nProtocol: {merged(group)}")
    return "\n\n".join(tables)


def _spread(values: list[float]) -> str:
    """Format a single value, or the mean and standard deviation of several."""
    if len(values) < 2:
        return _number(values[0] if values else None)
    return f"{_number(statistics.mean(values))} ± {statistics.stdev(values):.2g}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def draw(folder: Path, runs: list[dict[str, Any]]) -> Path | None:
    """Draw every run's last samples above its loss curves; None if no run has samples.

    The values of the setting that the sweep varies last are the columns, if there are at most six.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from zoo.explore.plots import as_written, save

    if len(runs) > MOST_DRAWN:
        print(f"note: {folder / 'comparison.png'} shows the first {MOST_DRAWN} of {len(runs)} runs")
        runs = runs[:MOST_DRAWN]
    pictures = [_last_picture(r) for r in runs]
    if all(picture is None for picture in pictures):
        return None
    settings = changed(runs)
    last = len({list(s.values())[-1] for s in settings}) if settings[0] else 1
    columns = last if 1 < last <= 6 and len(runs) % last == 0 else min(4, len(runs))
    lines = -(-len(runs) // columns)
    figure, axes = plt.subplots(
        2 * lines, columns, figsize=(3.2 * columns, 5.2 * lines), squeeze=False,
        layout="constrained", height_ratios=[3, 1.6] * lines,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for i, run in enumerate(runs):
        row, column = divmod(i, columns)
        top = axes[2 * row, column]
        texts = [f"{name}={value}" for name, value in settings[i].items()]
        title = printable("\n".join(texts) or run["folder"].name, "\n")
        top.set_title(as_written(title[:MOST_TITLE]), fontsize=10)
        if (picture := pictures[i]) is not None:
            top.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
            draw_curves(axes[2 * row + 1, column], run["folder"])
        else:
            reason = textwrap.shorten(printable(run["summary"].get("error", "no samples")), 200)
            words = as_written(textwrap.fill(reason, 30))
            top.text(0.5, 0.5, words, ha="center", va="center", fontsize=8)
    path = folder / "comparison.png"
    save(figure, path, dpi=110)
    plt.close(figure)
    return path


def _files_of(run: dict[str, Any], name: str, pattern: str) -> list[Path]:
    """Return the files of a sub-folder of a run, sorted; none for a link, which leads elsewhere."""
    folder = run["folder"] / name
    return [] if folder.is_symlink() else sorted(folder.glob(pattern))


def _last_picture(run: dict[str, Any]) -> Image.Image | None:
    """Return a run's last samples, reduced to the size at which they are drawn, or None."""
    for file in _files_of(run, "samples", "*.png")[-1:]:
        try:
            check_file(file)
            with Image.open(file, formats=["PNG"]) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise ValueError(f"it has more than {MOST_PIXELS:,} pixels")
                small = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        except Exception as error:  # damage raises errors of many types
            warnings.warn(
                f"a picture is left out: {printable(f'{file} ({error})')}", ZooWarning, stacklevel=3
            )
            continue
        small.thumbnail((DRAWN, DRAWN))
        return small
    return None


def draw_curves(axis: Any, run: Path) -> None:
    """Draw the losses in a run's log."""
    curves = read_metrics(run)
    axis.axis("on")
    for name in ("loss_d", "loss_g"):
        if name in curves:
            marker = "o" if len(curves[name][0]) == 1 else None  # a line of one point is invisible
            axis.plot(*curves[name], label=name, linewidth=1, marker=marker)
    axis.set_xlabel("step")
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if axis.lines:  # a short run has none
        axis.legend(fontsize="x-small")


def read_metrics(
    run: Path, over: Literal["step", "images_seen"] = "step"
) -> dict[str, tuple[list[float], list[float]]]:
    """Read the curves of a run from all of its logs; a resumed run has several.

    Args:
        run: the folder of the run.
        over: the column for the positions; a row without images seen has its step instead.

    Returns:
        For each name, the positions and the values.

    Raises:
        ZooError: a file is not a log.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    # version_10 comes after version_9
    files = sorted(run.glob("**/metrics.csv"), key=lambda p: (len(p.parent.name), p.parent.name))
    for file in files:
        try:
            check_file(file)
            with file.open(encoding="utf-8", newline="") as log:
                _add_rows(curves, read_rows(read_lines(log)), over)
        except (OSError, ValueError) as error:
            raise ZooError(f"{file} cannot be read as a log ({error}).") from error
    return curves


def _add_rows(
    curves: dict[str, tuple[list[float], list[float]]],
    rows: Iterable[dict[str, str]],
    over: str,
) -> None:
    for row in rows:
        place = row.get(over) or row.get("step")
        for name, value in row.items():
            if name in (over, "step", "epoch", None) or not value or not place:
                continue
            with contextlib.suppress(ValueError):  # the row is incomplete
                point = float(place), float(value)
                places, values = curves.setdefault(name, ([], []))
                places.append(point[0])
                values.append(point[1])
