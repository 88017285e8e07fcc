"""The source that a place stands for."""

from __future__ import annotations

from pathlib import Path

from zoo.data.layout import FILES
from zoo.data.pictures import SUFFIXES
from zoo.data.sources.archive import ZipArchive
from zoo.data.sources.arrays import Arrays
from zoo.data.sources.base import Source
from zoo.data.sources.folder import Folder
from zoo.data.sources.huggingface import PREFIX, HuggingFace, is_saved
from zoo.data.sources.shards import Shards, shards_of

BY_ENDING = {".zip": ZipArchive, ".npz": Arrays}


def is_source(place: str) -> bool:
    """Whether a place is there, or would be looked for on the Hub."""
    path = Path(place).expanduser()
    return place.startswith(PREFIX) or path.exists() or bool(shards_of(path))


def located(place: str, data_dir: Path) -> str:
    """A place as an absolute path: from the working directory where it is there, else `data_dir`.

    A data set of the Hub stays as it is.
    """
    if place.startswith(PREFIX):
        return place
    named = Path(place).expanduser()
    here = place and (named.is_absolute() or named.exists() or _are_there(named))
    return str(named.resolve() if here else data_dir / named)


def open_source(place: str, labels: str = "auto") -> Source:
    """The pictures of a place.

    Args:
        place: a folder of picture files, of shards, or of `save_to_disk`; a .zip, .npz or .tar
            file; a pattern of shards; `hf:OWNER/NAME`.
        labels: the column of classes where a source has columns; a file of labels is none.

    Raises:
        ZooError: there is no such place, or no pictures in it.
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


def _are_there(pattern: Path) -> bool:
    return any(file.is_file() for file in shards_of(pattern))


def _has_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in SUFFIXES for file in folder.iterdir())
