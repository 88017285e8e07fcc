"""What the registry knows about a part without importing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError
from zoo.registry.importing import import_object, place_of, reason_of
from zoo.registry.kinds import KINDS
from zoo.registry.signature import Parameter


@dataclass
class Part:
    """A part as the registry describes it.

    Attributes:
        kind: the name of its kind, such as `generator`.
        name: the name under which it is registered.
        qualname: the qualified name of its class or function within the module.
        module: the module's dotted name.
        file: the source file; None for a part defined in an interactive session.
        source: where it comes from: `zoo`, a plugin's path, or `package NAME`.
        parameters: all parameters of its signature.
        summary: the first line of its docstring.
        paper: the papers that its docstring names; empty without any.
        shares_target: whether another part of its kind has the same class, as parts that are
            registered in a loop may have, so that its `_target_` ends with its name.
    """

    kind: str
    name: str
    qualname: str
    module: str
    file: Path | None
    source: str
    parameters: tuple[Parameter, ...]
    summary: str = ""
    paper: str = ""
    shares_target: bool = False
    _live: Any = field(default=None, repr=False, compare=False)

    @property
    def target(self) -> str:
        """The part's `_target_` in a configuration: its import path, and its name if needed."""
        target = f"{self.module}.{self.qualname}"
        return f"{target}:{self.name}" if self.shares_target else target

    @property
    def options(self) -> tuple[Parameter, ...]:
        """The parameters that a user may set; the builder supplies the others."""
        filled = KINDS[self.kind].filled
        return tuple(p for p in self.parameters if p.name not in filled)

    def takes(self, name: str) -> bool:
        """Whether its signature has a parameter of this name."""
        return any(p.name == name for p in self.parameters)

    @property
    def origin(self) -> tuple[str, str, Path | None]:
        """The module, qualified name and file, which differ between parts of the same name."""
        return self.module, self.qualname, self.file and self.file.resolve()

    def load(self) -> Any:
        """Return the class or function itself; its file is imported on first use.

        Raises:
            ZooError: the file cannot be imported; the message names the file and the reason.
        """
        if self._live is None:
            assert self.file is not None
            try:
                self._live = import_object(self.module, self.file, self.qualname)
            except (Exception, SystemExit) as error:
                if self.source == "zoo":
                    raise
                raise ZooError(
                    f"{self.kind} {self.name!r} cannot be used, because "
                    f"{place_of(self.file, error)} cannot be imported: {reason_of(error)}"
                ) from error
        return self._live


class DuplicateError(ZooError):
    """Raised when two parts of one kind have the same name."""
