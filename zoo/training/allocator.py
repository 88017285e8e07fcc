"""Keeping memory on CPU: glibc hands large blocks back to the kernel, which clears them anew."""

from __future__ import annotations

import ctypes
import os
import sys

from zoo.core.errors import ZooError

# The names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_PAD = 64 * 2**20


def keep_memory() -> None:
    """Have this process keep the memory that it frees, in huge pages where the kernel gives them.

    A step frees and takes the same large blocks over and over; each time the kernel clears their
    pages. The price is that the process stays at its peak. Call it before torch is imported, which
    looks at `THP_MEM_ALLOC_ENABLE` when it is first asked for memory.

    Raises:
        ZooError: the C library is not glibc, whose settings these are.
    """
    mallopt = None
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        raise ZooError("trainer.keep_memory=true needs Linux with glibc: leave it out here.")
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _PAD)):
        if mallopt(option, value) != 1:
            raise ZooError("trainer.keep_memory=true: this C library refuses its settings.")
