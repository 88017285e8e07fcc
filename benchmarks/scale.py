"""Measure how time scales with the batch size, the image size and the number of processes."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.cards import CARDS, plain, zoo
from benchmarks.measure import child, interleaved

BATCHES = (1, 4, 16, 64, 256)
SIZES = (16, 32, 64, 128)


def over_batches(device: torch.device, budget: float) -> dict[str, dict[int, float]]:
    """Time a DCGAN-32 step of the plain loop and of the zoo for several batch sizes, in seconds."""
    made: dict[str, dict[int, float]] = {"plain": {}, "zoo": {}}
    for batch in BATCHES:
        steps = {n: f(CARDS["dcgan_32"], batch, device)["step"] for n, f in _BOTH.items()}
        for name, timing in interleaved(steps, device, 9, budget).items():
            made[name][batch] = timing.median
    return made


def over_sizes(device: torch.device, budget: float) -> dict[int, float]:
    """Time a DCGAN step of the zoo for several image sizes, at batch 16, in seconds."""
    made = {}
    for size in SIZES:
        step = zoo(replace(CARDS["dcgan_32"], image_size=size), 16, device)["step"]
        made[size] = interleaved({"zoo": step}, device, 9, budget)["zoo"].median
    return made


_BOTH: dict[str, Callable] = {"plain": plain, "zoo": zoo}


def processes(steps: int) -> dict[str, float]:
    """Measure the images/s of `run.py` with DCGAN and batches of 64 per process.

    There is one process with one thread, one with all threads, and two under DDP with one thread
    each.
    """
    rates = {}
    cores = os.cpu_count() or 1
    ways = (("1 process, 1 thread", 1, "cpu"), ("1 process, all threads", cores, "cpu"))
    for name, threads, trainer in (*ways, ("2 processes, 1 thread each", 1, "ddp")):
        with tempfile.TemporaryDirectory() as folder:
            options = [
                f"trainer={trainer}",
                f"trainer.max_steps={steps}",
                "trainer.max_epochs=-1",
                f"datamodule.batch_size={128 if trainer == 'ddp' else 64}",
                "callbacks.samples=null",
                f"hydra.run.dir={folder}",
            ]
            command = [sys.executable, "run.py", *options]
            output = child(command, OMP_NUM_THREADS=str(threads))[2]
        found = re.findall(r"^images_per_second\s+([\d.]+)", output, re.MULTILINE)
        rates[name] = float(found[-1])
    one, _, two = rates.values()
    return rates | {"efficiency": two / (2 * one)}
