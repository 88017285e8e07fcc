"""Find the files that may register parts: in `zoo/`, in plugin folders and in pip packages."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zoo.registry.kinds import KINDS

ZOO = Path(__file__).parents[1]
ROOT = ZOO.parent
INSTALLED = (ZOO / "configs").is_dir()
"""Whether this package was installed from a wheel, which contains configs/, and is not a clone."""
CONFIGS = (ZOO if INSTALLED else ROOT) / "configs"
PLUGIN_PACKAGE = "zoo_plugins"
ENTRY_POINTS = "zoo.plugins"


@functools.cache
def own_folders() -> tuple[Path, ...]:
    """Return the default plugin folders: `plugins` beside run.py in a clone, and `./plugins`.

    The working directory at the first call counts, so that a later change of it moves no parts.
    """
    here = (Path.cwd() / "plugins").resolve()
    return (here,) if INSTALLED else tuple(dict.fromkeys([(ROOT / "plugins").resolve(), here]))


def plugin_folders() -> list[Path]:
    """Return the default folders that exist and those in `ZOO_PLUGINS`, separated as in PATH."""
    listed = os.environ.get("ZOO_PLUGINS", "").split(os.pathsep)
    named = [Path(p).expanduser() for p in listed if p]
    own = [p for p in own_folders() if p.is_dir()]
    return list(dict.fromkeys([*own, *(p.resolve() for p in named)]))


def candidates(problems: list[tuple[str, str]]) -> Iterator[tuple[Path, str, str]]:
    """Yield every file that may register parts, with its module name and its source.

    Args:
        problems: a list to which places that cannot be searched are added, with the reasons.
    """
    for row in KINDS.values():
        for file in sorted((ZOO / row.folder).glob("*.py")):
            yield file, f"zoo.{row.folder.replace('/', '.')}.{file.stem}", "zoo"
    for place in plugin_folders():
        if not place.is_dir():
            problems.append((str(place), "ZOO_PLUGINS names it, but it is not a folder"))
            continue
        for file, module in plugin_files(place):
            yield file, module, relative(file)
    for file, module, package in _installed_files(problems):
        yield file, module, f"package {package}"


def relative(file: Path) -> str:
    """Format a path relative to the clone or the working directory if it lies in one of them."""
    inside = (p for p in (ROOT, Path.cwd()) if file.is_relative_to(p))
    return next((str(file.relative_to(p)) for p in inside), str(file))


def plugin_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the Python files of a plugin folder, except tests, with their module names."""
    prefix = (
        PLUGIN_PACKAGE
        if folder == own_folders()[0]
        else f"{PLUGIN_PACKAGE}.{_identifiers()[folder]}"
    )
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_", "test_")) or path.name == "conftest.py":
            continue
        if path.suffix == ".py":
            yield path, f"{prefix}.{path.stem}"
        elif (path / "__init__.py").is_file():
            yield from _package_files(path, f"{prefix}.{path.name}")


def _identifiers() -> dict[Path, str]:
    """Return a module name for each plugin folder, independent of the order of the folders."""
    names: dict[Path, str] = {}
    for folder in sorted(plugin_folders()):
        name = re.sub(r"\W", "_", f"{folder.parent.name}_{folder.name}")
        while name in names.values():  # such as /a/gan/plugins and /b/gan/plugins
            name += "_"
        names[folder] = name
    return names


def _package_files(folder: Path, module: str) -> Iterator[tuple[Path, str]]:
    """Yield the Python files of a package, except tests, with their module names."""
    for file in sorted(folder.rglob("*.py")):
        if file.name.startswith("test_"):
            continue
        inner = file.relative_to(folder).with_suffix("").parts
        yield file, ".".join([module, *(p for p in inner if p != "__init__")])


def _installed_files(problems: list[tuple[str, str]]) -> Iterator[tuple[Path, str, str]]:
    """Yield the files of installed plugin packages, with their module and package names."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else entry.name
        try:  # imports the parent packages, which may raise anything
            spec = importlib.util.find_spec(entry.module)
        except Exception as error:
            problems.append((f"package {package}", f"{type(error).__name__}: {error}"))
            continue
        if spec is None or spec.origin is None:
            problems.append((f"package {package}", f"no module {entry.module}"))
            continue
        file = Path(spec.origin)
        files = (
            _package_files(file.parent, entry.module)
            if file.name == "__init__.py"
            else [(file, entry.module)]
        )
        yield from ((path, module, package) for path, module in files)
