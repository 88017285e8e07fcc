"""What all sentences of the zoo have in common."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ZOO = Path(__file__).parents[2] / "zoo"
HINT = re.compile(r"[a-z_][\w.]*=[^\s,;:()]*[^\s,;:().…]\.(?=\s|$)")
"""An option and its value, and a full stop that one would type as part of it."""


def sentences(tree: ast.AST) -> Iterator[str]:
    """Every text but docstrings, `{}` where a value stands."""
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef))
    functions = (node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    inside = {
        id(body[0].value)
        for body in (*bodies, *functions)
        if body and isinstance(body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node)} - {id(node)}
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = node.values
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_hint_ends_in_a_full_stop_that_reads_as_part_of_its_value():
    found = [
        f"{file.relative_to(ZOO)}: {match.group()}"
        for file in sorted(ZOO.rglob("*.py"))
        if "templates" not in file.parts
        for text in sentences(ast.parse(file.read_bytes()))
        for match in HINT.finditer(text)
    ]
    assert found == []


def test_the_check_sees_what_it_is_for():
    source = 'raise ZooError(f"name {x} with " f"data_dir={y} or n=1, or datamodule.folder={x}.")'
    (text,) = sentences(ast.parse(source))
    assert HINT.findall(text) == ["datamodule.folder={}."]
    assert not HINT.search("with key=… . Or n=3, or x=1")
