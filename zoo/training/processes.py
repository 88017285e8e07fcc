"""The processes of one training: their launcher, and ending them when one of them fails."""

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
"""Seconds between two checks."""
_BY_HAND = ("MASTER_ADDR", "NODE_RANK", "OMPI_COMM_WORLD_SIZE", "LSB_JOBID")
"""Variables of which one is set where a user, MPI or LSF starts the training on each node."""
_GRACE = 10.0
"""Seconds that a process gets to fail by itself with the error of a collective operation."""


class Watch:
    """Watches the other processes of a training on this machine, in a thread of its own.

    The first process, which started the others, notices when one of them ends; the others notice
    the end of the first one when the id of their parent changes. A process that still waits in a
    collective operation, which can take minutes on GPUs, is then ended. If `srun` or torchrun
    started all processes, watching them is left to that program.

    Args:
        go_on: Returns a clause that tells the user how to continue: `resume with …`.
    """

    def __init__(self, go_on: Callable[[], str]) -> None:
        self.go_on = go_on
        self._children: list[subprocess.Popen[Any]] = []
        self._launchers: list[Any] = []
        self._parent = os.getppid()
        self._rank = int(os.environ.get("LOCAL_RANK", 0))
        self._over = threading.Event()
        self._lost: str | None = None
        self._lost_known = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="zoo-processes")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._over.set()
        if isinstance(error, Exception):  # the others would wait for this process
            self.end_children()

    def add(self, trainer: Any) -> None:
        """Watch the processes that `trainer` starts, instead of Lightning."""
        self._launchers.append(trainer.strategy.launcher)

    def error(self, failure: Exception) -> ZooError | None:
        """Wait a moment for the process that caused `failure`, and return an error that names it.

        Args:
            failure: The error of a collective operation.

        Returns:
            None if no other process of the training has ended.
        """
        if started_by_srun() or started_by_torchrun():
            reason = re.sub(r"^\[\S+\] ", "", str(failure)).partition(". ")[0]
            self._lost = f"another process of the training is gone ({reason}); {self.go_on()}"
        else:
            self._lost_known.wait(_GRACE / 2)
        if self._lost is None:
            return None
        return OwnError(self._lost) if rank() <= 1 else ZooError(self._lost)

    def end_children(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self._find_children()
            lost = self._ended()
            if lost is None:
                continue
            self._lost = f"{lost} of the training ended; {self.go_on()}"
            self._lost_known.set()
            if not self._over.wait(_GRACE):
                self._end(self._lost)

    def _find_children(self) -> None:
        started = [p for launcher in self._launchers for p in getattr(launcher, "procs", ())]
        if len(started) == len(self._children):
            return
        self._children = started
        # Disable Lightning's own observer, which kills this process without any message.
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
        """End this process from the watching thread, since the main thread waits for a lost one."""
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
    """Return Lightning's plugin for the launcher of a SLURM job's processes; empty elsewhere.

    By itself, Lightning assumes that `srun` starts the processes of every job, and reacts to
    SLURM's warning signal by writing a checkpoint of its own and queueing the job again.

    Args:
        settings: The trainer's settings.

    Raises:
        ZooError: What was started does not match the trainer's settings: a training alone would
            wait for others that never come, or each process would train a model of its own.
    """
    devices, nodes = settings.get("devices", 1), settings.get("num_nodes", 1)
    is_known = isinstance(devices, int) and devices > 0
    if started_by_torchrun():
        if is_known:
            _check_torchrun(devices, nodes)
        return []
    in_job, by_srun = "SLURM_JOB_ID" in os.environ, started_by_srun()
    if nodes > 1 and not by_srun and not any(name in os.environ for name in _BY_HAND):
        raise ZooError(
            f"trainer.num_nodes={nodes} needs a launcher that starts the training on each node: "
            f"torchrun --nnodes={nodes} --nproc-per-node={devices} …, or srun in a SLURM job."
        )
    if not in_job:
        return []
    from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

    if not by_srun:
        return [LightningEnvironment()]
    if is_known:
        _check_srun(devices, nodes)
        # Lightning needs this variable, which srun sets only if it is called with that option.
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(devices))
    return [SLURMEnvironment(auto_requeue=False)]


def _check_torchrun(devices: int, nodes: int) -> None:
    started, here = os.environ["WORLD_SIZE"], os.environ["LOCAL_WORLD_SIZE"]
    if (int(here), int(started)) != (devices, devices * nodes):
        raise ZooError(
            f"torchrun started {started} processes ({here} on this node), but "
            f"{_wanted(devices, nodes)}: call torchrun --nnodes={nodes} "
            f"--nproc-per-node={devices}, or set trainer=ddp, trainer.devices and "
            "+trainer.num_nodes to match torchrun."
        )


def _check_srun(devices: int, nodes: int) -> None:
    started = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    if started != (f"{devices}(x{nodes})" if nodes > 1 else str(devices)):
        raise ZooError(
            f"srun started {os.environ['SLURM_STEP_NUM_TASKS']} processes ({started} on its "
            f"nodes), but {_wanted(devices, nodes)}: call srun --nodes={nodes} "
            f"--ntasks-per-node={devices}, or set trainer.devices and trainer.num_nodes to match "
            "srun."
        )


def _wanted(devices: int, nodes: int) -> str:
    return f"trainer.devices={devices} with trainer.num_nodes={nodes} needs {devices * nodes}"
