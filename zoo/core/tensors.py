"""Files of tensors that may come from anywhere, held to the memory of their bytes."""

from __future__ import annotations

import os
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch
from safetensors import safe_open
from torch import Tensor

SHARED = 4
"""How many times the bytes of a file its tensors may take, where several share their memory."""
MOST_TENSORS = 10**5
"""The most tensors of a file: a million without values take minutes."""
_MAKES_MEMORY = {"builtins bytearray", "__builtin__ bytearray"}
"""What PyTorch's safe reader calls, and what takes any number of bytes at a few letters' cost."""
_END_BYTES, _LOCATOR_BYTES, _LARGE_END_BYTES = 22, 20, 56
"""The lengths of the records at the end of a zip archive without a comment."""
_LEGACY_PICKLES = 5
"""A file of PyTorch before 1.6: two numbers, the system, the content, the names of storages."""


def check_archive(file: Path) -> None:
    """Hold a PyTorch file's entries against their checksums, and to their bytes on the disk.

    Raises:
        ValueError: they differ, or an entry is compressed or would make memory of nothing.
        BadZipFile: it is of another kind.
    """
    _check_end(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if min((entry.header_offset for entry in entries), default=0) > 0:
            raise ValueError("something stands before its first entry")
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if compressed or total > file.stat().st_size:
            raise ValueError("an entry takes more memory than its bytes")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} differs from its checksum")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_pickle(archive.read(entry))


def _check_end(file: Path) -> None:
    """Refuse an archive whose table Python and PyTorch would look for at two places.

    Raises:
        ValueError: it does not end as PyTorch writes it.
    """
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
        tail = opened.read()
    if tail[-_END_BYTES:][:4] != b"PK\5\6":
        raise ValueError("something stands behind its table")
    if tail[:4] == b"PK\6\7":  # of a large one: where its larger table ends
        place = int.from_bytes(tail[8:16], "little")
        if place != size - _END_BYTES - _LOCATOR_BYTES - _LARGE_END_BYTES:
            raise ValueError("its table is not where it says")


def check_old_or_archive(file: Path) -> None:
    """The same of a file that may be of PyTorch before 1.6, as published weights are.

    Raises:
        ValueError, BadZipFile: as by `check_archive`.
    """
    if zipfile.is_zipfile(file):
        check_archive(file)
        return
    with file.open("rb") as opened:
        for _ in range(_LEGACY_PICKLES):
            _check_pickle(opened)


def _check_pickle(data: bytes | IO[bytes]) -> None:
    # PyTorch writes protocol 2, which names what is called in one operation.
    for operation, argument, _ in pickletools.genops(data):
        if operation.name == "STACK_GLOBAL" or (
            operation.name == "GLOBAL" and argument in _MAKES_MEMORY
        ):
            raise ValueError(f"it calls {argument}")


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a `.safetensors` file.

    Raises:
        SafetensorError, OSError: it is damaged.
        ValueError: it has too many.
    """
    with safe_open(file, framework="pt") as content:
        names = content.keys()
        if len(names) > MOST_TENSORS:
            raise ValueError(f"it has {len(names):,} tensors")
        return {name: content.get_tensor(name) for name in names}, content.metadata() or {}


def check_held(state: Mapping[str, Tensor], size: int) -> None:
    """Refuse tensors that a file does not hold value by value.

    Args:
        size: of the file, in bytes.

    Raises:
        ValueError: one is sparse or quantized, is without values, or takes more memory than the
            file has for it.
    """
    total = 0
    for name, value in state.items():
        strided = value.layout == torch.strided and value.device.type == "cpu"
        if not strided or value.is_quantized:
            raise ValueError(f"the tensor {name[:100]}, which is sparse or of no values")
        taken = value.numel() * value.element_size()
        total += taken
        if taken > value.untyped_storage().nbytes() or total > SHARED * size:
            raise ValueError(
                f"the tensor {name[:100]}, which would take more memory than the file holds values"
            )
