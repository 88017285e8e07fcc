"""The rooms of `zoo/`: imports go down only, in no circle, and nothing lies in the hall."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "zoo"
FLOORS = {
    "core": 1,
    "registry": 2,
    "layers": 2,
    "contracts": 3,
    "data": 3,
    "inference": 4,
    "parts": 4,
    "metrics": 5,
    "training": 6,
    "explore": 6,
    "cli": 7,
    "tasks": 8,
    "__init__": 8,
    "__main__": 8,
}
FACES = ("zoo.__init__", "zoo.registry.__init__")
"""Packages that hand names on; the other rooms' are a docstring."""


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


FILES = {module_of(f): f for f in sorted(ZOO.rglob("*.py"))}


def imports_of(module: str, tree: ast.AST) -> Iterator[str]:
    """Modules of the zoo that a file imports anywhere, in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            names = [f"{base}.{a.name}" for a in node.names]
        else:
            continue
        for name in names:
            if name == "zoo" or name.startswith("zoo."):
                yield resolved(name)


def resolved(name: str) -> str:
    """The file behind a dotted name, which may be a module, a package or something in one."""
    while name not in FILES:
        if f"{name}.__init__" in FILES:
            return f"{name}.__init__"
        name = name.rpartition(".")[0]
    return name


def graph() -> dict[str, set[str]]:
    """Each file of the zoo with those that it imports."""
    trees = {module: ast.parse(file.read_bytes()) for module, file in FILES.items()}
    return {module: set(imports_of(module, tree)) for module, tree in trees.items()}


def room(module: str) -> str:
    return module.split(".")[1]


def test_there_are_at_most_13_entries():
    doors = ("__pycache__", "py.typed", "__main__.py")
    entries = {p.name for p in ZOO.iterdir() if p.name not in doors}
    assert entries == {*FLOORS.keys() - {"__init__", "__main__"}, "__init__.py"}
    assert len(entries) <= 13


def test_imports_go_down_only():
    wrong = [
        f"{module} imports {other}"
        for module, others in graph().items()
        for other in sorted(others)
        if room(module) != room(other)
        and FLOORS[room(module)] <= FLOORS[room(other)]
        # the face of the zoo stands on the top floor, and looks down on all of it
        and module != "zoo.__init__"
    ]
    assert wrong == []


def test_no_files_import_each_other_neither_lazily_nor_in_a_circle():
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_contracts_know_no_framework_and_parts_no_lightning_hydra_or_files():
    for module, file in FILES.items():
        if room(module) not in ("core", "layers", "contracts", "parts"):
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            owners = {name.split(".")[0] for name in names}
            assert not owners & {"pytorch_lightning", "hydra", "omegaconf"}, module
            assert room(module) != "parts" or "pathlib" not in owners, module


def test_each_room_says_what_it_is_and_only_two_hand_names_on():
    rooms = [f"zoo.{name}.__init__" for name in FLOORS if not name.startswith("__")]
    for module in ["zoo.__init__", *rooms]:
        tree = ast.parse(FILES[module].read_bytes())
        docstring = ast.get_docstring(tree) or ""
        assert len(docstring.split("\n")) > 3, f"{module}: what lives here, and what imports what"
        assert module in FACES or len(tree.body) == 1, module


OF_ONE_SYSTEM = frozenset(
    {"fcntl", "grp", "msvcrt", "pty", "pwd", "resource", "termios", "tty", "winreg"}
)
"""Modules of Python that Unix or Windows has not: imported where they are used, never before."""


def test_files_can_be_imported_on_every_system():
    for file in [*FILES.values(), *(ROOT / "benchmarks").rglob("*.py")]:
        for node in ast.parse(file.read_text("utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert OF_ONE_SYSTEM.isdisjoint(names), f"{file}: import {names} where it is used"


def test_files_are_written_whole_or_not_at_all():
    """Texts by the one writer of zoo/core/atomic.py; a checkpoint is handed its partial file."""
    places = [
        f"{module}:{node.lineno}"
        for module, file in FILES.items()
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Attribute) and node.attr == "write_text"
    ]
    assert [p for p in places if not p.startswith("zoo.core.atomic:")] == []


@pytest.mark.parametrize("folder", ["zoo", "tests", "benchmarks", "plugins"])
def test_a_file_of_over_400_lines_wants_to_be_two(folder):
    lengths = {f: len(f.read_text().splitlines()) for f in (ROOT / folder).rglob("*.py")}
    assert lengths
    assert [f"{f.relative_to(ROOT)}: {n}" for f, n in lengths.items() if n > 400] == []


def test_the_walls_hold():
    """The reader of imports sees them wherever they stand."""
    source = """
import zoo
from zoo.core import errors
from . import kinds
def late():
    from zoo.training.step import AdversarialStep
"""
    found = set(imports_of("zoo.registry.part", ast.parse(source)))
    expected = {"zoo.__init__", "zoo.core.errors", "zoo.registry.kinds", "zoo.training.step"}
    assert found == expected
