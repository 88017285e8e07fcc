"""One training in a folder at a time: a lock that names the process and the machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError
from zoo.core.launch import is_first

NAME = ".lock"
_FAR = 1 << 20
"""A byte beyond the text of a lock's file: on Windows a locked byte cannot be read."""
_held: list[Any] = []
"""The locks that this process holds."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; of the processes of one training, the first holds it.

    On one machine the system releases it with the process, however that ends, so that a lock left
    behind by a killed one is told apart; workers that outlive it for a while do not hold it. That
    of another machine cannot be asked.

    Raises:
        ZooError: another process writes into the folder.
    """
    if not is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    with _opened(file) as handle:
        before = _holder(handle)
        elsewhere = before.get("host") not in (None, socket.gethostname())
        if elsewhere or not _take(handle) or not _is_there(handle, file):
            advice = (
                f" If it has ended, remove {file}." if elsewhere else " Wait for it, or end it."
            )
            raise ZooError(
                f"{folder} is written by process {before.get('process', 'unknown')} on "
                f"{before.get('host', 'this machine')}, and two trainings in one folder would "
                f"spoil each other.{advice}"
            )
        handle.seek(0)
        handle.truncate()
        json.dump({"process": os.getpid(), "host": socket.gethostname()}, handle)
        handle.flush()
        _held.append(handle)
        try:
            yield
        finally:
            if handle in _held:  # which it is not in a worker
                _held.remove(handle)
                with contextlib.suppress(OSError):
                    file.unlink()


def _let_go() -> None:
    """Close the lock's file in a forked worker: the lock belongs to the process that forked it."""
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is forked
    os.register_at_fork(after_in_child=_let_go)


def _opened(file: Path) -> Any:
    """The lock's file, which is nothing else: a link would lead to a file to be written over."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        number = os.open(file, flags, 0o644)
    except OSError as error:
        raise ZooError(f"cannot lock {file}: {error.strerror or error}.") from error
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(number)
        raise ZooError(f"{file} is no lock of a training: remove it.")
    return os.fdopen(number, "r+", encoding="utf-8")


def _is_there(handle: Any, file: Path) -> bool:
    """Whether what is locked is what others would lock, and was not removed in between."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.lstat(file))
    except OSError:
        return False


def _holder(handle: Any) -> dict[str, Any]:
    handle.seek(0)
    try:
        content = json.loads(handle.read(4096))
    except ValueError:  # empty, or written at this moment
        return {}
    return content if isinstance(content, dict) else {}


def _take(handle: Any) -> bool:
    """Lock the file as the system does it: until it is closed, or the process has ended."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle.fileno(), _FAR, os.SEEK_SET)  # its text is to be read by others
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
