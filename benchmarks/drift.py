"""A long run of the MLP under Lightning: does a step take longer, or more memory, at its end?

`python -m benchmarks.drift 20000` prints both by tenths of the run, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.cards import CARDS
from benchmarks.lightning import EPOCH, Noise, make_run
from benchmarks.measure import child, resident

BATCH = 16
PARTS = 10


class Tenths(pl.Callback):
    """Milliseconds per step and memory of each tenth of a run."""

    def __init__(self, steps: int) -> None:
        self.size = steps // PARTS
        self.milliseconds: list[float] = []
        self.megabytes: list[float] = []
        self.count = 0
        self.start = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.count += 1
        if self.count % self.size:
            return
        device = trainer.strategy.root_device
        on_cuda = device.type == "cuda"
        if on_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.milliseconds.append(1e3 * (now - self.start) / self.size)
        self.megabytes.append(
            (torch.cuda.memory_allocated(device) if on_cuda else resident("VmRSS")) / 1e6
        )
        self.start = now


def main(steps: str) -> None:
    tenths = Tenths(int(steps))
    card = CARDS["mlp_28"]
    data = Noise(card, BATCH, EPOCH)
    with tempfile.TemporaryDirectory() as folder:
        trainer, gan = make_run(card, data, int(steps), Path(folder), [tenths])
        trainer.fit(gan, datamodule=data)
    print(json.dumps([tenths.milliseconds, tenths.megabytes]))


def measure(steps: int) -> dict[str, float]:
    """What `main` prints in a fresh process: the second tenth, when all is warm, and the last."""
    command = [sys.executable, "-m", "benchmarks.drift", str(steps)]
    milliseconds, megabytes = json.loads(child(command, 3600.0)[2].splitlines()[-1])
    return {
        "steps": float(steps),
        "ms, second tenth": milliseconds[1],
        "ms, last tenth": milliseconds[-1],
        "MB, second tenth": megabytes[1],
        "MB, last tenth": megabytes[-1],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
