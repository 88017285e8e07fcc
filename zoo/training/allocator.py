"""Settings of glibc's allocator that make a process keep its memory instead of returning it.

By default, glibc returns large blocks to the kernel, which then has to clear their pages again.
"""

from __future__ import annotations

import ctypes
import os
import sys

from zoo.core.errors import ZooError

# Constants of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_PAD = 64 * 2**20


def keep_memory() -> None:
    """Keep freed memory in this process, in huge pages if the kernel provides them.

    A training step frees and allocates the same large blocks again and again. The price is that the
    process stays at its peak memory. Call this before torch is imported, since torch reads
    `THP_MEM_ALLOC_ENABLE` when it first allocates memory.

    Raises:
        ZooError: The C library is not glibc, or it rejects the settings.
    """
    mallopt = None
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        raise ZooError("trainer.keep_memory=true needs Linux with glibc: leave it out here.")
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _PAD)):
        if mallopt(option, value) != 1:
            raise ZooError("trainer.keep_memory=true: the C library rejects the settings it needs.")
