"""Finding the picture files in a folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from PIL import features

from zoo.core.errors import ZooError, listing

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", *((".avif",) if features.check("avif") else ())),
)
"""The endings of pictures, in lower case."""
ARCHIVES = (".zip", ".npz", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""The endings of packed files, of which some can be read."""


class Picture(NamedTuple):
    """A picture file.

    Args:
        name: its path relative to the root, with forward slashes. The path of a folder that cannot
            be read ends in a slash.
        size: its size in bytes; 0 if it cannot be accessed.
        mtime_ns: its modification time in nanoseconds.
    """

    name: str
    size: int
    mtime_ns: int


def find_pictures(root: Path, others: Counter[str] | None = None) -> list[Picture]:
    """Return all picture files below `root`, sorted by name, without hidden files and folders.

    Broken links and unreadable folders are included as pictures that cannot be decoded. Anything
    that is not a regular file, such as a pipe or a device, is left out.

    Args:
        root: the folder to search.
        others: a counter to which the other files are added, by their ending (`.heic`, for
            instance).

    Raises:
        ZooError: `root` is not a folder, cannot be read, or has no pictures.
    """
    if root.is_file() and root.suffix.lower() in ARCHIVES:
        raise ZooError(
            f"{root} is an archive of a kind that cannot be read without unpacking (.zip, .npz and "
            ".tar files can): unpack it and name the folder of its pictures."
        )
    if root.is_file():
        raise ZooError(
            f"{root} is not a folder: name a folder of pictures, or a .zip, .npz or .tar file."
        )
    if not root.is_dir():
        raise ZooError(
            f"There is no folder of pictures {root}: name one with datamodule.folder=PATH"
        )
    others = Counter() if others is None else others
    pictures: list[Picture] = []
    folders = [("", str(root))]
    seen = set()
    while folders:
        prefix, folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a link to a parent folder
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as opened:
                entries = list(opened)
        except OSError as error:
            if not prefix:
                raise ZooError(
                    f"The folder of pictures {root} cannot be read ({error.strerror})."
                ) from error
            pictures.append(Picture(prefix, 0, 0))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append((f"{prefix}{entry.name}/", entry.path))
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            picture = _picture(prefix + entry.name, entry) if suffix in SUFFIXES else None
            if picture is not None:
                pictures.append(picture)
            else:
                others[suffix if _is_file(entry) else f"{suffix} (not a file)"] += 1
    if not pictures:
        present = f" It has {in_words(others)}." if others else ""
        hint = " Name the archive itself, or unpack it." if set(others) & set(ARCHIVES) else ""
        if any(root.rglob("*-ubyte*")):
            hint = (
                " Files of MNIST's format belong in data_dir/MNIST/raw (datamodule=mnist) or "
                "data_dir/FashionMNIST/raw (datamodule=fashion_mnist)."
            )
        raise ZooError(
            f"There is no picture in {root}: it and its sub-folders have no visible files ending "
            f"in {', '.join(SUFFIXES)}.{present}{hint}"
        )
    return sorted(pictures)


def in_words(others: Counter[str]) -> str:
    """Describe the files that `find_pictures` counted: `3 files ending in .heic, 1 in .txt`."""
    counts = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    endings = [f"in {suffix}" if suffix else "without an ending" for suffix, _ in counts]
    phrases = [f"{count} {ending}" for (_, count), ending in zip(counts, endings, strict=True)]
    suffix, count = counts[0]
    files = "file" if count == 1 else "files"
    first = f"{count} {files} {'ending ' if suffix else ''}{endings[0]}"
    return listing([first, *phrases[1:]])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return True


def _picture(name: str, entry: os.DirEntry[str]) -> Picture | None:
    """Return the picture file of an entry; None for a pipe or a device, where reading may block."""
    try:
        status = entry.stat()
    except OSError:
        return Picture(name, 0, 0)
    if not stat.S_ISREG(status.st_mode):
        return None
    return Picture(name, status.st_size, status.st_mtime_ns)
