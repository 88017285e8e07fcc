"""What the names of pictures, or a file beside them, say of splits and classes."""

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
"""Labels in the format of StyleGAN's data set tool: `{"labels": [["00000/img.png", 3], ...]}`."""
FILES = (".csv", ".json")
"""Endings of files of labels."""
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path", "name", "id")
LABEL_COLUMNS = ("label", "class", "category", "target", "y")


def splits_of(names: Sequence[str]) -> list[str] | None:
    """The split of each picture where the folders of the first level are splits, else None.

    They are where every one is called train, val, valid, test or the like, and one train.
    """
    tops = [name.split("/", 1)[0].casefold() if "/" in name else "" for name in names]
    if not all(top in SPLIT_FOLDERS for top in tops):
        return None
    splits = [SPLIT_FOLDERS[top] for top in tops]
    return list(splits) if "train" in splits else None


def folders_of(names: Sequence[str], depth: int) -> list[str | None]:
    """The folder of each picture at a level, 0 for the first; None for one that lies above it."""
    parts = [name.split("/") for name in names]
    return [p[depth] if len(p) > depth + 1 else None for p in parts]


def in_order(classes: Iterable[str]) -> list[str]:
    """Each class once: by value where all are whole numbers, else by name."""
    found = set(classes)
    if all(_is_whole(c) for c in found):
        return sorted(found, key=lambda c: (int(c), c))
    return sorted(found)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def labels_in(text: str, file: str, names: Sequence[str]) -> list[str | None] | None:
    """The class of each picture as a CSV or JSON file says; None for those it does not name.

    A CSV file has a column of files and one of classes, told by a header (`file,label`), or the
    first two of one without, or the only two; a JSON file is StyleGAN's
    `{"labels": [[file, class], ...]}`, that list alone, or `{file: class}`. Files are paths below
    the folder of pictures, with or without their ending.

    Args:
        text: of the file.
        file: what it is called; one that ends in .csv is CSV, any other JSON.
        names: of the pictures.

    Returns:
        None where the file says that there are no labels (`{"labels": null}`).

    Raises:
        ZooError: it is something else, gives a picture two classes, or names none of the pictures.
    """
    try:
        text = text.removeprefix("\ufeff")
        pairs = _csv_pairs(text) if file.lower().endswith(".csv") else _json_pairs(text)
        if pairs is None:
            return None
        wanted = {*names, *(name.rpartition(".")[0] for name in names)}
        known: dict[str, str | None] = {}
        first = "nothing"
        for pair in pairs:
            name = str(pair[0]).replace("\\", "/").removeprefix("./")
            if first == "nothing":
                first = name[:200]
            # A list of millions may stand beside a few pictures.
            if name in wanted and known.setdefault(name, pair[1]) != pair[1]:
                raise ValueError(
                    f"it has {name[:200]!r} twice, as {known[name]!r} and as {pair[1]!r}"
                )
    except (ValueError, TypeError, csv.Error, RecursionError) as error:
        raise unreadable_labels(file, error) from error
    found = [known.get(name, known.get(name.rpartition(".")[0])) for name in names]
    if all(label is None for label in found):
        raise ZooError(
            f"{file} names none of the {len(names)} pictures: its first entry is {first!r}, the "
            f"first picture {names[0]!r}; paths start below the folder of pictures."
        )
    return found


def unreadable_labels(file: str, reason: object) -> ZooError:
    """The error for a file that is no file of labels."""
    return ZooError(
        f"{file} cannot be read as labels ({reason}): it must be a CSV file of lines "
        'picture,class or JSON as {"labels": [["picture.png", 3], ...]}.'
    )


def _csv_pairs(text: str) -> Iterator[tuple[str, str | None]]:
    rows: Iterator[list[str]]
    delimiter = _delimiter(next((line for line in _lines(text) if line.strip()), ""))
    lines = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True)
    rows = (row for row in lines if row)
    head = next(rows, [])
    if len(head) < 2:
        raise ValueError("there are no two columns")
    heads = [cell.strip().casefold() for cell in head]
    file = next((heads.index(c) for c in FILE_COLUMNS if c in heads), None)
    label = next((heads.index(c) for c in LABEL_COLUMNS if c in heads), None)
    if file is None and label is None:
        rows = itertools.chain([head], rows)
    elif label is None and len(head) > 2:  # the next column may be anything
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
    """The first of comma, semicolon (as spreadsheets write in much of Europe) and tab in a line."""
    return next((d for d in ",;\t" if len(next(csv.reader([line], delimiter=d), [])) > 1), ",")


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one at a time."""
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
    """A class as a file of labels gives it, a number or a name.

    Raises:
        ValueError: it is neither.
    """
    if label is None:
        return None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise ValueError(f"the label {label!r} is neither a whole number nor a name")
    return str(label)
