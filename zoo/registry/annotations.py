"""Read type annotations from source code with a small vocabulary, and format types for users.

No code of the source file is evaluated. If an annotation uses names outside the vocabulary, it is
not readable, and the file has to be imported.
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
"""The functions that may follow the type in `Annotated`."""
TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict,
    "tuple": tuple, "Any": Any, "Literal": Literal, "Optional": Optional,
    "Union": Union, "Annotated": Annotated, "List": list, "Dict": dict, "Sequence": list,
}  # fmt: skip
_HOMES = ("typing", "collections.abc", "zoo", "zoo.registry", "zoo.core.errors")
"""The modules from which names of the vocabulary may be imported."""


class NotReadable(Exception):
    """Raised when source code alone does not show a signature, so the file must be imported."""


def vocabulary(module: ast.Module) -> dict[str, Any]:
    """Return the meaning of the names in a file's annotations, without those that it redefines."""
    names = {**TYPES, **MARKS}
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.pop(node.name, None)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                names.pop(name, None)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            is_home = isinstance(node, ast.ImportFrom) and node.module in _HOMES
            for alias in node.names:
                if not is_home or alias.asname not in (None, alias.name):
                    names.pop(alias.asname or alias.name, None)
    return names


def read_annotation(node: ast.expr | None, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation in the source denotes; Any without an annotation.

    Args:
        node: the annotation's syntax tree.
        names: the meaning of the names in it, as `vocabulary` returns them.

    Raises:
        NotReadable: the annotation uses other names or other syntax.
    """
    if node is None:
        return Any
    try:
        return _read(node, names)
    except (KeyError, TypeError, ValueError, SyntaxError):
        raise NotReadable(ast.unparse(node)) from None


def _read(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return the type of an annotation, or raise one of Python's errors."""
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
    """Read the arguments in a type's brackets: values, a type and its marks, or types."""
    if origin is Literal:
        arguments = tuple(ast.literal_eval(item) for item in items)
    elif origin is Annotated:
        arguments = (_read(items[0], names), *(_mark(item, names) for item in items[1:]))
    else:
        arguments = tuple(... if _is_ellipsis(i) else _read(i, names) for i in items)
    return arguments if len(arguments) > 1 else arguments[0]


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _mark(node: ast.expr, names: Mapping[str, Any]) -> Range | Idle:
    """Read a range, such as `above(0)`, or a condition, such as `idle_when(form="ratio")`."""
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
    """Separate a type from its ranges."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *rest = get_args(kind)
    return base, tuple(r for r in rest if isinstance(r, Range))


def idle_marks(kind: Any) -> tuple[Idle, ...]:
    """Return the conditions under which an option of this type has no effect."""
    if get_origin(kind) is not Annotated:
        return tuple(mark for part in _choices(kind) for mark in idle_marks(part))
    return tuple(mark for mark in get_args(kind)[1:] if isinstance(mark, Idle))


def _choices(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; nothing for other types."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def has_ranges(kind: Any) -> bool:
    """Whether a type contains ranges at any depth."""
    return bool(ranges_of(kind)[1]) or any(map(has_ranges, get_args(kind)))


def has_choices(kind: Any) -> bool:
    """Whether a type is a `Literal`, or a union with one."""
    kind, _ = ranges_of(kind)
    is_union = get_origin(kind) in (Union, types.UnionType)
    return get_origin(kind) is Literal or (is_union and any(map(has_choices, get_args(kind))))


def type_name(kind: Any) -> str:
    """Format a type for a user: `int >= 1`, `list[int]`, `batch|layer|none`, `int or null`."""
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
