"""Checks of a folder written by `save_to_disk`, made before Hugging Face's library reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.core.foreign import check_file, read_text

MOST_STATE = 2**24
"""The most bytes of the JSON file that names the data files of a split."""
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
"""Arrow's numbers for the types of a message header."""
_HEADER_TYPE, _HEADER = 1, 2
"""Indices of fields in the table of a message."""
_LENGTH, _COMPRESSION = 0, 3
"""Indices of fields in the table of a record batch."""
_DATA = 1
"""The index of the record batch in the table of a dictionary batch."""


def check_saved(folder: Path) -> None:
    """Refuse a folder whose data files lie elsewhere, are no regular files, or are compressed.

    The library reads whatever files its JSON names, and unpacks compressed ones completely,
    although it never writes compressed files itself.

    Raises:
        OSError, ValueError, RecursionError: the folder was not written by `save_to_disk`, or its
            files were altered in such a way.
    """
    parts = [folder]
    if (folder / "dataset_dict.json").exists():
        names = _json(folder / "dataset_dict.json").get("splits")
        if not isinstance(names, list):
            raise ValueError("dataset_dict.json names no splits")
        parts = [_within(folder, name) for name in names]
    for part in parts:
        check_file(part / "dataset_info.json")
        state = _json(part / "state.json")
        for kind in ("_data_files", "_indices_data_files"):
            for entry in state.get(kind) or []:
                file = _within(part, entry.get("filename") if isinstance(entry, dict) else None)
                _check_arrow(file)


def _json(file: Path) -> dict[str, Any]:
    content = json.loads(read_text(file, MOST_STATE))
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} is not a JSON object")
    return content


def _within(folder: Path, name: Any) -> Path:
    """Return the path of an entry of `folder`, whose name must not lead out of it."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"{str(name)[:100]!r} is not the name of a file in it")
    return folder / name


def _check_arrow(file: Path) -> None:
    import pyarrow as pa

    check_file(file)
    rows = 0
    with pa.memory_map(str(file)) as opened:
        for message in _messages(opened):
            length, compressed = _batch(memoryview(message.metadata))
            if compressed:
                raise ValueError(f"{file.name} is compressed, which save_to_disk never does")
            rows += length
    if rows > (size := file.stat().st_size):
        raise ValueError(f"{file.name} claims to have {rows:,} rows in {size:,} bytes")


def _messages(opened: Any) -> Iterator[Any]:
    import pyarrow as pa

    reader = pa.ipc.MessageReader.open_stream(opened)
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _batch(metadata: memoryview) -> tuple[int, bool]:
    """Return the number of rows in a message, and whether they are compressed.

    A message is encoded as a FlatBuffers table.
    """
    message = _number(metadata, 0, 4)
    kind = _field(metadata, message, _HEADER_TYPE)
    header = _field(metadata, message, _HEADER)
    if not kind or not header or metadata[kind] not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return 0, False
    table = header + _number(metadata, header, 4)
    if metadata[kind] == _DICTIONARY_BATCH:
        data = _field(metadata, table, _DATA)
        table = data + _number(metadata, data, 4)
    length = _field(metadata, table, _LENGTH)
    rows = _number(metadata, length, 8) if length else 0
    return rows, bool(_field(metadata, table, _COMPRESSION))


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Return the position of a field of a FlatBuffers table; 0 if the table omits it."""
    at = int.from_bytes(metadata[table : table + 4], "little", signed=True)
    size = _number(metadata, table - at, 2)
    place = 4 + 2 * index
    offset = _number(metadata, table - at + place, 2) if place + 2 <= size else 0
    return table + offset if offset else 0


def _number(metadata: memoryview, place: int, size: int) -> int:
    if place < 0 or place + size > len(metadata):
        raise ValueError("one of its messages is damaged")
    return int.from_bytes(metadata[place : place + size], "little")
