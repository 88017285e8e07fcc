"""The class of each picture: as its folder says, a file of labels, or where it lies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from zoo.core.errors import ZooError
from zoo.core.foreign import read_text
from zoo.data.layout import DATASET_JSON, FILES, folders_of, labels_in, unreadable_labels
from zoo.data.sources.base import MOST_LABELS, Source


def classes_of(
    source: Source, labels: str, depth: int, skip: bool, notes: list[str]
) -> list[str | None] | None:
    """The class of each picture, None for one without; None where there are no classes.

    Args:
        source: of the pictures.
        labels: "auto", "folders", "none", or a file of labels.
        depth: the level of the folders that are classes, 0 for the first.
        skip: pictures without a class are left out; otherwise they are refused.
        notes: what is otherwise than one may think is added here.

    Raises:
        ZooError: pictures without a class, or a file that cannot be read.
    """
    if labels == "none":
        return None
    if source.classes is not None and not labels.lower().endswith(FILES):
        if labels == "folders" or not (labels == "auto" or source.has_columns):
            raise ZooError(
                f"datamodule.labels={labels}: {source.place} says the class of each picture "
                "itself, for which labels is auto; otherwise it is none, or a .csv or .json file."
            )
        return _complete(source, source.classes, "its labels", skip, notes)
    file, text = _label_file(source, labels)
    if text is not None:
        _count_out(source, file)
        found = labels_in(text, file, [picture.name for picture in source.pictures])
        if found is None:
            notes.append(f"{file} has no labels: the pictures are without classes.")
            return None
        return _complete(source, found, file, skip, notes)
    if not source.has_folders:
        if labels == "folders":
            raise ZooError(
                f"datamodule.labels=folders: {source.place} has no folders of classes, nor other "
                "labels: a file of labels is read with datamodule.labels=FILE"
            )
        notes.append(
            f"the pictures in {source.place} are without labels; a file of labels is read with "
            "datamodule.labels=FILE"
        )
        return None
    classes = folders_of([picture.name for picture in source.pictures], depth)
    loose = [row for row, c in enumerate(classes) if c is None]
    if len(loose) == len(classes) and labels == "auto":
        notes.append(
            f"the pictures in {source.place} lie in no sub-folders of classes and are without "
            "labels; a file of labels is read with datamodule.labels=FILE"
        )
        return None
    if loose:
        raise ZooError(
            f"{source.name_of(loose[0])} lies in no sub-folder and so has no class: move it into "
            "one, or train without classes with datamodule.labels=none"
        )
    return classes


def _complete(
    source: Source, found: list[str | None], where: str, skip: bool, notes: list[str]
) -> list[str | None]:
    """The classes, after what is said of pictures without one."""
    missing = [row for row, c in enumerate(found) if c is None]
    if missing and not skip:
        raise ZooError(
            f"{source.name_of(missing[0])} has no label in {where}"
            + (f", as {len(missing) - 1} others" if len(missing) > 1 else "")
            + ": add it, or leave such pictures out with datamodule.on_error=skip"
        )
    if missing:
        notes.append(f"{len(missing)} pictures without a label in {where} are left out.")
    return found


def _label_file(source: Source, labels: str) -> tuple[str, str | None]:
    """The name and the text of the file that says the classes, where one does."""
    if labels == "folders":
        return "", None
    name = DATASET_JSON if labels == "auto" else labels
    outside = Path(labels).expanduser()
    given = outside.suffix.lower() in FILES
    file = str(outside.resolve()) if given and outside.is_file() else f"{source.place}/{name}"
    try:
        if given and outside.is_file():
            return file, read_text(outside, MOST_LABELS, "utf-8-sig")
        text = source.text(name) if given or labels == "auto" else None
    except (OSError, ValueError) as error:
        raise unreadable_labels(file, error) from error
    if text is None and labels != "auto":
        raise ZooError(
            f"datamodule.labels={labels} is no .csv or .json file, here or in "
            f"{source.place}; otherwise it is auto, folders or none."
        )
    return file, text


def _count_out(source: Source, file: str) -> None:
    """A file of labels among the pictures is none that was left out."""
    if file.rpartition("/")[0] == source.place:
        suffix = Path(file).suffix.lower()
        source.others[suffix] -= 1
        source.others += Counter()  # drops what is 0
