"""Start-up: the help in CPU seconds, the first training step in seconds."""

from __future__ import annotations

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
