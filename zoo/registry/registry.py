"""The registry of parts: find them by kind and name, and create them.

A part is a class or function with a decorator, such as `@generator("dcgan")`. Its signature defines
its options, and its docstring is its entry in `task=list`. The registry is also the allow-list of
the project: names and `_target_`s become objects only through `create`, which accepts registered
parts and nothing else.

Parts are searched in this order: in `zoo/`; in the files and packages of `plugins/` and of the
folders in the environment variable `ZOO_PLUGINS`; in pip packages with the entry-point group
`zoo.plugins`.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from zoo.core.errors import ZooError, ZooWarning, listing, suggest, with_article
from zoo.registry.calls import held_to_annotations
from zoo.registry.hooks import misspelt, root_of, unfit
from zoo.registry.importing import import_module, place_of, reason_of
from zoo.registry.kinds import KINDS, check_kind
from zoo.registry.part import DuplicateError, Part
from zoo.registry.places import candidates, relative
from zoo.registry.signature import (
    NotReadable,
    bind,
    check_idle,
    convert,
    from_callable,
    guard,
)
from zoo.registry.source import describe, read_parts

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """All parts by kind and name, with the problems that occurred while searching for them."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], Part] = {}
        self.problems: list[tuple[str, str]] = []
        self._scanned = False
        self._lock = threading.RLock()

    def scan(self, strict: bool = True) -> None:
        """Search all sources for parts, once.

        Args:
            strict: whether to raise an error if two parts of one kind have the same name; otherwise
                the second one is recorded as a problem, which suits commands that only print.

        Raises:
            DuplicateError: two parts have the same name, and `strict` is true.
        """
        with self._lock:
            if self._scanned:
                return
            self._scanned = True  # set first, because files imported by the search look up parts
            self.problems.clear()
            try:
                for place, twin in discover(self):
                    if strict:
                        raise twin
                    self.problems.append((place, str(twin)))
            except BaseException:
                self._scanned = False
                raise

    def add(self, part: Part) -> None:
        """Add a part.

        Raises:
            DuplicateError: another part has its kind and name; the message shows both.
        """
        known = self._parts.get((part.kind, part.name))
        if known and known.origin != part.origin:
            raise DuplicateError(
                f"two parts are called {part.kind} {part.name!r}: {known.target} "
                f"({known.file or known.source}) and {part.target} ({part.file or part.source}); "
                "rename one."
            )
        part.shares_target = False
        part.shares_target = any(
            p.name != part.name and p.target == part.target for p in self._parts.values()
        )
        self._parts[part.kind, part.name] = part

    def known(self) -> list[Part]:
        """Return the parts added so far, without searching for more."""
        return list(self._parts.values())

    def forget(self, file: Path) -> None:
        """Remove the parts of a file that could not be read completely."""
        self._parts = {k: p for k, p in self._parts.items() if p.file != file}

    def get(self, kind: str, name: str) -> Part:
        """Return the part with a given kind and name (or `_target_`).

        Raises:
            ZooError: there is none; the message lists the choices.
        """
        called = check_kind(kind).called
        self.scan()
        part = self._parts.get((kind, name))
        if part is None and "." in str(name):
            part = next((p for p in self.parts(kind) if p.target == name), None)
        if part is not None:
            return part
        names = [p.name for p in self.parts(kind)]
        if "." in str(name):
            raise ZooError(
                f"{name!r} is not a registered {called}, so it is not instantiated; "
                f"registered are: {listing(p.target for p in self.parts(kind))}."
            )
        broken = "".join(f" (Broken plugin {file}: {why})" for file, why in self.problems)
        raise ZooError(
            f"there is no {called} {name!r}.{suggest(name, names)} "
            f"Choices: {listing(names)}.{broken}"
        )

    def parts(self, kind: str | None = None) -> list[Part]:
        """Return all parts, or those of one kind, sorted by kind and name."""
        self.scan()
        parts = [p for p in self.known() if kind in (None, p.kind)]
        order = list(KINDS)
        return sorted(parts, key=lambda p: (order.index(p.kind), p.name))

    def having(self, kind: str, wanted: Callable[[Any], bool]) -> list[Part]:
        """Return the parts of a kind for whose class `wanted` is true.

        Parts that cannot be imported are left out.
        """
        matches = []
        for part in self.parts(kind):
            try:
                live = part.load()
            except ZooError:
                continue
            if wanted(live):
                matches.append(part)
        return matches

    def enter_live(self, kind: str, name: str, live: Any) -> None:
        """Add a class or function, or attach it to its part; the decorators call this."""
        known = self._parts.get((kind, name))
        part = describe(kind, name, live)
        for wrong, right in misspelt(live, check_kind(kind).base):
            warnings.warn(
                f"{check_kind(kind).called} {name!r} ({part.source}) has {wrong!r}, which is never "
                f"used: did you mean {right!r}? (Begin the name of a helper with an underscore.)",
                ZooWarning,
                stacklevel=3,
            )
        for wrong, right in unfit(live, check_kind(kind).base):
            raise ZooError(
                f"{check_kind(kind).called} {name!r} ({part.source}) defines {wrong}, which cannot "
                f"be called as {right}."
            )
        if isinstance(live, type):
            guard(live, part.parameters, f"{check_kind(kind).called} {name}: ")
        if known and known.origin == part.origin:
            known._live = live
            if known.module == "__main__":  # a notebook's cell may have changed the signature
                known.parameters = part.parameters
            return
        self.add(part)


def discover(registry: Registry) -> Iterator[tuple[str, DuplicateError]]:
    """Add the parts of all sources to `registry`; files that cannot be read become problems.

    Yields:
        The files left out because the name of a part is taken, with the error.
    """
    for file, module, source in candidates(registry.problems):
        yield from _read(registry, file, module, source)


def _read(
    registry: Registry, file: Path, module: str, source: str
) -> Iterator[tuple[str, DuplicateError]]:
    """Add the parts of one file, as `discover` does; it is imported if its source is not enough."""
    try:
        try:
            parts = list(read_parts(file, module, source))
        except NotReadable:
            import_module(module, file)
            parts = [p for p in registry.known() if p.module == module]
            for part in parts:
                part.source = source
        for part in parts:
            registry.add(part)
    except DuplicateError as twin:
        registry.forget(file)
        yield relative(file), twin
    except (Exception, SystemExit) as error:
        if source == "zoo":
            raise
        registry.forget(file)
        registry.problems.append((place_of(file, error), reason_of(error)))


REGISTRY = Registry()


@functools.cache
def decorator(kind: str) -> Callable[[str], Callable[[T], T]]:
    """Return the decorator that registers a part of `kind`, such as `@loss("hinge")`."""

    def named(name: str) -> Callable[[T], T]:
        def register(part: T) -> T:
            REGISTRY.enter_live(kind, name, part)
            return part

        return register

    named.__name__ = named.__qualname__ = kind
    named.__doc__ = (
        f"Register {with_article(kind)} under `name`; its signature becomes its configuration."
    )
    return named


class Factory(functools.partial):
    """A part with its options, to be called with the arguments that the builder supplies."""

    part: Part
    spec: dict[str, Any]
    latent: Any = None  # the generator's latents, for a head that needs them

    def __call__(self, /, **filled: Any) -> Any:
        return _make(self.part, {**self.keywords, **filled})


@held_to_annotations("zoo.factory")
def factory(kind: str, name: str, /, **options: Any) -> Factory:
    """Return a callable that creates the part; its keyword arguments are added to `options`.

    Raises:
        ZooError: there is no such part, or it does not accept one of the options.
    """
    part = REGISTRY.get(kind, name)
    parameters = tuple(p for p in part.parameters if not p.required or p.name in options)
    checked = bind(parameters, options, f"{check_kind(kind).called} {part.name!r}")
    result = Factory(part.load(), **checked)
    result.part = part
    result.spec = {"name": part.name, "options": checked}
    return result


@held_to_annotations("zoo.create")
def create(kind: str, name: str, /, **options: Any) -> Any:
    """Create a part: `create("generator", "dcgan", image_size=32, channels=1, latent_dim=100)`.

    Args:
        kind: the kind of part: `generator`, `loss`, `datamodule` …
        name: the registered name, or the part's `_target_`.
        options: the arguments of its signature.

    Raises:
        ZooError: there is no such part; it does not accept an option, or the option has no effect
            because of others; or a plugin fails or returns something else, in which case the
            message names its file.
    """
    part = REGISTRY.get(kind, name)
    check_idle(part.parameters, options, f"{check_kind(kind).called} {part.name!r}: ")
    return remake(kind, name, options)


def remake(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """Create a part from options in a file, such as a checkpoint.

    Unlike `create`, it accepts options without effect, because earlier versions wrote them.
    """
    part = REGISTRY.get(kind, name)
    place = f"{check_kind(kind).called} {part.name!r}"
    checked = bind(part.parameters, _convert_filled(part, dict(options), place), place)
    made = _make(part, checked)
    plain = {k: getattr(v, "spec", v) for k, v in checked.items()}
    object.__setattr__(made, "_zoo_spec", {"name": part.name, "options": plain})
    return made


def _convert_filled(part: Part, options: dict[str, Any], place: str) -> dict[str, Any]:
    """Convert the arguments that the builder supplies to the types in the kind's base class.

    Their types are not read from the part's source, since a part may inherit them.
    """
    kind = KINDS[part.kind]
    supplied = kind.filled & options.keys()
    live = part.load() if supplied else None
    base = root_of(live, kind.base) if inspect.isclass(live) else None
    if base is None:
        return options
    types = {p.name: p.type for p in from_callable(base) if p.name in supplied}
    return options | {n: convert(options[n], t, f"{place}: {n}", True) for n, t in types.items()}


def create_chosen(kind: str, choice: str | Mapping[str, Any], nameless: str) -> Any:
    """Create the part that a setting chooses: by its name, or as `{name: …, option: …}`.

    Args:
        kind: the kind of part.
        choice: the setting.
        nameless: the error message for a setting without a name.

    Raises:
        ZooError: the setting has no name, or `create` raises it.
    """
    options: dict[str, Any] = {"name": choice} if isinstance(choice, str) else dict(choice)
    if not isinstance(options.get("name"), str):
        raise ZooError(nameless)
    return create(kind, options.pop("name"), **options)


def _make(part: Part, options: dict[str, Any]) -> Any:
    """Call a part, and check for plugins that the result derives from the kind's base class."""
    live = part.load()
    if part.source == "zoo" or part.file is None:
        return live(**options)
    try:
        made = live(**options)
    except ZooError:
        raise
    except Exception as error:
        raise ZooError(
            f"{part.kind} {part.name!r} in {place_of(part.file, error)} failed: {reason_of(error)}"
        ) from error
    base = KINDS[part.kind].base
    if base and root_of(type(made), base) is None:
        raise ZooError(
            f"{part.kind} {part.name!r} in {part.source} returns "
            f"{with_article(type(made).__name__)}, which must derive from zoo.{base}."
        )
    return made


def spec_of(made: Any) -> dict[str, Any] | None:
    """Return the name and options with which `create` made an object; None for other objects."""
    return getattr(made, "_zoo_spec", None)


def name_of(made: Any) -> str:
    """Return the name under which a part's class is registered, or else the name of the class.

    Args:
        made: a part, made by `create` or by its class.
    """
    spec = spec_of(made)
    if spec is not None:
        return str(spec["name"])
    target = f"{type(made).__module__}.{type(made).__qualname__}"
    registered = (part.name for part in REGISTRY.parts() if part.target == target)
    return next(registered, type(made).__name__)


@overload
def list_parts(kind: str, pattern: str = "*") -> list[str]: ...


@overload
def list_parts(kind: None = None, pattern: str = "*") -> dict[str, list[str]]: ...


@held_to_annotations("zoo.list_parts")
def list_parts(kind: str | None = None, pattern: str = "*") -> list[str] | dict[str, list[str]]:
    """Return the sorted names of the parts of a kind, or a dictionary with those of all kinds.

        zoo.list_parts("loss")
        zoo.list_parts("loss", "*gan*")
        zoo.list_parts(pattern="stylegan*")["generator"]

    Args:
        kind: `generator`, `loss`, `datamodule` …; None for all of them.
        pattern: a pattern for the names, with the wildcards `*`, `?` and `[…]`.

    Raises:
        ZooError: there is no such kind.
    """
    if kind is None:
        return {k: list_parts(k, pattern) for k in KINDS}
    check_kind(kind)
    return [p.name for p in REGISTRY.parts(kind) if fnmatch.fnmatchcase(p.name, pattern)]
