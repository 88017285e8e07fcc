"""Compare what each family of networks reaches after the same training time.

`python -m benchmarks.families` trains the small recipe of every family through `run.py` for the
same time: seconds of the processor, added up over its threads, or of the clock on a GPU. It
evaluates the last checkpoints of the comparable families (32x32 with labels), and with `--curve`
also earlier checkpoints. It draws one row of images for each family, and writes
`results/families.json`, `.md` and `.png` (on a GPU `families_cuda.*`) after each training.

With `--data`, the same recipes train on other images than Fashion-MNIST, and the files are called
`families_DATA.*`. Earlier rows, one for each family, seed and time, and earlier runs in `--runs`
are kept, so that `--families` without a name only draws the report again. Data sets are read from
`ZOO_DATA_DIR` (default: `data`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

import zoo
from benchmarks import quality
from benchmarks import rows as table
from benchmarks.measure import ROOT, machine, machines_in_words
from benchmarks.scored import scored, trained
from zoo.core.tables import markdown
from zoo.inference.images import to_pil, to_uint8

FAMILIES = {
    "DCGAN": ["experiment=train_fashion_mnist_gan", "logger=csv"],
    "SNGAN ResNet": ["experiment=sngan_fashion_mnist"],
    "SAGAN": ["experiment=sagan_fashion_mnist"],
    "BigGAN": ["experiment=biggan_fashion_mnist"],
    "BigGAN-deep": ["experiment=biggan_deep_fashion_mnist"],
    "U-Net D": ["experiment=unet_fashion_mnist"],
    "StyleGAN2": ["experiment=stylegan2_fashion_mnist"],
    "R3GAN": ["experiment=r3gan_fashion_mnist"],
    "GAT": ["experiment=gat_fashion_mnist", "datamodule.image_size=32"],
    "projected D": ["experiment=projected_fashion_mnist"],
}
"""The settings of each comparable family, by the name of its row: Fashion-MNIST with labels."""
PICTURES = {
    "PatchGAN": ["experiment=patchgan_fashion_mnist"],
    "FastGAN": ["experiment=fastgan_fashion_mnist"],
    "StyleGAN3-T": ["experiment=stylegan3_fashion_mnist"],
    "InfoGAN": [
        "experiment=infogan_mnist", "model/generator=infogan_small",
        "model/discriminator=infogan_small",
    ],
    "PacGAN": [
        "experiment=pacgan_stacked_mnist", "model.generator.base_channels=16",
        "model.discriminator.base_channels=16",
    ],
}  # fmt: skip
"""The families that train on other images or without labels: the report shows only their images."""
EVERY = {**FAMILIES, **PICTURES}


@dataclass(frozen=True)
class Images:
    """The images on which families are compared.

    Attributes:
        words: a description for the headings of the report.
        settings: settings of a training, in addition to those of its recipe.
        scoring: settings of `task=evaluate`.
        families: the families that can train on the images.
    """

    words: str
    settings: tuple[str, ...] = ()
    scoring: tuple[str, ...] = ()
    families: tuple[str, ...] = tuple(FAMILIES)


DATA = {
    "fashion_mnist": Images("Fashion-MNIST at 32x32, with labels", families=tuple(EVERY)),
    "cifar10": Images("CIFAR-10, with labels", ("datamodule=cifar10", "datamodule.flip=true")),
    "cifar10_jpeg": Images(
        "CIFAR-10's images as JPEG, with labels",
        (
            "datamodule=image_folder", "datamodule.folder=cifar10_jpeg",
            "datamodule.image_size=32", "datamodule.flip=true",
        ),
        ("features=cifar10",),
    ),
}  # fmt: skip
"""The choices of `--data`; `cifar10_jpeg` is a folder of that name, in train/CLASS, test/CLASS."""
ENDS = ["trainer.max_epochs=-1", "trainer.max_steps=-1", "trainer.max_images=null"]
RARELY = 1_000_000
QUIET = [
    f"callbacks.samples.every_n_epochs={RARELY}",
    f"callbacks.checkpoints.every_n_epochs={RARELY}",
    "callbacks.checkpoints.every_n_images=null",
]
"""Settings that write grids and checkpoints only at the end, so that they take no training time."""
FIGURES = {"fid": "FID ↓", "conditional_accuracy": "conditional accuracy ↑"}
LONGEST = 6 * 3600.0
"""The most seconds that a training or its evaluation may take."""
CALLBACKS = Path(__file__).parent / "callbacks"
COLUMNS = 20
CELL = 64
"""The size in pixels of an image in the sheet."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=600, help="seconds of processor or GPU time for each run"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--families", nargs="*", choices=list(EVERY))
    parser.add_argument("--data", choices=list(DATA), default="fashion_mnist")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--curve", action="store_true", help="also measure the time to an FID")
    parser.add_argument("--loaded", action="store_true", help="report that the machine was busy")
    parser.add_argument("--runs", type=Path, default=ROOT / "outputs" / "families")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = DATA[options.data]
    chosen = list(images.families) if options.families is None else options.families
    for family in chosen:
        if family not in images.families:
            parser.error(f"{family} does not train on {options.data}: choose of {images.families}")
    file = options.out / f"{stem(options.data, device)}.json"
    failed = False
    for seed in options.seeds:
        for family in chosen:
            try:
                row = measured(family, seed, device, options)
            except subprocess.CalledProcessError as error:
                failed = True
                print(f"{family}, seed {seed}: {error.stderr.strip()}", file=sys.stderr)
                continue
            print(row, flush=True)
            rows = table.added(table.read(file), row, key)
            write(rows, options.runs, file, device, options.data)
    rows = table.read(file)
    if not rows:
        parser.error(f"there are no rows in {file} to draw again: name families")
    write(rows, options.runs, file, device, options.data)
    sys.exit(int(failed))


def measured(
    family: str, seed: int, device: torch.device, options: argparse.Namespace
) -> table.Row:
    """Train and evaluate one family with one seed, and return its row.

    Raises:
        subprocess.CalledProcessError: the training or its evaluation failed.
    """
    data = DATA[options.data]
    run = folder(options.runs, options.data, family, seed, options.seconds)
    kept = quality.CHECKPOINTS if options.curve and family in FAMILIES else []
    settings = [
        *EVERY[family],
        *data.settings,
        *ENDS,
        *QUIET,
        *end_after(options.seconds, device),
        *kept,
    ]
    settings.append(f"seed={seed}")
    plugins = {"ZOO_PLUGINS": str(CALLBACKS)}
    images = trained(settings, options.threads, LONGEST, run, **plugins)["images"]
    on = machine(device) | {"threads": options.threads}
    return {
        "family": family,
        "images": images,
        **score(family, run, data, options.threads, options.curve),
        "seed": seed,
        "seconds": options.seconds,
        "loaded": options.loaded,
        "machine": on,
        "scored_on": name_of(on),
    }


def write(rows: list[table.Row], runs: Path, file: Path, device: torch.device, data: str) -> None:
    """Write the rows, their report, and the sheet of images of those whose runs exist."""
    picture = file.with_suffix(".png")
    table.write(file, rows, report(rows, device, picture.name, data))
    drawn = [(f"{r['family']}", folder(runs, data, r["family"], r["seed"], r["seconds"]))
             for r in longest(rows)]  # fmt: skip
    drawn = [(family, run) for family, run in drawn if run.exists()]
    if drawn:
        sheet(drawn).save(picture, optimize=True)


def stem(data: str, device: torch.device) -> str:
    """Return the file name of the results without its ending."""
    parts = ["families"] if data == "fashion_mnist" else ["families", data]
    return "_".join(parts if device.type == "cpu" else [*parts, device.type])


def folder(runs: Path, data: str, family: str, seed: int, seconds: int) -> Path:
    """Return the folder of one run."""
    before = "" if data == "fashion_mnist" else f"{data}-"
    return runs / f"{before}{family.lower().replace(' ', '_')}-{seconds}s-seed{seed}"


def name_of(machine: dict[str, Any]) -> str:
    """Return the name of the GPU or, without one, of the processor."""
    return str(machine["processor"] if machine["device"] == "cpu" else machine["device"])


def end_after(seconds: int, device: torch.device) -> list[str]:
    """Return settings that end a training after seconds of processor time, or of time on a GPU."""
    if device.type == "cpu":
        return ["+callback=processor_time", f"callbacks.processor_time.seconds={seconds}"]
    minutes, rest = divmod(seconds, 60)
    return [f"+trainer.max_time=00:{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"]


def score(family: str, run: Path, data: Images, threads: int, curve: bool) -> table.Row:
    """Evaluate a run, with a curve if `curve`; families that are not comparable have no metrics."""
    metrics = list(FIGURES) if family in FAMILIES else []
    found = scored(run, metrics, threads, LONGEST, data.scoring)
    if curve and metrics:
        found |= quality.curve(run, threads, LONGEST, data.scoring)
    return found | {"figures": {name: found["figures"].get(name) for name in metrics}}


def key(row: table.Row) -> tuple[Any, ...]:
    """Return the key that identifies a row and orders rows: by time, family and seed."""
    return row["seconds"], list(EVERY).index(row["family"]), row["seed"]


def longest(rows: list[table.Row]) -> list[table.Row]:
    """Return the row of each family that is drawn: the one of the longest time and lowest seed."""
    best: dict[str, table.Row] = {}
    for row in rows:
        held = best.get(row["family"])
        if held is None or (-row["seconds"], row["seed"]) < (-held["seconds"], held["seed"]):
            best[row["family"]] = row
    return [best[family] for family in EVERY if family in best]


def report(
    rows: list[table.Row], device: torch.device, picture: str, data: str = "fashion_mnist"
) -> str:
    """Format the rows as Markdown: a table for each time, with the families sorted by FID."""
    images = DATA[data]
    on_cpu = device.type == "cpu"
    unit = "processor seconds" if on_cpu else "seconds on one GPU"
    added_up = ", added up over its threads" if on_cpu else ""
    lines = [
        "# Families of networks at equal time",
        "",
        f"The small recipe of each family, trained for the same {unit}{added_up}.",
        "Figures and pictures are of the weights that `task=sample` takes, the figures as mean and",
        "deviation over the seeds.",
    ]
    compared = [r for r in rows if r["family"] in FAMILIES]
    for seconds in sorted({r["seconds"] for r in compared}):
        lines += ["", f"## {seconds:,} {unit} of {images.words}", ""]
        groups = {f: [r for r in compared if (r["family"], r["seconds"]) == (f, seconds)]
                  for f in FAMILIES}  # fmt: skip
        nearest = sorted(filter(groups.get, groups), key=lambda f: table.mean(groups[f], "fid"))
        shown = [
            [f, table.seeds(groups[f]), table.images(groups[f]),
             *(table.spread(groups[f], name) for name in FIGURES)]
            for f in nearest
        ]  # fmt: skip
        lines.append(markdown(["family", "seeds", "images seen", *FIGURES.values()], shown))
    lines += quality.report(compared, unit)
    lines += [
        "",
        "## Pictures",
        "",
        "Twenty latents of seed 0; with labels, two of each class.",
        "",
        f"![one row of pictures for each family]({picture})",
        "",
    ]
    drawn = [f"{r['family']} ({r['images']:,} images, {r['seconds']} s)" for r in longest(rows)]
    lines += [f"From the top: {', '.join(drawn)}."]
    missing = [family for family in images.families if family not in {r["family"] for r in rows}]
    if missing:
        lines += ["", f"Not trained yet: {', '.join(missing)}."]
    plugin = " (of `ZOO_PLUGINS=benchmarks/callbacks`)" if on_cpu else ""
    end = f"`{end_after(rows[0]['seconds'], device)[0]}`{plugin}"
    always = " ".join([*ENDS, *QUIET])
    lines += ["", f"Settings of the rows, each with `{always}`, an end as {end}, and `seed`:", ""]
    lines += [
        f"- {f}: `{' '.join(['python run.py', *EVERY[f], *images.settings])}`"
        for f in images.families
    ]
    lines += ["", f"Machine: {machines_in_words(rows)}."]
    elsewhere = dict.fromkeys(
        r["scored_on"] for r in compared if r["scored_on"] != name_of(r["machine"])
    )
    if elsewhere:
        lines.append(f"Scored on another: {', '.join(elsewhere)}.")
    if any(r["loaded"] for r in rows):
        lines.append(
            "Others computed beside it: a second held less work than on an idle processor."
        )
    protocols = dict.fromkeys(r["protocol"] for r in compared)
    lines += ["", *(f"{p}\n" for p in protocols)]
    which = "" if data == "fashion_mnist" else f" --data {data}"
    lines.append(f"Made by `python -m benchmarks.families{which}` (`--help`).")
    return "\n".join(lines) + "\n"


def sheet(runs: list[tuple[str, Path]]) -> Image.Image:
    """Draw one row of images for each run from seed 0; with classes, two columns for each."""
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
    """Generate `COLUMNS` images with a run's last checkpoint, as large as a cell allows."""
    model = zoo.load(run)
    z, _ = model.draw(COLUMNS, seed=0)
    y = torch.arange(COLUMNS) % model.num_classes if model.num_classes else None
    images = to_uint8(model.generate(z, y))
    scale = max(1, CELL // max(images.shape[2:]))
    size = (images.shape[3] * scale, images.shape[2] * scale)
    return [to_pil(i).convert("RGB").resize(size, Image.Resampling.NEAREST) for i in images]


if __name__ == "__main__":
    main()
