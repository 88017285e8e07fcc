"""Atomic file writes: a file is complete or missing, even if the writing process is killed."""

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
    """Yield a temporary path to write to; on success, that file replaces `path` atomically.

    The folder is created if necessary. After an error, the temporary file is removed and `path` is
    unchanged. An `OSError` without a file name is raised again with that of `path`.

    Args:
        path: The file to replace.
        on_disk: Whether to wait until the data are on the disk; not worth the time for one of
            thousands of images.
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
    """Return the temporary path to which this thread writes before replacing `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")


def remove_partials(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder and its subfolders."""
    for where, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                Path(where, name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as partial:
        # Names that are not valid UTF-8 contain lone surrogates, which cannot be encoded.
        partial.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; values that JSON does not support are written as strings."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_once(path: Path, content: bytes) -> None:
    """Write a file, readable by this user only, unless it exists already.

    The write is atomic: if several processes try it, the file of the first one stays.
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
        except OSError:  # the file system has no hard links
            os.replace(partial, path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def commit(partial: Path, path: Path) -> None:
    """Replace `path` by a finished file in the same folder, and flush both to the disk."""
    _sync(partial)
    os.replace(partial, path)
    _sync(path.parent)


def keep(path: Path, copy: Path) -> None:
    """Make `copy` an atomic copy of `path`: a hard link if the file system supports it."""
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
    """Flush a file or a folder to the disk, where the file system supports it.

    Raises:
        OSError: The disk is full or broken, which some disks report only now.
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
