"""Choose the device of a loaded model."""

from __future__ import annotations

import torch

from zoo.core.errors import ZooError


def choose_device(device: str | torch.device) -> torch.device:
    """Return an available device; `auto` chooses CUDA or MPS if available, and else the CPU.

    Raises:
        ZooError: the device is unknown or not available.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type == "meta":
            raise RuntimeError("its tensors have no values")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ZooError(f"device={device} cannot be used here: try device=cpu or auto.") from error
    return chosen
