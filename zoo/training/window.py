"""The values of recent steps, kept on the device until they are shown."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.training.symptoms import slope_penalties


class NonFiniteError(ZooError):
    """A loss, a penalty or a weight became NaN or infinite."""


class Window:
    """Collects what each step returns; reading it is the only place where the host waits.

    Args:
        part_of: the part that a value belongs to, in words.
        world_size: processes that train together; all of them read at the same steps.
    """

    def __init__(self, part_of: Callable[[str], str], world_size: int = 1) -> None:
        self.part_of = part_of
        self.world_size = world_size
        self._rows: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, values: dict[str, Tensor]) -> None:
        """Keep the scalars of one step, without reading them."""
        self._rows.append(values)

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()

    def rows(self) -> list[dict[str, float]]:
        """The values as numbers, for a checkpoint."""
        if not self._rows:
            return []
        flat = torch.stack([value.float() for row in self._rows for value in row.values()])
        numbers = iter(flat.tolist())
        return [{name: next(numbers) for name in row} for row in self._rows]

    def restore(self, rows: list[dict[str, float]], device: torch.device) -> None:
        """Go on with the values that `rows` gave; what else a file may hold is left out."""
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
        """Means over the window and over all processes; empty where there was no step.

        Args:
            steps_done: number of the last step, from 1.

        Raises:
            NonFiniteError: a value is NaN or infinite; the sentence names it, its part and its
                step. Processes share their values first, so that all of them stop together.
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
                    f"{slope_penalties()}"
                )
            totals.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in totals.items()}
