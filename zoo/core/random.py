"""Seeds, and random numbers that leave others as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.core.errors import ZooError


def seeded(seed: int) -> torch.Generator:
    """A CPU random generator at `seed` (0 to 2^63 - 1)."""
    if not 0 <= seed < 2**63:
        raise ZooError(f"seed={seed} must be between 0 and 2^63 - 1.")
    return torch.Generator().manual_seed(seed)


@contextmanager
def forked_random() -> Iterator[None]:
    """Within it, random numbers are free to be drawn and seeded: after it they go on as before.

    CUDA is not started for it, as PyTorch's default would, with a warning where there are several
    devices. A seed from within waits for a CUDA that starts later; the one from before takes its
    place.
    """
    started = torch.cuda.is_initialized()
    with torch.random.fork_rng(range(torch.cuda.device_count()) if started else ()):
        yield
    if not started:
        torch.cuda.manual_seed_all(torch.initial_seed())
