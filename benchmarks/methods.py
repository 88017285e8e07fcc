"""Measure the effect of methods, next to their papers' numbers: dropped modes, few images, codes.

`python -m benchmarks.methods ring grid` trains all ways of the experiments named (see
`experiments.py`) for every seed, evaluates each last checkpoint, and updates `results/methods.json`
and `.md` after each run, keeping earlier rows. Everything runs in one process, since starting one
takes as long as some of these short runs. `--updates` sets another length of training. Data sets
are read from `ZOO_DATA_DIR` (default: `data`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import zoo
from benchmarks import rows as table
from benchmarks.experiments import EXPERIMENTS, Experiment
from benchmarks.measure import ROOT, machine, machines_in_words
from zoo.core.tables import markdown
from zoo.explore.codes import codes_grid
from zoo.inference.images import write_png

ENDS = ["trainer.max_epochs=-1", "trainer.max_images=null"]
QUIET = ["callbacks.progress=null", "callbacks.samples=null", "callbacks.diagnostics=null"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("names", nargs="+", choices=list(EXPERIMENTS), metavar="NAME",
                        help=", ".join(EXPERIMENTS))  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--ways", nargs="+", help="the rows to run; by default all")
    parser.add_argument("--updates", type=int, help="updates of G; by default the experiment's")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--loaded", action="store_true", help="report that the machine was busy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    file = options.out / "methods.json"
    for name in options.names:
        experiment = EXPERIMENTS[name]
        for seed in options.seeds:
            for way in options.ways or experiment.ways:
                updates = options.updates or experiment.updates
                row = measure(name, way, seed, updates, file.parent) | {"loaded": options.loaded}
                print(row, flush=True)
                rows = [r for r in table.read(file) if r["experiment"] in EXPERIMENTS]
                rows = table.added(rows, row, key)
                table.write(file, rows, report(rows, file.parent))


def settings_of(experiment: Experiment, way: str, updates: int) -> list[str]:
    """Return the settings of a run except its seed."""
    return [*experiment.common, *experiment.ways[way], *ENDS, f"trainer.max_steps={updates}"]


def measure(name: str, way: str, seed: int, updates: int, out: Path) -> table.Row:
    """Train and evaluate one way of an experiment with one seed, and return its row."""
    experiment = EXPERIMENTS[name]
    settings = settings_of(experiment, way, updates)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        model = zoo.train(*settings, *QUIET, f"seed={seed}", out=run)
        trained = time.process_time()
        result = zoo.evaluate(model, metrics=list(experiment.metrics), **experiment.evaluation)
        if experiment.draws_codes and seed == 0:
            write_png(codes_grid(model, scale=1), out / drawing(name))
    return {
        "experiment": name,
        "way": way,
        "seed": seed,
        "updates": updates,
        "images": model.images_seen,
        "figures": {figure: result.figures.get(figure) for figure in experiment.figures},
        "protocol": str(result.protocol),
        "processor_seconds": round(trained - start),
        "machine": machine(torch.device("cpu")),
    }


def key(row: table.Row) -> tuple[Any, ...]:
    """Return the key that identifies and orders rows: by experiment, updates, way and seed."""
    name = row["experiment"]
    way = list(EXPERIMENTS[name].ways).index(row["way"])
    return list(EXPERIMENTS).index(name), row["updates"], way, row["seed"]


def drawing(name: str) -> str:
    """Return the file name of an experiment's image grid."""
    return f"methods_{name}.png"


def report(rows: list[table.Row], folder: Path) -> str:
    """Format the rows as Markdown: a table for each experiment and number of updates."""
    lines = [
        "# Methods beside their papers",
        "",
        "What each method changes in short trainings on a processor: means and deviations over",
        "the seeds, of the weights that `task=sample` takes, and what the paper has after its own,",
        "much longer trainings. The contrast between the rows is what can be compared.",
    ]
    for name, updates in dict.fromkeys((r["experiment"], r["updates"]) for r in rows):
        experiment = EXPERIMENTS[name]
        mine = [r for r in rows if (r["experiment"], r["updates"]) == (name, updates)]
        lines += ["", f"## {experiment.title}, {updates:,} updates of G", ""]
        lines += [f"{experiment.source}", ""]
        heads = ["way", "seeds", "images seen", *experiment.figures.values()]
        if experiment.paper:
            heads += [f"paper: {title}" for title in experiment.figures.values()]
        shown: list[list[str]] = []
        for way in experiment.ways:
            if group := [r for r in mine if r["way"] == way]:
                cells = [way, table.seeds(group), table.images(group)]
                cells += [table.spread(group, figure) for figure in experiment.figures]
                if experiment.paper:
                    cells += experiment.paper.get(way, ("",) * len(experiment.figures))
                shown.append(cells)
        lines.append(markdown(heads, shown))
        if (folder / drawing(name)).exists():
            lines += ["", f"![columns: values of the code; rows: latents]({drawing(name)})"]
        common = " ".join(["python run.py", *experiment.common, *ENDS])
        lines += ["", f"`{common} trainer.max_steps={updates} seed=SEED`, and for each way:", ""]
        lines += [f"- {way}: `{' '.join(s) or '(nothing)'}`" for way, s in experiment.ways.items()]
        lines += ["", *dict.fromkeys(f"{r['protocol']}" for r in mine)]
    run = {r["experiment"] for r in rows}
    if missing := [experiment.title for name, experiment in EXPERIMENTS.items() if name not in run]:
        lines += ["", f"Not run yet: {'; '.join(missing)}."]
    lines += ["", f"Machine: {machines_in_words(rows)}."]
    if any(r["loaded"] for r in rows):
        lines.append("Others computed beside it, which changes no figure here.")
    lines += ["", "Made by `python -m benchmarks.methods NAME…` (`--help`)."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
