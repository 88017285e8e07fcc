"""Reading tensor files from untrusted sources, in no more memory than their size justifies."""

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
"""How many times the size of the file its tensors may take, since they may share memory."""
MOST_TENSORS = 10**5
"""The most tensors in a file; reading a million empty ones takes minutes."""
_MAKES_MEMORY = {"builtins bytearray", "__builtin__ bytearray"}
"""Calls that PyTorch's safe unpickler allows, but that can allocate any number of bytes."""
_END_BYTES, _LOCATOR_BYTES, _LARGE_END_BYTES = 22, 20, 56
"""The lengths of the records at the end of a zip archive without a comment."""
_LEGACY_PICKLES = 5
"""The pickles in a file of PyTorch before 1.6: two numbers, the system, the content, the keys."""


def check_archive(file: Path) -> None:
    """Check the checksums of a PyTorch file's entries, and that they take no memory beyond it.

    Raises:
        ValueError: A checksum is wrong, or an entry is compressed or would allocate memory that the
            file does not fill.
        BadZipFile: The file is not a zip archive.
    """
    _check_end(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if min((entry.header_offset for entry in entries), default=0) > 0:
            raise ValueError("there are data before its first entry")
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if compressed or total > file.stat().st_size:
            raise ValueError("an entry would take more memory than its bytes in the file")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} does not match its checksum")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_pickle(archive.read(entry))


def _check_end(file: Path) -> None:
    """Reject an archive whose directory Python and PyTorch would look for at different places.

    Raises:
        ValueError: The archive does not end as PyTorch writes it.
    """
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
        tail = opened.read()
    if tail[-_END_BYTES:][:4] != b"PK\5\6":
        raise ValueError("there are data after its directory")
    if tail[:4] == b"PK\6\7":  # a zip64 archive: the locator of its end record
        position = int.from_bytes(tail[8:16], "little")
        if position != size - _END_BYTES - _LOCATOR_BYTES - _LARGE_END_BYTES:
            raise ValueError("its directory is not where its end record says")


def check_old_or_archive(file: Path) -> None:
    """Check a PyTorch file like `check_archive`, or one written before PyTorch 1.6.

    Some published weights are in that older format.

    Raises:
        ValueError, BadZipFile: See `check_archive`.
    """
    if zipfile.is_zipfile(file):
        check_archive(file)
        return
    with file.open("rb") as opened:
        for _ in range(_LEGACY_PICKLES):
            _check_pickle(opened)


def _check_pickle(data: bytes | IO[bytes]) -> None:
    # PyTorch writes pickle protocol 2, which names the called function in a single opcode.
    for operation, argument, _ in pickletools.genops(data):
        if operation.name == "STACK_GLOBAL" or (
            operation.name == "GLOBAL" and argument in _MAKES_MEMORY
        ):
            raise ValueError(f"it calls {argument}")


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a `.safetensors` file.

    Raises:
        SafetensorError, OSError: The file is damaged.
        ValueError: It has too many tensors.
    """
    with safe_open(file, framework="pt") as content:
        names = content.keys()
        if len(names) > MOST_TENSORS:
            raise ValueError(f"it has {len(names):,} tensors")
        return {name: content.get_tensor(name) for name in names}, content.metadata() or {}


def check_held(state: Mapping[str, Tensor], size: int) -> None:
    """Reject tensors that are not stored value by value in their file.

    Args:
        state: The tensors by name.
        size: The size of the file in bytes.

    Raises:
        ValueError: A tensor is sparse or quantized, has no values, or takes more memory than the
            file has data for.
    """
    total = 0
    for name, value in state.items():
        strided = value.layout == torch.strided and value.device.type == "cpu"
        if not strided or value.is_quantized:
            raise ValueError(f"the tensor {name[:100]}, which is sparse or has no values")
        required = value.numel() * value.element_size()
        total += required
        if required > value.untyped_storage().nbytes() or total > SHARED * size:
            raise ValueError(
                f"the tensor {name[:100]}, which would take more memory than the file has data for"
            )
