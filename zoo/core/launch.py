"""Which process of a training this is, by what started it: known before torch is imported."""

from __future__ import annotations

import os


def started_by_srun() -> bool:
    """Whether SLURM's `srun` started this process as one of several.

    A batch script's own process has SLURM's variables too, and is alone.
    """
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """This process's number among those of its training, as torchrun (`RANK`), Lightning
    (`LOCAL_RANK`, on one machine) or `srun` tells it; 0 for one that is alone."""
    names = ["RANK", "LOCAL_RANK"]
    if started_by_srun():
        names.append("SLURM_PROCID")
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def is_first() -> bool:
    """Whether this is the process that prints, and that writes what there is one of.

    `NODE_RANK` tells the machines apart where a user starts Lightning on each.
    """
    return rank() == 0 and ("RANK" in os.environ or int(os.environ.get("NODE_RANK", 0)) == 0)
