"""The rank of this process, from its launcher's environment variables; needs no torch."""

from __future__ import annotations

import os


def started_by_srun() -> bool:
    """Whether SLURM's `srun` started this process as one of several.

    The single process of a batch script has SLURM's variables, too.
    """
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Return the rank of this process in its training; 0 for a single process.

    It is set by torchrun (`RANK`), Lightning (`LOCAL_RANK`, on one machine) or `srun`.
    """
    names = ["RANK", "LOCAL_RANK"]
    if started_by_srun():
        names.append("SLURM_PROCID")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def is_first() -> bool:
    """Whether this is the process that prints messages and writes files.

    `NODE_RANK` distinguishes machines if a user starts Lightning on each of them.
    """
    return rank() == 0 and ("RANK" in os.environ or int(os.environ.get("NODE_RANK", 0)) == 0)
