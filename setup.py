"""The step of a build that pyproject.toml has no words for: configs/ goes into the package."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path(__file__).parent / "configs"


class BuildWithConfigs(build_py):
    """Copies configs/, which lies beside run.py in a clone, to `zoo/configs` of a wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a clone has them already
            target = Path(self.build_lib) / "zoo" / "configs"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(CONFIGS, target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithConfigs})
