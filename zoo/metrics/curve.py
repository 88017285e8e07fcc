"""Metrics over the course of training: the results of several checkpoints by images seen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from zoo.core.atomic import write_text
from zoo.metrics.protocol import Result, same_protocol

Lines = dict[str, dict[str, tuple[list[float], list[float]]]]
"""For each figure and each line of its plot: (images seen, values)."""


def in_order(results: Sequence[Result]) -> list[Result]:
    """Sort results by run, in the order in which runs first occur, and then by images seen."""
    runs = list(dict.fromkeys(result.run for result in results))
    return sorted(results, key=lambda r: (runs.index(r.run), r.images_seen))


def is_curve(results: Sequence[Result]) -> bool:
    """Whether some run has results at two or more numbers of images seen, by one protocol."""
    return any(
        len({r.images_seen for r in group if r.run == result.run}) > 1
        for group in same_protocol(results)
        for result in group
    )


def lines_of(results: Sequence[Result]) -> Lines:
    """Return a line per figure, run and protocol; standard deviations (`kid_std`) have none."""
    groups = same_protocol(in_order(results))
    lines: Lines = {}
    for number, group in enumerate(groups, start=1):
        for result in group:
            name = result.run if len(groups) == 1 else f"{result.run} (protocol {number})"
            for figure, value in result.figures.items():
                if figure.endswith("_std"):
                    continue
                x, y = lines.setdefault(figure, {}).setdefault(name, ([], []))
                x.append(result.images_seen)
                y.append(value)
    return lines


def write_curve(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write `curve.csv` with a row per checkpoint, and `curve.json`, which adds the protocols."""
    results = in_order(results)
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "images_seen", *names])
    for result in results:
        values = [result.figures.get(name, "") for name in names]
        writer.writerow([result.run, result.images_seen, *values])
    table, content = folder / "curve.csv", folder / "curve.json"
    write_text(table, text.getvalue())
    rows = [json.loads(result.to_json()) for result in results]
    kept = ("run", "images_seen", "figures", "protocol")
    write_text(content, json.dumps([{k: row[k] for k in kept} for row in rows], indent=2) + "\n")
    return [table, content]
