"""Read the parts that a source file registers, without importing it, or describe a live class."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.registry.kinds import KINDS
from zoo.registry.part import Part
from zoo.registry.places import relative
from zoo.registry.signature import NotReadable, from_callable, from_source


def read_parts(file: Path, module: str, source: str) -> Iterator[Part]:
    """Yield the parts of a source file, as read from its syntax tree.

    Args:
        file: the source file.
        module: the dotted name of its module.
        source: where its parts come from, as `Part.source`.

    Raises:
        NotReadable: a name or a signature is not written literally, so the file must be imported.
        SyntaxError: the file is not valid Python.
    """
    tree = ast.parse(file.read_bytes(), str(file))
    names = _decorator_names(tree)
    count = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        decorators = [d for d in node.decorator_list if _kind(d, names)]
        if decorators and len(decorators) < len(node.decorator_list):
            raise NotReadable("another decorator, which may change the signature")
        for decorator in decorators:
            kind, name = _kind(decorator, names), _name(decorator)
            summary, paper = read_docstring(ast.get_docstring(node) or "")
            parameters = from_source(node, tree, KINDS[kind].filled)
            count += 1
            yield Part(kind, name, node.name, module, file, source, parameters, summary, paper)
    if _registrations(tree, names) > count:
        raise NotReadable("parts registered in a loop, a condition or a function")


def _decorator_names(tree: ast.Module) -> dict[str, str]:
    """Map the names under which a file uses the decorators to kinds: `{"z.loss": "loss"}`.

    Raises:
        NotReadable: the file has a star import, which hides the names.
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
            names |= {a.asname or a.name: a.name for a in node.names if a.name in KINDS}
        else:
            continue
        names |= {f"{owner}.{kind}": kind for owner in owners for kind in KINDS}
    return names


def _kind(node: ast.expr, names: dict[str, str]) -> str:
    """Return the kind that `node` registers if it calls a decorator, else an empty string."""
    return names.get(ast.unparse(node.func), "") if isinstance(node, ast.Call) else ""


def _name(decorator: ast.expr) -> str:
    """Return the name under which a decorator registers its part."""
    assert isinstance(decorator, ast.Call)
    arguments = [*decorator.args, *(k.value for k in decorator.keywords)]
    if len(arguments) != 1 or not isinstance(arguments[0], ast.Constant):
        raise NotReadable("a part's name is not written out")
    return str(arguments[0].value)


def _registrations(tree: ast.Module, names: dict[str, str]) -> int:
    """Count the uses of decorators at any depth: above a class, or as `loss("a")(Class)`.

    A decorator that is imported indirectly (`from .common import loss`) counts too.
    """
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            calls = [ast.unparse(d.func) for d in node.decorator_list if isinstance(d, ast.Call)]
            count += sum(c in names or c.rpartition(".")[2] in KINDS for c in calls)
        elif isinstance(node, ast.Call):
            count += bool(_kind(node.func, names))
    return count


def read_docstring(text: str) -> tuple[str, str]:
    """Return a docstring's first line, and the papers in its paragraphs that begin `Paper:`."""
    summary = text.strip().partition("\n")[0].strip()
    papers = re.findall(r"^\s*Papers?:\s*(.+?)(?=\n\s*\n|\n\s*Papers?:|\Z)", text, re.M | re.S)
    return summary, "; ".join(" ".join(p.split()).rstrip(".") for p in papers)


def describe(kind: str, name: str, live: Any) -> Part:
    """Describe a part from its class or function object."""
    module = sys.modules.get(live.__module__)
    file = getattr(module, "__file__", None)
    summary, paper = read_docstring(live.__doc__ or "")
    source = "zoo" if live.__module__.startswith("zoo.") else live.__module__
    if file and source != "zoo":
        source = relative(Path(file))
    parameters = from_callable(live)
    path = Path(file) if file else None
    part = Part(
        kind, name, live.__qualname__, live.__module__, path, source, parameters, summary, paper
    )
    part._live = live
    return part
