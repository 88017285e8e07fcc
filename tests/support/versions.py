"""Tests in a fresh environment with the lowest, or the newest, versions that pyproject.toml allows.

    python tests/support/versions.py lowest tests/test_house.py tests/registry tests/core
    python tests/support/versions.py newest            # all tests
    python tests/support/versions.py lowest tests/core -x --environment /tmp/lowest

It needs `uv` and the package index, and leaves the environment where it says, for the next time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("versions", choices=RESOLUTIONS)
    asked.add_argument("tests", nargs="*", help="nothing is all; further options go to pytest")
    asked.add_argument("--python", default="3.11", help="version of Python")
    asked.add_argument(
        "--index", help="of wheels of torch, as https://download.pytorch.org/whl/cpu"
    )
    asked.add_argument("--environment", type=Path, help="folder; made where it is not there yet")
    given, more = asked.parse_known_args()
    if shutil.which("uv") is None:
        asked.error("uv is not there: pip install uv")
    folder = given.environment or Path(tempfile.mkdtemp(prefix=f"zoo-{given.versions}-")) / "venv"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", given.python, str(folder)], check=True)
    install = ["uv", "pip", "install", "-q", "--python", str(python), "-e", ".[dev]"]
    install += ["--resolution", RESOLUTIONS[given.versions]]
    if given.index:
        install += ["--extra-index-url", given.index, "--index-strategy", "unsafe-best-match"]
    subprocess.run(install, cwd=ROOT, check=True)
    subprocess.run(["uv", "pip", "freeze", "--python", str(python)], check=True)
    print(f"environment: {folder}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", "pytest", "-q", *given.tests, *more]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
