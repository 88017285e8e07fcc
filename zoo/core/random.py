"""Seeded random number generators, and a context that leaves the global ones unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.core.errors import ZooError


def seeded(seed: int) -> torch.Generator:
    """Return a CPU random number generator with a seed from 0 to 2^63 - 1."""
    if not 0 <= seed < 2**63:
        raise ZooError(f"seed={seed} must be between 0 and 2^63 - 1.")
    return torch.Generator().manual_seed(seed)


@contextmanager
def forked_random() -> Iterator[None]:
    """Return a context that restores the state of torch's random number generators at its end.

    Unlike `torch.random.fork_rng` by default, it does not initialize CUDA, nor warn if there are
    several devices. If CUDA is not initialized yet, torch would apply a seed set within the context
    once it is; the seed from before the context is set again instead.
    """
    started = torch.cuda.is_initialized()
    with torch.random.fork_rng(range(torch.cuda.device_count()) if started else ()):
        yield
    if not started:
        torch.cuda.manual_seed_all(torch.initial_seed())
