"""Determining the class of each picture from the source, a label file, or its sub-folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from zoo.core.errors import ZooError, not_found
from zoo.core.foreign import read_text
from zoo.data.layout import DATASET_JSON, FILES, folders_of, labels_in, unreadable_labels
from zoo.data.sources.base import MOST_LABELS, Source


def classes_of(
    source: Source, labels: str, depth: int, skip: bool, notes: list[str]
) -> list[str | None] | None:
    """Return the class of each picture, or None if there are no classes.

    Args:
        source: the pictures.
        labels: "auto", "folders", "none", a label file, or the column of a source with columns.
        depth: the level of the folders that are classes, 0 for the first.
        skip: whether to leave out pictures without a class; otherwise they are an error.
        notes: sentences for the user are appended to this list.

    Returns:
        One class name per picture, None for a picture without one.

    Raises:
        ZooError: a picture has no class, or the label file cannot be read.
    """
    if labels == "none":
        return None
    if source.classes is not None and not labels.lower().endswith(FILES):
        if labels == "folders" or not (labels == "auto" or source.has_columns):
            raise ZooError(
                f"datamodule.labels={labels}: {source.place} contains the class of each picture "
                "itself; use labels=auto for these, labels=none, or a .csv or .json file."
            )
        return _complete(source, source.classes, "its labels", skip, notes)
    file, text = _label_file(source, labels)
    if text is not None:
        _count_out(source, file)
        classes = labels_in(text, file, [picture.name for picture in source.pictures])
        if classes is None:
            notes.append(f"{file} has no labels, so the pictures have no classes.")
            return None
        return _complete(source, classes, file, skip, notes)
    if not source.has_folders:
        if labels == "folders":
            raise ZooError(
                f"datamodule.labels=folders: {source.place} has no class folders and no other "
                "labels: name a label file with datamodule.labels=FILE"
            )
        notes.append(
            f"the pictures in {source.place} have no labels; name a label file with "
            "datamodule.labels=FILE"
        )
        return None
    folders = folders_of([picture.name for picture in source.pictures], depth)
    loose = [row for row, folder in enumerate(folders) if folder is None]
    if len(loose) == len(folders) and labels == "auto":
        notes.append(
            f"the pictures in {source.place} have no labels and are not sorted into sub-folders, "
            "one per class; name a label file with datamodule.labels=FILE"
        )
        return None
    if loose:
        raise ZooError(
            f"{source.name_of(loose[0])} is in no sub-folder and therefore has no class: move it "
            "into one, or train without classes with datamodule.labels=none"
        )
    return folders


def _complete(
    source: Source, classes: list[str | None], where: str, skip: bool, notes: list[str]
) -> list[str | None]:
    """Return `classes` after an error or a note about the pictures without one."""
    missing = [row for row, name in enumerate(classes) if name is None]
    if missing and not skip:
        more = f" (the first of {len(missing)} such pictures)" if len(missing) > 1 else ""
        raise ZooError(
            f"{source.name_of(missing[0])} has no label in {where}{more}: add it, or leave such "
            "pictures out with datamodule.on_error=skip"
        )
    if missing:
        notes.append(f"{len(missing)} pictures without a label in {where} are left out.")
    return classes


def _label_file(source: Source, labels: str) -> tuple[str, str | None]:
    """Return the name and the text of the label file; the text is None if there is no such file."""
    if labels == "folders":
        return "", None
    name = DATASET_JSON if labels == "auto" else labels
    outside = Path(labels).expanduser()
    is_file_name = outside.suffix.lower() in FILES
    is_outside = is_file_name and outside.is_file()
    file = str(outside.resolve()) if is_outside else f"{source.place}/{name}"
    try:
        if is_outside:
            return file, read_text(outside, MOST_LABELS, "utf-8-sig")
        text = source.text(name) if is_file_name or labels == "auto" else None
    except (OSError, ValueError) as error:
        raise unreadable_labels(file, error) from error
    if text is None and labels != "auto":
        raise ZooError(
            f"datamodule.labels={labels} is not a .csv or .json file"
            f"{not_found(labels, source.place)}; other choices are auto, folders and none."
        )
    return file, text


def _count_out(source: Source, file: str) -> None:
    """Remove the label file from the count of files that are ignored as no pictures."""
    if file.rpartition("/")[0] == source.place:
        suffix = Path(file).suffix.lower()
        source.others[suffix] -= 1
        source.others += Counter()  # drops counts of 0
