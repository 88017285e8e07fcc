"""The processes of one training: what starts them, and that none waits for one that ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zoo.core.errors import OwnError, ZooError
from zoo.core.launch import rank, started_by_srun, started_by_torchrun

if TYPE_CHECKING:
    from lightning_fabric.plugins import ClusterEnvironment

_EVERY = 0.3
"""Seconds between two looks."""
_GRACE = 10.0
"""Seconds in which a process may end by itself, with the error of its collective."""


class Watch:
    """Looks after the other processes of a training on this machine, in a thread of its own.

    The first process started the others and sees them end; they see it end by their parent's
    number. A process that waits in a collective, as those of GPUs may for minutes, is ended. Where
    `srun` or torchrun started all of them, that looks after them.

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

    def error(self, failure: Exception) -> ZooError | None:
        """Which process ended, as soon as that is known; None where none of these has.

        Args:
            failure: of a collective.
        """
        if started_by_srun() or started_by_torchrun():
            reason = re.sub(r"^\[\S+\] ", "", str(failure)).partition(". ")[0]
            self._lost = f"another process of the training is gone ({reason}); {self.go_on()}"
        else:
            self._found.wait(_GRACE / 2)
        if self._lost is None:
            return None
        return OwnError(self._lost) if rank() <= 1 else ZooError(self._lost)

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
        for number, child in enumerate(self._children, start=1):
            if code := child.poll():
                return f"process {number}{_how(code)}"
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


def cluster_environment(settings: dict[str, Any]) -> list[ClusterEnvironment]:
    """Lightning's plugin for what starts the processes within a SLURM job; empty elsewhere.

    By itself Lightning takes every job for one whose processes `srun` starts, and its own answer to
    SLURM's warning, a checkpoint of its own and the job queued again, for the user's.

    Args:
        settings: the trainer's.

    Raises:
        ZooError: `srun` started another number of processes than the trainer has.
    """
    if "SLURM_JOB_ID" not in os.environ or started_by_torchrun():
        return []
    from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

    if not started_by_srun():
        return [LightningEnvironment()]
    devices, nodes = settings.get("devices", 1), settings.get("num_nodes", 1)
    if isinstance(devices, int):
        started = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")
        if started != (f"{devices}(x{nodes})" if nodes > 1 else str(devices)):
            raise ZooError(
                f"srun started {os.environ['SLURM_STEP_NUM_TASKS']} processes ({started} on its "
                f"nodes), and trainer.devices={devices} with trainer.num_nodes={nodes} takes "
                f"{devices * nodes}: give srun --nodes={nodes} --ntasks-per-node={devices}, or "
                "trainer.devices and trainer.num_nodes as srun has them."
            )
        # Lightning asks for it, but srun sets it only where it was told so.
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(devices))
    return [SLURMEnvironment(auto_requeue=False)]
