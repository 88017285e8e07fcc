"""The report: tables as Markdown, plots as PNG, and all numbers as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.curves import WINDOW
from benchmarks.lightning import EPOCH
from benchmarks.suite import TITLES

HEADINGS = {
    "lightning": "Through run.py: Lightning, progress bar, log and checkpoints on",
    "alone": "Through run.py and the plain loop, a process for each",
    "pipeline": "Input from memory, images/s (32×32, batch 64, in [−1, 1])",
    "folder": "Input from a folder of 32×32 JPEGs, images/s",
    "startup": "Start-up",
    "memory": "Peak memory that three steps of 64 images add, MB",
    "scale": "Time per DCGAN step, ms",
    "drift": "A long run of the MLP under Lightning with log, evaluation and grids, batch 16",
    "allocator": "trainer.keep_memory: one update of D, batch 16, a process for each",
    "curves": "bf16 beside fp32: losses of a small DCGAN on MNIST, from one seed",
    "ddp": "Two processes: images/s of run.py",
}


def write(found: dict[str, Any], folder: Path, name: str) -> None:
    """Write `name`.json, `name`.md and `name`.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    found = json.loads(text)  # so that keys are strings, as for a reader of the file
    (folder / f"{name}.md").write_text(markdown(found, name), encoding="utf-8")
    if found["cases"]:
        picture(found, folder / f"{name}.png")
    if "curves" in found:
        loss_curves(found["curves"], folder / f"{name}_curves.png")


def markdown(found: dict[str, Any], name: str) -> str:
    """Format the report as Markdown."""
    machine = found["machine"]
    lines = [
        f"# Throughput on {machine['device'] if name == 'cuda' else machine['processor']}",
        "",
        f"{machine['cores']} cores, {machine['threads']} threads, {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}. Where contenders stand beside each "
        "other, all ran in turn in every round: figures are medians, × is the speed-up over "
        "the plain PyTorch loop (`benchmarks/plain.py`), the median of the ratios within each "
        "round. Differences under 10 % mean nothing.",
    ]
    if found["cases"]:
        lines += ["", f"![speed-ups]({name}.png)"]
    for part, title in TITLES.items():
        chosen = [case for case in found["cases"].values() if case["part"] == part]
        if chosen:
            lines += ["", f"## {title}", "", *_case_table(chosen)]
    for part, title in HEADINGS.items():
        if part in found:
            date = found["dates"][part]
            lines += ["", f"## {title}", "", *_other(part, found[part]), "", f"Measured {date}."]
    if "curves" in found:
        lines += ["", f"![losses of bf16 and fp32]({name}_curves.png)"]
    return "\n".join(lines) + "\n"


def _case_table(chosen: list[dict[str, Any]]) -> list[str]:
    rows = []
    for case in chosen:
        for name, row in case["rows"].items():
            rows.append(
                [
                    f"{case['name']}, batch {case['batch_size']}",
                    name,
                    f"{row['ms']:,.2f}",
                    f"{row['images_per_second']:,.0f}",
                    f"{row['speedup']:.2f} ×",
                    f"{row['of_peak']:.0%}",
                    row["rounds"],
                ]
            )
    head = ["case", "contender", "ms", "images/s", "over plain", "of peak FLOP/s", "rounds"]
    table = _table(head, rows)
    dates = sorted({case["date"] for case in chosen})
    peaks = [v / 1e9 for case in chosen for k, v in case["peak"].items() if k == "fp32"]
    return [
        *table,
        "",
        f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}. The peak is that of a "
        "large matrix product or convolution, whichever is faster, right before each case: "
        f"{min(peaks):,.0f} to {max(peaks):,.0f} GFLOP/s in fp32.",
    ]


def _other(part: str, values: dict[str, Any]) -> list[str]:
    if part in ("lightning", "alone"):
        rows = [
            [card, name, f"{row['ms']:,.2f}", f"{row['speedup']:.2f} ×" if row["speedup"] else ""]
            for card, contenders in values.items()
            for name, row in contenders.items()
        ]
        table = _table(["card", "contender", "ms per step", "over plain"], rows)
        if part == "alone":
            return [
                *table,
                "",
                "Processes of both take turns. In one process, as above, contenders share the "
                "caches and the memory that the C library keeps, which changes the time of each.",
            ]
        return [
            *table,
            "",
            "run.py's step has its share of an epoch's end (checkpoint, picture grid, log, "
            f"diagnosis; the row gives it whole), as in an epoch of {EPOCH:,} images. Without "
            "updates, what is left is Lightning, its callbacks and the input.",
        ]
    if part == "scale":
        batches = values["batch"]
        rows = [
            [f"batch {b}", f"{1e3 * batches['plain'][b]:.1f}", f"{1e3 * batches['zoo'][b]:.1f}"]
            for b in batches["zoo"]
        ]
        rows += [
            [f"{size}×{size}, batch 16", "", f"{1e3 * s:.1f}"]
            for size, s in values["image_size"].items()
        ]
        return _table(["", "plain", "zoo"], rows)
    if part == "curves":
        means = {
            precision: {loss: statistics.mean(v[len(v) // 2 :]) for loss, v in curves.items()}
            for precision, curves in values.items()
        }
        head = [f"{loss}, mean of the second half" for loss in values["fp32"]]
        rows = [[k, *(f"{value:.3f}" for value in v.values())] for k, v in means.items()]
        return _table(["", *head], rows)
    if all(isinstance(v, dict) for v in values.values()):
        columns = list(next(iter(values.values())))
        return _table(
            ["", *columns], [[k, *(_number(v[c]) for c in columns)] for k, v in values.items()]
        )
    return _table(["", ""], [[k, _number(v)] for k, v in values.items()])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _table(head: list[str], rows: Iterable[list[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def picture(found: dict[str, Any], file: Path) -> None:
    """Plot speed-ups over the plain loop by part, shares of peak FLOP/s, and the scaling."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    chosen = [c for c in found["cases"].values() if c["part"] in ("step", "discriminator")]
    chosen = chosen or list(found["cases"].values())
    names = list(dict.fromkeys(name for case in chosen for name in case["rows"]))
    short = {"step": "D and G", "discriminator": "D"}
    labels = [f"{c['name']}, {short.get(c['part'], c['part'])}" for c in chosen]
    panels = 3 if "scale" in found else 2
    figure, axes = plt.subplots(panels, 1, figsize=(11, 3.6 * panels), layout="constrained")
    colors = dict(zip(names, plt.get_cmap("tab10").colors, strict=False))
    width = 0.85 / len(names)
    for i, name in enumerate(names):
        present = [(x, c["rows"][name]) for x, c in enumerate(chosen) if name in c["rows"]]
        places = [x + (i - (len(names) - 1) / 2) * width for x, _ in present]
        axes[0].bar(
            places, [r["speedup"] for _, r in present], width, label=name, color=colors[name]
        )
        shares = [100 * r["of_peak"] for _, r in present]
        axes[1].bar(places, shares, width, color=colors[name])
    axes[0].axhline(1, color="black", linewidth=0.8)
    axes[0].set_ylabel("speed-up over the plain loop")
    axes[0].legend(fontsize=8, ncols=4)
    axes[1].set_ylabel("% of measured peak FLOP/s")
    for ax in axes[:2]:
        ax.set_xticks(range(len(chosen)), labels, fontsize=8, rotation=30, ha="right")
    if panels == 3:
        for name, values in found["scale"]["batch"].items():
            xs = [int(b) for b in values]
            axes[2].plot(xs, [1e3 * s for s in values.values()], "o-", label=f"{name}, DCGAN 32×32")
        sizes = found["scale"]["image_size"]
        pixels = [1e3 * s for s in sizes.values()]
        axes[2].plot([int(s) for s in sizes], pixels, "s--", label="zoo, batch 16, by image size")
        axes[2].set(xscale="log", yscale="log", xlabel="batch or image size", ylabel="ms per step")
        axes[2].legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def loss_curves(curves: dict[str, dict[str, list[float]]], file: Path) -> None:
    """Plot the losses of D and of G, with a line for each precision."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    for axis, loss in zip(axes, curves["fp32"], strict=True):
        for precision, values in curves.items():
            steps = [WINDOW * (i + 1) for i in range(len(values[loss]))]
            axis.plot(steps, values[loss], label=precision)
        axis.set(xlabel="step", ylabel=loss)
        axis.legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)
