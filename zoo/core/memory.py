"""How much memory this process can come to hold, and what is larger than that."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zoo.core.errors import ZooError

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_LIMIT_1 = "memory.limit_in_bytes"
"""The file of the limit in control groups of version 1."""


def usable_memory() -> int | None:
    """Bytes that this process can come to hold; None where the system does not tell.

    The least of the machine's memory, of what its container may take, and of what is free now or
    can be freed, swap included.
    """
    found = [_physical(), *_group_limits(), _free()]
    return min((size for size in found if size is not None), default=None)


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _free() -> int | None:
    """Memory that can be had without a process being killed for it; None outside of Linux."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
        sizes = {name: int(size.split()[0]) for name, size in (x.split(":") for x in lines)}
        return 1024 * (sizes["MemAvailable"] + sizes["SwapFree"])
    except (OSError, ValueError, LookupError):
        return None


def _group_limits() -> list[int]:
    """The limits of the control groups (version 1 or 2) of a container or a batch system."""
    limits = []
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        root, name = (GROUPS, "memory.max") if not controllers else (GROUPS / "memory", _LIMIT_1)
        group = root / place.strip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                limits.append(int((folder / name).read_text()))
            if folder == root:
                break
    return limits


def check_fits(file: Path) -> None:
    """Refuse a file that has to be in memory as a whole and is larger than that.

    One with holes may be, though it takes few bytes on the disk.

    Raises:
        ZooError: it is.
    """
    size, memory = file.stat().st_size, usable_memory()
    if memory is not None and size > memory:
        raise ZooError(
            f"{file} has {size / 1e9:,.1f} GB, more than the {memory / 1e9:,.1f} GB of memory that "
            "can be had on this machine now."
        )
