"""Recognizing from an error that memory or a disk is exhausted, or that a process was lost."""

from __future__ import annotations

import errno

_MEMORY = (
    "out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory",
    "bad_alloc", "ALLOC_FAILED", "Unable to allocate",
)  # fmt: skip
"""Parts of the messages of allocators: torch on CPU, CUDA and MPS, C++, cuBLAS, cuDNN, NumPy."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.EROFS, getattr(errno, "ESTALE", errno.EIO))
"""Includes EROFS, since a system makes a file system read-only once its disk turns out broken."""
_PEER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo", "NCCL")
"""Parts of the messages of collective operations that have lost another process."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in the machine's memory or in a device's."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY)


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk or a quota is full, or a file has reached its largest size."""
    return isinstance(error, OSError) and error.errno in _FULL


def is_disk_broken(error: BaseException) -> bool:
    """Whether a disk, or the connection to a network disk, has failed or become read-only."""
    return isinstance(error, OSError) and error.errno in _BROKEN


def is_lost_peer(error: BaseException) -> bool:
    """Whether a collective operation failed, as happens when another process has ended."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError"):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _PEER)


def smaller_batch(size: int, unit: int = 1) -> int | None:
    """Return the next smaller batch size to try: half, rounded down to a multiple of `unit`.

    Args:
        size: The batch size that did not fit into memory.
        unit: The batch size must be a multiple of this.

    Returns:
        None if there is no smaller batch size.
    """
    smaller = size // 2 // unit * unit
    return smaller if 0 < smaller < size else None
