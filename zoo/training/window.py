"""The metrics of recent steps, kept on the device until they are logged."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.training.symptoms import flattening


class NonFiniteError(ZooError):
    """A loss, a penalty or a weight became NaN or infinite."""


class Window:
    """Collects the metrics of each step on the device; only reading them makes the host wait.

    Args:
        part_of: Describes the part that a metric belongs to, for error messages.
        world_size: The number of processes that train together, which all read at the same steps.
    """

    def __init__(self, part_of: Callable[[str], str], world_size: int = 1) -> None:
        self.part_of = part_of
        self.world_size = world_size
        self._rows: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the scalars of one step, without reading them."""
        self._rows.append(values)

    def clear(self) -> None:
        """Remove all steps."""
        self._rows.clear()

    def rows(self) -> list[dict[str, float]]:
        """Return the values of all steps as numbers, for a checkpoint."""
        if not self._rows:
            return []
        flat = torch.stack([value.float() for row in self._rows for value in row.values()])
        numbers = iter(flat.tolist())
        return [{name: next(numbers) for name in row} for row in self._rows]

    def restore(self, rows: list[dict[str, float]], device: torch.device) -> None:
        """Restore values returned by `rows`, ignoring anything else that a file may contain."""
        if not all(isinstance(row, dict) for row in rows):
            return
        self._rows = [
            {
                name: torch.tensor(value, device=device)
                for name, value in row.items()
                if type(value) is float
            }
            for row in rows
        ]

    def means(self, steps_done: int) -> dict[str, float]:
        """Return the means over the window and all processes; empty if there was no step.

        Args:
            steps_done: The number of the last step, counted from 1.

        Raises:
            NonFiniteError: A value is NaN or infinite; the message names it, its part and its step.
                All processes raise it together, since they average their values first.
        """
        if not self._rows:
            return {}
        names = [name for row in self._rows for name in row]
        flat = torch.stack([value.float() for row in self._rows for value in row.values()])
        if self.world_size > 1:
            dist.all_reduce(flat)
            flat /= self.world_size
        first = steps_done - len(self._rows) + 1
        steps = [first + i for i, row in enumerate(self._rows) for _ in row]
        totals: dict[str, list[float]] = {}
        for name, value, step in zip(names, flat.tolist(), steps, strict=True):
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"training stopped at step {step}: {name} of {self.part_of(name)} is {value}. "
                    "Try a lower model.lr_d and model.lr_g, model.clip_grad_norm=1, or "
                    f"{flattening()}"
                )
            totals.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in totals.items()}
