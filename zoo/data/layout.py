"""Reading splits and classes from the names of pictures or from a label file."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from zoo.core.errors import ZooError, listing

SPLIT_FOLDERS: dict[str, Literal["train", "val", "test"]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
DATASET_JSON = "dataset.json"
"""The label file of StyleGAN's data set tool, `{"labels": [["00000/img.png", 3], ...]}`."""
FILES = (".csv", ".json")
"""The endings of label files."""
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path", "name", "id")
LABEL_COLUMNS = ("label", "class", "category", "target", "y")


def splits_of(names: Sequence[str]) -> list[str] | None:
    """Return the split of each picture, or None if the folders of the first level are no splits.

    They are splits if each is called train, val, valid, test or the like (see `SPLIT_FOLDERS`),
    and at least one of them is a training split.
    """
    tops = [name.split("/", 1)[0].casefold() if "/" in name else "" for name in names]
    if not all(top in SPLIT_FOLDERS for top in tops):
        return None
    splits = [SPLIT_FOLDERS[top] for top in tops]
    return list(splits) if "train" in splits else None


def folders_of(names: Sequence[str], depth: int) -> list[str | None]:
    """Return the folder of each picture at level `depth` (0 is the first), None if it has none."""
    parts = [name.split("/") for name in names]
    return [p[depth] if len(p) > depth + 1 else None for p in parts]


def in_order(classes: Iterable[str]) -> list[str]:
    """Return the distinct classes, sorted by value if all are whole numbers, else by name."""
    distinct = set(classes)
    if all(_is_whole(c) for c in distinct):
        return sorted(distinct, key=lambda c: (int(c), c))
    return sorted(distinct)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def labels_in(text: str, file: str, names: Sequence[str]) -> list[str | None] | None:
    """Read the class of each picture from the text of a CSV or JSON label file.

    A CSV file, separated by commas, semicolons or tabs, has a column of files and a column of
    classes. They are identified by a header (`file,label`); without one they are the first two
    columns. A JSON file is StyleGAN's `{"labels": [[file, class], ...]}`, that list alone, or
    `{file: class}`. Files are paths relative to the folder of pictures, with or without their
    ending.

    Args:
        text: the text of the file.
        file: the name of the file; one that ends in .csv is CSV, any other JSON.
        names: the names of the pictures.

    Returns:
        One class per picture, None for a picture that the file does not name; or None if the file
        states that there are no labels (`{"labels": null}`).

    Raises:
        ZooError: the text has another format, gives a picture two classes, or names none of the
            pictures.
    """
    try:
        text = text.removeprefix("\ufeff")
        pairs = _csv_pairs(text) if file.lower().endswith(".csv") else _json_pairs(text)
        if pairs is None:
            return None
        wanted = {*names, *(name.rpartition(".")[0] for name in names)}
        labels: dict[str, str | None] = {}
        first = "nothing"
        for pair in pairs:
            name = str(pair[0]).replace("\\", "/").removeprefix("./")
            if first == "nothing":
                first = name[:200]
            # Only wanted names are kept: the file may list millions for a few pictures.
            if name in wanted and labels.setdefault(name, pair[1]) != pair[1]:
                raise ValueError(
                    f"it has {name[:200]!r} twice, as {labels[name]!r} and as {pair[1]!r}"
                )
    except (ValueError, TypeError, csv.Error, RecursionError) as error:
        raise unreadable_labels(file, error) from error
    classes = [labels.get(name, labels.get(name.rpartition(".")[0])) for name in names]
    if labels and all(label is None for label in classes):
        raise ZooError(
            f"{file} names no class: its second column is empty beside each of the pictures."
        )
    if not labels:
        raise ZooError(
            f"{file} names none of the {len(names)} pictures: its first entry is {first!r}, but "
            f"the first picture is {names[0]!r}; paths are relative to the folder of pictures."
        )
    return classes


def unreadable_labels(file: str, reason: object) -> ZooError:
    """Return the error for a file that cannot be read as labels."""
    return ZooError(
        f"{file} cannot be read as labels ({reason}): it must be a CSV file with lines "
        'picture,class or a JSON file like {"labels": [["picture.png", 3], ...]}.'
    )


def _csv_pairs(text: str) -> Iterator[tuple[str, str | None]]:
    rows: Iterator[list[str]]
    delimiter = _delimiter(next((line for line in _lines(text) if line.strip()), ""))
    lines = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True)
    rows = (row for row in lines if row)
    head = next(rows, [])
    if len(head) < 2:
        raise ValueError("it has fewer than two columns")
    heads = [cell.strip().casefold() for cell in head]
    file = next((heads.index(c) for c in FILE_COLUMNS if c in heads), None)
    label = next((heads.index(c) for c in LABEL_COLUMNS if c in heads), None)
    if file is None and label is None:
        rows = itertools.chain([head], rows)
    elif label is None and len(head) > 2:  # any of the other columns may hold the classes
        raise ValueError(
            f"none of its columns {listing(head)[:200]} is called {' or '.join(LABEL_COLUMNS)}"
        )
    first = int(label == 0) if file is None else file
    second = (1 if first == 0 else 0) if label is None else label
    for row in rows:
        if len(row) <= max(first, second):
            raise ValueError("a line has fewer columns than the first")
        yield row[first].strip(), row[second].strip() or None


def _delimiter(line: str) -> str:
    """Return the delimiter of a line: a comma, a semicolon (common in Europe), or a tab."""
    return next((d for d in ",;\t" if len(next(csv.reader([line], delimiter=d), [])) > 1), ",")


def _lines(text: str) -> Iterator[str]:
    """Iterate over the lines of a text without splitting all of it at once."""
    return (line.rstrip("\n") for line in io.StringIO(text, newline=None))


def _json_pairs(text: str) -> Iterator[tuple[str, str | None]] | None:
    content: Any = json.loads(text)
    if isinstance(content, dict) and "labels" in content:
        content = content["labels"]
        if content is None:
            return None
    pairs = content.items() if isinstance(content, dict) else content
    return ((str(name), class_name(label)) for name, label in pairs)


def class_name(label: Any) -> str | None:
    """Return the name of a class that a label file gives as a number or a name.

    Raises:
        ValueError: the label is neither a whole number nor a name.
    """
    if label is None:
        return None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise ValueError(f"the label {label!r} is neither a whole number nor a name")
    return str(label)
