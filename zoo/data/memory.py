"""A limit on the memory that several threads use together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

PICTURE_MEMORY = 10**9
"""Bytes available for all pictures that are decoded at the same time."""


class Budget:
    """A number of bytes shared by all threads; a thread that needs more than is left waits.

    A request for more than `total` counts as `total`: it is granted once no other thread holds
    any bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._left = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for the duration of the `with` block, waiting until they are free."""
        size = min(size, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
