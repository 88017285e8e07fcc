"""What the registry knows of a part, without importing it."""

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
    """What the registry knows of a part.

    Attributes:
        module: the module's dotted name; `target` is the part's `_target_`.
        file: the source file, None for a part defined in an interactive session.
        source: `zoo`, a plugin's path, or `package NAME`.
        parameters: the whole signature; `options` is what a user may set.
        shares_target: another part of its kind has the same class (parts made in a loop), so that
            its `_target_` ends with its name.
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
        target = f"{self.module}.{self.qualname}"
        return f"{target}:{self.name}" if self.shares_target else target

    @property
    def options(self) -> tuple[Parameter, ...]:
        filled = KINDS[self.kind].filled
        return tuple(p for p in self.parameters if p.name not in filled)

    def takes(self, name: str) -> bool:
        """Whether its signature has an argument of this name."""
        return any(p.name == name for p in self.parameters)

    @property
    def origin(self) -> tuple[str, str, Path | None]:
        """What tells one part from another of the same name."""
        return self.module, self.qualname, self.file and self.file.resolve()

    def load(self) -> Any:
        """The class or function itself, importing its file on first use.

        Raises:
            ZooError: the file cannot be imported; the sentence names the file and the reason.
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
    """Two parts of one kind have one name."""
