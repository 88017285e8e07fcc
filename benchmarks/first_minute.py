"""What `python run.py` has learned at its end, and in how many seconds, before and after.

`python -m benchmarks.first_minute` trains each way in turn for every seed, in processes of their
own, scores the last checkpoints and writes `results/first_minute_seeds.json` and `.md`. Seconds
mean something on an idle machine only: `--loaded` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import ROOT, machine, machines_in_words
from benchmarks.scored import trained_and_scored

WAYS = {
    "before": [
        "model.conditional=false", "model.lr_g=2e-4", "model.lr_d=2e-4", "model.betas=[0.5,0.999]",
    ],
    "after": [],
    "after, bf16": ["trainer=cpu_bf16"],
}  # fmt: skip
"""Settings of a run by the name of its row; `before` is what the default was."""
FIGURES = ("fid", "conditional_accuracy")
LONGEST = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_minute", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=["before", "after"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--loaded", action="store_true", help="others compute too: no seconds")
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
            rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            rows = [r for r in rows if (r["way"], r["seed"]) != (way, seed)] + [row]
            rows.sort(key=lambda r: (list(WAYS).index(r["way"]), r["seed"]))
            file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            file.with_suffix(".md").write_text(report(rows), encoding="utf-8")


def measure(settings: list[str], seed: int, threads: int) -> dict[str, Any]:
    """Images, seconds of training and figures of one run of the default under `settings`."""
    conditional = "model.conditional=false" not in settings
    metrics = ["fid", *["conditional_accuracy"] * conditional]
    return trained_and_scored([*settings, f"seed={seed}"], metrics, threads, LONGEST)


def report(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, with means and deviations over the seeds."""
    lines = [
        "# The first minute",
        "",
        "`python run.py` as it is (after) and as it was (before), scored at its end.",
        "",
        "| way | seed | images | seconds | FID ↓ | conditional accuracy ↑ |",
        "|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        mine = [r for r in rows if r["way"] == way]
        for row in mine:
            cells = [way, row["seed"], f"{row['images']:,}", row["seconds"] or ""]
            cells += [_number(row["figures"].get(name)) for name in FIGURES]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        if len(mine) > 1:
            means = [_mean([r["figures"].get(name) for r in mine]) for name in FIGURES]
            lines.append(f"| {way} | mean ± deviation | | | {' | '.join(means)} |")
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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mean(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{statistics.mean(known):.3f} ± {statistics.stdev(known):.3f}" if known else ""


if __name__ == "__main__":
    main()
