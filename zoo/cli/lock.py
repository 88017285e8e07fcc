"""Let only one training at a time write into a folder, with a lock file that names its process."""

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
"""The offset of the locked byte, beyond the file's text: on Windows a locked byte is unreadable."""
_held: list[Any] = []
"""The files whose locks this process holds."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; among a training's processes, only the first takes it.

    The operating system releases the lock when the process ends, however it ends, so a file that a
    killed process leaves behind does not block the folder. Worker processes do not inherit the
    lock. A file that names another machine always blocks the folder, because that machine's
    processes cannot be checked from here.

    Raises:
        ZooError: another process writes into the folder, or the file cannot be locked.
    """
    if not is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    with _opened(file) as handle:
        holder = _holder(handle)
        elsewhere = holder.get("host") not in (None, socket.gethostname())
        if elsewhere or not _take(handle) or not _is_current(handle, file):
            advice = (
                f" If it has ended, remove {file}." if elsewhere else " Wait for it, or end it."
            )
            raise ZooError(
                f"{folder} is in use by process {holder.get('process', 'unknown')} on "
                f"{holder.get('host', 'this machine')}, and two trainings in one folder would "
                f"overwrite each other's files.{advice}"
            )
        handle.seek(0)
        handle.truncate()
        json.dump({"process": os.getpid(), "host": socket.gethostname()}, handle)
        handle.flush()
        _held.append(handle)
        try:
            yield
        finally:
            if handle in _held:  # not in a forked worker, which has closed it
                _held.remove(handle)
                with contextlib.suppress(OSError):
                    file.unlink()


def _close_in_worker() -> None:
    """Close the lock files in a forked worker: the locks belong to the process that forked it."""
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):  # absent on Windows, where nothing is forked
    os.register_at_fork(after_in_child=_close_in_worker)


def _opened(file: Path) -> Any:
    """Open the lock file, but no link, through which another file would be overwritten.

    Raises:
        ZooError: the file cannot be opened, or is not a regular file with a single name.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        number = os.open(file, flags, 0o644)
    except OSError as error:
        raise ZooError(f"cannot lock {file}: {error.strerror or error}.") from error
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(number)
        raise ZooError(f"{file} is not a training's lock file: remove it.")
    return os.fdopen(number, "r+", encoding="utf-8")


def _is_current(handle: Any, file: Path) -> bool:
    """Whether the open file is still the one at its path, and was not removed before the lock."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.lstat(file))
    except OSError:
        return False


def _holder(handle: Any) -> dict[str, Any]:
    """Return the process and host that the lock file names; empty without a holder."""
    handle.seek(0)
    try:
        content = json.loads(handle.read(4096))
    except ValueError:  # the file is empty, or is being written at this moment
        return {}
    return content if isinstance(content, dict) else {}


def _take(handle: Any) -> bool:
    """Lock the file until it is closed or the process ends; return whether that succeeded."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle.fileno(), _FAR, os.SEEK_SET)  # so that others can read the text
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
