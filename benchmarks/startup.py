"""Start-up: the help in CPU seconds, the first training step in seconds."""

from __future__ import annotations

import statistics
import sys
import tempfile

from benchmarks.measure import child

IMPORTS = "import torch, torchvision, hydra, pytorch_lightning"


def help_cpu() -> float:
    """CPU seconds of `python run.py --help`."""
    return child([sys.executable, "run.py", "--help"])[0]


def first_step() -> float:
    """Seconds of a run of one step of the default, until it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["trainer.max_steps=1", "callbacks.samples=null", f"hydra.run.dir={folder}"]
        return child([sys.executable, "run.py", *options])[1]


def imports() -> float:
    """Seconds that the libraries alone take to be imported."""
    return child([sys.executable, "-c", IMPORTS])[1]


def measure(rounds: int) -> dict[str, float]:
    """Medians; a run and the imports alone take turns."""
    pairs = [(first_step(), imports()) for _ in range(rounds)]
    return {
        "--help, CPU seconds": statistics.median(help_cpu() for _ in range(2 * rounds - 1)),
        "one step of the default, seconds": statistics.median(step for step, _ in pairs),
        "its imports alone, seconds": statistics.median(alone for _, alone in pairs),
        "the step beyond its imports, seconds": statistics.median(s - a for s, a in pairs),
    }
