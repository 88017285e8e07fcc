"""How much memory this process can use, and whether a file fits into it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zoo.core.errors import ZooError

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_LIMIT_1 = "memory.limit_in_bytes"
"""The file with the limit of a control group, version 1."""


def usable_memory() -> int | None:
    """Return how many bytes of memory this process can use; None if that is not known.

    This is the minimum of the machine's memory, the limit of its container, and the memory that is
    free or can be freed, including swap.
    """
    limits = [_physical(), *_group_limits(), _free()]
    return min((size for size in limits if size is not None), default=None)


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _free() -> int | None:
    """Return the memory available without a process being killed; None except on Linux."""
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
        sizes = {name: int(size.split()[0]) for name, size in (x.split(":") for x in lines)}
        return 1024 * (sizes["MemAvailable"] + sizes["SwapFree"])
    except (OSError, ValueError, LookupError):
        return None


def _group_limits() -> list[int]:
    """Return the limits of the control groups (version 1 or 2) of a container or batch system."""
    limits = []
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        root, name = (GROUPS, "memory.max") if not controllers else (GROUPS / "memory", _LIMIT_1)
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # the file is missing or says "max"
                limits.append(int((folder / name).read_text()))
            if folder == root:
                break
    return limits


def check_fits(file: Path) -> None:
    """Reject a file that must be loaded as a whole but is larger than the usable memory.

    A sparse file may be that large although it takes few bytes on the disk.

    Raises:
        ZooError: The file does not fit into memory.
    """
    size, memory = file.stat().st_size, usable_memory()
    if memory is not None and size > memory:
        raise ZooError(
            f"{file} has {size / 1e9:,.1f} GB, more than the {memory / 1e9:,.1f} GB of memory "
            "available on this machine now."
        )
