"""Run tests in a new environment with the lowest or newest versions that pyproject.toml allows.

    python tests/support/versions.py lowest tests/test_house.py tests/registry tests/core
    python tests/support/versions.py newest            # all tests
    python tests/support/versions.py lowest tests/core -x --environment /tmp/lowest

This needs `uv` and the package index. The path of the environment is printed; it can be reused.
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", choices=RESOLUTIONS)
    parser.add_argument(
        "tests", nargs="*", help="the tests; by default all. Further options are passed to pytest"
    )
    parser.add_argument("--python", default="3.11", help="the version of Python")
    parser.add_argument(
        "--index", help="an index of torch wheels, e.g. https://download.pytorch.org/whl/cpu"
    )
    parser.add_argument("--environment", type=Path, help="a folder; created if it does not exist")
    options, more = parser.parse_known_args()
    if shutil.which("uv") is None:
        parser.error("uv is not installed: pip install uv")
    temporary = f"zoo-{options.versions}-"
    folder = options.environment or Path(tempfile.mkdtemp(prefix=temporary)) / "venv"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", options.python, str(folder)], check=True)
    install = ["uv", "pip", "install", "-q", "--python", str(python), "-e", ".[dev]"]
    install += ["--resolution", RESOLUTIONS[options.versions]]
    if options.index:
        install += ["--extra-index-url", options.index, "--index-strategy", "unsafe-best-match"]
    subprocess.run(install, cwd=ROOT, check=True)
    subprocess.run(["uv", "pip", "freeze", "--python", str(python)], check=True)
    print(f"environment: {folder}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", "pytest", "-q", *options.tests, *more]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
