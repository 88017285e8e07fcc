"""Which extra brings a choice of Hydra's that is not there."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

from zoo.core.extras import command
from zoo.registry import REGISTRY
from zoo.registry.places import INSTALLED, ROOT


def not_installed(group: str, name: str, choices: list[str]) -> str:
    """`" It comes with pip install …"` where a package that an extra brings has the choice.

    Hydra's plugins are named after what they bring: `submitit_slurm` of the launchers comes with
    hydra-submitit-launcher. A package that a task works with in place of such a plugin has the
    task's name as its extra.
    """
    kind = group.rpartition("/")[2]
    there = {choice.split("_")[0] for choice in choices}
    tasks = [part.name for part in REGISTRY.parts("task")]
    for extra, brought in packages().items():
        for package in brought:
            plugin = re.fullmatch(rf"hydra-(\w+)-{re.escape(kind)}", package)
            if plugin and plugin[1] not in there and name.split("_")[0] == plugin[1]:
                return f" It comes with {command(extra)}."
            if package == name and extra in tasks and group.startswith("hydra/"):
                return f" Use task={extra}, which works with {name}: {command(extra)}."
    return ""


def packages() -> dict[str, list[str]]:
    """The packages that each extra of pyproject.toml brings; other extras of its own are left out.

    In a clone the file itself is read, since the metadata are of the day that it was installed.
    """
    found: dict[str, list[str]] = {}
    for extra, requirement in _optional():
        package = re.match(r"[\w.-]+", requirement)
        if package and package[0] != "gan-zoo":
            found.setdefault(extra, []).append(package[0])
    return found


def _optional() -> list[tuple[str, str]]:
    """Extras and their requirements, in the order of pyproject.toml."""
    file = ROOT / "pyproject.toml"
    if not INSTALLED and file.is_file():
        extras = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        return [(extra, line) for extra, lines in extras.items() for line in lines]
    try:
        lines = metadata.requires("gan-zoo") or []
    except metadata.PackageNotFoundError:  # files that were copied, and never installed
        return []
    marked = [(re.search(r"""extra\s*==\s*['"]([^'"]+)""", line), line) for line in lines]
    return [(extra[1], line) for extra, line in marked if extra]
