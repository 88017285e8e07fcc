"""Measure what `python run.py` learns in how many seconds, with earlier and current defaults.

`python -m benchmarks.first_minute` trains each way in turn for every seed, in separate processes,
evaluates the last checkpoints, and writes `results/first_minute_seeds.json` and `.md`. Seconds are
meaningful only on an idle machine; `--loaded` omits them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks import rows as table
from benchmarks.measure import ROOT, machine, machines_in_words
from benchmarks.scored import trained_and_scored
from zoo.core.tables import markdown

WAYS = {
    "before": [
        "model.conditional=false", "model.lr_g=2e-4", "model.lr_d=2e-4", "model.betas=[0.5,0.999]",
    ],
    "after": [],
    "after, bf16": ["trainer=cpu_bf16"],
}  # fmt: skip
"""The settings of each way, by the name of its row; `before` has the earlier defaults."""
FIGURES = {"fid": "FID ↓", "conditional_accuracy": "conditional accuracy ↑"}
LONGEST = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_minute", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["before", "after"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--loaded", action="store_true", help="omit seconds: the machine is busy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    file = options.out / "first_minute_seeds.json"
    for seed in options.seeds:
        for way in options.ways:
            row = {"way": way, "seed": seed, **measure(WAYS[way], seed, options.threads)}
            if options.loaded:
                row["seconds"] = None
            row["machine"] = machine(torch.device("cpu")) | {"threads": options.threads}
            print(row, flush=True)
            rows = table.added(table.read(file), row, key)
            table.write(file, rows, report(rows))


def key(row: table.Row) -> tuple[Any, ...]:
    """Return the key that identifies a row and orders rows: by way and seed."""
    return list(WAYS).index(row["way"]), row["seed"]


def measure(settings: list[str], seed: int, threads: int) -> table.Row:
    """Train the default with further `settings`; return its images, seconds and metrics."""
    conditional = "model.conditional=false" not in settings
    metrics = ["fid", *["conditional_accuracy"] * conditional]
    return trained_and_scored([*settings, f"seed={seed}"], metrics, threads, LONGEST)


def report(rows: list[table.Row]) -> str:
    """Format the rows as Markdown, with means and deviations over the seeds."""
    lines = [
        "# The first minute",
        "",
        "`python run.py` as it is (after) and as it was (before), scored at its end.",
        "",
    ]
    shown: list[list[str]] = []
    for way in WAYS:
        mine = [r for r in rows if r["way"] == way]
        for row in mine:
            start = [way, table.seeds([row]), table.images([row]), str(row["seconds"] or "")]
            shown.append(start + [table.spread([row], name) for name in FIGURES])
        if len(mine) > 1:
            spreads = [table.spread(mine, name) for name in FIGURES]
            shown.append([way, "mean ± deviation", "", "", *spreads])
    heads = ["way", "seed", "images", "seconds", *FIGURES.values()]
    lines.append(markdown(heads, shown))
    lines += ["", "Settings of the rows:", ""]
    lines += [f"- {w}: `{' '.join(['python run.py', *s])} seed=SEED`" for w, s in WAYS.items()]
    protocols = dict.fromkeys(r["protocol"] for r in rows)
    lines += [
        "",
        f"Machine: {machines_in_words(rows)}. "
        "Seconds are left out where others computed beside it.",
        "",
        *(f"{p}\n" for p in protocols),
        "Made by `python -m benchmarks.first_minute` (`--help`).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
