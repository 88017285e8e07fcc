"""What a machine runs out of, told apart by the errors of Python, PyTorch, CUDA and gloo."""

from __future__ import annotations

import errno

_MEMORY = (
    "out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory",
    "bad_alloc", "ALLOC_FAILED", "Unable to allocate",
)  # fmt: skip
"""What errors say of allocators: torch's on CPU, CUDA and MPS, C++, cuBLAS, cuDNN, numpy."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.EROFS, getattr(errno, "ESTALE", errno.EIO))
"""A system that finds its disk broken lets nobody write to it any more."""
_PEER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo", "NCCL")
"""What errors say of collectives whose other end is gone."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of the machine's memory or of a device's."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY)


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk, a quota or the largest size of a file is used up."""
    return isinstance(error, OSError) and error.errno in _FULL


def is_disk_broken(error: BaseException) -> bool:
    """Whether a disk, or the way to one elsewhere, fails, or may only be read."""
    return isinstance(error, OSError) and error.errno in _BROKEN


def is_lost_peer(error: BaseException) -> bool:
    """Whether a collective failed, as it does when another process has ended."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError"):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _PEER)


def smaller_batch(size: int, unit: int = 1) -> int | None:
    """The next smaller batch to try: half, in whole units; None where there is none.

    Args:
        size: of the batch that did not fit.
        unit: what a batch is a multiple of.
    """
    smaller = size // 2 // unit * unit
    return smaller if 0 < smaller < size else None
