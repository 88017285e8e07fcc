"""A pip package as a plugin: built, installed into a folder, and found by its entry point."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from helpers import PLAIN
from helpers_packages import pip_install

from zoo.registry.places import ROOT


def wheel(folder: Path, module: str, text: str) -> Path:
    """A small pip package with the entry point, as a build would make it."""
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": "",
        f"{module}/losses.py": text,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: zoo-extra\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[zoo.plugins]\nextra = {module}\n",
    }
    record = "".join(
        f"{name},sha256={digest(content)},{len(content.encode())}\n"
        for name, content in files.items()
    )
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name, content)
    return path


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_an_installed_package_is_a_plugin(tmp_path):
    pip_install(wheel(tmp_path, "zoo_extra", PLAIN.replace("NAME", "extra")), tmp_path / "site")
    code = (
        "import sys, zoo; from zoo.registry import REGISTRY; part = REGISTRY.get('loss', 'extra');"
        "print(part.source, part.target, 'zoo_extra.losses' in sys.modules, sep='|');"
        "print(zoo.create('loss', 'extra', scale=5).scale)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "package zoo-extra|zoo_extra.losses.Plain|False",
        "5.0",
    ], done.stderr
