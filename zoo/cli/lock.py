"""One training in a folder at a time: a lock that names the process and the machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; of the processes of one training, the first holds it.

    On one machine the system releases it with the process, however that ends, so that a lock left
    behind by a killed one is told apart. That of another machine cannot be asked.

    Raises:
        ZooError: another process writes into the folder.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0 or int(os.environ.get("RANK", 0)) > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    with file.open("a+", encoding="utf-8") as handle:
        before = _holder(handle)
        elsewhere = before.get("host") not in (None, socket.gethostname())
        if elsewhere or not _take(handle):
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
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink()


def _holder(handle: Any) -> dict[str, Any]:
    handle.seek(0)
    try:
        content = json.loads(handle.read(4096))
    except ValueError:  # empty, or written at this moment
        return {}
    return content if isinstance(content, dict) else {}


def _take(handle: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; a process that is there holds it
        before = _holder(handle).get("process")
        return not (isinstance(before, int) and before != os.getpid() and _runs(before))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
