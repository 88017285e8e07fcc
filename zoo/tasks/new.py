"""`task=new`: a plugin to start from."""

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
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY, check_kind, task
from zoo.registry.places import INSTALLED, own_folders


@task("new")
class New(Task):
    """Write a plugin that works as it stands, and its test: `task=new kind=loss name=my_loss`.

    Args:
        kind: of part: `generator`, `loss`, `datamodule` … (`task=list` shows all).
        name: of the part and its file: small letters, digits and underscores.
        folder: where to; null is `plugins/` beside run.py in a clone, else `./plugins`.
    """

    writes_files = False

    def __init__(self, kind: str, name: str, folder: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.folder = Path(folder).expanduser() if folder else _default()

    def run(self, run: Run) -> dict[str, Any]:
        """Write the two files.

        Raises:
            ZooError: a name that cannot be one, or that is taken by a part or a file.
        """
        from zoo.tasks.templates import TEMPLATES

        self._check_name()
        names = {"name": self.name, "Class": "".join(w.title() for w in self.name.split("_"))}
        part, test = self.folder / f"{self.name}.py", self.folder / f"test_{self.name}.py"
        for path in (part, test, self.folder / self.name):
            if path.exists():
                raise ZooError(f"{path} exists and is not overwritten: choose another name=… .")
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
            # The contract tests lie in the clone, and so does the option that chooses them.
            "test it": f"pytest {_short(test)}"
            if INSTALLED
            else f"{prefix}pytest --plugin {self.name}",
        }

    def _check_name(self) -> None:
        check_kind(self.kind)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or keyword.iskeyword(self.name):
            wish = re.sub(r"\W+", "_", self.name.lower()).strip("_0123456789")
            wish = f"my_{wish}" if keyword.iskeyword(wish) else wish
            raise ZooError(
                f"name={self.name} cannot name a part and its file: use small letters, digits and "
                f"underscores, beginning with a letter, for example name={wish or 'my_part'}"
            )
        if self.name in sys.stdlib_module_names or _is_installed(self.name):
            raise ZooError(
                f"name={self.name} is a module that Python imports, whose place the file could "
                f"take: choose another, for example my_{self.name}."
            )
        for known in REGISTRY.parts(self.kind):
            if known.name == self.name:
                raise ZooError(
                    f"there is a {self.kind} {self.name!r} already ({known.file or known.source}): "
                    "choose another name=… ."
                )


def _is_installed(name: str) -> bool:
    """Whether Python finds a module of this name elsewhere than in the current folder."""
    finder = importlib.machinery.PathFinder
    places = [place for place in sys.path if Path(place or ".").resolve() != Path.cwd()]
    return name == "zoo" or finder.find_spec(name, places) is not None


def _default() -> Path:
    """The folder of plugins that belongs to the current one."""
    folders = own_folders()
    inside = Path.cwd().is_relative_to(folders[0].parent)
    return folders[0] if inside else folders[-1]


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
