"""What pyproject.toml has no words for: configs/ goes into the package, README onto its page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
CONFIGS = HERE / "configs"
_RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]*)\)")


def page_of(readme: str) -> str:
    """README as it stands on a package's page, which has none of the files beside it.

    A relative link becomes its words, with the file's name behind them where they are another; a
    picture of the repository goes.
    """

    def words(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if picture:
            return ""
        return f"`{path}`" if text == path else f"{text} (`{path}`)"

    return _RELATIVE.sub(words, readme)


class BuildWithConfigs(build_py):
    """Copies configs/, which lies beside run.py in a clone, to `zoo/configs` of a wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a clone has them already
            target = Path(self.build_lib) / "zoo" / "configs"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(CONFIGS, target, ignore=shutil.ignore_patterns("__pycache__"))


setup(
    cmdclass={"build_py": BuildWithConfigs},
    long_description=page_of((HERE / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
