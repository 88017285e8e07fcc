"""Building and installing wheels for tests without a network, with any available installer."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from zoo.registry.places import ROOT

SOURCES = ("zoo", "configs", "README.md", "LICENSE", "pyproject.toml")


def build_wheel(folder: Path) -> Path:
    """Build the zoo's wheel with hatchling, as pip would, from a copy of the sources."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, sources)
    code = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=sources, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip_install(package: Path, target: Path) -> None:
    """Install a wheel with pip, with the pip bundled with Python, or with uv, if one is missing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    environment = dict(os.environ)
    if importlib.util.find_spec("pip") is None:
        ensurepip = importlib.util.find_spec("ensurepip")
        bundled = ensurepip and sorted(Path(ensurepip.origin).parent.glob("_bundled/pip-*.whl"))
        if bundled:
            environment["PYTHONPATH"] = str(bundled[-1])
        else:
            command = ["uv", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*command, "--target", target, package], check=True, env=environment)
