"""Data sets of Hugging Face's library `datasets`, from disk or from the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError, listing, suggest
from zoo.core.extras import require
from zoo.core.network import reachable
from zoo.data.finding import Picture
from zoo.data.layout import LABEL_COLUMNS, SPLIT_FOLDERS
from zoo.data.pictures import Content
from zoo.data.sources.base import Source
from zoo.data.sources.saved import check_saved

PREFIX = "hf:"
HUB = "https://huggingface.co"
SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes: the first for several splits, the second for a single one."""
TOGETHER = 64
"""The number of rows that are read at a time."""


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return any((folder / name).is_file() for name in SAVED)


class HuggingFace(Source):
    """The pictures of a data set that `save_to_disk` wrote, or of one on the Hub.

    Pictures come from the first column of images. Classes are those of a `ClassLabel` column, in
    its order, or else the values of a column called `label` or the like (see `LABEL_COLUMNS`).

    Args:
        place: the folder, or `hf:OWNER/NAME`, optionally followed by `/CONFIGURATION` and
            `@REVISION`.
        labels: the name of the class column; "auto" to find it, "none" for no classes.

    Raises:
        ZooError: the data set cannot be loaded, or has no images or no such column.
    """

    has_columns = True

    def __init__(self, place: str, labels: str = "auto") -> None:
        if place.startswith(PREFIX) and not reachable(os.environ.get("HF_ENDPOINT", HUB)):
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # avoids half a minute of retries
        require("datasets", f"{place}, a Hugging Face data set,", "datasets")
        import datasets

        loaded = _load(place)
        parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
        # Drop parts that are no splits, such as "unsupervised".
        if any(str(name).casefold() in SPLIT_FOLDERS for name in parts):
            parts = {k: v for k, v in parts.items() if str(k).casefold() in SPLIT_FOLDERS}
        features = next(iter(parts.values())).features
        images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        if not images:
            raise ZooError(
                f"{place} has no column of images: its columns are "
                f"{listing(f'{name} ({_kind(kind)})' for name, kind in features.items())}, but one "
                "must have the type datasets.Image."
            )
        self.column = images[0]
        self.parts = {
            str(name): part.cast_column(self.column, datasets.Image(decode=False))
            for name, part in parts.items()
        }
        changed = _changed(parts)
        pictures = [
            Picture(f"{name}/{row:08}", *changed)
            for name, part in self.parts.items()
            for row in range(len(part))
        ]
        super().__init__(place, pictures)
        column = _label_column(place, features, labels)
        if column is not None:
            kind = features[column]
            if isinstance(kind, datasets.ClassLabel):
                self.class_names = list(kind.names)
            self.classes = [
                self._class_of(place, column, value)
                for part in self.parts.values()
                for value in part.with_format(None).select_columns(column)[column]
            ]

    def _class_of(self, place: str, column: str, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ZooError(
                f"{place}: the column {column!r} has the value {value!r}, but classes are whole "
                "numbers or names: choose a column with datamodule.labels=COLUMN, or labels=none"
            )
        if self.class_names is None or isinstance(value, str):
            return str(value)
        if value >= len(self.class_names):
            raise ZooError(
                f"{place} has the class {value} in its column {column!r}, but the column's "
                f"{len(self.class_names)} classes are numbered from 0."
            )
        return self.class_names[value] if value >= 0 else None  # -1 marks test rows without labels

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        first = 0
        for part in self.parts.values():
            own = [row - first for row in rows if first <= row < first + len(part)]
            for at in range(0, len(own), TOGETHER):
                for value in part[own[at : at + TOGETHER]][self.column]:
                    yield self._content(value)
            first += len(part)

    def _content(self, value: dict[str, Any] | None) -> Content:
        """Return a picture, whose bytes the row holds or whose file it names.

        A data set in a folder may only name files within that folder.
        """
        if value is None or (value.get("bytes") is None and value.get("path") is None):
            return ValueError("the row has no picture")
        if value.get("bytes") is not None:
            return value["bytes"]
        path = Path(value["path"])
        is_inside = self.place.startswith(PREFIX) or path.resolve().is_relative_to(
            Path(self.place).resolve()
        )
        if not is_inside:
            return ValueError("the row names a file outside the data set")
        return str(path)


def _load(place: str) -> Any:
    import datasets

    try:
        if not place.startswith(PREFIX):
            check_saved(Path(place))
            return _whole(datasets.load_from_disk(place))
        name, _, revision = place.removeprefix(PREFIX).partition("@")
        owner, _, rest = name.partition("/")
        title, _, config = rest.partition("/")
        path = f"{owner}/{title}" if title else owner
        return datasets.load_dataset(path, config or None, revision=revision or None)
    except ZooError:
        raise
    except Exception as error:  # the library raises many types, and so does the network
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        hint = (
            "without a network connection, it must have been loaded on this machine before, or be "
            "a folder written by save_to_disk"
            if place.startswith(PREFIX)
            else "the folder must have been written by save_to_disk"
        )
        raise ZooError(
            f"{place} cannot be loaded as a Hugging Face data set "
            f"({lines[0] if lines else type(error).__name__}): {hint}."
        ) from error


def _whole(loaded: Any) -> Any:
    """Return a saved data set after validating its tables, which come from an untrusted file.

    Raises:
        ValueError: a table is invalid, for instance because its offsets lead out of it.
    """
    for part in loaded.values() if isinstance(loaded, dict) else [loaded]:
        part.data.validate(full=True)
    return loaded


def _changed(parts: Any) -> tuple[int, int]:
    """Return the total size and latest modification time of the files, to detect changes."""
    stats = [
        os.stat(entry["filename"]) for part in parts.values() for entry in part.cache_files or []
    ]
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def _label_column(place: str, features: Any, labels: str) -> str | None:
    if labels == "none":
        return None
    if labels != "auto":
        if labels not in features:
            raise ZooError(
                f"{place} has no column {labels!r} for datamodule.labels: its columns are "
                f"{listing(features)}.{suggest(labels, features)}"
            )
        return labels
    import datasets

    kinds = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    named = [name for name in features if name.casefold() in LABEL_COLUMNS]
    both = [name for name in named if name in kinds]
    return next(iter([*both, *kinds, *named]), None)


def _kind(kind: Any) -> str:
    return getattr(kind, "dtype", None) or type(kind).__name__
