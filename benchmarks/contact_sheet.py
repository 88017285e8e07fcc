"""What each family of networks has learned after a few minutes: one row of pictures each.

`python -m benchmarks.contact_sheet` trains the small recipe of every family through `run.py` on so
many images as two cores take in a few minutes, draws from each last checkpoint, and writes
`results/contact_sheet.png`, `.json` and `.md`. Runs are kept in `--runs`, so that `--family NAME`
trains one of them anew and `--family` without a name only draws again. Data sets come from
`ZOO_DATA_DIR` (default: `data`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

import zoo
from benchmarks.measure import ROOT, child, machine, machines_in_words
from zoo.inference.images import to_pil, to_uint8

FAMILIES: dict[str, tuple[int, list[str]]] = {
    "DCGAN": (60_000, ["experiment=train_fashion_mnist_gan", "logger=csv"]),
    "SNGAN": (40_000, ["experiment=sngan_fashion_mnist"]),
    "SAGAN": (40_000, ["experiment=sagan_fashion_mnist"]),
    "BigGAN": (40_000, ["experiment=biggan_fashion_mnist"]),
    "BigGAN-deep": (40_000, ["experiment=biggan_deep_fashion_mnist"]),
    "U-Net D": (30_000, ["experiment=unet_fashion_mnist"]),
    "PatchGAN": (60_000, ["experiment=patchgan_fashion_mnist"]),
    "StyleGAN2": (40_000, ["experiment=stylegan2_fashion_mnist"]),
    "StyleGAN3-T": (10_000, ["experiment=stylegan3_fashion_mnist"]),
    "R3GAN": (20_000, ["experiment=r3gan_fashion_mnist"]),
    "GAT": (20_000, ["experiment=gat_fashion_mnist"]),
    "Projected D": (20_000, ["experiment=projected_fashion_mnist"]),
    "FastGAN": (20_000, ["experiment=fastgan_fashion_mnist"]),
    "InfoGAN": (
        60_000,
        [
            "experiment=infogan_mnist", "model/generator=infogan_small",
            "model/discriminator=infogan_small",
        ],
    ),
    "PacGAN": (
        60_000,
        [
            "experiment=pacgan_stacked_mnist", "model.generator.base_channels=16",
            "model.discriminator.base_channels=16",
        ],
    ),
}  # fmt: skip
"""Images and settings of a run by the name of its row."""
COLUMNS = 20
CELL = 64
"""Pixels of a picture in the sheet."""
LONGEST = 6 * 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contact_sheet", description=__doc__)
    parser.add_argument("--family", nargs="*", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--share", type=float, default=1.0, help="of the images of each family")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--loaded", action="store_true", help="others compute too: no seconds")
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "contact_sheet")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    for name in options.family:
        row = train(name, options.runs / folder(name), options.share, options.threads)
        if options.loaded:
            row["seconds"] = None
        print(row, flush=True)
        (options.runs / folder(name) / "row.json").write_text(json.dumps(row), encoding="utf-8")
    rows = found(options.runs)
    file = options.out / "contact_sheet.png"
    sheet([(row["family"], options.runs / folder(row["family"])) for row in rows]).save(
        file, optimize=True
    )
    file.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(report(rows), encoding="utf-8")


def folder(name: str) -> str:
    return name.lower().replace(" ", "_")


def train(name: str, run: Path, share: float, threads: int) -> dict[str, Any]:
    """Train one family on a share of its images; what was done, as figures."""
    if run.exists():
        shutil.rmtree(run)
    images, settings = FAMILIES[name]
    ends = ["trainer.max_epochs=-1", "trainer.max_steps=-1"]
    settings = [*settings, *ends, f"trainer.max_images={round(share * images)}"]
    command = [sys.executable, "run.py", *settings, f"hydra.run.dir={run}"]
    processor, seconds, _ = child(command, LONGEST, OMP_NUM_THREADS=str(threads))
    return {
        "family": name,
        "command": " ".join(["python run.py", *settings]),
        "images": zoo.load(run).images_seen,
        "seconds": round(seconds),
        "processor_seconds": round(processor),
        "machine": machine(torch.device("cpu")) | {"threads": threads},
    }


def found(runs: Path) -> list[dict[str, Any]]:
    """The rows of all families that have been trained, in the order of the sheet."""
    files = [runs / folder(name) / "row.json" for name in FAMILIES]
    return [json.loads(f.read_text(encoding="utf-8")) for f in files if f.exists()]


def sheet(runs: list[tuple[str, Path]]) -> Image.Image:
    """One row of pictures for each run, drawn by seed 0; with classes, a column for each."""
    font = ImageFont.load_default(size=14)
    left = 8 + max(int(font.getlength(name)) for name, _ in runs) + 8
    step = CELL + 2
    canvas = Image.new("RGB", (left + COLUMNS * step, len(runs) * step), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (name, run) in enumerate(runs):
        draw.text((left - 8, i * step + CELL // 2), name, fill="black", font=font, anchor="rm")
        for j, picture in enumerate(pictures(run)):
            canvas.paste(picture, (left + j * step, i * step))
    return canvas


def pictures(run: Path) -> list[Image.Image]:
    """`COLUMNS` pictures of a run's last checkpoint, as large as a cell allows."""
    model = zoo.load(run)
    z, _ = model.draw(COLUMNS, seed=0)
    y = torch.arange(COLUMNS) % model.num_classes if model.num_classes else None
    images = to_uint8(model.generate(z, y))
    scale = max(1, CELL // max(images.shape[2:]))
    size = (images.shape[3] * scale, images.shape[2] * scale)
    return [to_pil(i).convert("RGB").resize(size, Image.Resampling.NEAREST) for i in images]


def report(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "# Each family on real data",
        "",
        "What the small recipe of each family draws after a few minutes on a processor: twenty",
        "latents of seed 0 from the weights that `task=sample` takes; with labels, two of each",
        "class. Seconds are those of the whole run, start and pictures included; processor seconds",
        "add up over the cores.",
        "",
        "![one row of pictures for each family](contact_sheet.png)",
        "",
        "| family | command | images seen | seconds | processor seconds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["family"], f"`{row['command']}`", f"{row['images']:,}"]
        cells += ["" if row["seconds"] is None else str(row["seconds"])]
        lines.append(f"| {' | '.join([*cells, str(row['processor_seconds'])])} |")
    lines += ["", f"Machine: {machines_in_words(rows)}."]
    if any(row["seconds"] is None for row in rows):
        lines.append("Seconds are left out where others computed beside it.")
    lines += ["", "Made by `python -m benchmarks.contact_sheet` (`--help`)."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
