"""What `save_to_disk` of Hugging Face's library writes, looked at before that library reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.core.foreign import check_file, read_text

MOST_STATE = 2**24
"""Bytes of the JSON that names the files of a part."""
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
"""Kinds of a message's header, as Arrow numbers them."""
_HEADER_TYPE, _HEADER = 1, 2
_LENGTH, _COMPRESSION = 0, 3
_DATA = 1
"""Places of the fields of its tables: of a message, a batch of rows, and one of a dictionary."""


def check_saved(folder: Path) -> None:
    """Refuse a folder whose files are elsewhere, never end, or take more memory than their bytes.

    The library takes whatever files its JSON names, and unpacks compressed ones as a whole, which
    it never writes itself.

    Raises:
        OSError, ValueError, RecursionError: it is none, or such a one.
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
        raise ValueError(f"{file.name} is no mapping")
    return content


def _within(folder: Path, name: Any) -> Path:
    """A file or folder that lies in another itself."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"{str(name)[:100]!r} is no name of a file in it")
    return folder / name


def _check_arrow(file: Path) -> None:
    import pyarrow as pa

    check_file(file)
    rows = 0
    with pa.memory_map(str(file)) as opened:
        for message in _messages(opened):
            length, compressed = _batch(memoryview(message.metadata))
            if compressed:
                raise ValueError(f"{file.name} is compressed, as save_to_disk writes no file")
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
    """The rows of a message, and whether they are compressed: it is a table of FlatBuffers."""
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
    """Where a field of a table begins; 0 where it is left out."""
    at = int.from_bytes(metadata[table : table + 4], "little", signed=True)
    size = _number(metadata, table - at, 2)
    place = 4 + 2 * index
    offset = _number(metadata, table - at + place, 2) if place + 2 <= size else 0
    return table + offset if offset else 0


def _number(metadata: memoryview, place: int, size: int) -> int:
    if place < 0 or place + size > len(metadata):
        raise ValueError("a message of it is damaged")
    return int.from_bytes(metadata[place : place + size], "little")
