"""Choosing and opening the source for a path or name."""

from __future__ import annotations

from pathlib import Path

from zoo.data.finding import SUFFIXES
from zoo.data.layout import FILES
from zoo.data.sources.archive import ZipArchive
from zoo.data.sources.arrays import Arrays
from zoo.data.sources.base import Source
from zoo.data.sources.folder import Folder
from zoo.data.sources.huggingface import PREFIX, HuggingFace, is_saved
from zoo.data.sources.shards import Shards, shards_of

BY_ENDING = {".zip": ZipArchive, ".npz": Arrays}


def is_source(place: str) -> bool:
    """Whether a place exists, or names a data set on the Hub."""
    path = Path(place).expanduser()
    return place.startswith(PREFIX) or path.exists() or bool(shards_of(path))


def located(place: str, data_dir: Path) -> str:
    """Return a place as an absolute path.

    A relative path is relative to the working directory if it exists there, else to `data_dir`.
    The name of a data set on the Hub is returned unchanged.
    """
    if place.startswith(PREFIX):
        return place
    named = Path(place).expanduser()
    exists_here = place and (named.is_absolute() or named.exists() or _have_files(named))
    return str(named.resolve() if exists_here else data_dir / named)


def open_source(place: str, labels: str = "auto") -> Source:
    """Open the source of pictures at a place.

    Args:
        place: a folder of picture files or shards, or one that `save_to_disk` wrote; a .zip, .npz
            or .tar file; a pattern of shards; or `hf:OWNER/NAME`.
        labels: the column of classes in a source with columns, or "auto". The name of a label file
            selects no column.

    Raises:
        ZooError: there is no such place, or it has no pictures.
    """
    path = Path(place)
    if place.startswith(PREFIX) or is_saved(path):
        file = labels.lower().endswith(FILES)
        return HuggingFace(place, "none" if file else "auto" if labels == "folders" else labels)
    if path.is_file() and path.suffix.lower() in BY_ENDING:
        return BY_ENDING[path.suffix.lower()](path)
    if shards_of(path) and not (path.is_dir() and _has_pictures(path)):
        return Shards(path)
    return Folder(path)


def _have_files(pattern: Path) -> bool:
    return any(file.is_file() for file in shards_of(pattern))


def _has_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())
