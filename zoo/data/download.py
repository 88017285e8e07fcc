"""Downloading and reading data sets with torchvision, with clear messages for failures."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

from zoo.core.errors import ZooError
from zoo.core.network import probe

T = TypeVar("T")

STALL_SECONDS = 30.0
"""How long a download may receive no data before it is given up."""


@dataclass(frozen=True)
class Source:
    """The files of a data set and the servers that it is downloaded from.

    Args:
        name: the name of the data set in error messages.
        files: the files that exist once it has been downloaded.
        urls: one URL on each server that has it; it is enough if one of them answers. Proxies
            named in the environment are used.
        instead: an alternative that error messages suggest; empty for none.
    """

    name: str
    files: Sequence[Path]
    urls: Sequence[str]
    instead: str = ""

    def fetch(self, download: Callable[[], Any]) -> None:
        """Run `download` if a file is missing, and fail within seconds if no server answers.

        Torchvision tries every mirror without a time limit, so a server is probed first.

        Raises:
            ZooError: a file is missing and could not be downloaded.
        """
        if self._missing() is None:
            return
        try:
            probe(self.urls)
            with _time_limit(STALL_SECONDS):
                download()
        except (OSError, RuntimeError, ImportError) as error:
            hosts = ", ".join(dict.fromkeys(urlparse(url).netloc for url in self.urls))
            failure = f", and downloading it from {hosts} failed ({_reason(error)})"
            raise self._not_there(failure) from error

    def read(self, reader: Callable[[], T]) -> T:
        """Return the result of `reader`, which reads the files.

        Raises:
            ZooError: a file is missing or damaged.
        """
        if self._missing() is not None:
            raise self._not_there("")
        try:
            return reader()
        except (ImportError, MemoryError, ZooError):
            raise
        except Exception as error:  # pickle, idx and mat files raise errors of many types
            raise ZooError(
                f"{self.name} in {self.files[0].parent} cannot be read ({_reason(error)}): a file "
                "is damaged or incomplete; delete the files there to have them downloaded again."
            ) from error

    def _missing(self) -> Path | None:
        return next((file for file in self.files if not file.exists()), None)

    def _not_there(self, failure: str) -> ZooError:
        instead = f", or use {self.instead}" if self.instead else ""
        return ZooError(
            f"{self.name} was not found: {self._missing()} does not exist{failure}; put it there "
            f"or name the folder that holds your data sets with data_dir=PATH{instead}"
        )


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
