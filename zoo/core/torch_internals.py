"""All uses of torch's private names, collected in one place.

They have no public equivalents: the `foreach` functions process a list of tensors in one kernel,
and a dispatch mode sees every operation. tests/core/test_torch_internals.py checks that they still
exist and behave as expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode as DispatchMode

__all__ = [
    "COMPILER",
    "NEEDS_TWO",
    "BatchNorm",
    "DispatchMode",
    "add",
    "add_",
    "clamp_max_",
    "clamp_min_",
    "copy_",
    "div",
    "flatten",
    "has_linear_pointwise",
    "lerp_",
    "linear_pointwise",
    "mul",
    "mul_",
    "norms",
    "outputs_and_mutation",
    "sqrt",
    "sub",
    "sub_",
    "unflatten",
]

COMPILER = ("torch._dynamo", "torch._inductor")
"""The modules from which the errors of `torch.compile` come."""

NEEDS_TWO = "Expected more than 1 value per channel when training"
"""The beginning of batch norm's error for the features of a single image."""

BatchNorm = nn.modules.batchnorm._BatchNorm
"""The base class of all batch norms: in one, two and three dimensions, lazy and synchronized."""

norms = torch._foreach_norm
add = torch._foreach_add
sub = torch._foreach_sub
mul = torch._foreach_mul
div = torch._foreach_div
sqrt = torch._foreach_sqrt
sub_ = torch._foreach_sub_
add_ = torch._foreach_add_
mul_ = torch._foreach_mul_
copy_ = torch._foreach_copy_
lerp_ = torch._foreach_lerp_
clamp_min_ = torch._foreach_clamp_min_
clamp_max_ = torch._foreach_clamp_max_


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate contiguous tensors of one dtype into a single tensor (N,)."""
    return torch._utils._flatten_dense_tensors(tensors)


def unflatten(flat: Tensor, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return views of `flat` with the shapes of `tensors`."""
    return torch._utils._unflatten_dense_tensors(flat, tensors)


def has_linear_pointwise() -> bool:
    """Whether this build of torch has oneDNN's linear layers."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear_pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear layer with oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def outputs_and_mutation(operation: Any) -> tuple[int, bool]:
    """Return how many tensors an operation returns, and whether it mutates an argument."""
    return len(operation._schema.returns), operation._schema.is_mutable
