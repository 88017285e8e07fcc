"""The context without autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast is disabled."""
    return torch.autocast(device.type, enabled=False) if autocasts(device) else nullcontext()


def autocasts(device: torch.device) -> bool:
    """Whether autocast is enabled on a device; it does not know the device `meta`."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
