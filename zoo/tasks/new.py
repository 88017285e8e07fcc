"""`task=new`: write a plugin to start from."""

from __future__ import annotations

import importlib.machinery
import keyword
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from zoo.cli.program import program
from zoo.contracts.task import Run, Task
from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, with_article
from zoo.registry import REGISTRY, check_kind, task
from zoo.registry.places import INSTALLED, ROOT, own_folders


@task("new")
class New(Task):
    """Write a working plugin and its test, to start from: `task=new kind=loss name=my_loss`.

    Args:
        kind: the kind of part: `generator`, `loss`, `datamodule` … (`task=list` shows all).
        name: the name of the part and its file: lower-case letters, digits and underscores.
        folder: the folder to write to; null is `plugins/` beside run.py in a clone, else
            `./plugins`.
    """

    writes_files = False

    def __init__(self, kind: str, name: str, folder: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.folder = Path(folder).expanduser() if folder else _default()

    def run(self, run: Run) -> dict[str, Any]:
        """Write the plugin and its test.

        Raises:
            ZooError: the name is not allowed, or is taken by a part or a file.
        """
        from zoo.tasks.templates import TEMPLATES

        self._check_name()
        names = {"name": self.name, "Class": "".join(w.title() for w in self.name.split("_"))}
        part, test = self.folder / f"{self.name}.py", self.folder / f"test_{self.name}.py"
        for path in (part, test, self.folder / self.name):
            if path.exists():
                raise ZooError(f"{path} already exists: choose another name=… .")
        templates = TEMPLATES[self.kind]
        write_text(part, templates.part.substitute(names))
        write_text(test, templates.test.substitute(names))
        prefix = (
            ""
            if self.folder.resolve() in own_folders()
            else (f"ZOO_PLUGINS={shlex.quote(str(self.folder))} ")
        )
        return {
            "plugin": _short(part),
            "its test": _short(test),
            "use it": prefix + templates.use.format(program=program(), **names),
            # The contract tests, and the option --plugin that selects them, are those of a clone.
            "test it": f"{prefix}pytest --plugin {self.name}"
            if not INSTALLED and Path.cwd() == ROOT
            else f"pytest {_short(test)}",
        }

    def _check_name(self) -> None:
        """Refuse an unknown kind, and a name that is not allowed or is taken."""
        check_kind(self.kind)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or keyword.iskeyword(self.name):
            similar = re.sub(r"\W+", "_", self.name.lower()).strip("_0123456789")
            similar = f"my_{similar}" if keyword.iskeyword(similar) else similar
            raise ZooError(
                f"name={self.name} cannot name a part and its file: use lower-case letters, digits "
                "and underscores, beginning with a letter, for example "
                f"name={similar or 'my_part'}"
            )
        if self.name in sys.stdlib_module_names or _is_installed(self.name):
            raise ZooError(
                f"name={self.name} is the name of a Python module, which the new file could hide: "
                f"choose another, for example my_{self.name}."
            )
        for part in REGISTRY.parts(self.kind):
            if part.name == self.name:
                raise ZooError(
                    f"there already is {with_article(self.kind)} {self.name!r} "
                    f"({part.file or part.source}): choose another name=… ."
                )


def _is_installed(name: str) -> bool:
    """Whether Python finds a module of this name outside the current folder."""
    finder = importlib.machinery.PathFinder
    places = [place for place in sys.path if Path(place or ".").resolve() != Path.cwd()]
    return name == "zoo" or finder.find_spec(name, places) is not None


def _default() -> Path:
    """Return the plugin folder of the clone if the user is in it, else `./plugins`."""
    folders = own_folders()
    inside = Path.cwd().is_relative_to(folders[0].parent)
    return folders[0] if inside else folders[-1]


def _short(path: Path) -> Path:
    """Make a path relative to the current folder if it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
