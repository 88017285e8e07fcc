"""Annotations of signatures: read from source by a small vocabulary, and shown to a user.

Nothing of a source file is evaluated: an annotation outside of the vocabulary is not readable, and
the file is then imported.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

from zoo.core.errors import (
    Idle,
    Range,
    above,
    at_least,
    at_most,
    below,
    between,
    idle_beside,
    idle_when,
)

RANGES = {f.__name__: f for f in (above, at_least, at_most, below, between)}
IDLE = {f.__name__: f for f in (idle_beside, idle_when)}
MARKS: dict[str, Callable[..., Range | Idle]] = {**RANGES, **IDLE}
"""What stands behind a type in `Annotated`."""
TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict,
    "tuple": tuple, "Any": Any, "Literal": Literal, "Optional": Optional,
    "Union": Union, "Annotated": Annotated, "List": list, "Dict": dict, "Sequence": list,
}  # fmt: skip
_HOMES = ("typing", "collections.abc", "zoo", "zoo.registry", "zoo.core.errors")
"""Modules from which names of the vocabulary may come."""


class NotReadable(Exception):
    """The signature cannot be told from the source alone; the file has to be imported."""


def vocabulary(module: ast.Module) -> dict[str, Any]:
    """What names of annotations mean in a file: those that it has made its own are left out."""
    known = {**TYPES, **MARKS}
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            known.pop(node.name, None)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                known.pop(name, None)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            ours = isinstance(node, ast.ImportFrom) and node.module in _HOMES
            for alias in node.names:
                if not ours or alias.asname not in (None, alias.name):
                    known.pop(alias.asname or alias.name, None)
    return known


def read_annotation(node: ast.expr | None, names: Mapping[str, Any]) -> Any:
    """The type that an annotation is.

    Args:
        names: as `vocabulary` gives them.

    Raises:
        NotReadable: it is written in other words.
    """
    if node is None:
        return Any
    try:
        return _read(node, names)
    except (KeyError, TypeError, ValueError, SyntaxError):
        raise NotReadable(ast.unparse(node)) from None


def _read(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return names[name]
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return _read(ast.parse(text, mode="eval").body, names)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _read(left, names) | _read(right, names)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return names[name][_arguments(names[name], items, names)]
    raise ValueError


def _arguments(origin: Any, items: list[ast.expr], names: Mapping[str, Any]) -> Any:
    """What stands in the brackets of a type: values, a type and its ranges, or types."""
    if origin is Literal:
        read = tuple(ast.literal_eval(item) for item in items)
    elif origin is Annotated:
        read = (_read(items[0], names), *(_mark(item, names) for item in items[1:]))
    else:
        read = tuple(... if _is_ellipsis(i) else _read(i, names) for i in items)
    return read if len(read) > 1 else read[0]


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _mark(node: ast.expr, names: Mapping[str, Any]) -> Range | Idle:
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in RANGES:
            return names[name](*(ast.literal_eval(a) for a in args))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=named) if (
            name in MARKS.keys() - RANGES
        ):
            values = {str(k.arg): ast.literal_eval(k.value) for k in named}
            return names[name](*(ast.literal_eval(a) for a in args), **values)
    raise ValueError


def ranges_of(kind: Any) -> tuple[Any, tuple[Range, ...]]:
    """A type without its ranges, and these."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *rest = get_args(kind)
    return base, tuple(r for r in rest if isinstance(r, Range))


def idle_marks(kind: Any) -> tuple[Idle, ...]:
    """When an option of this type has no effect."""
    if get_origin(kind) is not Annotated:
        return tuple(mark for part in _choices(kind) for mark in idle_marks(part))
    return tuple(mark for mark in get_args(kind)[1:] if isinstance(mark, Idle))


def _choices(kind: Any) -> tuple[Any, ...]:
    """The types of a union; none of any other type."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def has_ranges(kind: Any) -> bool:
    """Whether a type holds ranges anywhere."""
    return bool(ranges_of(kind)[1]) or any(map(has_ranges, get_args(kind)))


def has_choices(kind: Any) -> bool:
    """Whether a type is some words or numbers written out, or one of them."""
    kind, _ = ranges_of(kind)
    is_union = get_origin(kind) in (Union, types.UnionType)
    return get_origin(kind) is Literal or (is_union and any(map(has_choices, get_args(kind))))


def type_name(kind: Any) -> str:
    """A type as a user reads it: `int >= 1`, `list[int]`, `batch|layer|none`, `int or null`."""
    if kind is Any:
        return "any"
    if kind is None or kind is type(None):
        return "null"
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        base, ranges = ranges_of(kind)
        return " ".join([type_name(base), ", ".join(r.text for r in ranges)]).strip()
    if origin is Literal:
        return "|".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in args)
    if origin is not None and args:
        return f"{origin.__name__}[{', '.join(type_name(a) for a in args if a is not ...)}]"
    return getattr(kind, "__name__", str(kind))
