"""What all sentences of the zoo have in common."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from zoo.core.errors import LONGEST_SENTENCE, ZooError, with_article

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


def test_printed_commands_are_those_that_were_typed():
    """`zoo.cli.program` alone knows how the zoo is called."""
    found = [
        str(file.relative_to(ZOO))
        for file in sorted(ZOO.rglob("*.py"))
        for text in sentences(ast.parse(file.read_bytes()))
        if "python run.py" in text or "gan-zoo task=" in text
    ]
    assert found == ["cli/program.py"]


def test_a_sentence_is_never_longer_than_a_screen_or_two():
    """A header of a safetensors file once came back with its 100,000 letters."""
    told = str(ZooError(f"a.ckpt is damaged ({'x' * 10**6}): take another one."))
    assert len(told) < LONGEST_SENTENCE + 50
    assert told.startswith("a.ckpt is damaged (xxx")
    assert told.endswith("xxx): take another one.")
    assert "letters) …" in told
    assert str(ZooError("x" * LONGEST_SENTENCE)) == "x" * LONGEST_SENTENCE


def test_warnings_are_the_zoos_own_which_the_command_line_prints_without_code():
    """They were printed as `zoo/registry/calls.py:54: UserWarning: ...` and a line of the file."""
    calls = [
        (file, node)
        for file in sorted(ZOO.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
    ]
    assert len(calls) > 10
    kinds = {(file.name, *map(ast.unparse, node.args[1:])) for file, node in calls}
    assert kinds == {(file.name, "ZooWarning") for file, _ in calls}


def test_articles_go_by_the_word():
    words = {"Old": "an", "augmentation": "an", "int": "an", "URL": "a", "Unet": "an", "UNet": "a",
             "uint8": "a", "unit": "a", "tuple": "a", "ndarray": "a"}  # fmt: skip
    assert {word: with_article(word).partition(" ")[0] for word in words} == words


def test_no_article_stands_before_a_word_that_is_filled_in():
    found = [
        (file.name, text)
        for file in sorted(ZOO.rglob("*.py"))
        for text in sentences(ast.parse(file.read_text("utf-8")))
        if re.search(r"\b[Aa]n? \{\}", text)
    ]
    assert found == []
