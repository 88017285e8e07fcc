"""Threads that wait for others give up their core soon, unless the user chose otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zoo.cli.waiting import CHOSEN, SPINS

PROGRAM = """
import os, sys
from zoo.cli.main import main
assert "torch" not in sys.modules, "OpenMP has read the environment by then"
sys.argv = ["run.py", "--version"]
main()
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("chosen", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_command_line_sets_it_before_torch_is_imported(chosen, spins):
    environment = {k: v for k, v in os.environ.items() if k not in CHOSEN} | chosen
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == spins
