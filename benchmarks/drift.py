"""Measure whether a step takes longer or more memory towards the end of a long run of the MLP.

`python -m benchmarks.drift` trains narrow networks for 50,000 steps on the embedded digits, with
log, evaluation, image grids and checkpoints as often as in `run.py callbacks=evaluate`, and writes
the measurements of each tenth of the run to `results/long_run.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.measure import ROOT, child, machine, machines_in_words, resident
from zoo.cli.store import store_parts
from zoo.training.build import build_data, build_gan, describe_data
from zoo.training.trainer import add_loggers, make_callbacks, make_loggers, make_trainer

SETTINGS = (
    "model/generator=mlp", "model/discriminator=mlp", "model.generator.width=32",
    "model.discriminator.width=128", "callbacks=evaluate", "datamodule.batch_size=16",
    "trainer.max_epochs=-1",
)  # fmt: skip
PARTS = 10
LONGEST = 6 * 3600.0


class Tenths(pl.Callback):
    """Record the step time, memory and files of each tenth of a run.

    Args:
        steps: the number of steps in the whole run.
        folder: the folder of the run.

    Attributes:
        rows: the measurements of each tenth. Milliseconds are medians over single steps, so that
            neither the work between steps (evaluations, grids, checkpoints) nor short bursts of
            other programs count.
    """

    def __init__(self, steps: int, folder: Path) -> None:
        self.size = max(1, steps // PARTS)
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        self._spent = array("d")
        self._start = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        on_cuda = trainer.strategy.root_device.type == "cuda"
        if on_cuda:
            torch.cuda.synchronize()
        self._spent.append(time.perf_counter() - self._start)
        if len(self._spent) < self.size:
            return
        files = [p for p in self.folder.rglob("*") if p.is_file()]
        logs = [p.read_bytes() for p in files if p.name == "metrics.csv"]
        self.rows.append(
            {
                "step": float(trainer.global_step),
                "ms": 1e3 * statistics.median(self._spent),
                "MB": resident("VmRSS") / 1e6,
                "GPU MB": torch.cuda.memory_allocated() / 1e6 if on_cuda else 0.0,
                "threads": float(len(os.listdir("/proc/self/task"))),
                "open files": float(len(os.listdir("/proc/self/fd"))),
                "evaluations": float(sum(p.parent.name == "evaluations" for p in files)),
                "grids": float(sum(p.parent.name == "samples" for p in files)),
                "log rows": float(sum(log.count(b"\n") - 1 for log in logs)),
                "log KB": sum(map(len, logs)) / 1e3,
                "files": float(len(files)),
                "folder MB": sum(p.stat().st_size for p in files) / 1e6,
            }
        )
        del self._spent[:]


def train(steps: int) -> list[dict[str, float]]:
    """Train in this process and return the measurements of each tenth of the run."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    store_parts()
    overrides = [*SETTINGS, f"trainer.max_steps={steps}"]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("config", overrides), resolve=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pl.seed_everything(0, verbose=False)
        data = build_data(config["datamodule"], str(config["data_dir"]), 0)
        gan = build_gan(config["model"], data)
        gan.data = describe_data(data, {})
        data.images_per_step = gan.d_steps * data.batch_size
        tenths = Tenths(steps, folder)
        callbacks = [tenths, *make_callbacks(config["callbacks"], folder)]
        trainer = make_trainer(config["trainer"], callbacks, folder, data)
        add_loggers(trainer, make_loggers(config["logger"], folder, config))
        trainer.fit(gan, datamodule=data)
    return tenths.rows


def measure(steps: int) -> dict[str, float]:
    """Run it in a new process and return the second tenth, after warming up, and the last one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.drift", "--steps", str(steps)]
        child([*command, "--out", folder], LONGEST)
        rows = json.loads(Path(folder, "long_run.json").read_text(encoding="utf-8"))["tenths"]
    kinds = ("ms", "MB", "GPU MB") if rows[-1]["GPU MB"] else ("ms", "MB")
    return {"steps": float(steps)} | {
        f"{kind}, {name}": row[kind]
        for kind in kinds
        for name, row in (("second tenth", rows[1]), ("last tenth", rows[-1]))
    }


def report(found: dict[str, Any]) -> str:
    """Format the measurements as Markdown."""
    rows = found["tenths"]
    kinds = [kind for kind in rows[0] if any(row[kind] for row in rows)]
    second, last = rows[min(1, len(rows) - 1)], rows[-1]
    lines = [
        "# A long run",
        "",
        f"{found['steps']:,} steps of a narrow MLP on batches of 16 digits through Lightning, with "
        "an evaluation (FID of 5,000 images), a picture grid and a checkpoint after each epoch, "
        "and a row of the log every 50 steps: the median step of each tenth, and what was there at "
        "its end.",
        "",
        f"| {' | '.join(kinds)} |",
        f"|{'---|' * len(kinds)}",
        *(f"| {' | '.join(_number(row[kind]) for kind in kinds)} |" for row in rows),
        "",
        f"From the second tenth to the last: a step takes {last['ms'] / second['ms']:.2f} times as "
        f"long, and the process holds {last['MB'] - second['MB']:+,.1f} MB.",
        "",
        f"Machine: {machines_in_words([found])}, pytorch-lightning {found['lightning']}."
        + (" Others computed beside it, more at its end: steps show that." * found["loaded"]),
        "",
        f"Settings: `{' '.join(SETTINGS)} trainer.max_steps={found['steps']}`.",
        "",
        f"Made by `{found['command']}`.",
    ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--loaded", action="store_true", help="report that the machine was busy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    rows = train(options.steps)
    found = {
        "command": f"python -m benchmarks.drift --steps {options.steps}"
        + " --loaded" * options.loaded,
        "steps": options.steps,
        "loaded": options.loaded,
        "machine": machine(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "lightning": pl.__version__,
        "tenths": rows,
    }
    text = json.dumps(found, indent=1) + "\n"
    (options.out / "long_run.json").write_text(text, encoding="utf-8")
    (options.out / "long_run.md").write_text(report(found), encoding="utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
