"""A substitute for CUDA graphs on the CPU, which records torch's operations and replays them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.bincount.default,
}
"""Operations that make the host wait for the device, which are forbidden in a graph."""


class Tape(TorchDispatchMode):
    """A recording of the operations of a function, in order, on the same tensors.

    As in a CUDA graph, a replay runs none of the function's Python: numbers on the host keep their
    values from the recording, and results overwrite those of the previous replay. Unlike on CUDA,
    recording also computes, so that the first replay has nothing left to do.

    Raises:
        RuntimeError: an operation reads a tensor on the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if operation in READS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {operation}")
        # Aliases, since some operations change the shape of a tensor in place.
        arguments = tree_map(_alias, (args, kwargs or {}))
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, *arguments, tree_map(_alias, result)))
        return result

    def play(self) -> None:
        for operation, args, kwargs, result in self.operations:
            again = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _alias(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


class Recorder:
    """Captures functions as tapes, as `zoo.training.cuda_graph.CudaCapture` does as graphs.

    Attributes:
        captures, replays: the numbers of captures and replays so far.
    """

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def __call__(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        tape = Tape()
        with tape:
            result = function()
        self.captures += 1
        first = True

        @torch.no_grad()
        def replay() -> Tensor:
            nonlocal first
            if not first:
                tape.play()
            first = False
            self.replays += 1
            return result

        return replay
