"""Reading parts from source files, and from live classes, into what the registry knows."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.registry.kinds import FILLED, FOLDERS
from zoo.registry.part import Part
from zoo.registry.places import relative
from zoo.registry.signature import NotReadable, from_callable, from_source


def read_parts(file: Path, module: str, source: str) -> Iterator[Part]:
    """The parts of a source file, told from its syntax tree.

    Raises:
        NotReadable: a name or a signature is not written out.
        SyntaxError: the file is not Python.
    """
    tree = ast.parse(file.read_bytes(), str(file))
    names = _decorator_names(tree)
    read = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        marks = [d for d in node.decorator_list if _kind(d, names)]
        if marks and len(marks) < len(node.decorator_list):
            raise NotReadable("another decorator, which may change the signature")
        for mark in marks:
            kind, name = _kind(mark, names), _name(mark)
            summary, paper = read_docstring(ast.get_docstring(node) or "")
            parameters = from_source(node, tree, FILLED.get(kind, ()))
            read += 1
            yield Part(kind, name, node.name, module, file, source, parameters, summary, paper)
    if _registrations(tree, names) > read:
        raise NotReadable("parts registered in a loop, a condition or a function")


def _decorator_names(tree: ast.Module) -> dict[str, str]:
    """How the file writes the decorators: `{"generator": "generator", "z.loss": "loss"}`.

    Raises:
        NotReadable: a star import, which hides them.
    """
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [a for a in node.names if a.name in ("zoo", "zoo.registry")]
            owners = [a.asname or a.name for a in modules]
        elif isinstance(node, ast.ImportFrom) and node.module in ("zoo", "zoo.registry"):
            if node.names[0].name == "*":
                raise NotReadable("a star import")
            owners = [a.asname or a.name for a in node.names if a.name == "registry"]
            names |= {a.asname or a.name: a.name for a in node.names if a.name in FOLDERS}
        else:
            continue
        names |= {f"{owner}.{kind}": kind for owner in owners for kind in FOLDERS}
    return names


def _kind(node: ast.expr, names: dict[str, str]) -> str:
    """The kind that `node` registers if it is a call of a decorator, else the empty string."""
    return names.get(ast.unparse(node.func), "") if isinstance(node, ast.Call) else ""


def _name(mark: ast.expr) -> str:
    assert isinstance(mark, ast.Call)
    arguments = [*mark.args, *(k.value for k in mark.keywords)]
    if len(arguments) != 1 or not isinstance(arguments[0], ast.Constant):
        raise NotReadable("a part's name is not written out")
    return str(arguments[0].value)


def _registrations(tree: ast.Module, names: dict[str, str]) -> int:
    """How often the file uses a decorator, at any depth: above a class, or as `loss("a")(Class)`.

    A decorator that comes by another way than from `zoo` (`from .common import loss`) counts too.
    """
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            calls = [ast.unparse(d.func) for d in node.decorator_list if isinstance(d, ast.Call)]
            count += sum(c in names or c.rpartition(".")[2] in FOLDERS for c in calls)
        elif isinstance(node, ast.Call):
            count += bool(_kind(node.func, names))
    return count


def read_docstring(text: str) -> tuple[str, str]:
    """First line and the paper (the paragraph that starts with `Paper:`) of a docstring."""
    summary = text.strip().partition("\n")[0].strip()
    found = re.findall(r"^\s*Papers?:\s*(.+?)(?=\n\s*\n|\n\s*Papers?:|\Z)", text, re.M | re.S)
    return summary, "; ".join(" ".join(p.split()).rstrip(".") for p in found)


def describe(kind: str, name: str, live: Any) -> Part:
    """A part from its live class or function."""
    module = sys.modules.get(live.__module__)
    file = getattr(module, "__file__", None)
    summary, paper = read_docstring(live.__doc__ or "")
    source = "zoo" if live.__module__.startswith("zoo.") else live.__module__
    if file and source != "zoo":
        source = relative(Path(file))
    parameters = from_callable(live)
    path = Path(file) if file else None
    made = Part(
        kind, name, live.__qualname__, live.__module__, path, source, parameters, summary, paper
    )
    made._live = live
    return made
