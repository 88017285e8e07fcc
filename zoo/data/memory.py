"""Memory that work on several threads may take together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

PICTURE_MEMORY = 10**9
"""Bytes for all pictures that are decoded at the same time."""


class Budget:
    """So many bytes for all threads; whoever wants more than is left waits.

    One that alone wants more than there is gets it when nobody else holds any.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._left = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
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
