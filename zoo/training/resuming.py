"""What a resumed training takes from its checkpoint besides weights: random state, average."""

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
    """Whole epochs behind a checkpoint.

    Raises:
        ZooError: what it says of them is nothing that a training writes down.
    """
    loops = torch.load(file, map_location="cpu", weights_only=True, mmap=True).get("loops", {})
    try:
        progress = loops.get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
        return int(progress.get("processed", 0))
    except (AttributeError, TypeError, ValueError) as error:
        raise ZooError(f"{file} does not say how many epochs are behind it.") from error


def check_state(content: Any) -> None:
    """Refuse tensors, in containers, that would take more memory than they have in their file.

    Raises:
        ValueError: there is one.
    """
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, Tensor) and value.device.type == "cpu":
            taken, held = value.numel() * value.element_size(), value.untyped_storage().nbytes()
            if taken > held:
                raise ValueError("a tensor of it would take more memory than the file has for it")


def check_optimizers(optimizers: Sequence[Optimizer], stored: int) -> None:
    """Refuse the state of other optimizers, which torch takes as it comes.

    Args:
        optimizers: of this training, after they have taken their state.
        stored: of how many the checkpoint has the state.

    Raises:
        ValueError: there are more or fewer, or a moment has another shape than its weight.
    """
    if stored != len(optimizers):
        raise ValueError(f"it has the state of {stored} optimizers, not {len(optimizers)}")
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            for value in state.values():
                if isinstance(value, Tensor) and value.dim() and value.shape != weight.shape:
                    raise ValueError("an optimizer's state is of weights of another shape")


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of the random generators that a training on `device` draws from."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def check_random_state(state: Any) -> None:
    """Refuse what `restore_random_state` cannot take.

    Raises:
        ValueError: it is no such state.
    """
    held = state.get("cpu") if isinstance(state, dict) else None
    now = torch.get_rng_state()
    if not (isinstance(held, Tensor) and held.dtype == now.dtype and held.shape == now.shape):
        raise ValueError("it has no state of random numbers")


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on with the random numbers that followed `random_state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def match_average(state: dict[str, Tensor], averages: bool) -> str:
    """Let weights with an average go on without one, and the other way round.

    Args:
        state: of a checkpoint, changed in place.
        averages: whether the training that goes on keeps an average.

    Returns:
        What was changed, in words; empty where nothing was.
    """
    there = [key for key in state if key.startswith(_AVERAGE)]
    if there and not averages:
        for key in there:
            del state[key]
        return "the averaged weights of the checkpoint are dropped, as the settings ask for"
    if averages and not there:
        own = {k.removeprefix(_WEIGHTS): v for k, v in state.items() if k.startswith(_WEIGHTS)}
        state.update({_AVERAGE + key: value for key, value in own.items()})
        return "the checkpoint has no averaged weights: the average starts at its weights"
    return ""
