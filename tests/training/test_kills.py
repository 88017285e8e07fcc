"""A few of the kills; `tests/fuzz/kills.py` makes a hundred of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers_fuzz import FOLDER

from zoo.registry.places import ROOT


@pytest.mark.parametrize("recipe", ["mlp", "lazy penalties"])
def test_killed_trainings_end_as_if_never_stopped(recipe):
    """In a process without threads, from which others can be forked."""
    command = [sys.executable, str(FOLDER / "kills.py"), "--kills", "3", "--recipe", recipe]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| differences | 0 |" in done.stdout
