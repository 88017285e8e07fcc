"""What a resumed training restores from its checkpoint besides weights, and checks of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.core.errors import ZooError

_AVERAGE, _WEIGHTS = "ema_generator.", "generator."


def epochs_of(file: Path) -> int:
    """Return the number of whole epochs that a checkpoint was trained for.

    Raises:
        ZooError: The checkpoint does not store it as a training does.
    """
    loops = torch.load(file, map_location="cpu", weights_only=True, mmap=True).get("loops", {})
    try:
        progress = loops.get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
        return int(progress.get("processed", 0))
    except (AttributeError, TypeError, ValueError) as error:
        raise ZooError(f"{file} does not say how many epochs it was trained for.") from error


def check_state(content: Any) -> None:
    """Reject nested containers with a tensor that would take more memory than its stored data.

    Raises:
        ValueError: There is such a tensor.
    """
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, Tensor) and value.device.type == "cpu":
            size, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
            if size > stored:
                raise ValueError("one of its tensors would take more memory than the file stores")


def check_optimizers(optimizers: Sequence[Optimizer], stored: int) -> None:
    """Reject the state of other optimizers, which torch loads without checking it.

    Args:
        optimizers: The optimizers of this training, after they have loaded their state.
        stored: The number of optimizers whose state the checkpoint holds.

    Raises:
        ValueError: The numbers differ, or a moment has another shape than its weight.
    """
    if stored != len(optimizers):
        raise ValueError(f"it has the state of {stored} optimizers instead of {len(optimizers)}")
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            for value in state.values():
                if isinstance(value, Tensor) and value.dim() and value.shape != weight.shape:
                    raise ValueError("an optimizer's state is for weights of another shape")


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of the random number generators that a training on `device` uses."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def check_random_state(state: Any) -> None:
    """Reject a state that `restore_random_state` cannot restore.

    Raises:
        ValueError: `state` is not a state of random number generators.
    """
    cpu = state.get("cpu") if isinstance(state, dict) else None
    current = torch.get_rng_state()
    if not (isinstance(cpu, Tensor) and cpu.dtype == current.dtype and cpu.shape == current.shape):
        raise ValueError("it has no valid state of the random number generators")


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore a state returned by `random_state`, so that the same random numbers follow."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def match_average(state: dict[str, Tensor], averages: bool) -> str:
    """Add or remove averaged weights, so that a checkpoint fits a training with or without them.

    Args:
        state: The weights of a checkpoint, which are changed in place.
        averages: Whether the resumed training keeps an average.

    Returns:
        A note about the change; empty if there was none.
    """
    averaged = [key for key in state if key.startswith(_AVERAGE)]
    if averaged and not averages:
        for key in averaged:
            del state[key]
        return "the averaged weights of the checkpoint are dropped, as the settings require"
    if averages and not averaged:
        own = {k.removeprefix(_WEIGHTS): v for k, v in state.items() if k.startswith(_WEIGHTS)}
        state.update({_AVERAGE + key: value for key, value in own.items()})
        return "the checkpoint has no averaged weights: the average starts at its weights"
    return ""
