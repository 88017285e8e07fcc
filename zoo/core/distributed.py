"""Averaging and gathering over the processes of a training."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from zoo.core import torch_internals


def _average(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    flat = torch_internals.flatten([t.contiguous() for t in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, torch_internals.unflatten(flat, tensors), strict=True):
        tensor.copy_(mean)


@torch.no_grad()
def average_gradients(network: nn.Module) -> None:
    """Replace every gradient of `network` by its mean over all processes.

    There is one reduction per network and update, after the whole backward pass, so that penalties
    with a double backward pass, and D without gradients in G's update, need no special treatment.
    """
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for weight in network.parameters():
        if weight.grad is not None:
            by_type.setdefault(weight.grad.dtype, []).append(weight.grad)
    for gradients in by_type.values():
        _average(gradients)


@torch.no_grad()
def average_buffers(module: nn.Module) -> None:
    """Replace batch norm's running statistics by their mean over all processes."""
    _average([b for name, b in module.named_buffers() if name.endswith(("_mean", "_var"))])


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean of `values` over all processes, elementwise.

    The shape must be the same in all of them. In a single process, `values` are returned.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return values
    mean = values.clone()
    _average([mean])
    return mean


@torch.no_grad()
def deviation_over_processes(values: Tensor) -> Tensor:
    """Return the standard deviation over the `values` of all processes, equally many in each."""
    if process_count() == 1:
        return values.std()
    moments = torch.stack((values.mean(), values.square().mean()))
    mean, square = mean_over_processes(moments)
    n = values.numel() * process_count()
    return ((square - mean.square()).clamp_min(0) * (n / (n - 1))).sqrt()


class _Gather(torch.autograd.Function):
    """Concatenates the tensors of all processes; the backward pass sums the gradients of a part."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_gradient(mine: Tensor) -> Tensor:
    """Concatenate the tensors (N, ...) of all processes to (processes * N, ...), in rank order.

    This is for losses over the whole batch. If every process takes the mean, over its own images,
    of a function of all images, then the mean of the processes' gradients equals the gradient of a
    single process with the whole batch. In a single process, `mine` is returned.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return mine
    gathered: Tensor = _Gather.apply(mine.contiguous())
    return gathered


def process_count() -> int:
    """Return how many processes train together; 1 without torch's distributed package."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_place(n: int) -> int:
    """Return the index of the first of this process's `n` rows in `gather_with_gradient`."""
    return n * dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_objects(mine: Any) -> list[Any]:
    """Return the objects of all processes, in rank order."""
    everything: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everything, mine)
    return everything
