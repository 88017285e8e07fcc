"""What a step of the large networks takes: `pytest --memory`, some minutes and gigabytes.

Peaks of the whole process, weights, averages and optimizers included.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "one_step.py"
LIMIT = 16e9
CASES = {
    "stylegan2_cifar10": (256, 4, "model.conditional=false"),
    "stylegan3_ffhq256": (256, 4),
    "fastgan_few_shot": (256, 4),
    "projected_fastgan": (256, 4),
    "r3gan_cifar10": (32, 16),
}
"""By recipe: size and number of the images of a step, and changed settings."""


@pytest.mark.memory
@pytest.mark.parametrize("recipe", CASES)
def test_a_step_of_a_large_network_fits_into_16_gb(recipe):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), recipe, *map(str, CASES[recipe])],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1])
    print(f"{recipe}: {peak / 1e9:.2f} GB")
    assert peak < LIMIT
