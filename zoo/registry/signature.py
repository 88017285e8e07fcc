"""Signatures of parts, read from source without importing it, and the values that fit them.

Importing torch costs seconds and timm more; `--help` and `task=list` need only names, types and
defaults, which stand in the source. A test holds what is read here equal to `inspect.signature`.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union, get_args, get_origin

from zoo.core.errors import ZooError, listing, suggest

REQUIRED = inspect.Parameter.empty
_NAMES = {
    "int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict,
    "tuple": tuple, "Any": Any, "Literal": Literal, "Optional": Optional, "Union": Union,
    "List": list, "Dict": dict, "Sequence": list, "None": None,
}  # fmt: skip


class NotReadable(Exception):
    """The signature cannot be told from the source alone; the file has to be imported."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a part: its name, its type and its default (`REQUIRED` where it has none)."""

    name: str
    type: Any = Any
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def __str__(self) -> str:
        text = f"{self.name}: {type_name(self.type)}"
        return text if self.required else f"{text} = {self.default!r}"


def type_name(kind: Any) -> str:
    """A type as a user reads it: `int`, `list[int]`, `batch|layer|none`, `int or null`."""
    if kind is Any or kind is None or kind is type(None):
        return "any" if kind is Any else "null"
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "|".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in args)
    if origin is not None and args:
        return f"{origin.__name__}[{', '.join(type_name(a) for a in args if a is not ...)}]"
    return getattr(kind, "__name__", str(kind))


def from_callable(target: Any) -> tuple[Parameter, ...]:
    """The parameters of a live class or function."""
    try:
        signature = inspect.signature(target, eval_str=True)
    except NameError:  # an annotation that exists only for type checkers
        signature = inspect.signature(target)
    return tuple(
        Parameter(p.name, Any if p.annotation is REQUIRED else p.annotation, p.default)
        for p in signature.parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )


def from_source(
    node: ast.ClassDef | ast.FunctionDef, module: ast.Module, filled: Collection[str] = ()
) -> tuple[Parameter, ...]:
    """The parameters of a class or function from its syntax tree.

    Args:
        filled: parameters that the builder fills in; their types and defaults are not read.

    Raises:
        NotReadable: an annotation or default is no literal, or `__init__` is inherited from
            another file.
    """
    if isinstance(node, ast.FunctionDef):
        return _arguments(node.args, 0, filled)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _arguments(item.args, 1, filled)
    bases = [b.id if isinstance(b, ast.Name) else getattr(b, "attr", "") for b in node.bases]
    for base in bases:
        for other in module.body:
            if isinstance(other, ast.ClassDef) and other.name == base:
                return from_source(other, module, filled)
    if bases in ([], ["Loss"], ["Augmentation"], ["Features"], ["Metric"]):
        return ()
    raise NotReadable(f"{node.name} inherits __init__ from {listing(bases)}")


def _arguments(args: ast.arguments, skip: int, filled: Collection[str]) -> tuple[Parameter, ...]:
    if args.vararg or args.kwarg:
        raise NotReadable("*args or **kwargs")
    positional = [*args.posonlyargs, *args.args][skip:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults))
    pairs = [
        *zip(positional, [*defaults, *args.defaults], strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    return tuple(
        Parameter(a.arg, Any, None if d else REQUIRED)
        if a.arg in filled
        else Parameter(a.arg, _annotation(a.annotation), _default(d))
        for a, d in pairs
    )


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise NotReadable(ast.unparse(node)) from None


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    source = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    try:
        return eval(str(source), {"__builtins__": {}}, _NAMES)
    except Exception:
        raise NotReadable(str(source)) from None


def convert(value: Any, kind: Any, place: str) -> Any:
    """`value` as the type `kind`, where nothing is lost (an int for a float, a tuple for a list).

    Raises:
        ZooError: it does not fit; the sentence names `place`, the type and the choices.
    """
    shown = "null" if value is None else value
    wrong = ZooError(f"{place}={shown} is not {_article(kind)}.{suggest(shown, _words(kind))}")
    if kind is Any or not (isinstance(kind, type) or get_origin(kind) is not None):
        return value
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise wrong
    if origin in (Union, types.UnionType):
        return _convert_union(value, args, place, wrong)
    base = origin or kind
    if base is float and type(value) is int:
        return float(value)
    if base is float and isinstance(value, str):
        try:  # YAML reads 1e-4 as text
            return float(value)
        except ValueError:
            raise wrong from None
    if base in (list, tuple) and isinstance(value, list | tuple):
        item = args[0] if args else Any
        return base(convert(v, item, f"{place}[{i}]") for i, v in enumerate(value))
    if base in (int, float, str, bool, dict):
        if type(value) is base:
            return value
        if base is str and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)  # a name made of digits
        raise wrong
    if base in (list, tuple):
        raise wrong
    return value


def _convert_union(value: Any, args: tuple[Any, ...], place: str, wrong: ZooError) -> Any:
    if value is None and type(None) in args:
        return None
    choices = [a for a in args if a is not type(None)]
    exact = [a for a in choices if (get_origin(a) or a) is type(value)]
    for choice in [*exact, *choices]:
        try:
            return convert(value, choice, place)
        except ZooError:
            continue
    raise wrong


def _article(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {listing(get_args(kind))}"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(_article, get_args(kind)))
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    words |= {list: "a list", dict: "a mapping", type(None): "null"}
    if get_origin(kind) is list:
        return f"a list of {type_name(get_args(kind)[0])}"
    return words.get(kind, f"of type {type_name(kind)}")


def _words(kind: Any) -> tuple[Any, ...]:
    """The texts that a type allows."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(w for a in get_args(kind) for w in _words(a))
    return ()


def bind(parameters: tuple[Parameter, ...], options: dict[str, Any], place: str) -> dict[str, Any]:
    """Check `options` against `parameters` and convert them.

    Raises:
        ZooError: an unknown or missing option or a wrong type; the sentence starts at `place`.
    """
    known = {p.name: p for p in parameters}
    for name in options:
        if name not in known:
            raise ZooError(
                f"{place} has no option {name!r}.{suggest(name, known)} "
                f"It has: {listing(map(str, parameters))}."
            )
    missing = [p.name for p in parameters if p.required and p.name not in options]
    if missing:
        raise ZooError(f"{place} needs {listing(missing)}.")
    return {n: convert(v, known[n].type, f"{place}: {n}") for n, v in options.items()}
