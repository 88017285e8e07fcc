"""Data sets that torchvision downloads and reads, with errors in words where that fails."""

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
"""How long a running download may stand still."""


@dataclass(frozen=True)
class Source:
    """Where a data set lies and where it comes from.

    Args:
        name: what it is called in errors.
        files: what there is once it is there.
        urls: on the servers that have it; one that answers is enough. Proxies named in the
            environment are used.
        instead: what works without this data set.
    """

    name: str
    files: Sequence[Path]
    urls: Sequence[str]
    instead: str = ""

    def fetch(self, download: Callable[[], Any]) -> None:
        """Run `download` where a file is missing, and fail in seconds where it cannot work.

        Torchvision's own download tries every mirror without a time limit; so a server has to
        answer first.

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
        """The result of `reader`, which reads the files.

        Raises:
            ZooError: a file is missing or damaged.
        """
        if self._missing() is not None:
            raise self._not_there("")
        try:
            return reader()
        except (ImportError, MemoryError, ZooError):
            raise
        except Exception as error:  # pickles, idx and mat files each fail in their own ways
            raise ZooError(
                f"{self.name} in {self.files[0].parent} cannot be read ({_reason(error)}): a file "
                "is damaged or incomplete; delete its files there, so that they are downloaded "
                "again."
            ) from error

    def _missing(self) -> Path | None:
        return next((file for file in self.files if not file.exists()), None)

    def _not_there(self, failure: str) -> ZooError:
        instead = f", or use {self.instead}" if self.instead else ""
        return ZooError(
            f"{self.name} is not there: {self._missing()} does not exist{failure}; put it there or "
            f"name the folder of data sets with data_dir=PATH{instead}"
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
