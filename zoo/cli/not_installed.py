"""Name the extra of pyproject.toml that installs a missing Hydra plugin."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

from zoo.core.extras import command
from zoo.registry import REGISTRY
from zoo.registry.places import INSTALLED, ROOT


def not_installed(group: str, name: str, choices: list[str]) -> str:
    """Return `" It comes with pip install …"` if an extra has the choice, else an empty string.

    Hydra's plugins are named after what they add: the launcher `submitit_slurm` comes with
    hydra-submitit-launcher. If a task uses a package without such a plugin (`task=tune` uses
    optuna), the extra has the task's name, and the sentence names the task.

    Args:
        group: the group of the missing choice, such as `hydra/launcher`.
        name: the missing choice.
        choices: the choices that the group has.
    """
    kind = group.rpartition("/")[2]
    installed = {choice.split("_")[0] for choice in choices}
    tasks = [part.name for part in REGISTRY.parts("task")]
    for extra, extra_packages in packages().items():
        for package in extra_packages:
            plugin = re.fullmatch(rf"hydra-(\w+)-{re.escape(kind)}", package)
            if plugin and plugin[1] not in installed and name.split("_")[0] == plugin[1]:
                return f" It comes with {command(extra)}."
            if package == name and extra in tasks and group.startswith("hydra/"):
                return f" Use task={extra}, which uses {name}: {command(extra)}."
    return ""


def packages() -> dict[str, list[str]]:
    """Return the packages that each extra of pyproject.toml installs.

    Extras of the zoo that an extra includes are left out. In a clone, pyproject.toml itself is
    read, because the installed metadata may be older.
    """
    extras: dict[str, list[str]] = {}
    for extra, requirement in _optional():
        package = re.match(r"[\w.-]+", requirement)
        if package and package[0] != "gan-zoo":
            extras.setdefault(extra, []).append(package[0])
    return extras


def _optional() -> list[tuple[str, str]]:
    """Return the extras with their requirements, in the order of pyproject.toml."""
    file = ROOT / "pyproject.toml"
    if not INSTALLED and file.is_file():
        extras = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        return [(extra, line) for extra, lines in extras.items() for line in lines]
    try:
        lines = metadata.requires("gan-zoo") or []
    except metadata.PackageNotFoundError:  # the files were copied, not installed
        return []
    matches = [(re.search(r"""extra\s*==\s*['"]([^'"]+)""", line), line) for line in lines]
    return [(extra[1], line) for extra, line in matches if extra]
