"""Read the signatures of parts from source code without importing it, and check values by them.

Importing torch takes seconds, and timm takes longer. `--help` and `task=list` need only names,
types and defaults, which the source shows. A test compares these with `inspect.signature`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from zoo.core.errors import OutOfRange, ZooError, in_words, listing, suggest, with_article
from zoo.registry.annotations import (
    MARKS,
    TYPES,
    NotReadable,
    has_choices,
    has_ranges,
    idle_marks,
    ranges_of,
    read_annotation,
    type_name,
    vocabulary,
)
from zoo.registry.kinds import OPTIONLESS
from zoo.registry.wording import article, bare, example, lists_strings, literals

REQUIRED = inspect.Parameter.empty
T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a part: its name, its type and its default (`REQUIRED` without one)."""

    name: str
    type: Any = Any
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether the parameter has no default."""
        return self.default is REQUIRED

    def __str__(self) -> str:
        text = f"{self.name}: {type_name(self.type)}"
        return text if self.required else f"{text} = {self.default!r}"


def from_callable(target: Any) -> tuple[Parameter, ...]:
    """Return the parameters of a class or function object."""
    try:
        signature = inspect.signature(target, eval_str=True)
    except NameError:  # an annotation that exists only for type checkers
        signature = inspect.signature(target)
    return tuple(
        Parameter(p.name, _resolved(p.annotation), p.default)
        for p in signature.parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )


def _resolved(annotation: Any) -> Any:
    """Return an annotation as a type; a string is read as source code, and is Any if unreadable."""
    if annotation is REQUIRED:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return read_annotation(ast.Constant(annotation), {**TYPES, **MARKS})
    except NotReadable:
        return Any


def guard(target: type, parameters: tuple[Parameter, ...], place: str) -> None:
    """Make a class check the ranges and choices of its arguments, however it is instantiated.

    Its `__init__` is wrapped, unless it is inherited from a base whose `__init__` is wrapped.

    Args:
        place: the text before an option's name in error messages: `loss hinge: `.
    """
    limited = {p.name: p.type for p in parameters if has_ranges(p.type) or has_choices(p.type)}
    own = target.__init__  # type: ignore[misc]
    if not limited or hasattr(own, "guarded"):
        return
    signature = inspect.signature(own)

    @functools.wraps(own)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            arguments = signature.bind(self, *args, **kwargs).arguments
        except TypeError:
            arguments = {}  # the call below raises Python's own error
        for name, value in arguments.items():
            check_inside(value, limited.get(name, Any), f"{place}{name}")
        own(self, *args, **kwargs)

    checked.guarded = True  # type: ignore[attr-defined]
    target.__init__ = checked  # type: ignore[misc]


def held_to_signature(place: str) -> Callable[[T], T]:
    """Return a decorator that applies `guard` to a class: `@held_to_signature("ema: ")`."""

    def decorate(target: T) -> T:
        guard(target, from_callable(target), place)
        return target

    return decorate


def from_source(
    node: ast.ClassDef | ast.FunctionDef, module: ast.Module, filled: Collection[str] = ()
) -> tuple[Parameter, ...]:
    """Return the parameters of a class or function, as read from its syntax tree.

    Args:
        filled: parameters that the builder supplies; their types and defaults are not read.

    Raises:
        NotReadable: an annotation or a default is not literal, or `__init__` is in another file.
    """
    if isinstance(node, ast.FunctionDef):
        return _arguments(node.args, 0, filled, vocabulary(module))
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _arguments(item.args, 1, filled, vocabulary(module))
    bases = [b.id if isinstance(b, ast.Name) else getattr(b, "attr", "") for b in node.bases]
    for base in bases:
        for other in module.body:
            if isinstance(other, ast.ClassDef) and other.name == base:
                return from_source(other, module, filled)
    if not bases or (len(bases) == 1 and bases[0] in OPTIONLESS):
        return ()
    raise NotReadable(f"{node.name} inherits __init__ from {listing(bases)}")


def _arguments(
    args: ast.arguments, skip: int, filled: Collection[str], names: Mapping[str, Any]
) -> tuple[Parameter, ...]:
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
        else Parameter(a.arg, read_annotation(a.annotation, names), _default(d))
        for a, d in pairs
    )


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise NotReadable(ast.unparse(node)) from None


def convert(value: Any, kind: Any, place: str, is_live: bool = False) -> Any:
    """Convert `value` to the type `kind` if nothing is lost, as from int to float.

    Args:
        kind: the type; anything that is not a type accepts every value.
        place: what error messages call the value.
        is_live: whether the value comes from Python code, and may be an object of any class.

    Raises:
        ZooError: the value does not fit; the message names `place`, the type and the choices.
    """
    if kind is Any or not (isinstance(kind, type) or get_origin(kind) is not None):
        return value
    value = _plain(value)
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        plain, _ = ranges_of(kind)
        converted = convert(value, plain, place, is_live)
        check_inside(converted, kind, place)
        return converted
    if origin in (Union, types.UnionType):
        return _convert_union(value, kind, place, is_live)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise _unfit(value, kind, place)
    base = origin or kind
    if base is float and type(value) is int:
        return float(value)
    if base is float and isinstance(value, str):
        try:  # YAML reads 1e-4 as a string
            return float(value)
        except ValueError:
            raise _unfit(value, kind, place) from None
    if base in _LISTS and isinstance(value, list | tuple | range):
        item = args[0] if args else Any
        items = [convert(v, item, f"{place}[{i}]", is_live) for i, v in enumerate(value)]
        as_tuple = base is tuple or (base is Sequence and isinstance(value, tuple))
        return tuple(items) if as_tuple else items
    if base is dict and args and type(value) is dict:
        return {k: convert(v, args[1], f"{place}.{k}", is_live) for k, v in value.items()}
    if base in (int, float, str, bool, dict):
        if type(value) is base:
            return value
        if base is str and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)  # a name that consists of digits
        raise _unfit(value, kind, place)
    if base in _LISTS or (is_live and not isinstance(value, base)):
        raise _unfit(value, kind, place)
    return value


def convert_option(value: Any, option: Parameter, place: str, name: str) -> Any:
    """Convert a value of an option, as `convert` does, with an example in the error message.

    Args:
        place: what error messages call the value.
        name: the option in the example, as the user writes it.
    """
    try:
        return convert(value, option.type, place)
    except OutOfRange:
        raise
    except ZooError as error:
        raise ZooError(f"{error}{example(option.type, option.default, name)}") from None


_LISTS = (list, tuple, Sequence)


def _convert_union(value: Any, kind: Any, place: str, is_live: bool) -> Any:
    """Convert a value to the first member of a union that fits, with its own class first."""
    args = get_args(kind)
    if value is None and type(None) in args:
        return None
    choices = [a for a in args if a is not type(None)]
    exact = [a for a in choices if bare(a) is type(value)]
    out_of_range: ZooError | None = None
    for choice in [*exact, *choices]:
        try:
            return convert(value, choice, place, is_live)
        except OutOfRange as error:
            out_of_range = error
        except ZooError:
            continue
    raise out_of_range or _unfit(value, kind, place)


def _plain(value: Any) -> Any:
    """Convert numbers of NumPy to Python's."""
    if isinstance(value, bool | int) or type(value) is float:
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _unfit(value: Any, kind: Any, place: str) -> ZooError:
    """Return the error for a value that does not have the type `kind`."""
    if value is None or isinstance(value, str | int | float | list | tuple | dict):
        text = "null" if value is None else str(value)
        if not isinstance(value, str):
            text = " ".join(text.split())
        shown = f"={text if len(text) <= 200 else f'{text[:199]}…'} is"
        hint = suggest(text, literals(kind))
        if isinstance(value, str) and lists_strings(kind):
            hint = hint or f" Did you mean {place}=[{text}]?"
    else:
        shown, hint = f" is {with_article(type(value).__name__)} and", ""
    return ZooError(f"{place}{shown} not {article(kind)}.{hint}")


def check_inside(value: Any, kind: Any, place: str) -> None:
    """Check that numbers are within the ranges of a type, and strings among its choices.

    Other values pass, such as a tensor that a schedule fills.

    Raises:
        OutOfRange: a number is outside its range; the message names `place` and the range.
        ZooError: a value is not a choice; the message names `place` and the choices.
    """
    choices = literals(kind)
    if isinstance(value, str | int) and choices and not _may_be(value, kind):
        raise ZooError(f"{place}={value} is not {article(kind)}.{suggest(str(value), choices)}")
    plain, ranges = ranges_of(kind)
    if isinstance(value, Real) and any(value not in r for r in ranges):
        words = " and ".join(r.words for r in ranges)
        raise OutOfRange(f"{place}={value} must be {words}.")
    if get_origin(plain) in (list, tuple) and isinstance(value, list | tuple):
        for i, item in enumerate(value):
            check_inside(item, get_args(plain)[0], f"{place}[{i}]")
    elif get_origin(plain) is dict and isinstance(value, dict):
        for name, item in value.items():
            check_inside(item, get_args(plain)[1], f"{place}.{name}")
    elif get_origin(plain) in (Union, types.UnionType):
        for choice in get_args(plain):
            if bare(choice) in (type(value), float):
                check_inside(value, choice, place)


def _may_be(value: str | int, kind: Any) -> bool:
    """Whether a value is among the choices of a type, or the type accepts any of its class."""
    kind, _ = ranges_of(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_may_be(value, a) for a in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    plain = bare(kind)
    if plain is float:
        return not isinstance(value, str)
    return plain is Any or isinstance(value, plain)


def check_idle(parameters: Iterable[Parameter], given: Mapping[str, Any], place: str) -> None:
    """Refuse an option without effect beside the others; None and its default count as not given.

    Args:
        place: the text before an option's name in error messages: `model.regularizer.zcr.`.

    Raises:
        ZooError: the message names the option, and why it has no effect.
    """
    options = [*parameters]
    values = {p.name: None if p.required else p.default for p in options} | dict(given)
    for option in options:
        reasons = [mark.reason(values) for mark in idle_marks(option.type)]
        value = given.get(option.name)
        if any(reasons) and value is not None and not _same(value, option.default):
            raise ZooError(
                f"{place}{option.name}={in_words(value)} has no effect with "
                f"{next(filter(None, reasons))}: leave one of them out."
            )


def _same(value: Any, default: Any) -> bool:
    """Whether an option has its default value, where a list equals a tuple of the same items."""
    are_lists = isinstance(value, list | tuple) and isinstance(default, list | tuple)
    return [*value] == [*default] if are_lists else bool(value == default)


def bind(parameters: tuple[Parameter, ...], options: dict[str, Any], place: str) -> dict[str, Any]:
    """Check `options` against `parameters`, and return the converted values.

    Raises:
        ZooError: an option is unknown, missing or of a wrong type; the message begins with `place`.
    """
    known = {p.name: p for p in parameters}
    for name in options:
        if name not in known:
            raise ZooError(
                f"{place} has no option {name!r}.{suggest(name, known)} "
                f"Options of {place}: {listing(map(str, parameters))}."
            )
    missing = [p.name for p in parameters if p.required and p.name not in options]
    if missing:
        raise ZooError(f"{place} needs {listing(missing)}.")
    return {n: convert_option(v, known[n], f"{place}: {n}", n) for n, v in options.items()}
