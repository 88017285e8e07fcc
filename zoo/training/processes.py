"""The processes of one training: when one ends, the others do not wait for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from zoo.core.errors import OwnError, ZooError

_EVERY = 0.3
"""Seconds between two looks."""
_GRACE = 10.0
"""Seconds in which a process may end by itself, with the error of its collective."""


class Watch:
    """Looks after the other processes of a training on this machine, in a thread of its own.

    The first process started the others and sees them end; they see it end by their parent's
    number. A process that waits in a collective, as those of GPUs may for minutes, is ended.

    Args:
        go_on: a clause that says how to go on, `resume with …`.
    """

    def __init__(self, go_on: Callable[[], str]) -> None:
        self.go_on = go_on
        self._children: list[subprocess.Popen[Any]] = []
        self._launchers: list[Any] = []
        self._parent = os.getppid()
        self._rank = int(os.environ.get("LOCAL_RANK", 0))
        self._over = threading.Event()
        self._lost: str | None = None
        self._found = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="zoo-processes")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._over.set()
        if isinstance(error, Exception):  # they would wait for this one
            self.end_children()

    def add(self, trainer: Any) -> None:
        """Look after the processes that this trainer starts, which Lightning then need not."""
        self._launchers.append(trainer.strategy.launcher)

    def error(self) -> ZooError | None:
        """Which process ended, as soon as that is known; None where none of these has."""
        self._found.wait(_GRACE / 2)
        if self._lost is None:
            return None
        return OwnError(self._lost) if self._rank <= 1 else ZooError(self._lost)

    def end_children(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            self._find_children()
            lost = self._ended()
            if lost is None:
                continue
            self._lost = f"{lost} of the training ended; {self.go_on()}"
            self._found.set()
            if not self._over.wait(_GRACE):
                self._end(self._lost)

    def _find_children(self) -> None:
        started = [p for launcher in self._launchers for p in getattr(launcher, "procs", ())]
        if len(started) == len(self._children):
            return
        self._children = started
        # Lightning's own observer kills this process without a word.
        for thread in threading.enumerate():
            if thread.name == "child-process-observer":
                thread._run = lambda: True  # type: ignore[attr-defined]

    def _ended(self) -> str | None:
        for rank, child in enumerate(self._children, start=1):
            if code := child.poll():
                return f"process {rank}{_how(code)}"
        if self._rank > 0 and os.getppid() != self._parent:
            return "process 0"
        return None

    def _end(self, sentence: str) -> None:
        """End this process from the thread, since its own waits for one that is gone."""
        self.end_children()
        if self._rank <= 1:
            with contextlib.suppress(OSError):
                print(f"error: {sentence}", file=sys.stderr, flush=True)
        time.sleep(0.1)
        os._exit(1)


def _how(code: int) -> str:
    if code >= 0:
        return f" (exit code {code})"
    with contextlib.suppress(ValueError):
        return f" (killed by {signal.Signals(-code).name})"
    return f" (signal {-code})"
