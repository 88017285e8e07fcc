"""Write a Markdown page with all options of all parts."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from zoo.registry import Part
from zoo.registry.kinds import KINDS
from zoo.registry.places import ZOO
from zoo.registry.signature import Parameter, type_name
from zoo.training.options import model_parameters


def options_page(parts: Iterable[Part]) -> str:
    """Return a section per part, ordered by kind: its choice, its paper, and a table of options.

    The meaning of an option is read from the `Args:` of the docstring, without importing the part.
    """
    by_kind: dict[str, list[Part]] = {}
    for part in parts:
        by_kind.setdefault(part.kind, []).append(part)
    lines: list[str] = []
    for kind in KINDS:
        if kind in by_kind:
            lines += ["", f"## {kind}", ""]
            for part in by_kind[kind]:
                lines += _section(part)
    return "\n".join(lines).strip()


def model_section() -> str:
    """Return a section with the options that every model has, such as `model.lr_g`."""
    meanings = _meanings(ZOO / "training" / "gan.py", "GAN")
    return "\n".join(["## model", "", *_table(model_parameters(), "model.", meanings)]).strip()


def _section(part: Part) -> Iterator[str]:
    yield f"### {part.kind} `{part.name}`"
    yield ""
    yield f"{part.summary} {with_links(part.paper)}".strip()
    yield ""
    chosen, prefix = _words(part)
    yield f"`{chosen}`"
    yield ""
    if part.options:
        meanings = {} if part.file is None else _meanings(part.file, part.qualname)
        yield from _table(part.options, prefix, meanings)


def _table(options: Iterable[Parameter], prefix: str, meanings: dict[str, str]) -> Iterator[str]:
    yield "| option | type | default | what |"
    yield "|---|---|---|---|"
    for option in options:
        default = "" if option.required else f"`{_cell(repr(option.default))}`"
        cells = [f"`{prefix}{option.name}`", _cell(type_name(option.type)), default]
        yield "| " + " | ".join([*cells, _cell(meanings.get(option.name, ""))]) + " |"
    yield ""


def _words(part: Part) -> tuple[str, str]:
    """Return the override that chooses a part, and the prefix of its options."""
    row = KINDS[part.kind]
    if row.group is None:
        return row.choice.replace("NAME", part.name), ""
    dotted = row.group.replace("/", ".")
    if row.several:
        return f"{row.group}=[{part.name}]", f"{dotted}.{part.name}."
    return f"{row.group}={part.name}", "" if part.kind == "task" else f"{dotted}."


def with_links(paper: str) -> str:
    """Turn the arXiv numbers in a paper's reference into links."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _meanings(file: Path, name: str) -> dict[str, str]:
    """Return the text for each option in a class's docstring; several may share an entry."""
    docstring = _docstrings(file).get(name, "")
    _, _, after = docstring.partition("\nArgs:\n")
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in after.splitlines():
        if line and not line.startswith(" "):
            break
        entry = re.match(r" {4}([\w, ]+): (.*)", line)
        if entry:
            names = [name.strip() for name in entry[1].split(",")]
            meanings |= dict.fromkeys(names, entry[2])
        elif line.strip():
            for name in names:
                meanings[name] += f" {line.strip()}"
    return meanings


@functools.cache
def _docstrings(file: Path) -> dict[str, str]:
    """Return the docstrings of the classes and functions in a file by their names."""
    docstrings = {}
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            docstrings[node.name] = inspect.cleandoc(ast.get_docstring(node) or "")
    return docstrings
