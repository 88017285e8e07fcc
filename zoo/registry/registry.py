"""The registry: every part by kind and name, found without importing it.

A part is a class (or function) under one decorator, `@generator("dcgan")`. Its signature is its
configuration, its docstring its entry in `task=list`. The registry is also the allow-list:
`create` is the only way from a name or a `_target_` to an object, and it knows nothing else.

Sources, in this order: `zoo/`, files and packages in `plugins/` and in the folders named by the
environment variable `ZOO_PLUGINS`, pip packages with the entry-point group `zoo.plugins`.
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

from zoo.core.errors import ZooError, ZooWarning, listing, suggest
from zoo.registry.calls import held_to_annotations
from zoo.registry.hooks import misspelt, root_of
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
    """Parts by kind and name, with the problems met while looking for them."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], Part] = {}
        self.problems: list[tuple[str, str]] = []
        self._scanned = False
        self._lock = threading.RLock()

    def scan(self, strict: bool = True) -> None:
        """Find the parts of every source, once.

        Args:
            strict: refuse two parts of one name; otherwise the second one becomes a problem, for
                what only prints.

        Raises:
            DuplicateError: see `strict`.
        """
        with self._lock:
            if self._scanned:
                return
            self._scanned = True  # before the files that have to be imported, which look parts up
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
        """Enter a part.

        Raises:
            DuplicateError: another part has its kind and name; the sentence shows both.
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
        """The parts entered so far, without looking for more."""
        return list(self._parts.values())

    def forget(self, file: Path) -> None:
        """Leave out the parts of a file that failed half-way."""
        self._parts = {k: p for k, p in self._parts.items() if p.file != file}

    def get(self, kind: str, name: str) -> Part:
        """The part of that kind and name (or `_target_`).

        Raises:
            ZooError: there is none; the sentence lists the choices.
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
        """All parts (of one kind), sorted by kind and name."""
        self.scan()
        found = [p for p in self.known() if kind in (None, p.kind)]
        order = list(KINDS)
        return sorted(found, key=lambda p: (order.index(p.kind), p.name))

    def having(self, kind: str, wanted: Callable[[Any], bool]) -> list[Part]:
        """The parts of a kind whose class is as wanted; those that cannot be imported are not."""
        found = []
        for part in self.parts(kind):
            try:
                live = part.load()
            except ZooError:
                continue
            if wanted(live):
                found.append(part)
        return found

    def enter_live(self, kind: str, name: str, live: Any) -> None:
        """What a decorator does when its file is executed."""
        known = self._parts.get((kind, name))
        made = describe(kind, name, live)
        for wrong, right in misspelt(live, check_kind(kind).base):
            warnings.warn(
                f"{check_kind(kind).called} {name!r} ({made.source}) has {wrong!r}, which nothing "
                f"looks at: did you mean {right!r}? (A helper's name begins with an underscore.)",
                ZooWarning,
                stacklevel=3,
            )
        if isinstance(live, type):
            guard(live, made.parameters, f"{check_kind(kind).called} {name}: ")
        if known and known.origin == made.origin:
            known._live = live
            if known.module == "__main__":  # a notebook's cell may have changed the signature
                known.parameters = made.parameters
            return
        self.add(made)


def discover(registry: Registry) -> Iterator[tuple[str, DuplicateError]]:
    """Enter the parts of every source into `registry`; what cannot be read becomes a problem.

    Yields:
        The files left out for a part whose name is taken, with the sentence about it.
    """
    for file, module, source in candidates(registry.problems):
        yield from _read(registry, file, module, source)


def _read(
    registry: Registry, file: Path, module: str, source: str
) -> Iterator[tuple[str, DuplicateError]]:
    try:
        try:
            found = list(read_parts(file, module, source))
        except NotReadable:
            import_module(module, file)
            found = [p for p in registry.known() if p.module == module]
            for part in found:
                part.source = source
        for part in found:
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
    """What registers a part of `kind`: `@loss("hinge")` above its class."""

    def named(name: str) -> Callable[[T], T]:
        def register(part: T) -> T:
            REGISTRY.enter_live(kind, name, part)
            return part

        return register

    named.__name__ = named.__qualname__ = kind
    named.__doc__ = f"Register a {kind} under `name`; its signature becomes its configuration."
    return named


class Factory(functools.partial):
    """A part with its options, ready to be called with what the builder fills in."""

    part: Part
    spec: dict[str, Any]
    latent: Any = None  # what a head is told of the generator's latents

    def __call__(self, /, **filled: Any) -> Any:
        return _make(self.part, {**self.keywords, **filled})


@held_to_annotations("zoo.factory")
def factory(kind: str, name: str, /, **options: Any) -> Factory:
    """A callable that makes the part; keywords given to it later are added to `options`.

    Raises:
        ZooError: no such part, or an option that it does not have or cannot take.
    """
    part = REGISTRY.get(kind, name)
    known = tuple(p for p in part.parameters if not p.required or p.name in options)
    checked = bind(known, options, f"{check_kind(kind).called} {part.name!r}")
    made = Factory(part.load(), **checked)
    made.part = part
    made.spec = {"name": part.name, "options": checked}
    return made


@held_to_annotations("zoo.create")
def create(kind: str, name: str, /, **options: Any) -> Any:
    """Make a part: `create("generator", "dcgan", image_size=32, channels=1, latent_dim=100)`.

    Args:
        kind: of `zoo.registry.kinds`: `generator`, `loss`, `datamodule` …
        name: the registered name, or the part's `_target_`.
        options: the arguments of its signature.

    Raises:
        ZooError: no such part, an option that it does not have or cannot take, or that others
            leave without effect, or a plugin that fails or makes something else; the sentence names
            its file.
    """
    part = REGISTRY.get(kind, name)
    check_idle(part.parameters, options, f"{check_kind(kind).called} {part.name!r}: ")
    return remake(kind, name, options)


def remake(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """Make a part as it was made before: `create`, for what a file says.

    An option without effect was let through then, and is let through now.
    """
    part = REGISTRY.get(kind, name)
    place = f"{check_kind(kind).called} {part.name!r}"
    checked = bind(part.parameters, _filled(part, dict(options), place), place)
    made = _make(part, checked)
    plain = {k: getattr(v, "spec", v) for k, v in checked.items()}
    object.__setattr__(made, "_zoo_spec", {"name": part.name, "options": plain})
    return made


def _filled(part: Part, options: dict[str, Any], place: str) -> dict[str, Any]:
    """The options, where what the builder fills in is of the types that the kind's base says.

    They are not read from a part's source, which may lie with its base.
    """
    kind = KINDS[part.kind]
    given = kind.filled & options.keys()
    live = part.load() if given else None
    base = root_of(live, kind.base) if inspect.isclass(live) else None
    if base is None:
        return options
    types = {p.name: p.type for p in from_callable(base) if p.name in given}
    return options | {n: convert(options[n], t, f"{place}: {n}", True) for n, t in types.items()}


def create_chosen(kind: str, choice: str | Mapping[str, Any], nameless: str) -> Any:
    """Make the part that a setting means: its name, or `{name: …, option: …}`.

    Args:
        nameless: the sentence where there is no name.

    Raises:
        ZooError: as `create`; or a choice without a name.
    """
    options: dict[str, Any] = {"name": choice} if isinstance(choice, str) else dict(choice)
    if not isinstance(options.get("name"), str):
        raise ZooError(nameless)
    return create(kind, options.pop("name"), **options)


def _make(part: Part, options: dict[str, Any]) -> Any:
    """Call a part, holding plugins to what its kind has to be."""
    live = part.load()
    if part.source == "zoo" or part.file is None:
        return live(**options)
    try:
        made = live(**options)
    except ZooError:
        raise
    except Exception as error:
        raise ZooError(
            f"{part.kind} {part.name!r} of {place_of(part.file, error)} failed: {reason_of(error)}"
        ) from error
    base = KINDS[part.kind].base
    if base and root_of(type(made), base) is None:
        raise ZooError(
            f"{part.kind} {part.name!r} of {part.source} makes a {type(made).__name__}, which must "
            f"derive from zoo.{base}."
        )
    return made


def spec_of(made: Any) -> dict[str, Any] | None:
    """Name and options with which `create` made this object; None for an object made otherwise."""
    return getattr(made, "_zoo_spec", None)


@overload
def list_parts(kind: str, pattern: str = "*") -> list[str]: ...


@overload
def list_parts(kind: None = None, pattern: str = "*") -> dict[str, list[str]]: ...


@held_to_annotations("zoo.list_parts")
def list_parts(kind: str | None = None, pattern: str = "*") -> list[str] | dict[str, list[str]]:
    """The names of the parts of a kind, sorted; without a kind, of all kinds by kind.

        zoo.list_parts("loss")
        zoo.list_parts("loss", "*gan*")
        zoo.list_parts(pattern="stylegan*")["generator"]

    Args:
        kind: `generator`, `loss`, `datamodule` …; None for all of them.
        pattern: of names, with the wildcards `*`, `?` and `[…]`.

    Raises:
        ZooError: no such kind.
    """
    if kind is None:
        return {k: list_parts(k, pattern) for k in KINDS}
    check_kind(kind)
    return [p.name for p in REGISTRY.parts(kind) if fnmatch.fnmatchcase(p.name, pattern)]
