"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, on_disk: bool = True) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end, on the disk as well.

    The folder is made. After an error the partial file is removed, `path` is as it was, and an
    error of the disk that names no file names this one.

    Args:
        on_disk: wait until the disk has it; not worth its time for one of thousands of pictures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_of(path)
    try:
        yield partial
        if on_disk:
            commit(partial, path)
        else:
            os.replace(partial, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def _partial_of(path: Path) -> Path:
    """Where this thread writes a file before it has its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left of files below a folder, none of which is whole."""
    for where, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                Path(where, name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text so that a reader sees the old file or the whole new one."""
    with replacing(path) as partial:
        # Half a letter, as in the name of a file or of a class that is no UTF-8, has no encoding.
        partial.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, value: Any) -> None:
    """The same with JSON; what it does not know is written as text."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_once(path: Path, content: bytes) -> None:
    """Write a file for this user alone where there is none yet: of several processes, one's stays.

    No reader sees a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_of(path)
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(content)
        _sync(partial)
        try:
            os.link(partial, path)
        except FileExistsError:
            return
        except OSError:  # a disk without links
            os.replace(partial, path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def commit(partial: Path, path: Path) -> None:
    """Put a written file in the place of another of the same folder, and both on the disk."""
    _sync(partial)
    os.replace(partial, path)
    _sync(path.parent)


def keep(path: Path, copy: Path) -> None:
    """Make `copy` what `path` is now, in one go, without its bytes where the disk can link them."""
    partial = copy.with_name(f".{copy.name}.tmp")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(path, partial)
        except OSError:
            partial.write_bytes(path.read_bytes())
        commit(partial, copy)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the disk hold a file or a folder; some disks cannot, and some systems not a folder.

    Raises:
        OSError: it is full or broken, which some disks say only now.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
