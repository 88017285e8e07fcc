"""What each of two real processes does around its share of a test."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed


@contextmanager
def one_of_two(rank: int, path: str) -> Iterator[None]:
    """Join a group of two processes that meet in a file below `path`; end the process afterwards.

    An exception in the block reaches whoever started the process, as usual.
    """
    faulthandler.enable()
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{path}/meet", rank=rank, world_size=2
    )
    yield
    distributed.barrier()
    # A thread of gloo may still hold the last tensor; freeing it while Python shuts down aborts the
    # process (pytorch/pytorch#179291). What a test looks at is on disk by now.
    os._exit(0)
