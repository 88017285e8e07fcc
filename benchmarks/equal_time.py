"""Which family is furthest after the same time: Fashion-MNIST, 32x32, with labels, on a processor.

`python -m benchmarks.equal_time` trains the small recipe of each family in turn through `run.py`,
for the same seconds and every seed, scores each last checkpoint, and writes
`results/equal_time.json` and `.md` after each run, keeping the rows that are there. Seconds mean
something on an idle machine only. Data sets come from `ZOO_DATA_DIR` (default: `data`).
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

FAMILIES = {
    "DCGAN": ["experiment=train_fashion_mnist_gan", "logger=csv"],
    "SNGAN ResNet": ["experiment=sngan_fashion_mnist"],
    "BigGAN": ["experiment=biggan_fashion_mnist"],
    "StyleGAN2": ["experiment=stylegan2_fashion_mnist"],
    "R3GAN": ["experiment=r3gan_fashion_mnist"],
    "GAT": ["experiment=gat_fashion_mnist", "datamodule.image_size=32"],
    "projected D, DCGAN G": ["experiment=projected_fashion_mnist"],
}
"""Settings of a run by the name of its row."""
ENDS = ["trainer.max_epochs=-1", "trainer.max_steps=-1", "trainer.max_images=null"]
FIGURES = {"fid": "FID ↓", "conditional_accuracy": "conditional accuracy ↑"}
SLACK = 1800.0
"""Seconds that a run may take beside its training: start, pictures, checkpoints, scores."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_time", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of training, for each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--loaded", action="store_true", help="say that others computed beside it")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    file = options.out / "equal_time.json"
    for seed in options.seeds:
        for family in options.families:
            row = measure(family, seed, options.seconds, options.threads)
            row |= {"loaded": options.loaded}
            print(row, flush=True)
            rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            rows = added(rows, row)
            file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            file.with_suffix(".md").write_text(report(rows), encoding="utf-8")


def measure(family: str, seed: int, seconds: int, threads: int) -> dict[str, Any]:
    """What one run of a family has seen and reached after `seconds` of training."""
    time = f"00:{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    settings = [*FAMILIES[family], *ENDS, f"+trainer.max_time='{time}'", f"seed={seed}"]
    found = trained_and_scored(settings, list(FIGURES), threads, seconds + SLACK)
    return {
        "family": family,
        "seed": seed,
        "seconds": seconds,
        "images": found["images"],
        "figures": {name: found["figures"].get(name) for name in FIGURES},
        "protocol": found["protocol"],
        "machine": machine(torch.device("cpu")) | {"threads": threads},
    }


def added(rows: list[dict[str, Any]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with this one in the place of an older one, in the order of the table."""
    key = row["family"], row["seed"], row["seconds"]
    kept = [r for r in rows if (r["family"], r["seed"], r["seconds"]) != key]
    order = list(FAMILIES)
    return sorted([*kept, row], key=lambda r: (r["seconds"], order.index(r["family"]), r["seed"]))


def report(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown: for each time the families, the nearest by FID first."""
    lines = [
        "# Equal time",
        "",
        "Fashion-MNIST at 32x32 with labels, small recipes, the same seconds of training on a",
        "processor for each; figures of the weights that `task=sample` takes, means and deviations",
        "over the seeds.",
    ]
    for seconds in sorted({r["seconds"] for r in rows}):
        lines += ["", f"## {seconds} seconds", ""]
        lines += [f"| family | seeds | images seen | {' | '.join(FIGURES.values())} |"]
        lines += ["|---" * (3 + len(FIGURES)) + "|"]
        groups = {f: [r for r in rows if (r["family"], r["seconds"]) == (f, seconds)]
                  for f in FAMILIES}  # fmt: skip
        for family in sorted(filter(groups.get, groups), key=lambda f: mean(groups[f], "fid")):
            mine = groups[family]
            images = statistics.mean(r["images"] for r in mine)
            cells = [family, ", ".join(str(r["seed"]) for r in mine), f"{images:,.0f}"]
            cells += [spread(mine, name) for name in FIGURES]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Settings of the rows, each with `+trainer.max_time` and `seed`:", ""]
    lines += [f"- {f}: `{' '.join(['python run.py', *s, *ENDS])}`" for f, s in FAMILIES.items()]
    lines += ["", f"Machine: {machines_in_words(rows)}."]
    if any(r["loaded"] for r in rows):
        lines.append("Others computed beside it: seconds were shorter for all than they look.")
    lines += ["", *(f"{p}\n" for p in dict.fromkeys(r["protocol"] for r in rows))]
    lines.append("Made by `python -m benchmarks.equal_time` (`--help`).")
    return "\n".join(lines) + "\n"


def mean(rows: list[dict[str, Any]], name: str) -> float:
    values = [r["figures"][name] for r in rows if r["figures"].get(name) is not None]
    return statistics.mean(values) if values else float("inf")


def spread(rows: list[dict[str, Any]], name: str) -> str:
    values = [r["figures"][name] for r in rows if r["figures"].get(name) is not None]
    if len(values) < 2:
        return "".join(f"{v:.3f}" for v in values)
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
