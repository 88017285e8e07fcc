"""Private names of other frameworks are touched in one file for each, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "zoo"
FILES = {
    "torch": ZOO / "core" / "torch_internals.py",
    "pytorch_lightning": ZOO / "training" / "lightning_internals.py",
    "hydra": ZOO / "cli" / "hydra_internals.py",
    "omegaconf": None,  # of which nothing private is used
}
NAMING = ("setattr__", "self.register_buffer")
"""Calls that give an attribute its name."""
DOCUMENTED = {"_replace", "_asdict", "_exit"}
"""Of Python's named tuples and of `os`, underscored for other reasons."""
TREES = {file: ast.parse(file.read_bytes()) for file in sorted(ZOO.rglob("*.py"))}


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def own_names() -> set[str]:
    """Private names that the zoo's own sources define anywhere."""
    found: set[str] = set()
    for node in (n for tree in TREES.values() for n in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if ast.unparse(node.value) == "self" else set()
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(NAMING):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return {name for name in found if isinstance(name, str)}


def touches(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """Private names in a file that are not the zoo's: imported, looked up, or named as a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Attribute):
            names = [] if node.attr in own | DOCUMENTED else [node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value.startswith(tuple(f"{f}." for f in FILES)) else []
        else:
            continue
        for name in names:
            first = name.split(".")[0]
            if (first in FILES or isinstance(node, ast.Attribute)) and any(
                map(is_private, name.split("."))
            ):
                yield name


def test_private_names_stand_in_their_files_only() -> None:
    own = own_names()
    for file, tree in TREES.items():
        if file not in FILES.values():
            assert list(touches(tree, own)) == [], file


@pytest.mark.parametrize("framework", [name for name, file in FILES.items() if file is not None])
def test_a_file_touches_its_own_framework_and_is_not_idle(framework: str) -> None:
    tree = TREES[FILES[framework]]
    assert list(touches(tree, set()))
    modules = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert not {m.split(".")[0] for m in modules} & (FILES.keys() - {framework})


@pytest.mark.parametrize(
    "source",
    [
        "from hydra._internal.utils import get_args_parser",
        "import torch._dynamo",
        "torch._foreach_norm(x)",
        "trainer._data_connector",
        "config._get_node('a')",
        "name.startswith('torch._dynamo')",
        "from torch.utils import _pytree",
    ],
)
def test_touches_are_seen(source: str) -> None:
    assert list(touches(ast.parse(source), {"_own"}))
    assert not list(touches(ast.parse("self._own; other._own; torch.add"), {"_own"}))
