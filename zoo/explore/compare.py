"""The end of a sweep: one table and one picture that compare its runs."""

from __future__ import annotations

import contextlib
import json
import re
import statistics
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from zoo.core.atomic import write_text
from zoo.core.errors import ZooError
from zoo.core.foreign import check_file, read_rows
from zoo.core.tables import markdown


def compare(folder: Path) -> dict[str, Path]:
    """Print the tables of the runs below `folder`, and write them and a picture of the runs there.

    Returns:
        Where `comparison.md` and `comparison.png` are, as far as there is something to show.
    """
    runs = read_runs(folder)
    if not runs:
        return {}
    table = "\n\n".join(filter(None, [as_table(runs), scores(runs)]))
    write_text(folder / "comparison.md", table + "\n")
    print(table)
    picture = draw(folder, runs)
    return {"table": folder / "comparison.md"} | ({"picture": picture} if picture else {})


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Each run's overrides and summary, in the order of the sweep."""
    runs = []
    for file in folder.glob("*/summary.json"):
        overrides = OmegaConf.load(file.parent / ".hydra" / "overrides.yaml")
        summary = json.loads(file.read_text(encoding="utf-8"))
        runs.append({"folder": file.parent, "overrides": list(overrides), "summary": summary})
    return sorted(runs, key=lambda r: (len(r["folder"].name), r["folder"].name))


def changed(runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The overrides in which the runs differ, as short name -> value per run."""
    pairs = [dict(o.split("=", 1) for o in r["overrides"] if "=" in o) for r in runs]
    every = dict.fromkeys(k for p in pairs for k in p)
    keys = [k for k in every if len({str(p.get(k)) for p in pairs}) > 1]
    short = [re.split(r"[/.]", k)[-1] for k in keys]
    names = [s if short.count(s) == 1 else k for s, k in zip(short, keys, strict=True)]
    return [{n: p.get(k, "") for n, k in zip(names, keys, strict=True)} for p in pairs]


def as_table(runs: list[dict[str, Any]]) -> str:
    """A Markdown table: a row per run with what was changed and the numbers of its summary.

    Why runs failed is told below it.
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
    """The runs' last figures by `callbacks=evaluate`, a Markdown table for each protocol.

    Runs that differ in their seed alone are one row, with the mean and standard deviation.
    """
    from zoo.metrics.protocol import heading, merged, same_protocol
    from zoo.metrics.results import read_results

    settings: dict[Path, dict[str, str]] = {}
    for run, setting in zip(runs, changed(runs), strict=True):
        if files := sorted((run["folder"] / "evaluations").glob("images_*.json")):
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
            [*key, *(_spread([f[n] for f in found if n in f]) for n in names), str(len(found))]
            for key, found in rows.items()
        ]
        table = markdown(head, body, padded=True)
        tables.append(f"{table}\n\nProtocol: {merged(group)}")
    return "\n\n".join(tables)


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return _number(values[0] if values else None)
    return f"{_number(statistics.mean(values))} ± {statistics.stdev(values):.2g}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def draw(folder: Path, runs: list[dict[str, Any]]) -> Path | None:
    """Every run's last samples above its loss curves; None where no run has samples.

    The values of the last sweep are the columns, if there are at most six.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from zoo.explore.plots import as_written, save

    pictures = [sorted((r["folder"] / "samples").glob("*.png")) for r in runs]
    if not any(pictures):
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
        named = [f"{name}={value}" for name, value in settings[i].items()]
        title = "\n".join(named) or run["folder"].name
        top.set_title(as_written(title), fontsize=10)
        if pictures[i]:
            top.imshow(plt.imread(pictures[i][-1]), cmap="gray")
            draw_curves(axes[2 * row + 1, column], run["folder"])
        else:
            reason = textwrap.shorten(run["summary"].get("error", "no samples"), 200)
            words = as_written(textwrap.fill(reason, 30))
            top.text(0.5, 0.5, words, ha="center", va="center", fontsize=8)
    path = folder / "comparison.png"
    save(figure, path, dpi=110)
    plt.close(figure)
    return path


def draw_curves(axis: Any, run: Path) -> None:
    """The losses of a run, as its log has them."""
    curves = read_metrics(run)
    axis.axis("on")
    for name in ("loss_d", "loss_g"):
        if name in curves:
            marker = "o" if len(curves[name][0]) == 1 else None  # a line of one point is nothing
            axis.plot(*curves[name], label=name, linewidth=1, marker=marker)
    axis.set_xlabel("step")
    if axis.lines:  # a short run has none
        axis.legend(fontsize="x-small")


def read_metrics(
    run: Path, over: Literal["step", "images_seen"] = "step"
) -> dict[str, tuple[list[float], list[float]]]:
    """All curves of a run as name -> (places, values), over the logs of all its continuations.

    Args:
        over: what places are; a row without images seen has its step.

    Raises:
        ZooError: one of them is no log.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    # version_10 comes after version_9
    files = sorted(run.glob("**/metrics.csv"), key=lambda p: (len(p.parent.name), p.parent.name))
    for file in files:
        try:
            check_file(file)
            with file.open(encoding="utf-8", newline="") as lines:
                _add_rows(curves, read_rows(lines), over)
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
            with contextlib.suppress(ValueError):  # a row that was cut off
                point = float(place), float(value)
                places, values = curves.setdefault(name, ([], []))
                places.append(point[0])
                values.append(point[1])
