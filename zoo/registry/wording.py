"""Name types and values for error messages: what is expected, and an example of it."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from zoo.core.errors import Range, in_words, listing
from zoo.registry.annotations import ranges_of, type_name


def bare(kind: Any) -> Any:
    """Return the class of a type: `int` for `Annotated[int, …]`, `list` for `list[int]`."""
    plain, _ = ranges_of(kind)
    return get_origin(plain) or plain


def article(kind: Any) -> str:
    """Name a type with its article, for error messages: `an integer or null`."""
    kind, _ = ranges_of(kind)
    if get_origin(kind) is Literal:
        return f"one of {listing(get_args(kind))}"
    if get_origin(kind) in (Union, types.UnionType):
        members = get_args(kind)
        has_float = float in map(bare, members)  # of which an integer is one
        return " or ".join(article(m) for m in members if not (has_float and bare(m) is int))
    nouns = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    nouns |= {list: "a list", dict: "a mapping", type(None): "null"}
    if get_origin(kind) is os.PathLike:
        return "a path"
    if get_origin(kind) in (dict, Mapping):
        of = get_args(kind)[1]
        return "a mapping" if of is Any else f"a mapping of {type_name(of)}"
    if get_origin(kind) in (list, Sequence):
        return f"a list of {type_name(get_args(kind)[0])}"
    return nouns.get(kind, f"of type {type_name(kind)}")


def literals(kind: Any) -> tuple[Any, ...]:
    """Return the literal values, mostly strings, that a type has as its choices."""
    kind, _ = ranges_of(kind)
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(w for a in get_args(kind) for w in literals(a))
    return ()


def lists_strings(kind: Any) -> bool:
    """Whether a type is a list that may contain strings, or a union with one."""
    plain, _ = ranges_of(kind)
    if get_origin(plain) in (Union, types.UnionType):
        return any(map(lists_strings, get_args(plain)))
    if get_origin(plain) is not list:
        return False
    (item,) = get_args(plain)
    return str in (get_args(item) or (item,))


def example(kind: Any, default: Any, name: str) -> str:
    """Return `" For example: lr_g=0.0002"` for the error that a value does not have a type.

    Args:
        kind: the type.
        default: the option's default, which is the example if it is a number or a list.
        name: the option, as the user writes it.

    Returns:
        The sentence; empty for types other than numbers and lists of them.
    """
    members = [*_members(kind)]
    if not {plain for plain, _ in members} <= {int, float, list, tuple, type(None)}:
        return ""
    if isinstance(default, int | float | list | tuple) and not lists_strings(kind):
        return f" For example: {name}={_written(default)}"
    for plain, ranges in members:
        numbers = {int: (1, 0) if ranges else (100,), float: (0.5, 1.0)}.get(plain, ())
        for number in numbers:
            if all(number in r for r in ranges):
                return f" For example: {name}={number}"
    return ""


def _members(kind: Any, outer: tuple[Range, ...] = ()) -> Iterator[tuple[Any, tuple[Range, ...]]]:
    """Yield the class of each member of a union, or of a single type, with its ranges."""
    plain, ranges = ranges_of(kind)
    if get_origin(plain) in (Union, types.UnionType):
        for member in get_args(plain):
            yield from _members(member, (*outer, *ranges))
    else:
        yield bare(plain), (*outer, *ranges)


def _written(value: Any) -> str:
    """Write a value as on the command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return in_words(value)
