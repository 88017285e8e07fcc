"""Measure start-up times: CPU seconds of the help, and seconds until the first training step."""

from __future__ import annotations

import statistics
import sys
import tempfile

from benchmarks.measure import child

IMPORTS = "import torch, torchvision, hydra, pytorch_lightning"


def help_cpu() -> float:
    """Return the CPU seconds of `python run.py --help`."""
    return child([sys.executable, "run.py", "--help"])[0]


def first_step() -> float:
    """Return the seconds of a default run of one step, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["trainer.max_steps=1", "callbacks.samples=null", f"hydra.run.dir={folder}"]
        return child([sys.executable, "run.py", *options])[1]


def imports() -> float:
    """Return the seconds that importing the libraries alone takes."""
    return child([sys.executable, "-c", IMPORTS])[1]


def measure(rounds: int) -> dict[str, float]:
    """Return median times; runs and imports alone are measured in turn."""
    pairs = [(first_step(), imports()) for _ in range(rounds)]
    return {
        "--help, CPU seconds": statistics.median(help_cpu() for _ in range(2 * rounds - 1)),
        "one step of the default, seconds": statistics.median(step for step, _ in pairs),
        "its imports alone, seconds": statistics.median(alone for _, alone in pairs),
        "the step beyond its imports, seconds": statistics.median(s - a for s, a in pairs),
    }
