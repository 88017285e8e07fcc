"""No rule by a part's name: what a part is like, it says itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.registry import REGISTRY
from zoo.registry.places import ZOO

PARTS = [p for p in REGISTRY.parts() if p.source == "zoo" and p.kind != "task"]
"""Tasks are what the program does; their names are its own words."""
FILES_OF: dict[str, set[Path]] = {}
for _part in PARTS:
    if _part.file is not None:
        FILES_OF.setdefault(_part.name, set()).add(_part.file)
FOLDERS = {"checkpoints"}
"""Of a run, which are called as the part that writes them."""
CHECKS = ("isinstance", "issubclass")


def branches(tree: ast.AST) -> Iterator[str]:
    """Texts that are compared with: `x == "a"`, `x in ("a", "b")`, `case "a"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides: list[ast.AST] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        for side in sides:
            inner = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
            texts = (i.value for i in inner if isinstance(i, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def own_words(tree: ast.AST) -> set[str]:
    """The values of a file's own options, as its annotations write them: `Literal["a", "b"]`.

    A word may be the name of a part and such a value: `linear` is a schedule, and a walk.
    """
    literals = (
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Subscript) and ast.unparse(n.value) == "Literal"
    )
    inside = (c for n in literals for c in ast.walk(n.slice) if isinstance(c, ast.Constant))
    return {c.value for c in inside if isinstance(c.value, str)}


def test_no_file_branches_on_the_name_of_a_part_of_another():
    for file in ZOO.rglob("*.py"):
        tree = ast.parse(file.read_bytes())
        named = {n for n in branches(tree) if file not in FILES_OF.get(n, {file})}
        assert not named - own_words(tree) - FOLDERS, file


def test_no_file_branches_on_the_class_of_a_part_of_another():
    classes = {p.qualname: p.file for p in PARTS}
    for file in ZOO.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CHECKS:
                names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                others = {n for n in names if classes.get(n, file) != file}
                assert not others, f"{file}, line {node.lineno}"


@pytest.mark.parametrize(
    "source",
    ['x == "r1"', 'x not in {"a", "r1"}', 'match x:\n case "r1" | "r2": pass', '"r1" != x'],
)
def test_branches_are_seen(source: str):
    assert "r1" in list(branches(ast.parse(source)))
