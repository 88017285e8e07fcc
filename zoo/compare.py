"""The end of a sweep: one table and one picture that compare its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf


class CompareRuns(Callback):
    """Hydra's callback: after `-m`, writes `comparison.md` and `comparison.png` and prints the table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        runs = read_runs(folder)
        if not runs:
            return
        table = as_table(runs)
        (folder / "comparison.md").write_text(table + "\n", encoding="utf-8")
        print(table)
        picture = draw(folder, runs)
        print(f"table    {folder / 'comparison.md'}")
        if picture is not None:
            print(f"picture  {picture}")


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
    keys = [k for k in pairs[0] if len({str(p.get(k)) for p in pairs}) > 1]
    return [{k.split("/")[-1].split(".")[-1]: str(p.get(k, "")) for k in keys} for p in pairs]


def as_table(runs: list[dict[str, Any]]) -> str:
    """A Markdown table: a row per run with what was changed and the numbers of its summary."""
    settings = changed(runs)
    numbers: list[str] = []
    for run in runs:
        for name, value in run["summary"].items():
            if isinstance(value, int | float) and name not in numbers:
                numbers.append(name)
    failed = any("error" in r["summary"] for r in runs)
    head = ["run", *settings[0], *numbers, *(["outcome"] if failed else [])]
    rows = []
    for run, setting in zip(runs, settings, strict=True):
        cells = [run["folder"].name, *setting.values()]
        cells += [_number(run["summary"].get(n)) for n in numbers]
        if failed:
            cells.append(str(run["summary"].get("error", "ok")))
        rows.append(cells)
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * w for w in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def draw(folder: Path, runs: list[dict[str, Any]]) -> Path | None:
    """Every run's last samples side by side with its loss curves, or None where no run has samples."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [r for r in runs if list((r["folder"] / "samples").glob("*.png"))]
    if not shown:
        return None
    settings = changed(runs)
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        2 * lines, columns, figsize=(3.2 * columns, 5.2 * lines), squeeze=False, layout="constrained",
        height_ratios=[3, 1.6] * lines,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for i, run in enumerate(shown):
        row, column = divmod(i, columns)
        title = ", ".join(settings[runs.index(run)].values()) or run["folder"].name
        picture = sorted((run["folder"] / "samples").glob("*.png"))[-1]
        axes[2 * row, column].imshow(plt.imread(picture), cmap="gray")
        axes[2 * row, column].set_title(title)
        _curves(axes[2 * row + 1, column], run["folder"])
    path = folder / "comparison.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _curves(axis: Any, run: Path) -> None:
    curves = read_metrics(run)
    axis.axis("on")
    for name in ("loss_d", "loss_g"):
        if name in curves:
            axis.plot(*curves[name], label=name, linewidth=1)
    axis.set_xlabel("step")
    axis.legend(fontsize="x-small")


def read_metrics(run: Path) -> dict[str, tuple[list[float], list[float]]]:
    """All curves of a run as name -> (steps, values), over the logs of all its continuations."""
    import csv

    curves: dict[str, tuple[list[float], list[float]]] = {}
    files = sorted(run.glob("csv/version_*/metrics.csv"), key=lambda p: int(p.parent.name[8:]))
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                for name, value in row.items():
                    if value and name not in ("step", "epoch"):
                        steps, values = curves.setdefault(name, ([], []))
                        steps.append(float(row["step"]))
                        values.append(float(value))
    return curves
