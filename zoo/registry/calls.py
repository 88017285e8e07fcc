"""Check the arguments of public functions against the functions' signatures."""

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
    """Return a decorator that checks and converts arguments by a function's annotations.

    Wrong arguments raise the same errors as on the command line. Values of the right type are
    passed on as `convert` returns them, such as an integer of NumPy as one of Python. An argument
    whose annotation is not a type is not checked.

        @held_to_annotations("zoo.load")
        def load(path: str, *, device: str = "cpu"): ...

    Args:
        called: what error messages call the function.
        place: the text before an argument's name in error messages; None for `called` and a colon.
    """
    prefix = f"{called}: " if place is None else place

    def decorate(function: F) -> F:
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
                    converted = convert(value, kinds()[name], f"{prefix}{name}", is_live=True)
                    bound.arguments[name] = converted
            check_idle(parameters(), bound.arguments, prefix)
            return function(*bound.args, **bound.kwargs)

        return call  # type: ignore[return-value]

    return decorate


def _types(function: Any) -> dict[str, Any]:
    """Return the types of a function's arguments.

    The type of the result is not evaluated, since it may exist only for type checkers.
    """

    def without_return() -> None: ...

    annotations = {k: v for k, v in function.__annotations__.items() if k != "return"}
    without_return.__annotations__ = annotations
    kinds = inspect.get_annotations(without_return, globals=function.__globals__, eval_str=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            kinds[name] = types.GenericAlias(tuple, (kinds.get(name, Any), ...))
        elif parameter.kind is parameter.VAR_KEYWORD:
            kinds.pop(name, None)
    return kinds


def _bound(
    signature: inspect.Signature, args: Sequence[Any], kwargs: dict[str, Any], called: str
) -> inspect.BoundArguments:
    """Bind the arguments to the parameters of the signature.

    Raises:
        ZooError: an argument is missing, unknown or given twice, or there are too many.
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
            reason = f"cannot be called with these arguments: {error}."
        shown = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        raise ZooError(f"{called} {reason} It takes: {str(shown)[1:-1]}.") from error
