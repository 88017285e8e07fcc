"""Functions of the public API hold what they are called with to their signatures."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from zoo.core.errors import ZooError, suggest
from zoo.registry.signature import Parameter, check_idle, convert

F = TypeVar("F", bound=Callable[..., Any])


def held_to_annotations(called: str, place: str | None = None) -> Callable[[F], F]:
    """A decorator of functions: wrong arguments end in a sentence, as on the command line.

    Values of the right kind go through as `convert` gives them: an integer of numpy as Python's.
    What an annotation says in other words than types is let through.

        @held_to_annotations("zoo.load")
        def load(path: str, *, device: str = "cpu"): ...

    Args:
        called: what sentences call the function.
        place: what stands before an argument's name; None is `called` and a colon.
    """
    before = f"{called}: " if place is None else place

    def hold(function: F) -> F:
        signature = inspect.signature(function)

        @functools.cache
        def kinds() -> dict[str, Any]:
            return _types(function)

        @functools.cache
        def parameters() -> tuple[Parameter, ...]:
            return tuple(
                Parameter(n, kinds().get(n, Any), p.default)
                for n, p in signature.parameters.items()
            )

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = _bound(signature, args, kwargs, called)
            for name, value in bound.arguments.items():
                if name in kinds():
                    found = convert(value, kinds()[name], f"{before}{name}", is_live=True)
                    bound.arguments[name] = found
            check_idle(parameters(), bound.arguments, before)
            return function(*bound.args, **bound.kwargs)

        return call  # type: ignore[return-value]

    return hold


def _types(function: Any) -> dict[str, Any]:
    """The types of a function's arguments; that of its result may exist for type checkers alone."""

    def alike() -> None: ...

    alike.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != "return"}
    found = inspect.get_annotations(alike, globals=function.__globals__, eval_str=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            found[name] = types.GenericAlias(tuple, (found.get(name, Any), ...))
        elif parameter.kind is parameter.VAR_KEYWORD:
            found.pop(name, None)
    return found


def _bound(
    signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any], called: str
) -> inspect.BoundArguments:
    """The arguments by their names.

    Raises:
        ZooError: one is missing, unknown or given twice, or there are too many.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        known = [p.name for p in parameters]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        unknown = next((name for name in kwargs if name not in known and not takes_any), None)
        if unknown is not None:
            reason = f"has no argument {unknown!r}.{suggest(unknown, known)}"
        else:
            reason = f"cannot be called so: {error}."
        shown = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        raise ZooError(f"{called} {reason} It takes: {str(shown)[1:-1]}.") from error
